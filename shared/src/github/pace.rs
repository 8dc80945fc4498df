//! Staying below GitHub's secondary limit instead of running into it.
//!
//! GitHub counts points a minute and installation (a read 1, a write 5) and says nothing before it refuses. Several
//! worker processes share that budget and know nothing of each other, and there is no store to share. But every
//! answer carries `x-ratelimit-used`, the hourly count of calls of the *whole* installation. So each process keeps the
//! same ledger of the last minute: its own calls when they are made, and what the counter has grown by beyond them,
//! which was other processes'. Until the next answer it expects the others to go on as before.
//!
//! A call is made if it keeps the minute below the limit, and if what fills up at the permitted rate, and has been spent
//! according to the ledger, covers it. Since nothing but the last minute is asked, what one process missed or took
//! wrongly is soon forgotten, and all ledgers say the same.
//!
//! A call that is not covered is not made; its job is told when to come back. A process that has only just started knows
//! nothing yet, so it begins with a few calls at a time, and with more after every answer. Should GitHub refuse all the
//! same, more has been spent than we knew of, and the rate goes down and comes back slowly.

mod minute;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::HeaderMap;
use time::{Duration, OffsetDateTime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::minute::Minute;
use super::call::{CredentialKey, READ_POINTS, WRITE_POINTS};

/// One look at the job, and its runner's registration: so much must fit, however low the limit.
const LAUNCH_POINTS: f64 = 6.0;

/// What is not used of a minute's points, in roots of them: calls under way that nobody has heard of yet are a matter of
/// chance, and of few calls chance takes a greater part. Of GitHub's 900 points it is 45.
const MARGIN: f64 = 1.5;

/// The most that may be saved up, likewise: what can be spent at once after a pause. At GitHub's limit that is one batch
/// of ten. More would let several processes meet the limit together when a burst begins.
const SAVINGS: f64 = 1.75;

/// The same, of all other processes together: the template lets five work at a time.
const OTHERS_SAVINGS: f64 = 4.0 * SAVINGS;

/// What others have spent, and are about to spend at once, before a new process hears from GitHub how much there is,
/// likewise: as it begins in a burst, they do, too.
const UNKNOWN_AT_FIRST: f64 = 4.5;

/// After an answer others are expected to go on as before for as long as the permitted rate takes to bring so much,
/// likewise. Later they may be done.
const EXPECTED: f64 = 1.0;

/// Over so many seconds is the rate measured at which others spend.
const FOREIGN_RATE_OVER: f64 = 20.0;

/// Calls that a new process makes at the same time before it has heard an answer.
const FIRST_CALLS: usize = 2;

/// Calls at the same time that it works up to, one more for each answer. GitHub allows 100.
const MOST_CALLS: usize = 64;

/// What remains of the rate after a refusal, and the least that remains of it after many.
const AFTER_REFUSAL: f64 = 0.9;
const LEAST_RATE: f64 = 0.05;

/// A process takes its share of all calls for no smaller than this when it tells newcomers when to come back, since it
/// learns its share only with time. With more processes than five some of those who come are sent away once more.
const LEAST_SHARE: f64 = 0.2;

/// How much of what was lost comes back with each answer.
const RECOVERY: f64 = 0.05;

/// Weight of the past when own and foreign calls are compared, for each answer.
const MEMORY: f64 = 0.97;

/// More jobs are told to come back at a time than the rate covers: one that comes too early costs little, a moment at
/// which none comes is lost.
const OVERBOOKING: f64 = 1.1;

/// Keeps a ledger for each credential.
pub(super) struct Pacer {
    /// None for no pacing.
    limit: Option<Limit>,
    ledgers: Mutex<HashMap<CredentialKey, Ledger>>,
}

/// What GitHub permits.
#[derive(Clone, Copy)]
struct Limit {
    points_per_minute: f64,
}

impl Limit {
    /// Points that may be spent in a minute; one launch in any case.
    fn most(self) -> f64 {
        (self.points_per_minute - self.roots(MARGIN)).max(LAUNCH_POINTS)
    }

    /// Points a second.
    fn rate(self) -> f64 {
        self.most() / 60.0
    }

    fn savings(self) -> f64 {
        self.roots(SAVINGS).max(LAUNCH_POINTS)
    }

    /// One launch must still fit in.
    fn unknown_at_first(self) -> f64 {
        self.roots(UNKNOWN_AT_FIRST).min(self.most() - LAUNCH_POINTS)
    }

    fn roots(self, roots: f64) -> f64 {
        self.points_per_minute.sqrt() * roots
    }
}

struct Ledger {
    limit: Limit,
    minute: Minute,
    /// GitHub has said so.
    paused_until: Option<OffsetDateTime>,
    /// Points a second.
    rate: f64,
    counted: Option<Counted>,
    /// Points that others spend a second, and what has been put down for that since the last answer.
    foreign_rate: f64,
    expected: f64,
    /// Points that others can have spent on writes, since they keep to the same rate: what they call beyond these was
    /// reading, as the cleaner does.
    foreign_writes: f64,
    /// When that was true.
    at: OffsetDateTime,
    /// Own calls and all calls, the older the less they count.
    own_calls: f64,
    all_calls: f64,
    /// Newcomers have been told to come back up to this moment.
    booked_until: OffsetDateTime,
    /// The same, for those who came back in vain.
    rebooked_until: OffsetDateTime,
    calls: Arc<Semaphore>,
    most_calls: usize,
}

/// GitHub's count of calls at the last answer.
struct Counted {
    used: i64,
    /// The hour it belongs to.
    hour: i64,
    at: OffsetDateTime,
}

/// Points that a call costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) points: u32,
    /// What must be there, since another call follows if it goes well.
    pub(super) with_what_follows: u32,
}

