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

/// How the secondary limit counts. GitHub's "Rate limits for the REST API" says "no more than 900 points per minute" and
/// no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// In any window: the strictest reading.
    #[default]
    Sliding,
    /// In a bucket that refills evenly. Hypothetical.
    Bucket,
    /// In each window of the clock. Hypothetical.
    Fixed,
}

/// The secondary limit. Source: GitHub's "Rate limits for the REST API".
#[derive(Clone, Debug)]
pub struct Secondary {
    /// Points in the window: a GET costs 1, any other call 5.
    pub points: u64,
    /// How they are counted.
    pub counting: Counting,
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

impl Secondary {
    /// When the window of the clock that is under way began.
    fn began(&self, now: OffsetDateTime) -> OffsetDateTime {
        let window = i128::try_from(self.window.as_nanos()).unwrap_or(i128::MAX);
        let into = now.unix_timestamp_nanos() % window;
        now - time::Duration::nanoseconds(i64::try_from(into).unwrap_or_default())
    }

    /// Points that a bucket regains in that time.
    fn refilled_in(&self, time: Duration) -> u64 {
        let points = time.as_nanos() * u128::from(self.points) / self.window.as_nanos();
        u64::try_from(points).unwrap_or(u64::MAX)
    }

    /// How long a bucket takes to regain so many points.
    fn time_for(&self, points: u64) -> Duration {
        let nanos = self.window.as_nanos() * u128::from(points) / u128::from(self.points);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Default for Secondary {
    fn default() -> Self {
        Self {
            points: 900,
            counting: Counting::Sliding,
            window: Duration::from_mins(1),
            status: 403,
            retry_after: true,
            refused_cost: true,
        }
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
    /// Points in the window, each with the moment when it was spent. Of a bucket: those that are not refilled.
    pub(super) spent: VecDeque<(OffsetDateTime, u64)>,
    /// Until when a bucket has been refilled.
    refilled_at: Option<OffsetDateTime>,
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
            match secondary.counting {
                Counting::Sliding => self.forget(|spent_at| spent_at + secondary.window <= now),
                Counting::Fixed => self.forget(|spent_at| spent_at < secondary.began(now)),
                Counting::Bucket => self.refill(now, secondary),
            }
        }
        ends
    }

    fn forget(&mut self, is_over: impl Fn(OffsetDateTime) -> bool) {
        while self.spent.front().is_some_and(|(spent_at, _)| is_over(*spent_at)) {
            self.spent.pop_front();
        }
    }

    fn refill(&mut self, now: OffsetDateTime, secondary: &Secondary) {
        let refilled_at = self.refilled_at.unwrap_or(now);
        let mut points = secondary.refilled_in((now - refilled_at).try_into().unwrap_or_default());
        // What is less than a point is left for the next time.
        self.refilled_at = Some(refilled_at + secondary.time_for(points));
        while points > 0
            && let Some((_, spent)) = self.spent.front_mut()
        {
            let refilled = points.min(*spent);
            *spent -= refilled;
            points -= refilled;
            if *spent == 0 {
                self.spent.pop_front();
            }
        }
    }

    /// How long until the window has `cost` points again.
    pub(super) fn wait(&self, now: OffsetDateTime, secondary: &Secondary, cost: u64) -> Duration {
        let mut sum: u64 = self.spent.iter().map(|(_, points)| points).sum();
        match secondary.counting {
            Counting::Sliding => {}
            Counting::Bucket => return secondary.time_for((sum + cost).saturating_sub(secondary.points)),
            Counting::Fixed => return (secondary.began(now) + secondary.window - now).try_into().unwrap_or_default(),
        }
        for (spent_at, points) in &self.spent {
            sum -= points;
            if sum + cost <= secondary.points {
                return (*spent_at + secondary.window - now).try_into().unwrap_or_default();
            }
        }
        secondary.window
    }
}
