//! Staying below GitHub's secondary limit instead of running into it.
//!
//! GitHub counts points a minute and installation (a read 1, a write 5) and says nothing before it refuses. Several
//! worker processes share that budget and know nothing of each other, and there is no store to share. But every
//! answer carries `x-ratelimit-used`, the hourly count of calls of the *whole* installation. So each process keeps the
//! same ledger: it fills at the permitted rate, its own calls are taken off when they are made, and what the counter
//! has grown by beyond them was other processes' and is taken off, too. All ledgers then follow one line, however many
//! processes there are.
//!
//! A call that the ledger does not cover is not made; its job is told when to come back. A process that has only
//! just started knows nothing yet, so it begins with a few calls at a time, and with more after every answer. Should
//! GitHub refuse all the same, the rate goes down and comes back slowly.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::HeaderMap;
use time::{Duration, OffsetDateTime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::CredentialKey;

/// What a write costs. Source: GitHub's "Rate limits for the REST API".
pub(super) const WRITE_POINTS: u32 = 5;

/// What a read costs. Source: as above.
pub(super) const READ_POINTS: u32 = 1;

/// The part of the limit that is used: other users of the credential, and clocks, take the rest.
const USED_PART: f64 = 0.96;

/// The most that may be saved up, in seconds of the permitted rate: what can be spent at once after a pause. At GitHub's
/// limit that is one batch of ten. More would let several processes meet the limit together when a burst begins.
const SAVINGS: f64 = 3.6;

/// The same, of all other processes together: the template lets five work at a time.
const OTHERS_SAVINGS: f64 = 4.0 * SAVINGS;

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
    /// Points a second; none for no pacing.
    full_rate: Option<f64>,
    ledgers: Mutex<HashMap<CredentialKey, Ledger>>,
}

struct Ledger {
    /// Points that may be spent; below zero after others have spent them.
    points: f64,
    /// When `points` was true.
    at: OffsetDateTime,
    /// Points that were not saved up since the last answer, since the savings were full: what others spent meanwhile
    /// came out of these first.
    overflow: f64,
    /// Points that others can have spent on writes, since they keep to the same rate: what they call beyond these was
    /// reading, as the cleaner does.
    foreign_writes: f64,
    /// Points a second.
    rate: f64,
    /// GitHub's count of calls at the last answer, and the hour it belongs to.
    counted: Option<(i64, i64)>,
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

/// Leave to make one call, until dropped.
#[derive(Debug)]
pub(super) struct Permit(#[expect(dead_code, reason = "held for its release")] Option<OwnedSemaphorePermit>);

impl Pacer {
    /// 0 points a minute switch pacing off.
    pub(super) fn new(points_per_minute: u32) -> Self {
        let full_rate = (points_per_minute > 0).then(|| f64::from(points_per_minute) / 60.0 * USED_PART);
        Self { full_rate, ledgers: Mutex::default() }
    }

    /// Asks for leave to make a write now. Otherwise says when to come back. Those who have been told so before go
    /// first: a newcomer is put behind them.
    pub(super) async fn admit(
        &self,
        key: CredentialKey,
        has_waited: bool,
        now: impl Fn() -> OffsetDateTime,
    ) -> Result<Permit, OffsetDateTime> {
        let Some(full_rate) = self.full_rate else { return Ok(Permit(None)) };
        let calls = Arc::clone(&self.ledger(&mut self.lock(), key, full_rate, now()).calls);
        let permit = calls.acquire_owned().await.expect("never closed");
        let mut ledgers = self.lock();
        let now = now();
        let ledger = self.ledger(&mut ledgers, key, full_rate, now);
        ledger.admit(f64::from(WRITE_POINTS), has_waited, now).map(|()| Permit(Some(permit)))
    }

    /// A call that is made whatever the ledger says, since it finishes what has been begun.
    pub(super) fn spend(&self, key: CredentialKey, points: u32, now: OffsetDateTime) {
        let Some(full_rate) = self.full_rate else { return };
        let mut ledgers = self.lock();
        self.ledger(&mut ledgers, key, full_rate, now).points -= f64::from(points);
    }

    /// An answer came in.
    pub(super) fn answered(&self, key: CredentialKey, headers: &HeaderMap, now: OffsetDateTime) {
        let Some(full_rate) = self.full_rate else { return };
        let mut ledgers = self.lock();
        let ledger = self.ledger(&mut ledgers, key, full_rate, now);
        ledger.count(headers);
        ledger.rate += (full_rate - ledger.rate) * RECOVERY;
        if ledger.most_calls < MOST_CALLS {
            ledger.most_calls += 1;
            ledger.calls.add_permits(1);
        }
    }

    /// GitHub refused a call until that moment.
    pub(super) fn refused(&self, key: CredentialKey, until: OffsetDateTime, now: OffsetDateTime) {
        let Some(full_rate) = self.full_rate else { return };
        let mut ledgers = self.lock();
        let ledger = self.ledger(&mut ledgers, key, full_rate, now);
        // Calls made at the same time are refused together: one refusal.
        if ledger.at < until {
            ledger.rate = (ledger.rate * AFTER_REFUSAL).max(full_rate * LEAST_RATE);
        }
        // What was overspent is paid by the pause; nothing is saved up in it, or the limit would be met right again.
        ledger.points = 0.0;
        ledger.at = ledger.at.max(until);
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
        full_rate: f64,
        now: OffsetDateTime,
    ) -> &'a mut Ledger {
        let ledger = ledgers.entry(key).or_insert_with(|| Ledger {
            points: full_rate * SAVINGS,
            at: now,
            overflow: 0.0,
            foreign_writes: full_rate * OTHERS_SAVINGS,
            rate: full_rate,
            counted: None,
            own_calls: 0.0,
            all_calls: 0.0,
            booked_until: now,
            rebooked_until: now,
            calls: Arc::new(Semaphore::new(FIRST_CALLS)),
            most_calls: FIRST_CALLS,
        });
        ledger.fill(now);
        ledger
    }
}

impl Ledger {
    fn fill(&mut self, now: OffsetDateTime) {
        if now > self.at {
            let others = self.foreign_writes + self.rate * (now - self.at).as_seconds_f64();
            self.foreign_writes = others.min(self.rate * OTHERS_SAVINGS);
            let filled = self.points + self.rate * (now - self.at).as_seconds_f64();
            self.points = filled.min((self.rate * SAVINGS).max(f64::from(WRITE_POINTS)));
            self.overflow += filled - self.points;
            self.at = now;
        }
    }