impl Cost {
    #[cfg(test)]
    const READ: Self = Self { points: READ_POINTS, with_what_follows: READ_POINTS + WRITE_POINTS };
    #[cfg(test)]
    const WRITE: Self = Self { points: WRITE_POINTS, with_what_follows: WRITE_POINTS };
}

/// Leave to make one call, until dropped.
#[derive(Debug)]
pub(super) struct Permit(#[expect(dead_code, reason = "held for its release")] Option<OwnedSemaphorePermit>);

impl Pacer {
    /// 0 points a minute switch pacing off.
    pub(super) fn new(points_per_minute: u32) -> Self {
        let limit = (points_per_minute > 0).then(|| Limit { points_per_minute: f64::from(points_per_minute) });
        Self { limit, ledgers: Mutex::default() }
    }

    /// Asks for leave to make a call now. Otherwise says when to come back. Those who have been told so before go
    /// first: a newcomer is put behind them.
    pub(super) async fn admit(
        &self,
        key: CredentialKey,
        cost: Cost,
        has_waited: bool,
        now: impl Fn() -> OffsetDateTime,
    ) -> Result<Permit, OffsetDateTime> {
        let Some(limit) = self.limit else { return Ok(Permit(None)) };
        let calls = Arc::clone(&self.ledger(&mut self.lock(), key, limit, now()).calls);
        let permit = calls.acquire_owned().await.expect("never closed");
        let mut ledgers = self.lock();
        let now = now();
        let ledger = self.ledger(&mut ledgers, key, limit, now);
        ledger.admit(cost, has_waited, now).map(|()| Permit(Some(permit)))
    }

    /// A call that is made whatever the ledger says, since it finishes what has been begun.
    pub(super) fn spend(&self, key: CredentialKey, points: u32, now: OffsetDateTime) {
        let Some(limit) = self.limit else { return };
        let mut ledgers = self.lock();
        self.ledger(&mut ledgers, key, limit, now).minute.spend(f64::from(points));
    }

    /// An answer came in.
    pub(super) fn answered(&self, key: CredentialKey, headers: &HeaderMap, now: OffsetDateTime) {
        let Some(limit) = self.limit else { return };
        let mut ledgers = self.lock();
        let ledger = self.ledger(&mut ledgers, key, limit, now);
        ledger.count(headers, now);
        ledger.rate += (limit.rate() - ledger.rate) * RECOVERY;
        if ledger.most_calls < MOST_CALLS {
            ledger.most_calls += 1;
            ledger.calls.add_permits(1);
        }
    }

    /// GitHub refused a call until that moment.
    pub(super) fn refused(&self, key: CredentialKey, until: OffsetDateTime, now: OffsetDateTime) {
        let Some(limit) = self.limit else { return };
        let mut ledgers = self.lock();
        let ledger = self.ledger(&mut ledgers, key, limit, now);
        // Calls made at the same time are refused together: one refusal.
        if ledger.paused_until.is_none_or(|paused_until| paused_until < until) {
            ledger.rate = (ledger.rate * AFTER_REFUSAL).max(limit.rate() * LEAST_RATE);
            ledger.paused_until = Some(until);
        }
        let unknown = (limit.points_per_minute - ledger.minute.spent()).max(0.0);
        ledger.minute.guess_evenly(unknown);
        ledger.booked_until = ledger.booked_until.max(until);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CredentialKey, Ledger>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::unused_self, reason = "reads as what it is: the pacer's ledger for a credential")]
    fn ledger<'a>(
        &self,
        ledgers: &'a mut HashMap<CredentialKey, Ledger>,
        key: CredentialKey,
        limit: Limit,
        now: OffsetDateTime,
    ) -> &'a mut Ledger {
        let ledger = ledgers.entry(key).or_insert_with(|| Ledger {
            limit,
            minute: {
                let mut minute = Minute::new(now);
                minute.guess(limit.unknown_at_first());
                minute
            },
            paused_until: None,
            rate: limit.rate(),
            counted: None,
            foreign_rate: 0.0,
            expected: 0.0,
            foreign_writes: limit.roots(OTHERS_SAVINGS),
            at: now,
            own_calls: 0.0,
            all_calls: 0.0,
            booked_until: now,
            rebooked_until: now,
            calls: Arc::new(Semaphore::new(FIRST_CALLS)),
            most_calls: FIRST_CALLS,
        });
        ledger.turn(now);
        ledger
    }
}

