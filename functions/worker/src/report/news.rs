//! What a failure of a launch is to those who wait.

use jitgate::ecs::{EcsError, RunError};
use jitgate::github::GitHubError;
use jitgate::job::Progress;
use jitgate::report::News;
use jitgate::secret::SecretError;

use crate::verdict::LaunchError;
use jitgate::relaunch::NO_JOBS;

/// What an error is. The words of AWS and GitHub name accounts and addresses, so they stay in the log.
pub(crate) fn of_error(error: &LaunchError) -> News {
    match error {
        LaunchError::GitHub(error) => match error {
            GitHubError::RateLimited { .. } | GitHubError::Paced { .. } | GitHubError::TokenTooNew { .. } => {
                News::Limited
            }
            GitHubError::Denied { .. }
            | GitHubError::NotFound { .. }
            | GitHubError::Secret(SecretError::Unusable { .. } | SecretError::OutOfReach { .. }) => News::NeedsMending,
            GitHubError::Secret(SecretError::Unreadable { .. }) => News::AwsFails,
            GitHubError::Full { .. }
            | GitHubError::Refused { .. }
            | GitHubError::Rejected { .. }
            | GitHubError::BadName { .. }
            | GitHubError::Unavailable { .. }
            | GitHubError::Silent { .. } => News::GitHubFails,
        },
        LaunchError::RunNotShown | LaunchError::NamesTaken => News::GitHubFails,
        LaunchError::Run(RunError::NoCapacity { .. }) | LaunchError::Standstill { .. } => News::NoCapacity,
        LaunchError::Run(RunError::Denied { .. } | RunError::Unready { .. })
        | LaunchError::Ecs(EcsError::Denied { .. }) => News::NeedsMending,
        LaunchError::Run(
            RunError::TooLarge { .. }
            | RunError::Rejected { .. }
            | RunError::Throttled { .. }
            | RunError::Unknown { .. }
            | RunError::Unavailable { .. }
            | RunError::Silent { .. },
        )
        | LaunchError::Ecs(EcsError::Failed { .. })
        | LaunchError::Queue(_)
        | LaunchError::Unsure { .. } => News::AwsFails,
        LaunchError::LimitReached { .. } => News::LimitReached,
        LaunchError::Braked { reason, .. } if reason == NO_JOBS => News::Unassigned,
        LaunchError::Braked { .. } => News::FailedStarts,
    }
}

/// Why a message waits whose moment has not come, if that is known.
pub(crate) fn of_wait(progress: &Progress) -> Option<News> {
    let of_retry = || match (progress.failed_starts, progress.unused) {
        (0, 0) => None,
        (0, _) => Some(News::Unassigned),
        _ => Some(News::FailedStarts),
    };
    progress.wait.map(|wait| wait.news).or_else(of_retry)
}
