//! One GET, and what its outcome means to the caller. Retries belong to the pipeline.

use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode};
use sha2::{Digest, Sha256};
use url::Url;

use crate::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::per_process::PerProcess;
use crate::ports::{Quota, Verdict};
use crate::rate_limit::{self, Answer};
use crate::secret::Secret;
use crate::time_range::{Millis, iso};

const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);
/// As much of an error body as a log line can bear.
const EXCERPT: usize = 200;

/// What a source means by a status that is neither success nor refusal nor its own trouble; the text says what was asked
/// and how the body begins.
pub(super) type Explain = fn(status: u16, said: String, body: &[u8]) -> Error;

/// Who asks one server. A forked child has connections of its own; those of its parent would answer nobody.
#[derive(Debug)]
pub(super) struct Server {
    base: Url,
    limit: fn(ClientBuilder) -> ClientBuilder,
    client: PerProcess<reqwest::Result<Client>>,
}

/// A server whose requests carry one secret header, where there is a secret.
#[derive(Debug)]
pub(super) struct Http {
    server: Server,
    header: Option<(&'static str, Secret)>,
    explain: Explain,
    clock: Arc<dyn Clock>,
}

impl Server {
    /// The one at `base`; `limit` says how long an answer may take. `Invalid` where `base` is no http(s) URL, or holds
    /// what may be secret: URLs are shown in errors.
    pub(super) fn new(base: &str, limit: fn(ClientBuilder) -> ClientBuilder) -> Result<Self> {
        if base.contains(['@', '?', '#']) {
            return Err(Error::invalid(
                "base_url must have no login, query or fragment; keys are options of their own",
            ));
        }
        let wrong = || Error::invalid(format!("base_url {base:?} is not an http or https URL"));
        let url = Url::parse(&format!("{}/", base.trim_end_matches('/'))).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        Ok(Self { base: url, limit, client: PerProcess::default() })
    }

    /// The URL of `path` there.
    pub(super) fn url(&self, path: &str) -> Result<Url> {
        self.base.join(path).map_err(|error| Error::internal(format!("{path}: {error}")))
    }

    /// A GET of `url`. No redirect is followed: it would take the header with the key to another host.
    pub(super) fn get(&self, url: Url) -> Result<RequestBuilder> {
        static PROVIDER: Once = Once::new();
        // Already installed by somebody else in this process: just as well.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let build = || {
            let builder = Client::builder()
                .user_agent(concat!("quant-framework/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .redirect(Policy::none())
                .tcp_nodelay(true);
            (self.limit)(builder).build()
        };
        match &*self.client.get_or_init(build) {
            Ok(client) => Ok(client.get(url)),
            Err(error) => Err(Error::internal(format!("cannot set up HTTP: {error}"))),
        }
    }
}

impl Http {
    /// `Invalid` where `base` is no http(s) URL.
    pub(super) fn new(
        base: &str,
        header: Option<(&'static str, Secret)>,
        explain: Explain,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let server = Server::new(base, |builder| builder.timeout(WHOLE))?;
        Ok(Self { server, header, explain, clock })
    }

    /// The body of a 200 and what the source said of its limits. `query` must hold no secret: it appears in errors.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<(Bytes, Vec<Quota>)> {
        let mut url = self.server.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let failed = |error: reqwest::Error| Error::unavailable(format!("GET {url}: {}", cause(&error)));
        let mut request = self.server.get(url.clone())?;
        if let Some((name, secret)) = &self.header {
            request = request.header(*name, secret.expose());
        }
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(failed)?;
        let texts = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let Answer { verdict, quotas } = rate_limit::read(status.as_u16(), texts, &body, self.clock.now());
        match verdict {
            Verdict::Answered { .. } if status == StatusCode::OK => Ok((body, quotas)),
            Verdict::Refused { until } => Err(refused(&url, status, until)),
            _ => Err(self.failure(&url, status, &body)),
        }
    }

    /// `source:` and a hash of the secret, and of the server where it is not `usual`.
    pub(super) fn scope(&self, source: &str, usual: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(source);
        if let Some((_, secret)) = &self.header {
            hash.update(secret.expose());
        }
        if self.server.base.as_str().trim_end_matches('/') != usual {
            hash.update(self.server.base.as_str());
        }
        let short = u64::from_be_bytes(hash.finalize()[..8].try_into().unwrap_or_default());
        format!("{source}:{short:016x}")
    }

    fn failure(&self, url: &Url, status: StatusCode, body: &[u8]) -> Error {
        let text = String::from_utf8_lossy(body);
        let text = self.header.as_ref().map_or_else(|| text.to_string(), |(_, secret)| secret.redact(&text));
        let text: String = text.chars().take(EXCERPT).collect();
        let said = format!("GET {url}: {} {text}", status.as_u16());
        failure_of(status, said).unwrap_or_else(|said| (self.explain)(status.as_u16(), said, body))
    }
}

/// What a status means at every server: trouble of its own that may pass, or that what is asked for lies elsewhere. Gives
/// what is `said` back where it means neither.
pub(super) fn failure_of(status: StatusCode, said: String) -> std::result::Result<Error, String> {
    match status.as_u16() {
        408 | 425 | 500..=599 => Ok(Error::unavailable(said)),
        301 | 308 => Ok(Error::invalid(said)
            .with_hint("it has moved, and redirects are not followed: is base_url right?")),
        300..=399 => Ok(Error::unavailable(said).with_hint("redirects are not followed: is base_url right?")),
        _ => Err(said),
    }
}

/// The source is asked too often; without `until` the limiter knows how long to wait.
pub(super) fn refused(url: &Url, status: StatusCode, until: Option<Millis>) -> Error {
    let until_text = until
        .map_or_else(|| "for a time it does not say".to_owned(), |until| format!("until {}", iso(until)));
    let said = format!("GET {url}: {}, the source's quota is used up {until_text}", status.as_u16());
    match until {
        Some(until) => Error::rate_limited(said, until),
        None => Error::new(Kind::RateLimited, said),
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
