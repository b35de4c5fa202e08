//! Objects in a bucket of S3 or anything that speaks its protocol.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bytes::Bytes;
use tokio::sync::OnceCell;

use super::Objects;
use super::connect::{S3Settings, SigningClock, connect};
use crate::certificates;
use crate::clock::Clock;
use crate::error::{Error, Result, causes};
use crate::per_process::PerProcess;
use crate::retry::{RetryPolicy, repeat};

const RETRY: RetryPolicy =
    RetryPolicy { attempts: 4, base: Duration::from_millis(500), max: Duration::from_secs(30) };

/// A prefix of a bucket.
#[derive(Debug)]
pub struct Bucket {
    name: String,
    prefix: String,
    settings: S3Settings,
    client: PerProcess<OnceCell<Client>>,
    clock: Arc<dyn Clock>,
    time: SigningClock,
}

/// What must be true of an object for [`Bucket::put_if`] to replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is none.
    Absent,
    /// It is the one with this `ETag`.
    Unchanged(String),
    /// Nothing.
    Any,
}

impl Bucket {
    /// `url`: `s3://bucket/prefix`. Opens nothing yet.
    pub fn new(url: &str, settings: S3Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let rest = url.strip_prefix("s3://").unwrap_or_default();
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(Error::invalid(format!("URL {url:?} names no bucket; use s3://bucket/prefix")));
        }
        if bucket.contains('@') {
            // It is not shown: it may be a key.
            return Err(Error::invalid("an s3:// URL must not hold keys")
                .with_hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
        }
        if settings.access_key.is_some() != settings.secret_key.is_some() {
            return Err(Error::invalid(
                "an S3 access key and its secret key go together; one of them is missing",
            ));
        }
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let time = SigningClock::new(Arc::clone(&clock));
        Ok(Self { name: bucket.to_owned(), prefix, settings, client: PerProcess::default(), clock, time })
    }

    /// URL of the server, for messages.
    pub fn endpoint(&self) -> &str {
        self.settings.endpoint.as_deref().unwrap_or("AWS")
    }

    async fn client(&self) -> Result<Client> {
        let cell = self.client.get_or_init(OnceCell::new);
        let client = cell.get_or_try_init(|| connect(&self.settings, self.time.clone())).await;
        client.cloned()
    }

    /// The object and its `ETag`; `None` where it is absent.
    pub async fn get_tagged(&self, key: &str) -> Result<Option<(Bytes, String)>> {
        let client = self.client().await?;
        let once = || async {
            let request = client.get_object().bucket(&self.name).key(format!("{}{key}", self.prefix));
            let object = match request.send().await {
                Ok(object) => object,
                Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
                Err(error) => return Err(self.failed("read", key, &error)),
            };
            let etag = object.e_tag().unwrap_or_default().to_owned();
            let body = object.body.collect().await;
            let body = body.map_err(|error| {
                Error::unavailable(format!("cannot read {}: {}", self.uri(key), causes(&error)))
            })?;
            Ok(Some((body.into_bytes(), etag)))
        };
        repeat(&RETRY, &*self.clock, once).await
    }

