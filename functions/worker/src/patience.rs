//! Waiting out a pause of GitHub's that is shorter than a deferral.

use jitgate::github::GitHubError;
use time::Duration;

use crate::context::Context;

/// A pause this short is waited out. A deferral would take 3 to 5 s more, and cost a message, an invocation and a log
/// line. A wait costs less than that: it is billed once for all messages of the batch.
const SHORT_PAUSE: Duration = Duration::seconds(2);

/// Calls that wait for the same moment are made within this time after it. A batch has ten of them.
const SPREAD: Duration = Duration::milliseconds(250);

/// How often one call waits. If GitHub limits every tenth call, one of the ten calls that a batch makes together meets that in
/// two pauses out of three: after six pauses one launch in twelve still waits. A GitHub that limits every call needs a
/// deferral after all.
const MOST_WAITS: u32 = 6;

/// Makes a call, and makes it again after a short pause of GitHub's.
pub(crate) async fn patiently<T>(
    context: &Context,
    mut call: impl AsyncFnMut() -> Result<T, GitHubError>,
) -> Result<T, GitHubError> {
    let mut waits = 0;
    loop {
        let outcome = call().await;
        let Err(GitHubError::RateLimited { until }) = &outcome else { return outcome };
        let pause = *until - context.clock.now();
        if pause > SHORT_PAUSE || waits == MOST_WAITS {
            return outcome;
        }
        let spread = SPREAD * context.clock.chance();
        context.clock.sleep((pause + spread).try_into().unwrap_or_default()).await;
        waits += 1;
    }
}
