//! The rate limits of each identity, and what it has used of them.

use std::collections::VecDeque;
use std::time::Duration;

use time::OffsetDateTime;

const HOUR: Duration = Duration::from_hours(1);

/// The rate limits of each installation, each token and the App itself.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests an hour. GitHub grants an installation between 5,000 and 12,500.
    pub primary: u64,
    /// Points in a sliding window; `None` for a GitHub without this limit, as GHES can be.
    pub secondary: Option<Secondary>,
}

/// The secondary limit. Source: GitHub's "Rate limits for the REST API".
#[derive(Clone, Debug)]
pub struct Secondary {
    /// Points in the window: a GET costs 1, any other call 5.
    pub points: u64,
    /// The window; GitHub's is a minute.
    pub window: Duration,
    /// 403 or 429: GitHub answers either.
    pub status: u16,
    /// Whether the answer tells how long to wait.
    pub retry_after: bool,
    /// Whether refused calls cost points too, so that further calls make it worse.
    pub refused_cost: bool,
}

impl Limits {
    /// The hourly limit of an installation on this many repositories: 50 more for each above 20. Source: GitHub's "Rate
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
    /// Permitted calls other than GET and HEAD.
    pub writes: u64,
    hour_ends: Option<OffsetDateTime>,
    pub(super) used_this_hour: u64,
    /// Points in the window, each with the moment when it was spent.
    pub(super) spent: VecDeque<(OffsetDateTime, u64)>,
}

impl Meter {
    /// Drops what is past, and returns when the hour ends.
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

    /// How long until the window has `cost` points again.
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
