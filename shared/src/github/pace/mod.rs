//! Stays below GitHub's secondary limit instead of running into it.
//!
//! GitHub allows 900 points a minute and installation (a read costs 1, a write 5) and says nothing before it refuses.
//! Several worker processes share that budget without a store to share it in. But every answer carries
//! `x-ratelimit-used`, the hourly count of calls of the whole installation. So each process keeps the last minute: its
//! own calls, and what the counter grew by beyond them, as others' writes. A minute that never exceeds 900 points in any
//! 60 seconds also satisfies a bucket that refills evenly and fixed minutes, so it does not matter how GitHub counts.
//!
//! **What is left of the minute is spent at once**: a burst after a quiet minute does not wait. Near the end of the
//! minute's points a process makes fewer calls at a time, so that it hears what the others spend before the points run
//! out. What waits for that only waits inside the invocation for an answer under way.
//!
//! **A job that does not fit is told a moment**, as if this process were alone: when enough of the minute has expired for
//! all jobs told before it and for this one. One that comes in vain, because another process was faster, goes before
//! newcomers and is told again.
//!
//! The constants come from `cargo run --profile bench -p jitgate-tests --example pacing`. Tried and dropped:
//! - A fixed share of the minute for each process: the simplest, and as good for two processes with equal work. With five,
//!   160 jobs take a minute, because some processes get more than their share of the batches. Beside another user, a fifth
//!   of the calls is refused.
//! - The whole minute for each process, until GitHub refuses: two processes have 8 % of their calls refused, five 20 %.
//! - A ledger with a steady rate, small savings and a forecast of the others: 100 jobs take 32 s, 600 take 220 s.
//! - Moments for this process's share of the calls alone: jobs wait a minute too long where one process tells most of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::HeaderMap;
use time::{Duration, OffsetDateTime};
use tokio::sync::Notify;

use super::call::{CredentialKey, WRITE_POINTS};

/// GitHub's minute, and a second because it counts a call after it was sent.
const WINDOW: Duration = Duration::seconds(61);

/// Calls under way get this part of what is left, in proportion to the process's share of the minute. An answer tells what
/// was counted one call ago, so twice as much can be unknown to all processes together. With a third, five processes
/// beside another user have 13 % of their calls refused; with a tenth, one process takes 9 s to launch 160 jobs.
const PART_AT_A_TIME: i64 = 7;

/// This part of the limit is never spent: in the end each process may have one call under way that the others do not
/// know of. 45 of 900 points are nine of them. Without it, five processes have 5 % of 1,500 jobs' calls refused.
const RESERVE: i64 = 20;

/// The same for a minute after a refusal, which shows that more is spent than this process sees. With a twentieth, five
/// processes beside another user have 11 % of their calls refused.
const RESERVE_AFTER_REFUSAL: i64 = 5;

/// A process may spend this part of the limit whatever others seem to spend.
const FAIR_PART: i64 = 5;

/// The same for a minute after a refusal. Without it, two processes beside somebody who reads 300 times a minute take 198 s
/// for 256 jobs instead of 144 s; with a sixth, five processes have 13 % of their calls refused.
const FAIR_PART_AFTER_REFUSAL: i64 = 10;

/// A call that launches can do without is made only while this part of the minute is left.
const SPARE_PART: i64 = 2;

/// The same for the hour: a fifth of the smallest limit that GitHub gives an installation, 5,000 calls.
/// Source: GitHub's "Rate limits for the REST API".
const SPARE_CALLS: i64 = 1000;

/// A reset that differs by less is the same hour: GitHub's servers disagree by a second.
/// Source: github.com/badges/shields/pull/4590.
const SAME_HOUR: i64 = 60;

/// Paces the calls of each credential.
pub(super) struct Pacer {
    /// Points a minute; 0 for no pacing.
    limit: i64,
    minutes: Arc<Minutes>,
}

#[derive(Default)]
struct Minutes {
    by_key: Mutex<HashMap<CredentialKey, Minute>>,
    /// A call ended, with any credential.
    ended: Notify,
}

/// What this process knows of a credential's last minute.
#[derive(Default)]
struct Minute {
    spent: Vec<Spent>,
    /// Own calls that are not answered yet, and those that were.
    under_way: i64,
    answered: i64,
    counter: Option<Counter>,
    /// Calls left of the hour, by the latest answer, and the hour's end.
    remaining: Option<(i64, i64)>,
    refused_at: Option<OffsetDateTime>,
    /// The moments that jobs were told, and whether each had waited before.
    told: Vec<(OffsetDateTime, bool)>,
}

struct Spent {
    at: OffsetDateTime,
    points: i64,
    is_own: bool,
}

/// GitHub's count of calls at the latest answer.
struct Counter {
    reset: i64,
    /// The count without own calls.
    others: i64,
    at: OffsetDateTime,
}

