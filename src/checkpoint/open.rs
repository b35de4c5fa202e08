//! From a URL to a store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{
    HybridCheckpointStore, LocalCheckpointStore, MemoryCheckpointStore, PostgresCheckpointStore,
    S3CheckpointStore,
};
use crate::clock::Clock;
use crate::disk;
use crate::error::{Error, Result};
use crate::objects::S3Settings;
use crate::ports::CheckpointStore;
use crate::secret::Secret;

/// What a URL does not say.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Where the S3 server is and who asks.
    pub s3: S3Settings,
    /// Only this process commits: the S3 server need not honour conditional writes.
    pub single_writer: bool,
    /// For a DSN without one.
    pub database_password: Option<Secret>,
    /// Longest a statement may take.
    pub database_time_limit: Option<Duration>,
}

/// The store behind `url`: `memory:`, `file:///folder`, an absolute path, `s3://bucket/prefix` (options:
/// `?endpoint_url=...&region=...&path_style=true&ca_file=...&single_writer=true`), `postgresql://user@host/name`,
/// `dsn:` and libpq's `key=value` form, or `hybrid:` followed by an `s3:` and a `postgresql:` URL with a comma in
/// between. Opens nothing yet.
pub fn open(url: &str, access: &Access, clock: &Arc<dyn Clock>) -> Result<Arc<dyn CheckpointStore>> {
    if url == "memory:" {
        return Ok(Arc::new(MemoryCheckpointStore::default()));
    }
    if let Some(pair) = url.strip_prefix("hybrid:") {
        let Some((minio, database)) = pair.split_once(",postgres") else {
            let message = "a hybrid checkpoint URL is hybrid:s3://bucket/prefix,postgresql://user@host/name";
            return Err(Error::invalid(message));
        };
        let (minio, database) =
            (open(minio, access, clock)?, open(&format!("postgres{database}"), access, clock)?);
        return Ok(Arc::new(HybridCheckpointStore::new(minio, database)));
    }
    let pairs = url.strip_prefix("dsn:");
    if pairs.is_some() || url.starts_with("postgresql://") || url.starts_with("postgres://") {
        let (password, limit) = (access.database_password.as_ref(), access.database_time_limit);
        let dsn = pairs.unwrap_or(url);
        return Ok(Arc::new(PostgresCheckpointStore::new(dsn, password, limit, Arc::clone(clock))?));
    }
    if url.starts_with("s3://") {
        let (url, access) = with_options(url, access)?;
        return Ok(Arc::new(S3CheckpointStore::new(
            &url,
            access.s3,
            access.single_writer,
            Arc::clone(clock),
        )?));
    }
    local_path(url).map(|path| Arc::new(LocalCheckpointStore::new(path)) as _)
}

/// `url` without user, password and options.
pub fn shown(url: &str) -> String {
    let bare = |url: &str| {
        // Who forgot to encode a password may have any of these characters in it.
        let url = match url.split_once("://") {
            Some((scheme, rest)) if scheme.starts_with("postgres") => {
                format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, place)| place))
            }
            _ => url.to_owned(),
        };
        url.split_once('?').map_or(url.clone(), |(place, _)| place.to_owned())
    };
    if url.starts_with("dsn:") {
        return "postgresql".to_owned();
    }
    match url.split_once(",postgres") {
        Some((minio, database)) => format!("{},{}", bare(minio), bare(&format!("postgres{database}"))),
        None => bare(url),
    }
}

fn local_path(url: &str) -> Result<PathBuf> {
    disk::path_of(url).ok_or_else(|| {
        // It may hold a password.
        let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
        Error::invalid(format!(
            "checkpoint URL {scheme}:... is none of memory:, file:///folder, s3://bucket/prefix, \
             postgresql://user@host/name, hybrid:s3://...,postgresql://..."
        ))
    })
}

fn with_options(url: &str, access: &Access) -> Result<(String, Access)> {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let mut access = access.clone();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let yes = || match &*value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(Error::invalid(format!("{place}: {name} must be true or false, not {other:?}"))),
        };
        match &*name {
            "endpoint_url" => access.s3.endpoint = Some(value.into_owned()),
            "region" => access.s3.region = Some(value.into_owned()),
            "path_style" => access.s3.path_style = Some(yes()?),
            "ca_file" => access.s3.ca_file = Some(PathBuf::from(&*value)),
            "single_writer" => access.single_writer = yes()?,
            other => {
                return Err(Error::invalid(format!(
                    "{place}: unknown option {other:?}; use endpoint_url, region, path_style, ca_file or single_writer"
                )));
            }
        }
    }
    Ok((place.to_owned(), access))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::error::Kind;

    fn open_one(url: &str) -> Result<Arc<dyn CheckpointStore>> {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(0));
        open(url, &Access::default(), &clock)
    }

    #[test]
    fn no_secret_is_shown() {
        let url = "hybrid:s3://bucket/p?region=x,postgresql://me:ge@heim@db:5432/lake?sslmode=require";
        assert_eq!(shown(url), "hybrid:s3://bucket/p,postgresql://db:5432/lake");
        assert_eq!(shown("postgresql://me:geheim?1@db/lake?sslmode=require"), "postgresql://db/lake");
        assert_eq!(shown("file:///a/b"), "file:///a/b");
        assert_eq!(shown("/a/b"), "/a/b");
        assert_eq!(shown("dsn:host=db password=geheim"), "postgresql");
    }

    #[test]
    fn every_kind_opens_and_what_is_none_is_invalid_without_showing_it() {
        for url in [
            "memory:",
            "file:///tmp/x",
            "/tmp/x",
            "s3://bucket/prefix?region=eu-central-1&path_style=true&single_writer=false",
            "postgresql://me@db/lake",
            "dsn:host=db user=me dbname=lake sslmode=disable",
            "hybrid:s3://bucket/p,postgresql://me@a,b/lake",
        ] {
            assert!(open_one(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "relative",
            "file://host/x",
            "mysql://me:geheim@db/x",
            "s3://",
            "s3://bucket?nope=1",
            "s3://bucket?path_style=perhaps",
            "hybrid:s3://bucket",
            "postgresql://me:geheim@db:x/lake",
            "s3://me:geheim@bucket/prefix",
        ] {
            let error = open_one(url).err().unwrap();
            assert_eq!(error.kind(), Kind::Invalid, "{url}");
            assert!(!error.to_string().contains("geheim"), "{error}");
        }
    }
}
