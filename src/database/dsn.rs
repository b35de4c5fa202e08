//! Where a database is and how it is reached.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::tls::Encryption;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// A parsed DSN. Shows nothing: it holds a password.
pub(super) struct Dsn {
    pub(super) config: Config,
    pub(super) encryption: Encryption,
    /// `postgresql://host:port/name`, for messages.
    pub(super) place: String,
}

impl Dsn {
    pub(super) fn parse(dsn: &str, password: Option<&Secret>) -> Result<Self> {
        // The parser's message may quote the DSN.
        let unreadable = || {
            Error::invalid("the database DSN cannot be read")
                .with_hint("use postgresql://user@host:5432/name, and percent-encode odd characters in it")
        };
        let (rest, options) = split(dsn).ok_or_else(unreadable)?;
        let mut config = Config::from_str(&rest).map_err(|_| unreadable())?;
        let option =
            |name: &str| options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let encryption = encryption(option("sslmode"), option("sslrootcert"))?;
        config.ssl_mode(match (&encryption, option("sslmode")) {
            (Encryption::None, _) => SslMode::Disable,
            (_, None | Some("prefer" | "allow")) => SslMode::Prefer,
            _ => SslMode::Require,
        });
        if let (None, Some(password)) = (config.get_password(), password) {
            config.password(password.expose());
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        config.keepalives_idle(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("quant_framework");
        }
        let place = place(&config);
        Ok(Self { config, encryption, place })
    }
}

fn encryption(mode: Option<&str>, roots: Option<&str>) -> Result<Encryption> {
    let file = roots.filter(|roots| *roots != "system").map(PathBuf::from);
    match mode {
        Some("disable") => Ok(Encryption::None),
        Some("verify-full" | "verify-ca") => Ok(Encryption::Verified(file)),
        // As libpq: with certificates to trust, `require` checks them.
        Some("require") if roots.is_some() => Ok(Encryption::Verified(file)),
        None | Some("allow" | "prefer" | "require") => Ok(Encryption::Unverified),
        Some(other) => Err(Error::invalid(format!(
            "unknown sslmode {other:?}; use disable, allow, prefer, require, verify-ca or verify-full"
        ))),
    }
}

/// The options that `tokio_postgres` does not know, or knows less of.
fn is_ours(key: &str) -> bool {
    matches!(key, "sslmode" | "sslrootcert")
}

/// The DSN without our options, and those; `None` where it cannot be read.
fn split(dsn: &str) -> Option<(String, Vec<(String, String)>)> {
    let is_url = dsn.starts_with("postgresql://") || dsn.starts_with("postgres://");
    if is_url { split_url(dsn) } else { split_pairs(dsn) }
}

fn split_url(dsn: &str) -> Option<(String, Vec<(String, String)>)> {
    let (address, query) = dsn.split_once('?').unwrap_or((dsn, ""));
    // A second one is part of a password that was not encoded, and the parser would take its tail for a host.
    if address.matches('@').count() > 1 || query.contains('@') {
        return None;
    }
    let (mut own, mut rest) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) if is_ours(key) => {
                let text = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
                own.push((key.to_owned(), text.into_owned()));
            }
            _ => rest.push(pair),
        }
    }
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    Some((format!("{address}{query}"), own))
}

/// As libpq reads it: `key = value` with spaces as one likes, values in single quotes where they hold spaces,
/// backslashes before quotes and backslashes.
fn split_pairs(dsn: &str) -> Option<(String, Vec<(String, String)>)> {
    let (mut own, mut rest) = (Vec::new(), String::new());
    let mut text = dsn.trim_start();
    while !text.is_empty() {
        let (key, after) = text.split_once('=')?;
        let (value, after) = value(after.trim_start())?;
        let key = key.trim();
        if is_ours(key) {
            own.push((key.to_owned(), value));
        } else {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            let _ = write!(rest, "{key}='{quoted}' ");
        }
        text = after.trim_start();
    }
    Some((rest, own))
}

/// The value that `text` begins with, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.strip_prefix('\'');
    let mut value = String::new();
    let mut rest = quoted.unwrap_or(text).char_indices();
    let source = quoted.unwrap_or(text);
    while let Some((at, c)) = rest.next() {
        match c {
            '\\' => value.push(rest.next()?.1),
            '\'' if quoted.is_some() => return Some((value, &source[at + 1..])),
            c if quoted.is_none() && c.is_whitespace() => return Some((value, &source[at..])),
            c => value.push(c),
        }
    }
    quoted.is_none().then_some((value, ""))
}

fn place(config: &Config) -> String {
    let mut place = "postgresql://".to_owned();
    for (number, host) in config.get_hosts().iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let _ = match host {
            Host::Tcp(host) => write!(place, "{comma}{host}"),
            #[cfg(unix)]
            Host::Unix(path) => write!(place, "{comma}{}", path.display()),
        };
        let ports = config.get_ports();
        if let Some(port) = ports.get(number).or(ports.first()) {
            let _ = write!(place, ":{port}");
        }
    }
    let _ = write!(place, "/{}", config.get_dbname().unwrap_or_default());
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_libpq_reads_them() {
        let text = r"host = 'db' password='a  b\'c\\d' sslmode = verify-full sslrootcert = '/a b/ca.pem' dbname=lake";
        let dsn = Dsn::parse(text, None).unwrap();
        assert_eq!(dsn.config.get_password(), Some(r"a  b'c\d".as_bytes()));
        assert_eq!(dsn.config.get_dbname(), Some("lake"));
        assert!(matches!(&dsn.encryption, Encryption::Verified(Some(file)) if file.ends_with("a b/ca.pem")));
        assert_eq!(dsn.config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn options_of_ours_are_taken_out_and_the_password_is_never_shown() {
        let url = "postgresql://me:geheim@db:5433/lake?sslmode=verify-full&application_name=x&sslrootcert=%2Fca.pem";
        let dsn = Dsn::parse(url, None).unwrap();
        assert_eq!(dsn.place, "postgresql://db:5433/lake");
        assert!(matches!(&dsn.encryption, Encryption::Verified(Some(file)) if file.ends_with("ca.pem")));
        assert_eq!(dsn.config.get_password(), Some("geheim".as_bytes()));
        let pairs =
            Dsn::parse("host=db dbname=lake user=me sslmode=require", Some(&Secret::new("geheim"))).unwrap();
        assert_eq!(pairs.config.get_password(), Some("geheim".as_bytes()));
        assert!(matches!(pairs.encryption, Encryption::Unverified));
        for wrong in [
            "postgresql://me:geheim@db:port/lake",
            "postgresql://me:geheim@db/lake?sslmode=maybe",
            "postgresql://me:1@geheim@db/lake",
            "postgresql://me:geheim?1@db/lake",
            "host=db password='geheim",
            "geheim",
        ] {
            let error = Dsn::parse(wrong, None).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error}");
        }
    }
}
