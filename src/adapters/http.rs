//! One GET, and what its outcome means to the caller. Retries belong to the pipeline.

use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::time_range::{Millis, iso};

const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);
/// A refusal that does not say for how long.
const UNKNOWN_PENALTY: Millis = 60_000;
/// As much of an error body as a log line can bear.
const EXCERPT: usize = 200;

/// A client for one base URL whose requests carry one secret header.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    base: Url,
    header: (&'static str, Secret),
    clock: Arc<dyn Clock>,
}

impl Http {
    /// `Invalid` where `base` is no http(s) URL.
    pub(super) fn new(base: &str, header: (&'static str, Secret), clock: Arc<dyn Clock>) -> Result<Self> {
        static PROVIDER: Once = Once::new();
        // Already installed by somebody else in this process: just as well.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let wrong = || Error::invalid(format!("base_url {base:?} is not an http or https URL"));
        let url = Url::parse(&format!("{}/", base.trim_end_matches('/'))).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        let client = reqwest::Client::builder()
            .user_agent(concat!("quant-framework/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| Error::internal(format!("cannot set up HTTP: {error}")))?;
        Ok(Self { client, base: url, header, clock })
    }

    /// The body of a 200. `query` must hold no secret: it appears in errors.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Bytes> {
        let mut url = self.base.join(path).map_err(|error| Error::internal(format!("{path}: {error}")))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let failed = |error: reqwest::Error| Error::unavailable(format!("GET {url}: {}", cause(&error)));
        let request = self.client.get(url.clone()).header(self.header.0, self.header.1.expose());
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(failed)?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(self.refusal(&url, status, &headers, &body))
    }

    fn refusal(&self, url: &Url, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        let text = self.header.1.redact(&String::from_utf8_lossy(body));
        let text: String = text.chars().take(EXCERPT).collect();
        let said = format!("GET {url}: {} {text}", status.as_u16());
        match status.as_u16() {
            429 => {
                let now = self.clock.now();
                let until = retry_after(headers, now).unwrap_or(now + UNKNOWN_PENALTY);
                Error::rate_limited(
                    format!("GET {url}: 429, the source's quota is used up until {}", iso(until)),
                    until,
                )
            }
            401 | 403 => Error::invalid(format!("{said}: the API key was refused"))
                .with_hint("check the key: api_key=... or the environment variable COINALYZE_API_KEY")
                .fatal(),
            408 | 425 | 500..=599 => Error::unavailable(said),
            _ => Error::invalid(said),
        }
    }
}

/// The innermost cause, which says most.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() { format!("timed out ({cause})") } else { cause.to_string() }
}

/// When to ask again: seconds (whole or not) or an HTTP date.
fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Millis> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds >= 0.0 && seconds.is_finite()).then(|| now + (seconds * 1000.0).ceil() as Millis);
    }
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.timestamp_millis().max(now))
}