/// Points that a call costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) points: u32,
    /// What must be left, because another call follows or because others go first.
    pub(super) needed: u32,
}

enum Turn {
    Now,
    /// When a call under way has ended.
    Soon,
    Later(OffsetDateTime),
}

/// Counts a call as under way until it is dropped.
pub(super) struct Permit(Arc<Minutes>, CredentialKey);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(minute) = self.0.lock().get_mut(&self.1) {
            minute.under_way -= 1;
        }
        self.0.ended.notify_waiters();
    }
}

impl Pacer {
    /// 0 points a minute switch pacing off.
    pub(super) fn new(points_per_minute: u32) -> Self {
        Self { limit: points_per_minute.into(), minutes: Arc::default() }
    }

    /// Asks for leave to make a call, and waits for calls under way if need be. Otherwise says when to come back.
    /// `has_waited`: it was told a moment before, and goes before newcomers.
    pub(super) async fn admit(
        &self,
        key: CredentialKey,
        cost: Cost,
        has_waited: bool,
        now: impl Fn() -> OffsetDateTime,
    ) -> Result<Permit, OffsetDateTime> {
        loop {
            let ended = self.minutes.ended.notified();
            let turn = self.minutes.lock().entry(key).or_default().turn(self.limit, cost, has_waited, now());
            match turn {
                Turn::Now => return Ok(self.spend(key, cost.points, now())),
                Turn::Soon => ended.await,
                Turn::Later(moment) => return Err(moment),
            }
        }
    }

    /// Leave for a call that launches can do without. Otherwise says when to ask again at the earliest. It never waits, and takes
    /// nobody's turn.
    pub(super) fn admit_spare(
        &self,
        key: CredentialKey,
        points: u32,
        now: OffsetDateTime,
    ) -> Result<Permit, OffsetDateTime> {
        let has_spare = self.minutes.lock().entry(key).or_default().has_spare(self.limit, points.into(), now);
        if has_spare { Ok(self.spend(key, points, now)) } else { Err(now + WINDOW) }
    }

    /// A call that is made in any case, because it finishes what was begun.
    pub(super) fn spend(&self, key: CredentialKey, points: u32, now: OffsetDateTime) -> Permit {
        let mut minutes = self.minutes.lock();
        let minute = minutes.entry(key).or_default();
        minute.under_way += 1;
        if self.limit > 0 {
            minute.spent.push(Spent { at: now, points: points.into(), is_own: true });
        }
        Permit(Arc::clone(&self.minutes), key)
    }

    /// GitHub answered a call.
    pub(super) fn answered(&self, key: CredentialKey, headers: &HeaderMap, now: OffsetDateTime) {
        if self.limit == 0 {
            return;
        }
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
        let used = number("x-ratelimit-used").zip(number("x-ratelimit-reset"));
        let mut minutes = self.minutes.lock();
        let minute = minutes.entry(key).or_default();
        minute.forget(now);
        minute.count(used, now);
        minute.remaining = number("x-ratelimit-remaining").zip(number("x-ratelimit-reset")).or(minute.remaining);
    }

    /// GitHub refused a call until that moment.
    pub(super) fn refused(&self, key: CredentialKey, until: OffsetDateTime, now: OffsetDateTime) {
        let mut minutes = self.minutes.lock();
        let minute = minutes.entry(key).or_default();
        minute.forget(now);
        minute.refused_at = Some(now);
        // Whether the counter includes refused calls is undocumented. If it does, this one is counted twice for a minute.
        minute.answered -= 1;
        // The whole limit has been spent. When is unknown, but something of it expires at the moment that GitHub named.
        let missing = self.limit - minute.points(|_| true);
        minute.others_spent(missing / i64::from(WRITE_POINTS), (until - WINDOW).min(now), now);
    }
}