impl Ledger {
    fn turn(&mut self, now: OffsetDateTime) {
        self.minute.turn(now);
        self.expect(now);
        let passed = (now - self.at).max(Duration::ZERO);
        let writes = self.foreign_writes + self.rate * passed.as_seconds_f64();
        self.foreign_writes = writes.min(self.limit.roots(OTHERS_SAVINGS));
        self.at += passed;
    }

    /// Others go on spending while no answer tells of it.
    fn expect(&mut self, now: OffsetDateTime) {
        let Some(counted) = &self.counted else { return };
        let longest = self.limit.roots(EXPECTED) / self.rate;
        let expected = self.foreign_rate * (now - counted.at).as_seconds_f64().clamp(0.0, longest);
        let more = (expected - self.expected).max(0.0);
        self.minute.spend(more);
        self.expected += more;
    }

    fn admit(&mut self, cost: Cost, has_waited: bool, now: OffsetDateTime) -> Result<(), OffsetDateTime> {
        let (points, cost) = (f64::from(cost.points), f64::from(cost.with_what_follows));
        let is_its_turn = has_waited || self.booked_until <= now;
        let paused_until = self.paused_until.unwrap_or(now).max(now);
        let room = self.limit.most() - cost;
        // What was overspent is paid by the pause; nothing is saved up in it, or the limit would be met right again.
        let left = self.minute.left(self.rate, self.limit.savings(), self.paused_until, now);
        if paused_until <= now && self.minute.spent() <= room && left >= cost && is_its_turn {
            self.minute.spend(points);
            self.own_calls += 1.0;
            self.all_calls += 1.0;
            return Ok(());
        }
        let covered = paused_until + Duration::seconds_f64((cost - left).max(0.0) / self.rate);
        let earliest = covered.max(self.minute.at_most(room));
        let slot = cost / (self.rate * OVERBOOKING);
        if has_waited {
            // It came at its moment, but others had spent what was meant for it: next, not last.
            self.rebooked_until = self.rebooked_until.max(earliest) + Duration::seconds_f64(slot);
            return Err(self.rebooked_until);
        }
        let share = ((self.own_calls + 1.0) / (self.all_calls + 1.0)).clamp(LEAST_SHARE, 1.0);
        self.booked_until = self.booked_until.max(earliest) + Duration::seconds_f64(slot / share);
        Err(self.booked_until)
    }

    /// Puts down what others have spent: on writes, we assume, as ours are, as far as they can have been. The difference
    /// may be negative for a moment, when own calls under way have been counted already, or answers overtake each other;
    /// it evens out.
    fn count(&mut self, headers: &HeaderMap, now: OffsetDateTime) {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
        let (Some(used), Some(hour)) = (number("x-ratelimit-used"), number("x-ratelimit-reset")) else { return };
        if let Some(last) = &self.counted
            && last.hour == hour
        {
            let elapsed = (now - last.at).max(Duration::ZERO);
            let foreign = i32::try_from(used - last.used - 1).map_or(0.0, f64::from);
            let writes = (foreign * f64::from(WRITE_POINTS)).min(self.foreign_writes);
            let reads = (foreign - writes / f64::from(WRITE_POINTS)) * f64::from(READ_POINTS);
            self.foreign_writes -= writes;
            let spent = writes + reads;
            self.minute.spend_within(elapsed, spent - self.expected);
            let memory = (-elapsed.as_seconds_f64() / FOREIGN_RATE_OVER).exp();
            let rate = self.foreign_rate * memory + spent / FOREIGN_RATE_OVER;
            self.foreign_rate = rate.clamp(0.0, self.limit.rate());
            self.own_calls *= MEMORY;
            self.all_calls = (self.all_calls + foreign).max(self.own_calls) * MEMORY;
        }
        self.counted = Some(Counted { used, hour, at: now });
        self.expected = 0.0;
    }
}

#[cfg(test)]
mod tests;
