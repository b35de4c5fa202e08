//! The S3 client: where it connects, with which keys, over which TLS, and by whose clock it signs.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_smithy_async::time::TimeSource;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};

use crate::clock::Clock;
use crate::error::{Error, Result};
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
    /// PEM file of certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// The clock that requests are signed by: the machine's, corrected by what the server said of it.
#[derive(Debug, Clone)]
pub(super) struct SigningClock {
    clock: Arc<dyn Clock>,
    offset: Arc<AtomicI64>,
}

impl SigningClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, offset: Arc::default() }
    }

    /// Takes the time from a server's `Date` header (RFC 2822).
    pub(super) fn correct(&self, date: &str) -> bool {
        let Ok(server) = chrono::DateTime::parse_from_rfc2822(date) else { return false };
        self.offset.store(server.timestamp_millis() - self.clock.now(), Ordering::Relaxed);
        true
    }
}

impl TimeSource for SigningClock {
    fn now(&self) -> SystemTime {
        let now = self.clock.now() + self.offset.load(Ordering::Relaxed);
        SystemTime::UNIX_EPOCH + Duration::from_millis(now.max(0).unsigned_abs())
    }
}

fn trusted(settings: &S3Settings) -> Result<Option<TlsContext>> {
    let is_plain = settings.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let Some(path) = settings.ca_file.as_ref().filter(|_| !is_plain) else { return Ok(None) };
    let certificates = fs::read(path).map_err(|error| {
        Error::invalid(format!("cannot read the certificates in {}: {error}", path.display()))
    })?;
    let store = TrustStore::default().with_pem_certificate(certificates);
    let context = TlsContext::builder().with_trust_store(store).build();
    let wrong = |_| Error::invalid(format!("{} holds no certificates in PEM", path.display()));
    context.map(Some).map_err(wrong)
}

/// A client whose own retries are off: one owner per failure class.
pub(super) async fn connect(settings: &S3Settings, time: SigningClock) -> Result<Client> {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let http = match trusted(settings)? {
        Some(context) => http.tls_context(context).build_https(),
        None => http.build_https(),
    };
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
        let credentials = Credentials::new(access.expose(), secret.expose(), token, None, "arguments");
        builder = builder.credentials_provider(credentials);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    let region = settings.region.clone().unwrap_or_else(|| "us-east-1".to_owned());
    let config = builder
        .region(Region::new(region))
        .force_path_style(settings.path_style.unwrap_or(settings.endpoint.is_some()))
        .http_client(http)
        .time_source(time)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Ok(Client::from_conf(config))
}