    fn admit(&mut self, cost: f64, has_waited: bool, now: OffsetDateTime) -> Result<(), OffsetDateTime> {
        let is_its_turn = has_waited || self.booked_until <= now;
        if self.at <= now && self.points >= cost && is_its_turn {
            self.points -= cost;
            self.own_calls += 1.0;
            self.all_calls += 1.0;
            return Ok(());
        }
        let missing = (cost - self.points).max(0.0);
        let earliest = self.at.max(now) + Duration::seconds_f64(missing / self.rate);
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

    /// Takes off what others have spent: writes, we assume, as ours are, as far as they can have been. The difference may
    /// be negative for a moment, when own calls under way have been counted already, or answers overtake each other; it
    /// evens out.
    fn count(&mut self, headers: &HeaderMap) {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
        let (Some(used), Some(hour)) = (number("x-ratelimit-used"), number("x-ratelimit-reset")) else { return };
        if let Some((before, same_hour)) = self.counted
            && same_hour == hour
        {
            let foreign = i32::try_from(used - before - 1).map_or(0.0, f64::from);
            let writes = (foreign * f64::from(WRITE_POINTS)).min(self.foreign_writes);
            let reads = (foreign - writes / f64::from(WRITE_POINTS)) * f64::from(READ_POINTS);
            self.foreign_writes -= writes;
            let spent = writes + reads;
            self.points -= spent - spent.clamp(0.0, self.overflow);
            self.own_calls *= MEMORY;
            self.all_calls = (self.all_calls + foreign).max(self.own_calls) * MEMORY;
        }
        self.counted = Some((used, hour));
        self.overflow = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::{BinaryHeap, VecDeque};

    use super::*;

    const START: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);
    const STEP: Duration = Duration::milliseconds(100);

    /// Ten batches of ten: most of their jobs are only told to come back, which takes no time.
    const JOBS_PER_STEP: usize = 100;

    /// GitHub's count of calls, as an answer has it.
    fn used(calls: i64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-used", calls.into());
        headers.insert("x-ratelimit-reset", 0.into());
        headers
    }

    /// GitHub's secondary limit: so many points in any window of that length.
    struct Limiter {
        points: usize,
        window: Duration,
        spent: VecDeque<OffsetDateTime>,
        used: i64,
        rejected: usize,
    }

    impl Limiter {
        fn call(&mut self, now: OffsetDateTime) -> Result<HeaderMap, OffsetDateTime> {
            self.used += 1;
            while self.spent.front().is_some_and(|at| now - *at >= self.window) {
                self.spent.pop_front();
            }
            if (self.spent.len() + 1) * WRITE_POINTS as usize > self.points {
                self.rejected += 1;
                return Err(self.spent[0] + self.window);
            }
            self.spent.push_back(now);
            Ok(used(self.used))
        }
    }

    struct Process {
        pacer: Pacer,
        paused_until: OffsetDateTime,
    }

    /// Lets processes work off a burst, as an event source lets them; returns the rate achieved as
    /// a part of the permitted one, and the part of calls that were rejected.
    async fn work_off(processes: usize, jobs: usize, points: usize, window: Duration) -> (f64, f64) {
        let key = CredentialKey::Token;
        let per_minute = u32::try_from(points * 60).unwrap() / u32::try_from(window.whole_seconds()).unwrap();
        let mut limiter = Limiter { points, window, spent: VecDeque::new(), used: 0, rejected: 0 };
        let mut processes: Vec<_> =
            (0..processes).map(|_| Process { pacer: Pacer::new(per_minute), paused_until: START }).collect();
        let mut waiting: BinaryHeap<_> = vec![Reverse((START, false)); jobs].into();
        let mut now = START;
        let mut launched = 0;
        while launched < jobs {
            for process in &mut processes {
                let mut batch = Vec::new();
                while batch.len() < JOBS_PER_STEP && waiting.peek().is_some_and(|Reverse((moment, _))| *moment <= now) {
                    batch.extend(waiting.pop());
                }
                for Reverse((_, has_waited)) in batch {
                    let again = if process.paused_until > now {
                        Err(process.paused_until)
                    } else {
                        match process.pacer.admit(key, has_waited, || now).await {
                            Err(moment) => Err(moment),
                            Ok(_permit) => match limiter.call(now) {
                                Ok(headers) => {
                                    process.pacer.answered(key, &headers, now);
                                    Ok(())
                                }
                                Err(until) => {
                                    process.pacer.refused(key, until, now);
                                    process.paused_until = until;
                                    Err(until)
                                }
                            },
                        }
                    };
                    match again {
                        Ok(()) => launched += 1,
                        Err(moment) => waiting.push(Reverse((moment, true))),
                    }
                }
            }
            now += STEP;
            assert!(now - START < Duration::hours(2), "stuck with {launched} of {jobs}");
        }
        let permitted = f64::from(per_minute) / 60.0 / f64::from(WRITE_POINTS);
        let number = |count: usize| f64::from(u32::try_from(count).unwrap());
        let rejected = number(limiter.rejected);
        (number(jobs) / (now - START).as_seconds_f64() / permitted, rejected / (number(jobs) + rejected))
    }

    /// How long a write has to wait, if others make so many calls in a pause of ours.
    async fn wait_after(pause: Duration, calls_of_others: i64) -> Duration {
        let (pacer, key) = (Pacer::new(900), CredentialKey::Token);
        pacer.admit(key, false, || START).await.unwrap();
        pacer.answered(key, &used(10), START);
        let later = START + pause;
        pacer.admit(key, false, || later).await.unwrap();
        pacer.answered(key, &used(11 + calls_of_others), later);
        pacer.admit(key, false, || later).await.map_or_else(|until| until - later, |_| Duration::ZERO)
    }

    #[tokio::test]
    async fn what_others_spent_during_a_long_pause_is_not_owed_after_it() {
        assert_eq!(wait_after(Duration::minutes(30), 1400).await, Duration::ZERO);
    }

    #[tokio::test]
    async fn what_others_spend_more_than_the_pause_has_brought_is_owed() {
        let wait = wait_after(Duration::minutes(1), 1000).await;
        assert!((Duration::seconds(2)..Duration::seconds(40)).contains(&wait), "{wait}");
    }

    #[tokio::test]
    async fn a_cleaner_that_reads_much_is_not_taken_for_workers_that_write() {
        let wait = wait_after(Duration::seconds(1), 200).await;
        // 200 writes would take 70 s.
        assert!((Duration::milliseconds(1)..Duration::seconds(30)).contains(&wait), "{wait}");
    }

    #[tokio::test]
    async fn all_who_come_back_at_their_moment_get_their_turn() {
        for per_minute in [1, 60, 900] {
            let (pacer, key) = (Pacer::new(per_minute), CredentialKey::Token);
            let mut waiting: BinaryHeap<_> = vec![Reverse((START, false)); 30].into();
            let mut rounds = 0;
            while let Some(Reverse((moment, has_waited))) = waiting.pop() {
                rounds += 1;
                assert!(rounds < 30 * 30, "{per_minute} points a minute: they keep each other from it");
                if let Err(again) = pacer.admit(key, has_waited, || moment).await {
                    waiting.push(Reverse((again, true)));
                }
            }
        }
    }

    #[tokio::test]
    async fn a_burst_is_worked_off_at_nearly_the_permitted_rate_by_any_number_of_processes() {
        for (points, window) in [(900, Duration::minutes(1)), (90, Duration::seconds(6)), (900, Duration::seconds(6))] {
            for processes in [1, 2, 5] {
                let (rate, rejected) = work_off(processes, 2000, points, window).await;
                assert!(rate >= 0.9, "{processes} processes, {points} points in {window}: rate {rate}");
                assert!(rejected < 0.05, "{processes} processes, {points} points in {window}: rejected {rejected}");
            }
        }
    }
}
