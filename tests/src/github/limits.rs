//! Rate limits: the hourly budget, and the secondary limit that stops bursts.

use std::collections::VecDeque;
use std::time::Duration;

use http::Method;
use time::OffsetDateTime;

use super::answers::{self, set};
use super::state::State;
use crate::wire::Answer;

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
    used_this_hour: u64,
    /// Points of the window, with the moment each was spent.
    spent: VecDeque<(OffsetDateTime, u64)>,
}

impl Meter {
    /// Empties what lies in the past.
    fn turn(&mut self, now: OffsetDateTime, limits: &Limits) -> OffsetDateTime {
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
    fn wait(&self, now: OffsetDateTime, secondary: &Secondary, cost: u64) -> Duration {
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

impl State {
    /// Charges a call; the answer is there if it is refused.
    pub(super) fn charge(&mut self, key: &str, method: &Method, now: OffsetDateTime) -> Option<Answer> {
        let limits = &self.limits;
        let meter = self.meters.entry(key.to_owned()).or_default();
        let hour_ends = meter.turn(now, limits);
        let writes = method != Method::GET && method != Method::HEAD;
        let cost = if writes { 5 } else { 1 };
        if meter.used_this_hour >= limits.primary {
            meter.refused += 1;
            return Some(answers::primary_limit(hour_ends));
        }
        if let Some(secondary) = &limits.secondary {
            let spent: u64 = meter.spent.iter().map(|(_, points)| points).sum();
            if spent + cost > secondary.points {
                if secondary.refused_cost {
                    meter.spent.push_back((now, cost));
                }
                meter.refused += 1;
                let wait = secondary.retry_after.then(|| meter.wait(now, secondary, cost));
                return Some(answers::secondary_limit_as(secondary.status, wait));
            }
            meter.spent.push_back((now, cost));
        }
        meter.used_this_hour += 1;
        meter.permitted += 1;
        meter.points += cost;
        meter.writes += u64::from(writes);
        None
    }

    /// Says in the answer's headers how much is left.
    pub(super) fn state_budget(&mut self, key: &str, now: OffsetDateTime, answer: &mut Answer) {
        let limit = self.limits.primary;
        let meter = self.meters.entry(key.to_owned()).or_default();
        let hour_ends = meter.turn(now, &self.limits);
        set(answer, "x-ratelimit-limit", limit);
        set(answer, "x-ratelimit-used", meter.used_this_hour);
        set(answer, "x-ratelimit-remaining", limit.saturating_sub(meter.used_this_hour));
        set(answer, "x-ratelimit-reset", hour_ends.unix_timestamp());
        set(answer, "x-ratelimit-resource", "core");
    }
}
