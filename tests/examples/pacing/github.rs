//! GitHub's secondary limit for one installation, as it is documented and as it might be meant.

use std::cell::RefCell;
use std::collections::VecDeque;

use reqwest::header::HeaderMap;
use time::{Duration, OffsetDateTime};

use crate::clock::Clock;

/// Source: GitHub's "Rate limits for the REST API" says "no more than 900 points per minute" and not how it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Counting {
    /// Any 60 seconds: the strictest reading.
    Sliding,
    /// Refilled evenly. Hypothetical.
    Bucket,
    /// Each minute of GitHub's clock. Hypothetical.
    FixedMinutes,
}

/// What `x-ratelimit-used` is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Counter {
    Right,
    Late,
    /// Some calls more or less in each answer, and a reset that differs by a second, as users see it
    /// (github.com/badges/shields/pull/4590).
    Jumping,
    /// Where the hourly limit is switched off, as on Enterprise Server.
    Absent,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) points: f64,
    pub(crate) counting: Counting,
    pub(crate) counter: Counter,
    pub(crate) retry_after: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { points: 900.0, counting: Counting::Sliding, counter: Counter::Right, retry_after: true }
    }
}

/// Calls a minute that others make with the same installation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    pub(crate) reads: f64,
    pub(crate) writes: f64,
    /// A minute's calls at once, or evenly.
    pub(crate) at_once: bool,
}

impl Others {
    pub(crate) const NONE: Self = Self { reads: 0.0, writes: 0.0, at_once: false };
}

const LATE: Duration = Duration::seconds(5);
const JUMP: f64 = 20.0;

pub(crate) struct GitHub {
    rules: Rules,
    /// Begins in the midst of a fixed minute.
    phase: Duration,
    /// Nobody says whether the counter includes what is refused.
    counts_refused: bool,
    counted: RefCell<Counted>,
}

struct Counted {
    /// When so many points were spent.
    spent: VecDeque<(OffsetDateTime, f64)>,
    bucket: f64,
    at: OffsetDateTime,
    used: i64,
    used_before: VecDeque<(OffsetDateTime, i64)>,
}

/// How GitHub refuses: with a moment, or without.
pub(crate) struct Limited(pub(crate) Option<OffsetDateTime>);

impl GitHub {
    pub(crate) fn new(rules: Rules, clock: &Clock) -> Self {
        let counted = Counted {
            spent: VecDeque::new(),
            bucket: rules.points,
            at: clock.now(),
            // Others have called before us.
            used: 100,
            used_before: VecDeque::new(),
        };
        let counts_refused = clock.chance() < 0.5;
        Self { rules, phase: Duration::MINUTE * clock.chance(), counts_refused, counted: RefCell::new(counted) }
    }

    /// What is refused costs points as well, since nobody says that it does not.
    pub(crate) fn call(&self, cost: f64, now: OffsetDateTime) -> Result<(), Limited> {
        let mut counted = self.counted.borrow_mut();
        let wait = match self.rules.counting {
            Counting::Sliding => counted.slide(cost, now, self.rules.points),
            Counting::Bucket => counted.pour(cost, now, self.rules.points),
            Counting::FixedMinutes => counted.tick(cost, now + self.phase, self.rules.points),
        };
        if wait.is_none() || self.counts_refused {
            counted.used += 1;
            let used = counted.used;
            counted.used_before.push_back((now, used));
        }
        match wait {
            None => Ok(()),
            Some(wait) => {
                let whole = Duration::seconds(wait.whole_seconds() + 1);
                Err(Limited(self.rules.retry_after.then_some(now + whole)))
            }
        }
    }

    pub(crate) fn headers(&self, clock: &Clock) -> HeaderMap {
        let mut counted = self.counted.borrow_mut();
        let mut headers = HeaderMap::new();
        let mut reset: i64 = 1_800_000_000;
        let used = match self.rules.counter {
            Counter::Absent => return headers,
            Counter::Right => counted.used,
            Counter::Late => {
                while counted.used_before.get(1).is_some_and(|(at, _)| clock.now() - *at > LATE) {
                    counted.used_before.pop_front();
                }
                match counted.used_before.front() {
                    Some((at, used)) if clock.now() - *at > LATE => *used,
                    _ => 100,
                }
            }
            Counter::Jumping => {
                reset += i64::from(clock.chance() < 0.5);
                #[expect(clippy::cast_possible_truncation, reason = "a few")]
                let jump = (JUMP * (2.0 * clock.chance() - 1.0)) as i64;
                counted.used + jump
            }
        };
        headers.insert("x-ratelimit-used", used.into());
        headers.insert("x-ratelimit-reset", reset.into());
        headers
    }
}

impl Counted {
    fn slide(&mut self, cost: f64, now: OffsetDateTime, points: f64) -> Option<Duration> {
        while self.spent.front().is_some_and(|(at, _)| now - *at >= Duration::MINUTE) {
            self.spent.pop_front();
        }
        self.spent.push_back((now, cost));
        let mut over = self.spent.iter().map(|(_, cost)| cost).sum::<f64>() - points;
        if over <= 0.0 {
            return None;
        }
        let last = self.spent.iter().find(|(_, cost)| {
            over -= cost;
            over <= 0.0
        });
        last.map(|(at, _)| *at + Duration::MINUTE - now)
    }

    fn pour(&mut self, cost: f64, now: OffsetDateTime, points: f64) -> Option<Duration> {
        let rate = points / 60.0;
        self.bucket = (self.bucket + rate * (now - self.at).as_seconds_f64()).min(points) - cost;
        self.at = now;
        (self.bucket < 0.0).then(|| Duration::seconds_f64(-self.bucket / rate))
    }

    fn tick(&mut self, cost: f64, now: OffsetDateTime, points: f64) -> Option<Duration> {
        let minute = now.replace_second(0).and_then(|now| now.replace_nanosecond(0)).expect("a zero is a second");
        self.spent.retain(|(at, _)| *at >= minute);
        self.spent.push_back((now, cost));
        let spent: f64 = self.spent.iter().map(|(_, cost)| cost).sum();
        (spent > points).then(|| minute + Duration::MINUTE - now)
    }
}

/// Calls with the same installation as long as the simulation goes on, from a minute before.
pub(crate) async fn others_call(others: Others, github: &GitHub, clock: &Clock) {
    let calls = others.reads + others.writes;
    if calls == 0.0 {
        return std::future::pending().await;
    }
    let pause = Duration::MINUTE / if others.at_once { 1.0 } else { calls };
    clock.sleep(pause * clock.chance()).await;
    let mut due = 0.0;
    loop {
        let repeats = if others.at_once { calls } else { 1.0 };
        let mut made = 0.0;
        while made < repeats {
            made += 1.0;
            due += others.writes / calls;
            let writes = due >= 1.0;
            if writes {
                due -= 1.0;
            }
            // When they are refused, they do without.
            let _ = github.call(if writes { 5.0 } else { 1.0 }, clock.now());
        }
        clock.sleep(pause).await;
    }
}
