//! How all AWS clients of one function are set up.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// Attempts of one call, the first included. Repeating any of ours is harmless, and only what stays wrong goes back
/// to the queue.
const ATTEMPTS: u32 = 3;

/// Waiting inside an invocation is billed; the queue waits for nothing.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// `RunTask` takes about 200 ms, with outliers of seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(6);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For all attempts of one call. A launch that meets nothing but silence makes four calls in turn (register, start,
/// take back, defer), each of 14 seconds at most, and still ends by itself before the worker's 60 seconds do.
const CALL_TIMEOUT: Duration = Duration::from_secs(14);

/// Region, credentials and endpoints from the standard AWS variables. Nothing is called yet.
pub async fn sdk_config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(FIRST_BACKOFF)
                .with_max_backoff(LONGEST_BACKOFF),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(CALL_TIMEOUT)
                .build(),
        )
        .load()
        .await
}
