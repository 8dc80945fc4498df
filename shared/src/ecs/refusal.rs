//! Why a task did not start, as the decision that follows from it.

use std::fmt;

use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::operation::run_task::{RunTaskError, RunTaskOutput};
use secrecy::SecretString;

use super::TaskArn;
use super::launch::LONGEST_OVERRIDES;
use crate::aws::{is_denial, words_of};
use crate::secret::expose;

/// Why a task did not start. None of them carries the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A launch with this token was accepted before: these are its tasks.
    #[error("already started: {}", arns.iter().map(TaskArn::to_string).collect::<Vec<_>>().join(", "))]
    AlreadyStarted {
        /// The tasks; one, unless ECS forgot to say.
        arns: Vec<TaskArn>,
    },
    /// The overrides are longer than ECS takes. Nothing was called.
    #[error("the task's overrides have {characters} characters, {LONGEST_OVERRIDES} at most are possible")]
    TooLarge {
        /// How long they are.
        characters: usize,
    },
    /// Fargate has no room, or the account's quota is used up. It will pass.
    #[error("no capacity: {reason}")]
    NoCapacity {
        /// ECS's words.
        reason: String,
    },
    /// Too many calls. It will pass.
    #[error("throttled: {reason}")]
    Throttled {
        /// ECS's words.
        reason: String,
    },
    /// The function's role or its credentials do not permit the launch: somebody must mend them.
    #[error("ECS denies access: {reason}")]
    Denied {
        /// ECS's words.
        reason: String,
    },
    /// ECS will refuse this launch again until somebody mends something.
    #[error("ECS refuses: {reason}")]
    Rejected {
        /// ECS's words.
        reason: String,
    },
    /// ECS did not start the task, for a reason that this code does not know. Nothing says that it will stay so.
    #[error("ECS did not start the task: {reason}")]
    Unknown {
        /// ECS's words.
        reason: String,
    },
    /// ECS answered that it cannot at the moment.
    #[error("ECS is unavailable: {reason}")]
    Unavailable {
        /// ECS's words.
        reason: String,
    },
    /// No answer was heard, or none that says what became of the launch: the task may be starting.
    #[error("no answer from ECS: {reason}")]
    Silent {
        /// What the network said.
        reason: String,
    },
}

/// ECS says with HTTP 200 that it did not start anything.
pub(super) fn started(output: RunTaskOutput) -> Result<TaskArn, RunError> {
    if let Some(arn) = output.tasks.unwrap_or_default().into_iter().find_map(|task| task.task_arn) {
        return Ok(TaskArn(arn));
    }
    let Some(failure) = output.failures.unwrap_or_default().into_iter().next() else {
        return Err(RunError::Silent { reason: "neither a task nor a failure in the answer".to_owned() });
    };
    let reason = failure.reason.unwrap_or_default();
    let words = match failure.detail {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.clone(),
    };
    Err(match reason.as_str() {
        _ if speaks_of_capacity(&words) => RunError::NoCapacity { reason: words },
        // Source: ECS's "API failures messages": the cluster or the task definition is not there (any more).
        "MISSING" | "INACTIVE" => RunError::Rejected { reason: words },
        _ => RunError::Unknown { reason: words },
    })
}

/// Whether a failure's words mean that waiting helps. Sources: ECS's "API failures messages" and the service event
/// messages of Fargate.
fn speaks_of_capacity(words: &str) -> bool {
    // RESOURCE:FARGATE, RESOURCE:CPU and the like mean that there is not enough of it now.
    words.starts_with("RESOURCE:")
        || words.starts_with("Capacity is unavailable")
        || words.contains("reached the limit on the number of")
        || words.contains("Capacity is unavailable at this time")
        || words.contains("limit on concurrent")
}

pub(super) fn refused(error: &SdkError<RunTaskError>, config: &SecretString) -> RunError {
    // Nobody promises that an error never quotes what was sent.
    let words = |error: &dyn fmt::Display| error.to_string().replace(expose(config), "[JIT config]");
    let answer_status = error.raw_response().map(|response| response.status().as_u16());
    let Some(service_error) = error.as_service_error() else {
        let reason = words_of(error);
        return match answer_status {
            Some(500..) => RunError::Unavailable { reason },
            _ => RunError::Silent { reason },
        };
    };
    let code = service_error.code().unwrap_or_default();
    let message = service_error.message().unwrap_or_default();
    let reason = words(&format_args!("{code}: {message}"));
    match service_error {
        RunTaskError::ConflictException(conflict) => {
            RunError::AlreadyStarted { arns: conflict.resource_ids().iter().cloned().map(TaskArn).collect() }
        }
        _ if speaks_of_capacity(message) => RunError::NoCapacity { reason },
        _ if is_throttling(code) || speaks_of_throttling(message) => RunError::Throttled { reason },
        RunTaskError::AccessDeniedException(_) => RunError::Denied { reason },
        _ if is_denial(code) => RunError::Denied { reason },
        // The task definition was deregistered. Either a newer one comes with the deployment that is under way, or
        // somebody has to name another.
        RunTaskError::ClientException(_) | RunTaskError::InvalidParameterException(_)
            if message.contains("TaskDefinition is inactive") =>
        {
            RunError::Denied { reason }
        }
        RunTaskError::ServerException(_) => RunError::Unavailable { reason },
        RunTaskError::BlockedException(_)
        | RunTaskError::ClientException(_)
        | RunTaskError::ClusterNotFoundException(_)
        | RunTaskError::InvalidParameterException(_)
        | RunTaskError::PlatformTaskDefinitionIncompatibilityException(_)
        | RunTaskError::PlatformUnknownException(_)
        | RunTaskError::UnsupportedFeatureException(_) => RunError::Rejected { reason },
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

/// ECS passes on that EC2 throttled it, as an error of another kind.
fn speaks_of_throttling(words: &str) -> bool {
    words.contains("RequestLimitExceeded") || words.contains("Rate exceeded")
}
