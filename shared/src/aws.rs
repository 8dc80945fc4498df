//! How all AWS clients of one function are set up.

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::ProvideRegion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ecs::config::SharedCredentialsProvider;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// Attempts of one call, the first included. Repeating any of ours is harmless, and only what stays wrong goes back
/// to the queue.
const ATTEMPTS: u32 = 3;

/// Waiting inside an invocation is billed; the queue waits for nothing.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// How long a function waits for AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    connect: Duration,
    attempt: Duration,
    /// For all attempts of one call.
    call: Duration,
}

impl Patience {
    /// The webhook's: Lambda ends it after ten seconds, and with it its copy of the secret; GitHub waits as long. A
    /// delivery takes two calls in turn, the secret and the queue.
    pub const WEBHOOK: Self =
        Self { connect: Duration::from_secs(1), attempt: Duration::from_secs(2), call: Duration::from_secs(4) };

    /// The worker's and the cleaner's. `RunTask` takes about 200 ms, with outliers of seconds. A launch that meets
    /// nothing but silence makes four calls in turn (register, start, take back, defer), and still ends by itself before
    /// the worker's 60 seconds do.
    pub const FLEET: Self =
        Self { connect: Duration::from_secs(3), attempt: Duration::from_secs(6), call: Duration::from_secs(14) };

    /// As the SDK takes it.
    pub fn timeouts(self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .operation_attempt_timeout(self.attempt)
            .operation_timeout(self.call)
            .build()
    }
}

/// Region, credentials and endpoints from the standard AWS variables. Nothing is called yet.
///
/// Lambda says everything in the environment. The SDK's default chain would also look into profiles, container
/// credentials and instance metadata, and takes a tenth of each binary for that.
pub async fn sdk_config(patience: Patience) -> SdkConfig {
    let is_on = |name| env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(EnvironmentVariableRegionProvider::new().region().await)
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .service_config(EndpointVariables)
        .use_fips(is_on("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_on("AWS_USE_DUALSTACK_ENDPOINT"))
        .http_client(one_connector())
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(FIRST_BACKOFF)
                .with_max_backoff(LONGEST_BACKOFF),
        )
        .timeout_config(patience.timeouts())
        .build()
}

/// A service's own endpoint, as in `AWS_ENDPOINT_URL_SECRETS_MANAGER`, goes before that of all, `AWS_ENDPOINT_URL`.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
#[derive(Debug)]
struct EndpointVariables;

impl LoadServiceConfig for EndpointVariables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let own = format!("{}_{}", key.env(), key.service_id().to_uppercase().replace(' ', "_"));
        env::var(own).or_else(|_| env::var(key.env())).ok()
    }
}

/// One connector for all clients of the process, set up as the SDK's own. The SDK itself makes two for each client, the
/// first only to see whether it can, and reads all root certificates anew for each of them.
fn one_connector() -> SharedHttpClient {
    let connector = OnceLock::<SharedHttpConnector>::new();
    // The settings are the same for all our clients.
    http_client_fn(move |settings, components| {
        let make = || {
            let mut builder = Connector::builder();
            builder.set_sleep_impl(components.sleep_impl()).set_proxy_config(Some(ProxyConfig::from_env()));
            let builder = builder.connector_settings(settings.clone());
            SharedHttpConnector::new(builder.tls_provider(Provider::rustls(CryptoMode::AwsLc)).build())
        };
        connector.get_or_init(make).clone()
    })
}

/// What went wrong with a call, in one line that quotes nothing of the answer but the service's own code and message.
/// The SDK's own words carry the whole answer where it cannot be read, and an answer can hold a secret or a JIT config.
pub fn words_of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    let status = error.raw_response().map(|response| response.status().as_u16());
    let service = match error {
        SdkError::ServiceError(service) => service.err().code().zip(service.err().message().or(Some(""))),
        _ => None,
    };
    match (error, service, status) {
        (_, Some((code, message)), _) => format!("{code}: {message}"),
        (SdkError::TimeoutError(_), ..) => "no answer in time".to_owned(),
        (SdkError::DispatchFailure(failure), ..) => {
            failure.as_connector_error().map_or_else(|| "no connection".to_owned(), |error| causes(error))
        }
        (_, _, Some(status)) => format!("answer {status} cannot be read"),
        (..) => "the request could not be made".to_owned(),
    }
}

/// Whether AWS's code means that the role does not permit the call, or that the credentials are no good. Source: ECS's
/// and Secrets Manager's "Common errors".
pub(crate) fn is_denial(code: &str) -> bool {
    matches!(
        code,
        "AccessDenied"
            | "AccessDeniedException"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "NotAuthorized"
            | "UnrecognizedClientException"
    )
}

/// An error and what is behind it, in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
