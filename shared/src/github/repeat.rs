//! Repeating at once what is likely to pass within a second.

use std::time::{Duration, Instant};

use super::error::GitHubError;
use crate::clock::Clock;

/// How often one call is repeated.
const MOST_REPEATS: u32 = 2;

/// The wait before the first repeat, give or take half; three times that before the second.
const FIRST_PAUSE: Duration = Duration::from_millis(150);

/// Nothing is repeated after this much real time. It is less than a call's time-out: where GitHub does not answer at all,
/// a repeat would only wait as long again, and the steps of a launch together would outlast the function.
const BUDGET: Duration = Duration::from_secs(5);

impl GitHubError {
    /// Whether an immediate repeat is likely to succeed. Repeating limits and refusals makes things worse.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Silent { .. })
    }
}

/// The repeats of one call.
pub(super) struct Repeats {
    begun: Instant,
    count: u32,
    /// A try got no clear answer, so GitHub may have carried it out.
    pub(super) is_doubtful: bool,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { begun: Instant::now(), count: 0, is_doubtful: false }
    }
}

impl Repeats {
    /// Whether to try again after this error. Waits before it says yes.
    pub(super) async fn another(&mut self, error: &GitHubError, clock: &Clock) -> bool {
        if !error.is_passing() {
            return false;
        }
        self.is_doubtful = true;
        if self.count >= MOST_REPEATS || self.begun.elapsed() >= BUDGET {
            return false;
        }
        let pause = FIRST_PAUSE * 3_u32.pow(self.count);
        clock.sleep(pause.mul_f64(0.5 + clock.chance())).await;
        self.count += 1;
        true
    }
}
