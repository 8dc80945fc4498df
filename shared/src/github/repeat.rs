//! Repeating at once what is likely to pass within a second.

use std::time::{Duration, Instant};

use super::GitHubError;
use crate::clock::Clock;

/// How often a failure that may pass is repeated within an invocation.
const QUICK_REPEATS: u32 = 2;

/// The wait before the first of them; three times that before the second.
const QUICK_PAUSE: Duration = Duration::from_millis(150);

/// Beyond this, in real time, nothing is repeated. It is less than a call's time-out: where GitHub does not answer at all,
/// a repeat would only wait as long again, and the steps of a launch together would outlast the function.
const QUICK_BUDGET: Duration = Duration::from_secs(5);

impl GitHubError {
    /// Whether an immediate repeat is likely to do better. Limits and refusals are not: repeating those makes it worse.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Silent { .. })
    }
}

/// Repeats what is likely to pass within a second.
pub async fn quickly<T>(clock: &Clock, call: impl AsyncFn() -> Result<T, GitHubError>) -> Result<T, GitHubError> {
    let begun = Instant::now();
    let mut repeats = 0;
    loop {
        match call().await {
            Err(error) if error.is_passing() && repeats < QUICK_REPEATS && begun.elapsed() < QUICK_BUDGET => {
                let pause = QUICK_PAUSE * 3_u32.pow(repeats);
                clock.sleep(pause.mul_f64(0.5 + clock.chance())).await;
                repeats += 1;
            }
            outcome => return outcome,
        }
    }
}
