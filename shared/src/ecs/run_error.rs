//! Why a task did not start. Each variant is a decision.

use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::operation::run_task::RunTaskError;
use aws_sdk_ecs::types::Failure;
use secrecy::SecretString;

use crate::aws::{is_denial, words_of};
use crate::secret::without;

/// The most characters of a task's overrides, JSON punctuation included. Source: ECS's `RunTask` reference.
pub const LONGEST_OVERRIDES: usize = 8192;

/// Why a task did not start. No variant carries the JIT config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The overrides are longer than ECS takes. Nothing was called.
    #[error("the task's overrides have {characters} characters, {LONGEST_OVERRIDES} at most are possible")]
    TooLarge {
        /// Their length.
        characters: usize,
    },
    /// Fargate lacks capacity, or the account's quota is used up. Temporary.
    #[error("no capacity: {reason}")]
    NoCapacity {
        /// ECS's words.
        reason: String,
    },
    /// Too many calls. Temporary.
    #[error("throttled: {reason}")]
    Throttled {
        /// ECS's words.
        reason: String,
    },
    /// The function's role or its credentials do not permit the launch: a person must change them.
    #[error("ECS denies access: {reason}")]
    Denied {
        /// ECS's words.
        reason: String,
    },
    /// Something that the launch needs is missing, or ECS may not use it: a role, the cluster, the task definition, a subnet,
    /// the account itself. A person, a deployment or time mends it.
    #[error("ECS cannot start tasks until this is mended: {reason}")]
    Unready {
        /// ECS's words.
        reason: String,
    },
    /// ECS will refuse this launch whenever it is asked: the request itself is wrong.
    #[error("ECS refuses: {reason}")]
    Rejected {
        /// ECS's words.
        reason: String,
    },
    /// ECS did not start the task, for a reason that this code does not know. It may be temporary.
    #[error("ECS did not start the task: {reason}")]
    Unknown {
        /// ECS's words.
        reason: String,
    },
    /// ECS answered that it cannot do it now.
    #[error("ECS is unavailable: {reason}")]
    Unavailable {
        /// ECS's words.
        reason: String,
    },
    /// No answer arrived, or none that says what became of the launch: the task may be starting.
    #[error("no answer from ECS: {reason}")]
    Silent {
        /// What the network said.
        reason: String,
    },
}

/// ECS says with HTTP 200 that it started nothing.
pub(super) fn not_started(failures: Vec<Failure>, config: &SecretString) -> RunError {
    let Some(failure) = failures.into_iter().next() else {
        return RunError::Silent { reason: "neither a task nor a failure in the answer".to_owned() };
    };
    let reason = failure.reason.unwrap_or_default();
    let words = match failure.detail {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.clone(),
    };
    let words = without(config, &words);
    match reason.as_str() {
        _ if speaks_of_capacity(&words) => RunError::NoCapacity { reason: words },
        // Source: ECS's "API failures messages": the cluster or the task definition is not there. A deployment may replace it.
        "MISSING" | "INACTIVE" => RunError::Unready { reason: words },
        _ => RunError::Unknown { reason: words },
    }
}

/// Whether ECS's words mean a lack of capacity, so that waiting helps. Sources: ECS's "API failures messages" and the service
/// event messages of Fargate; for tasks that wait for instances, aws/aws-sdk-ruby#3047, "API failures messages" under
/// `DescribeTasks`, and EC2's "Error codes".
pub(super) fn speaks_of_capacity(words: &str) -> bool {
    // RESOURCE:FARGATE, RESOURCE:CPU and so on name what there is not enough of.
    words.contains("RESOURCE:")
        || words.contains("Capacity is unavailable")
        || words.contains("reached the limit on the number of")
        || words.contains("limit on concurrent")
        || words.contains("provisioning capacity limit exceeded")
        || words.contains("EMPTY CAPACITY PROVIDER")
        || words.contains("NO ACTIVE INSTANCES")
        || words.contains("InsufficientInstanceCapacity")
}

/// ECS asks EC2 about subnets and security groups, and passes EC2's own failures on as a wrong parameter. Source of the codes:
/// EC2's "Error codes", server errors.
fn speaks_of_an_outage(words: &str) -> bool {
    ["InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"]
        .iter()
        .any(|code| words.contains(&format!("ErrorCode: {code})")))
}

/// Whether ECS refuses what this launch itself asks for, which no later moment changes: the length of its overrides, or a size
/// that Fargate does not have. Sources: ECS's `RunTask` reference and "Invalid CPU or memory value specified".
fn speaks_of_the_request(words: &str) -> bool {
    words.contains("Overrides length must be at most")
        || words.contains("No Fargate configuration exists")
        || words.contains("Invalid 'cpu' setting")
        || words.contains("Invalid 'memory' setting")
}

pub(super) fn refused(error: &SdkError<RunTaskError>, config: &SecretString) -> RunError {
    let answer_status = error.raw_response().map(|response| response.status().as_u16());
    let Some(service_error) = error.as_service_error() else {
        let reason = without(config, &words_of(error));
        return match answer_status {
            Some(500..) => RunError::Unavailable { reason },
            _ => RunError::Silent { reason },
        };
    };
    let code = service_error.code().unwrap_or_default();
    let message = service_error.message().unwrap_or_default();
    let reason = without(config, &format!("{code}: {message}"));
    match service_error {
        _ if speaks_of_capacity(message) => RunError::NoCapacity { reason },
        _ if is_throttling(code) || speaks_of_throttling(message) => RunError::Throttled { reason },
        RunTaskError::AccessDeniedException(_) => RunError::Denied { reason },
        _ if is_denial(code) => RunError::Denied { reason },
        RunTaskError::ServerException(_) => RunError::Unavailable { reason },
        RunTaskError::ClientException(_) | RunTaskError::InvalidParameterException(_)
            if speaks_of_an_outage(message) =>
        {
            RunError::Unavailable { reason }
        }
        RunTaskError::ClientException(_) | RunTaskError::InvalidParameterException(_)
            if speaks_of_the_request(message) =>
        {
            RunError::Rejected { reason }
        }
        // Words that this code does not know are no reason to lose a job: nothing was started, and waiting costs little.
        RunTaskError::BlockedException(_)
        | RunTaskError::ClientException(_)
        | RunTaskError::ClusterNotFoundException(_)
        | RunTaskError::InvalidParameterException(_)
        | RunTaskError::PlatformTaskDefinitionIncompatibilityException(_)
        | RunTaskError::PlatformUnknownException(_)
        | RunTaskError::UnsupportedFeatureException(_) => RunError::Unready { reason },
        _ if answer_status.is_some_and(|status| status >= 500) => RunError::Unavailable { reason },
        _ => RunError::Unknown { reason },
    }
}

/// Source: the codes that the AWS SDKs treat as throttling.
fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
    ) || code == "LimitExceededException"
}

/// ECS passes EC2's throttling on as an error of another kind.
fn speaks_of_throttling(words: &str) -> bool {
    words.contains("RequestLimitExceeded") || words.contains("Rate exceeded")
}