impl Minutes {
    fn lock(&self) -> MutexGuard<'_, HashMap<CredentialKey, Minute>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    fn forget(&mut self, now: OffsetDateTime) {
        self.spent.retain(|spent| spent.at + WINDOW > now);
        self.told.retain(|(moment, _)| *moment > now);
        self.refused_at = self.refused_at.filter(|at| *at + WINDOW > now);
    }

    fn points(&self, of: impl Fn(&Spent) -> bool) -> i64 {
        self.spent.iter().filter(|spent| of(spent)).map(|spent| spent.points).sum()
    }

    /// What others' calls have cost, if as writes they would cost so much. The minute has no more than the room that this
    /// process left them. What exceeds it shows that some were reads. How many, is a guess: the more exceeds, the more,
    /// unless GitHub has refused a call. With half of the excess, 256 jobs beside 300 reads a minute take 131 to 144 s, of
    /// which the limit alone accounts for 128. With a quarter, one process beside 150 reads and 30 writes takes 184 s instead
    /// of 162 s.
    fn likely(&self, writes: i64, room: i64) -> i64 {
        let most = writes.min(room);
        let reads = if self.refused_at.is_some() { 0 } else { (writes - most) / 2 };
        (most - reads).max(writes / i64::from(WRITE_POINTS))
    }

    /// Others made so many writes evenly within that time.
    fn others_spent(&mut self, writes: i64, begin: OffsetDateTime, end: OffsetDateTime) {
        let writes = i32::from(u16::try_from(writes.max(0)).unwrap_or(u16::MAX));
        let moments = (1..=writes).map(|write| begin + (end - begin) * write / writes);
        self.spent.extend(moments.map(|at| Spent { at, points: WRITE_POINTS.into(), is_own: false }));
    }

    /// Whether launches leave these points over: nobody waits for a turn, and GitHub has refused nothing.
    fn has_spare(&mut self, limit: i64, points: i64, now: OffsetDateTime) -> bool {
        self.forget(now);
        let left = limit - self.points(|_| true) - points;
        let of_minute = limit == 0 || left >= limit / SPARE_PART;
        let is_short = |(remaining, reset)| remaining < SPARE_CALLS && reset > now.unix_timestamp();
        let of_hour = !self.remaining.is_some_and(is_short);
        of_minute && of_hour && self.told.is_empty() && self.refused_at.is_none()
    }

    fn turn(&mut self, limit: i64, cost: Cost, has_waited: bool, now: OffsetDateTime) -> Turn {
        if limit == 0 {
            return Turn::Now;
        }
        self.forget(now);
        let (own, writes) = (self.points(|spent| spent.is_own), self.points(|spent| !spent.is_own));
        let others = self.likely(writes, limit - own);
        let (reserve, fair_part) = match self.refused_at {
            None => (RESERVE, FAIR_PART),
            Some(_) => (RESERVE_AFTER_REFUSAL, FAIR_PART_AFTER_REFUSAL),
        };
        let spent = own + others;
        let left = (limit - limit / reserve - spent).max(limit / fair_part - own);
        let needed = i64::from(cost.needed);
        let fits = left >= needed || self.spent.is_empty();
        if !fits || !(has_waited || self.told.is_empty()) {
            let moment = self.moment(limit, needed, left, has_waited, now);
            self.told.push((moment, has_waited));
            return Turn::Later(moment);
        }
        // Where what others' calls cost is only a guess, each answer may tell that it was wrong.
        let is_guess = own + writes > limit;
        let at_a_time = if is_guess { 0 } else { left * own / spent.max(1) / PART_AT_A_TIME };
        // The first answer tells whether this process begins in the midst of a limit.
        let is_known = self.answered > 0;
        let more = (self.under_way + 1) * i64::from(WRITE_POINTS);
        if self.under_way == 0 || is_known && more <= at_a_time { Turn::Now } else { Turn::Soon }
    }

    /// When enough of the minute has expired for a call, and for those who were told before it. After that each minute
    /// brings as much.
    fn moment(&mut self, limit: i64, needed: i64, left: i64, has_waited: bool, now: OffsetDateTime) -> OffsetDateTime {
        let ahead = self.told.iter().map(|(_, again)| i64::from(*again || !has_waited)).sum::<i64>();
        let mut missing = ahead * i64::from(WRITE_POINTS) + needed - left;
        let (spent, mut moment) = (self.points(|_| true), now);
        while missing > spent {
            missing -= (limit - limit / RESERVE).max(needed);
            moment += WINDOW;
        }
        self.spent.sort_unstable_by_key(|spent| spent.at);
        let last = self.spent.iter().find(|spent| {
            missing -= spent.points;
            missing <= 0
        });
        moment + last.map_or(Duration::ZERO, |spent| spent.at + WINDOW - now)
    }

    /// Notes what others spent since the last answer, by GitHub's count of calls and the end of its hour. What their
    /// calls cost is unknown; calls of other workers are writes.
    fn count(&mut self, used: Option<(i64, i64)>, now: OffsetDateTime) {
        let own = self.answered + self.under_way;
        self.answered += 1;
        let Some((used, reset)) = used else {
            // Without a counter, others are taken to spend as much as this process.
            return self.others_spent(1, now, now);
        };
        let others = used - own;
        let before = self.counter.take().filter(|before| (reset - before.reset).abs() < SAME_HOUR);
        let mut others_so_far = others;
        if let Some(before) = before {
            self.others_spent(others - before.others, before.at, now);
            // The count falls for a moment where own calls are not counted yet, or answers overtake each other.
            others_so_far = others.max(before.others);
        }
        self.counter = Some(Counter { reset, others: others_so_far, at: now });
    }
}

#[cfg(test)]
mod tests;