    /// One attempt to create or replace `key` where `condition` holds: the new `ETag`, or `None` where it does not
    /// hold or somebody writes at the same time. After `Unavailable` nobody knows whether it landed.
    pub async fn put_if(&self, key: &str, body: Bytes, condition: &Condition) -> Result<Option<String>> {
        let client = self.client().await?;
        let request =
            client.put_object().bucket(&self.name).key(format!("{}{key}", self.prefix)).body(body.into());
        let request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Unchanged(etag) => request.if_match(etag),
            Condition::Any => request,
        };
        match request.send().await {
            Ok(put) => Ok(Some(put.e_tag().unwrap_or_default().to_owned())),
            // AWS answers 404 to If-Match on a missing key, others 412; 409 is a write at the same time.
            Err(error) if matches!(status(&error), Some(409 | 412)) => Ok(None),
            Err(error) if error.code() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(self.failed("write", key, &error)),
        }
    }

    fn failed<E>(&self, doing: &str, key: &str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let place = self.uri(key);
        let code = error.code().unwrap_or_default();
        let status = status(error);
        match status {
            Some(403) if code == "RequestTimeTooSkewed" => self.skewed(doing, &place, error),
            // An answer of S3 says more; this one was cut off, or is not S3's.
            Some(status @ 400..=499) if code.is_empty() => {
                Error::unavailable(format!("cannot {doing} {place}: {status} without a reason"))
            }
            Some(401 | 403) => Error::invalid(format!("cannot {doing} {place}: access denied ({code})"))
                .with_hint("check the access key, the secret key and the bucket's policy")
                .fatal(),
            Some(404) if code == "NoSuchBucket" => {
                Error::invalid(format!("cannot {doing} {place}: there is no bucket {:?}", self.name))
                    .with_hint("create it")
                    .fatal()
            }
            Some(400..=499) if status != Some(408) && status != Some(409) && status != Some(429) => {
                Error::invalid(format!("cannot {doing} {place}: {} {code}", status.unwrap_or_default()))
                    .fatal()
            }
            Some(status) => Error::unavailable(format!("cannot {doing} {place}: {status} {code}")),
            None if certificates::is_refused(error) => {
                Error::invalid(format!("cannot {doing} {place}: {}", causes(error)))
                    .with_hint("name the server's certificate authority by ca_file or AWS_CA_BUNDLE")
                    .fatal()
            }
            None => Error::unavailable(format!("cannot {doing} {place}: {}", causes(error))),
        }
    }

    /// The machine's clock is wrong: later requests are signed by the server's.
    fn skewed<E>(&self, doing: &str, place: &str, error: &SdkError<E, HttpResponse>) -> Error {
        let date = error.raw_response().and_then(|response| response.headers().get("date"));
        let message = format!("cannot {doing} {place}: this machine's clock is not the server's");
        if date.is_some_and(|date| self.time.correct(date)) {
            return Error::unavailable(message);
        }
        Error::invalid(message).with_hint("set the clock (NTP)").fatal()
    }
}

/// The HTTP status behind an SDK error; `None` where no answer came.
fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

#[async_trait]
impl Objects for Bucket {
    async fn probe(&self, clean_up: bool) -> Result<()> {
        let key = ".quant_framework_probe";
        self.put(key, Bytes::from_static(b"quant_framework was here")).await?;
        if clean_up { self.delete(key).await } else { Ok(()) }
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<()> {
        let client = self.client().await?;
        let once = || async {
            let request = client.put_object().bucket(&self.name).key(format!("{}{key}", self.prefix));
            let sent = request.body(body.clone().into()).send().await;
            sent.map(drop).map_err(|error| self.failed("write", key, &error))
        };
        repeat(&RETRY, &*self.clock, once).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.get_tagged(key).await?.map(|(body, _)| body))
    }

    async fn get_tagged(&self, key: &str) -> Result<Option<(Bytes, String)>> {
        Self::get_tagged(self, key).await
    }

    async fn replace_if(&self, key: &str, body: Bytes, condition: &Condition) -> Result<bool> {
        Ok(self.put_if(key, body, condition).await?.is_some())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let client = self.client().await?;
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = || async {
                let request =
                    client.list_objects_v2().bucket(&self.name).prefix(format!("{}{prefix}", self.prefix));
                let sent = request.set_continuation_token(token.clone()).send().await;
                sent.map_err(|error| self.failed("list", prefix, &error))
            };
            let page = repeat(&RETRY, &*self.clock, page).await?;
            let own = |key: &str| key.strip_prefix(&*self.prefix).map(str::to_owned);
            keys.extend(page.contents().iter().filter_map(|object| object.key().and_then(own)));
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                return Ok(keys);
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let client = self.client().await?;
        let once = || async {
            let request = client.delete_object().bucket(&self.name).key(format!("{}{key}", self.prefix));
            request.send().await.map(drop).map_err(|error| self.failed("delete", key, &error))
        };
        repeat(&RETRY, &*self.clock, once).await
    }

    fn uri(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.name, self.prefix)
    }
}
