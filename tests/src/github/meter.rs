//! What each identity may use of GitHub, and has used.

use std::collections::VecDeque;
use std::time::Duration;

use time::OffsetDateTime;

const HOUR: Duration = Duration::from_hours(1);

/// What each installation, each token and the App itself may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests an hour. GitHub grants an installation between 5,000 and 12,500.
    pub primary: u64,
    /// Points in a sliding window; `None` for a GitHub without it, as GHES may be.
    pub secondary: Option<Secondary>,
}

/// The secondary limit. Source: GitHub's "Rate limits for the REST API".
#[derive(Clone, Debug)]
pub struct Secondary {
    /// Points in the window: a GET costs 1, a change costs 5.
    pub points: u64,
    /// The window; a test may make it shorter than GitHub's minute.
    pub window: Duration,
    /// 403 or 429: GitHub answers either.
    pub status: u16,
    /// Whether the answer says how long to wait.
    pub retry_after: bool,
    /// Whether refused calls cost points too, so that going on makes it worse.
    pub refused_cost: bool,
}

impl Limits {
    /// The hourly budget of an installation on so many repositories: 50 more for each above 20. Source: GitHub's "Rate
    /// limits for the REST API".
    pub fn primary_for(repositories: usize) -> u64 {
        let more = u64::try_from(repositories.saturating_sub(20)).unwrap_or(u64::MAX);
        more.saturating_mul(50).saturating_add(5_000).min(12_500)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { primary: 5_000, secondary: Some(Secondary::default()) }
    }
}

impl Default for Secondary {
    fn default() -> Self {
        Self { points: 900, window: Duration::from_mins(1), status: 403, retry_after: true, refused_cost: true }
    }
}

/// How much one identity has used.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// Calls within the limits.
    pub permitted: u64,
    /// Calls that either limit refused.
    pub refused: u64,
    /// Points of the permitted calls.
    pub points: u64,
    /// Permitted `generate-jitconfig` calls and all other changes.
    pub writes: u64,
    hour_ends: Option<OffsetDateTime>,
    pub(super) used_this_hour: u64,
    /// Points of the window, with the moment each was spent.
    pub(super) spent: VecDeque<(OffsetDateTime, u64)>,
}

impl Meter {
    /// Empties what lies in the past.
    pub(super) fn turn(&mut self, now: OffsetDateTime, limits: &Limits) -> OffsetDateTime {
        let ends = match self.hour_ends {
            Some(ends) if ends > now => ends,
            _ => {
                self.used_this_hour = 0;
                now + HOUR
            }
        };
        self.hour_ends = Some(ends);
        if let Some(secondary) = &limits.secondary {
            while self.spent.front().is_some_and(|(spent_at, _)| *spent_at + secondary.window <= now) {
                self.spent.pop_front();
            }
        }
        ends
    }

    /// How long until `cost` fits into the window again.
    pub(super) fn wait(&self, now: OffsetDateTime, secondary: &Secondary, cost: u64) -> Duration {
        let mut sum: u64 = self.spent.iter().map(|(_, points)| points).sum();
        for (spent_at, points) in &self.spent {
            sum -= points;
            if sum + cost <= secondary.points {
                return (*spent_at + secondary.window - now).try_into().unwrap_or_default();
            }
        }
        secondary.window
    }
}
