//! The settings that all AWS clients of a function share.

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

/// Attempts of one call, the first included. All our calls can be repeated safely; only one that still fails sends its
/// message back to the queue.
const ATTEMPTS: u32 = 3;

/// Short, since Lambda bills waiting inside an invocation, and waiting in the queue is free.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// How long a function waits for AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    connect: Duration,
    attempt: Duration,
    /// For all attempts of one call together.
    call: Duration,
}

impl Patience {
    /// The webhook's. Lambda ends the function after ten seconds, and with it the secret that it keeps; GitHub waits as
    /// long. A delivery makes two calls in turn, to read the secret and to send the message.
    pub const WEBHOOK: Self =
        Self { connect: Duration::from_secs(1), attempt: Duration::from_secs(2), call: Duration::from_secs(4) };

    /// The worker's and the cleaner's. `RunTask` takes about 200 ms, with outliers of seconds. A launch whose every
    /// call times out makes four calls in turn (register, start, take back, defer), and still ends before Lambda ends
    /// the worker after 60 seconds.
    pub const FLEET: Self =
        Self { connect: Duration::from_secs(3), attempt: Duration::from_secs(6), call: Duration::from_secs(14) };

    /// The same in the SDK's form.
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
/// Lambda puts everything into the environment. The SDK's default chain would also look into profiles, container
/// credentials and instance metadata, and would make up a tenth of each binary.
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

/// A service's own endpoint (`AWS_ENDPOINT_URL_SECRETS_MANAGER`) takes precedence over that of all, `AWS_ENDPOINT_URL`.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
#[derive(Debug)]
struct EndpointVariables;

impl LoadServiceConfig for EndpointVariables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let own = format!("{}_{}", key.env(), key.service_id().to_uppercase().replace(' ', "_"));
        env::var(own).or_else(|_| env::var(key.env())).ok()
    }
}

/// One connector for all clients of the process, with the settings of the SDK's own. The SDK itself builds two for each
/// client, the first only to test whether it can, and reads all root certificates again for each.
fn one_connector() -> SharedHttpClient {
    let connector = OnceLock::<SharedHttpConnector>::new();
    // All our clients have the same settings, so those of the first are right for all.
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
/// The SDK's own message contains the whole answer if it cannot be parsed, and an answer can contain a secret or a JIT
/// config.
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

/// Whether AWS's code means that the role does not permit the call, or that the credentials are invalid. Source: ECS's
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

/// An error and its causes, in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
