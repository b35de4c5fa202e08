//! Objects in a bucket of S3 or anything that speaks its protocol. The SDK's own retries are off:
//! one owner per failure class.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;
use tokio::sync::OnceCell;

use super::object::Objects;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::retry::RetryPolicy;
use crate::secret::Secret;

/// Where the bucket is and who asks. What is absent comes from the SDK's usual chain
/// (environment, profile, instance role).
#[derive(Debug, Clone, Default)]
pub struct S3Settings {
    /// URL of a server other than AWS.
    pub endpoint: Option<String>,
    /// Region; `us-east-1` where there is an endpoint and nothing else says.
    pub region: Option<String>,
    /// Access key id.
    pub access_key: Option<Secret>,
    /// Secret access key.
    pub secret_key: Option<Secret>,
    /// Session token.
    pub session_token: Option<Secret>,
    /// Bucket in the path, not in the host; by default with an endpoint.
    pub path_style: Option<bool>,
}

/// A prefix of a bucket.
pub(super) struct Bucket {
    name: String,
    prefix: String,
    settings: S3Settings,
    client: OnceCell<Client>,
    retry: RetryPolicy,
    clock: Arc<dyn Clock>,
}

impl Bucket {
    pub(super) fn new(url: &str, settings: S3Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let rest = url.strip_prefix("s3://").unwrap_or_default();
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(Error::invalid(format!("lake URL {url:?} names no bucket; use s3://bucket/prefix")));
        }
        if settings.access_key.is_some() != settings.secret_key.is_some() {
            return Err(Error::invalid(
                "an S3 access key and its secret key go together; one of them is missing",
            ));
        }
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let retry = RetryPolicy { attempts: 4, ..RetryPolicy::default() };
        Ok(Self { name: bucket.to_owned(), prefix, settings, client: OnceCell::new(), retry, clock })
    }

    async fn client(&self) -> &Client {
        self.client.get_or_init(|| connect(&self.settings)).await
    }

    /// Runs `call` as often as the retry schedule allows.
    async fn repeat<T, F: Future<Output = Result<T>>>(&self, call: impl Fn() -> F) -> Result<T> {
        let mut attempt = 0;
        loop {
            let error = match call().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            attempt += 1;
            let Some(delay) = self.retry.delay(&error, attempt, u64::from(attempt)) else {
                return Err(error);
            };
            tracing::warn!("attempt {attempt} failed, again in {delay:.1?}: {error}");
            self.clock.sleep(delay).await;
        }
    }

    fn failed<E, R>(&self, doing: &str, key: &str, error: &SdkError<E, R>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
        SdkError<E, R>: Status + std::error::Error,
    {
        let place = format!("s3://{}/{}{key}", self.name, self.prefix);
        let code = error.code().unwrap_or_default();
        let status = error.status();
        match status {
            Some(401 | 403) => Error::invalid(format!("cannot {doing} {place}: access denied ({code})"))
                .with_hint("check the access key, the secret key and the bucket's policy")
                .fatal(),
            Some(404) => {
                Error::invalid(format!("cannot {doing} {place}: there is no bucket {:?}", self.name)).fatal()
            }
            Some(400..=499) if status != Some(408) && status != Some(409) && status != Some(429) => {
                Error::invalid(format!("cannot {doing} {place}: {} {code}", status.unwrap_or_default()))
                    .fatal()
            }
            Some(status) => Error::unavailable(format!("cannot {doing} {place}: {status} {code}")),
            None => Error::unavailable(format!("cannot {doing} {place}: {}", DisplayErrorContext(error))),
        }
    }
}

/// The HTTP status behind an SDK error.
pub(super) trait Status {
    /// `None` where no answer came.
    fn status(&self) -> Option<u16>;
}

impl<E> Status for SdkError<E, aws_sdk_s3::config::http::HttpResponse> {
    fn status(&self) -> Option<u16> {
        self.raw_response().map(|response| response.status().as_u16())
    }
}

async fn connect(settings: &S3Settings) -> Client {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(10))
        .operation_attempt_timeout(Duration::from_secs(60))
        .build();
    let keys = settings.access_key.as_ref().zip(settings.secret_key.as_ref());
    let mut builder = if keys.is_some() && settings.region.is_some() {
        Builder::new().behavior_version(BehaviorVersion::latest())
    } else {
        Builder::from(&aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone()).load().await)
    };
    if let Some((access, secret)) = keys {
        let token = settings.session_token.as_ref().map(|token| token.expose().to_owned());
        builder = builder.credentials_provider(Credentials::new(
            access.expose(),
            secret.expose(),
            token,
            None,
            "arguments",
        ));
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    builder
        .region(Region::new(settings.region.clone().unwrap_or_else(|| "us-east-1".to_owned())))
        .force_path_style(settings.path_style.unwrap_or(settings.endpoint.is_some()))
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build()
        .pipe(Client::from_conf)
}

/// `value.pipe(f)` is `f(value)`: keeps the builder one chain.
trait Pipe: Sized {
    fn pipe<T>(self, f: impl FnOnce(Self) -> T) -> T {
        f(self)
    }
}

impl Pipe for aws_sdk_s3::Config {}

#[async_trait]
impl Objects for Bucket {
    async fn probe(&self, clean_up: bool) -> Result<()> {
        let key = ".quant_framework_probe";
        self.put(key, Bytes::from_static(b"quant_framework was here")).await?;
        if clean_up { self.delete(key).await } else { Ok(()) }
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<()> {
        let client = self.client().await;
        let once = || async {
            let request = client.put_object().bucket(&self.name).key(format!("{}{key}", self.prefix));
            let sent = request.body(body.clone().into()).send().await;
            sent.map(drop).map_err(|error| self.failed("write", key, &error))
        };
        self.repeat(once).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let client = self.client().await;
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = || async {
                let request =
                    client.list_objects_v2().bucket(&self.name).prefix(format!("{}{prefix}", self.prefix));
                let sent = request.set_continuation_token(token.clone()).send().await;
                sent.map_err(|error| self.failed("list", prefix, &error))
            };
            let page = self.repeat(page).await?;
            let own = |key: &str| key.strip_prefix(&*self.prefix).map(str::to_owned);
            keys.extend(page.contents().iter().filter_map(|object| object.key().and_then(own)));
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                return Ok(keys);
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let client = self.client().await;
        let once = || async {
            let request = client.delete_object().bucket(&self.name).key(format!("{}{key}", self.prefix));
            request.send().await.map(drop).map_err(|error| self.failed("delete", key, &error))
        };
        self.repeat(once).await
    }

    fn uri(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.name, self.prefix)
    }
}
