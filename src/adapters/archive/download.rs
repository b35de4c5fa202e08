//! One file of the archive: fetched, and proved by its checksum.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use sha2::{Digest, Sha256};
use url::Url;

use super::super::http::{Server, failure_of, refused};
use crate::clock::Clock;
use crate::error::{Error, Kind, Result, causes};
use crate::ports::Verdict;
use crate::rate_limit;

/// Without a byte for so long, a download has failed.
const SILENCE: Duration = Duration::from_secs(30);
/// A month of one-minute bars is 3 MB.
const MOST: usize = 64 << 20;
const MOST_CHECKSUM: usize = 4096;
/// A file may be replaced between its download and that of its checksum.
const ATTEMPTS: u32 = 2;
/// As much of an error body as a log line can bear.
const EXCERPT: usize = 200;

/// A client for one archive.
#[derive(Debug)]
pub(super) struct Archive {
    server: Server,
    clock: Arc<dyn Clock>,
}

/// A file as it was downloaded, equal to its checksum.
pub(super) struct Proved {
    pub(super) body: Vec<u8>,
    /// 64 hexadecimal digits.
    pub(super) sha256: String,
}

impl Archive {
    /// `Invalid` where `base` is no http(s) URL.
    pub(super) fn new(base: &str, clock: Arc<dyn Clock>) -> Result<Self> {
        let server = Server::new(base, |builder| builder.read_timeout(SILENCE))?;
        Ok(Self { server, clock })
    }

    /// The file at `path`, `None` where there is none. `Data` where it does not equal its checksum twice.
    pub(super) async fn file(&self, path: &str) -> Result<Option<Proved>> {
        let mut attempt = 1;
        loop {
            match self.once(path).await {
                Err(error) if error.kind() == Kind::Data && attempt < ATTEMPTS => {
                    tracing::warn!("{error}; downloaded again");
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// Whether there is something at `path`, which is short.
    pub(super) async fn is_there(&self, path: &str) -> Result<bool> {
        Ok(self.get(path, MOST_CHECKSUM).await?.is_some())
    }

    async fn once(&self, path: &str) -> Result<Option<Proved>> {
        let Some(body) = self.get(path, MOST).await? else { return Ok(None) };
        let name = path.rsplit('/').next().unwrap_or(path);
        let checksum = self.get(&format!("{path}.CHECKSUM"), MOST_CHECKSUM).await?;
        let Some(checksum) = checksum else {
            return Err(Error::data(format!(
                "{name} has no checksum beside it, so that nothing proves it whole"
            )));
        };
        let expected = expected(name, &checksum)?;
        let hashed =
            tokio::task::spawn_blocking(move || (format!("{:x}", Sha256::digest(&body)), body)).await;
        let (sha256, body) = hashed.map_err(|_| Error::internal("hashing panicked"))?;
        if sha256 != expected {
            return Err(Error::data(format!(
                "{name} has the SHA-256 {sha256}, its checksum says {expected}"
            ))
            .with_hint("the archive may be replacing it: try again later"));
        }
        Ok(Some(Proved { body, sha256 }))
    }

    /// The body of a 200, `None` for a 404. `Data` where it is longer than `most`.
    async fn get(&self, path: &str, most: usize) -> Result<Option<Vec<u8>>> {
        let url = self.server.url(path)?;
        let failed = |error: reqwest::Error| {
            Error::unavailable(format!("GET {url}: {}", causes(&error.without_url())))
        };
        let response = self.server.get(url.clone())?.send().await.map_err(failed)?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let headers = response.headers().clone();
        let most = if status == StatusCode::OK { most } else { MOST_CHECKSUM };
        let body = match limited(response, most).await.map_err(failed)? {
            Some(body) => body,
            None if status == StatusCode::OK => {
                return Err(Error::data(format!(
                    "GET {url}: more than {most} bytes; no such file is so large"
                )));
            }
            None => Vec::new(),
        };
        let texts = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        // What a file holds says nothing about limits.
        let said: &[u8] = if status == StatusCode::OK { b"" } else { &body };
        match rate_limit::read(status.as_u16(), texts, said, self.clock.now()).verdict {
            Verdict::Answered { .. } if status == StatusCode::OK => Ok(Some(body)),
            Verdict::Refused { until } => Err(refused(&url, status, until)),
            _ => Err(failure(&url, status, &body)),
        }
    }
}

/// The body; `None` where it is longer than `most`.
async fn limited(
    mut response: Response,
    most: usize,
) -> std::result::Result<Option<Vec<u8>>, reqwest::Error> {
    let expected = response.content_length().unwrap_or(0) as usize;
    if expected > most {
        return Ok(None);
    }
    let mut body = Vec::with_capacity(expected);
    while let Some(part) = response.chunk().await? {
        if body.len() + part.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body))
}

fn failure(url: &Url, status: StatusCode, body: &[u8]) -> Error {
    let text: String = String::from_utf8_lossy(body).chars().take(EXCERPT).collect();
    let said = format!("GET {url}: {} {text}", status.as_u16());
    failure_of(status, said).unwrap_or_else(Error::invalid)
}

/// The checksum that `text` (`<sha256>  <file name>`) gives for `name`.
fn expected(name: &str, text: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(text);
    let mut words = text.split_whitespace();
    let (sum, named) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_sum || named.trim_start_matches('*') != name {
        let found: String = text.trim().chars().take(EXCERPT).collect();
        return Err(Error::data(format!("the checksum of {name} is not \"<sha256>  {name}\" but {found:?}")));
    }
    Ok(sum.to_ascii_lowercase())
}
