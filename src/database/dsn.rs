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
        let (rest, options) = split(dsn);
        // The parser's message may quote the DSN.
        let mut config = Config::from_str(&rest).map_err(|_| {
            Error::invalid("the database DSN cannot be read")
                .with_hint("use postgresql://user@host:5432/name, and percent-encode odd characters in it")
        })?;
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

/// The DSN without what `tokio_postgres` does not know, and that.
fn split(dsn: &str) -> (String, Vec<(String, String)>) {
    let ours = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let text = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
        matches!(key, "sslmode" | "sslrootcert").then(|| (key.to_owned(), text))
    };
    if !dsn.starts_with("postgres") {
        let (own, rest): (Vec<&str>, Vec<&str>) =
            dsn.split_whitespace().partition(|pair| ours(pair).is_some());
        return (rest.join(" "), own.into_iter().filter_map(ours).collect());
    }
    let (address, query) = dsn.split_once('?').unwrap_or((dsn, ""));
    let (own, rest): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|pair| !pair.is_empty()).partition(|pair| ours(pair).is_some());
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    (format!("{address}{query}"), own.into_iter().filter_map(ours).collect())
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
        for wrong in ["postgresql://me:geheim@db:port/lake", "postgresql://me:geheim@db/lake?sslmode=maybe"] {
            let error = Dsn::parse(wrong, None).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error}");
        }
    }
}
