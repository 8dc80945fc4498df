//! Incidents after the launch: it works, and then nothing comes of it.
//!
//! | incident | who | source |
//! |---|---|---|
//! | GitHub assigns no jobs | all runners, for a while | actions/runner#4076 |
//! | runners are turned away and end within seconds, with exit code 0 or 7 | the same | actions/runner#4613 |
//! | runners cannot reach GitHub, and go on trying | the same | docs/NETWORK.md: a way out that is missing, until it is there |
//! | starts fail late | the same | ECS's "Stopped tasks error messages" |
//! | a runner hangs: offline, its container goes on | one in fifty | actions/runner#4668 |
//! | a sidecar is listed first, with another exit code | all tasks of some runs | ECS lists containers in no order |
//! | a fresh token is refused for seconds | the calls of some runs | octokit/auth-app.js#589 |

use std::time::Duration;

use super::plan::Chance;
use crate::aws::answers;

/// What lasts for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outage {
    NoDispatch,
    TurnsAway,
    Unreachable,
    StartsFail,
}

impl Outage {
    /// Its name in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoDispatch => "times GitHub assigned no jobs",
            Self::TurnsAway => "times GitHub turned runners away",
            Self::Unreachable => "times runners could not reach GitHub",
            Self::StartsFail => "times starts failed late",
        }
    }
}

/// Names in the report of what strikes one task, runner or call.
pub(super) const TURNED_AWAY: &str = "runners that GitHub turned away";
pub(super) const CUT_OFF: &str = "runners that could not reach GitHub";
pub(super) const FAILED_LATE: &str = "tasks that failed to start";
pub(super) const INTERRUPTED: &str = "tasks that Spot interrupted";
pub(super) const HUNG: &str = "runners that hung";
pub(super) const BESIDE_SIDECAR: &str = "tasks that ended beside a sidecar with another exit code";
pub(super) const STALE_TOKEN: &str = "calls with a token that GitHub did not know everywhere";

/// The share of runners that hang once they have connected.
pub(super) const HANGING: f64 = 0.02;

/// The reasons of late failures.
pub(super) const REASONS: [&str; 3] = [
    "Timeout waiting for network interface provisioning to complete.",
    "CannotPullContainerError: toomanyrequests: 429",
    answers::CAPACITY_UNAVAILABLE,
];

/// An outage of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) kind: Outage,
    pub(super) at: Duration,
    pub(super) lasts: Duration,
    /// Which of [`REASONS`] starts fail for.
    pub(super) reason: &'static str,
}

/// The incidents of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Incidents {
    pub(super) outages: Vec<Planned>,
    pub(super) sidecar: bool,
    pub(super) token_lag: Duration,
}

impl Incidents {
    /// One outage at most, since each has its own way to end; no longer than the two tries of a job that follow at once.
    pub(super) fn draw(seed: u64, within: Duration) -> Self {
        let mut chance = Chance::new(seed, "incidents");
        let kinds = [
            Some(Outage::NoDispatch),
            Some(Outage::TurnsAway),
            Some(Outage::StartsFail),
            Some(Outage::Unreachable),
            None,
        ];
        let kind = kinds[usize::try_from(seed % 5).expect("few")];
        let latest = within.as_secs().max(1);
        let outage = kind.map(|kind| Planned {
            kind,
            at: chance.seconds(0, latest),
            lasts: chance.seconds(120, 1500),
            reason: REASONS[usize::try_from(chance.below(3)).expect("few")],
        });
        let sidecar = chance.happens(0.5);
        let token_lag = if chance.happens(0.5) { chance.seconds(1, 8) } else { Duration::ZERO };
        Self { outages: outage.into_iter().collect(), sidecar, token_lag }
    }
}
