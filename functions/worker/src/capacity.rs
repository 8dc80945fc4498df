//! How many launches may try at once, by what recent answers say of ECS's capacity.
//!
//! A shortage is a share: of ten launches three may find none, and the next second others would. So a launch that finds
//! none tries again with the same registration, which costs GitHub nothing, and the number of launches that try at once
//! follows the answers: one more for each that had capacity, 15 % less for each that had none. Only an
//! uninterrupted run of failures is a standstill. A launch that fails costs two writes at GitHub, a registration and its
//! deletion, so in a standstill one launch tries for all, and the others are told when the next one will have tried.
//!
//! All of this is counted for each [kind of placement](Placement::kind): a class without Spot capacity may have
//! On-Demand.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jitgate::classes::Placement;
use jitgate::clock::Clock;
use time::{Duration, OffsetDateTime};
use tokio::sync::Notify;

use crate::verdict::LaunchError;

/// As many may try at once while nothing is short: a batch has no more.
const MOST: f64 = 10.0;

/// What is left of that number after an answer without capacity. From [`MOST`], fifteen of them in a row make a
/// standstill: if every second answer is one, that happens once in 30,000 times. With a half, the usual factor, it takes
/// four, which happens once in a hundred times even if it is three answers in ten.
const AFTER_FAILURE: f64 = 0.85;

/// In a standstill one launch tries at each multiple of these seconds, the last for good. Each divides a minute, so all
/// processes try at the same moment: the jobs that each of them sends away come back together, however many there are.
const PAUSES: [i64; 4] = [10, 20, 30, LONGEST_PAUSE];
const LONGEST_PAUSE: i64 = 60;

/// Jobs that wait for the end of a pause come back within this time after it. A thousand are then 125 a second, about what
/// five processes launch.
const SPREAD: Duration = Duration::seconds(8);

/// So many of them come back for the next try, two batches; the others at the next whole minute, which is the end of
/// every long pause. While a quota lets one task start now and then, that is enough to use it, and a job costs one
/// message a minute.
const FOR_THE_NEXT_TRY: usize = 20;

/// What this process knows. Others find out for themselves.
#[derive(Debug, Default)]
pub(crate) struct Shortages {
    shares: Mutex<HashMap<String, Share>>,
    changed: Notify,
}

/// What is known of one kind of placement.
#[derive(Debug)]
struct Share {
    /// How many launches may try at once; at least one, [`MOST`] at most.
    allowed: f64,
    trying: usize,
    standstill: Option<Standstill>,
}

#[derive(Debug)]
struct Standstill {
    until: OffsetDateTime,
    /// How many pauses came before this one.
    pauses: usize,
    /// How many jobs have been told to come back for the next try.
    told: usize,
    reason: String,
}

impl Default for Share {
    fn default() -> Self {
        Self { allowed: MOST, trying: 0, standstill: None }
    }
}

impl Share {
    fn is_closed(&self, now: OffsetDateTime) -> bool {
        self.standstill.as_ref().is_some_and(|standstill| standstill.until > now)
    }

    fn admits(&self, now: OffsetDateTime) -> bool {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one to ten")]
        let allowed = self.allowed as usize;
        self.trying < allowed && !self.is_closed(now)
    }
}

/// Whether a launch may go.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Go,
    /// Others are trying, and will know more in a moment.
    Wait,
    /// There is a standstill until that moment.
    Later(OffsetDateTime, String),
}

/// A launch that may try, as long as this lives.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn<'a> {
    shortages: &'a Shortages,
    kinds: Vec<String>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut shares = self.shortages.lock();
        for kind in &self.kinds {
            if let Some(share) = shares.get_mut(kind) {
                share.trying = share.trying.saturating_sub(1);
            }
        }
        self.shortages.changed.notify_waiters();
    }
}

impl Shortages {
    /// Waits until a launch may try one of these placements. It waits only while others of the same batch try, so the
    /// invocation hardly takes longer for it.
    pub(crate) async fn turn(&self, placements: &[Placement<'_>], clock: &Clock) -> Result<Turn<'_>, LaunchError> {
        let kinds: Vec<_> = placements.iter().map(Placement::kind).collect();
        loop {
            // Before the question, so that no change after it is missed.
            let changed = self.changed.notified();
            match self.ask(&kinds, clock.now(), || clock.chance()) {
                Answer::Go => return Ok(Turn { shortages: self, kinds }),
                Answer::Wait => changed.await,
                Answer::Later(until, reason) => return Err(LaunchError::Standstill { until, reason }),
            }
        }
    }

    fn ask(&self, kinds: &[String], now: OffsetDateTime, chance: impl FnOnce() -> f64) -> Answer {
        let mut shares = self.lock();
        for kind in kinds {
            shares.entry(kind.clone()).or_default();
        }
        let of = |kind: &String| &shares[kind];
        if kinds.iter().any(|kind| of(kind).admits(now)) {
            for kind in kinds {
                shares.entry(kind.clone()).or_default().trying += 1;
            }
            return Answer::Go;
        }
        if kinds.iter().any(|kind| of(kind).trying > 0) {
            return Answer::Wait;
        }
        let standstills = shares.iter_mut().filter(|(kind, _)| kinds.contains(kind));
        let standstills = standstills.filter_map(|(_, share)| share.standstill.as_mut());
        // Without a standstill there is no placement at all, which the launch will say.
        let Some(first) = standstills.min_by_key(|standstill| standstill.until) else { return Answer::Go };
        first.told += 1;
        let until = if first.told <= FOR_THE_NEXT_TRY {
            first.until
        } else {
            whole_multiple_from(first.until, LONGEST_PAUSE) + SPREAD * chance()
        };
        Answer::Later(until, first.reason.clone())
    }

    /// Whether to call `RunTask` for this kind. At the end of a pause, the first to ask tries for all.
    pub(crate) fn is_worth_trying(&self, kind: &str, now: OffsetDateTime) -> bool {
        let mut shares = self.lock();
        match shares.get_mut(kind).and_then(|share| share.standstill.as_mut()) {
            None => true,
            Some(standstill) if standstill.until > now => false,
            Some(standstill) => {
                standstill.pauses += 1;
                (standstill.until, standstill.told) = (end_of_pause(standstill.pauses, now), 0);
                true
            }
        }
    }

    /// Whether this kind is at a standstill.
    pub(crate) fn is_at_standstill(&self, kind: &str) -> bool {
        self.lock().get(kind).is_some_and(|share| share.standstill.is_some())
    }

    /// There was no capacity.
    pub(crate) fn missing(&self, kind: &str, reason: &str, now: OffsetDateTime) {
        let mut shares = self.lock();
        let share = shares.entry(kind.to_owned()).or_default();
        if share.standstill.is_some() {
            return;
        }
        share.allowed *= AFTER_FAILURE;
        if share.allowed < 1.0 {
            share.allowed = 1.0;
            let reason = reason.to_owned();
            share.standstill = Some(Standstill { until: end_of_pause(0, now), pauses: 0, told: 0, reason });
        }
    }

    /// There was capacity.
    pub(crate) fn found(&self, kind: &str) {
        let mut shares = self.lock();
        let Some(share) = shares.get_mut(kind) else { return };
        share.standstill = None;
        share.allowed = (share.allowed + 1.0).min(MOST);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end_of_pause(pauses: usize, now: OffsetDateTime) -> OffsetDateTime {
    whole_multiple_from(now + Duration::seconds(1), PAUSES[pauses.min(PAUSES.len() - 1)])
}

/// The first whole multiple of these seconds that is not before that second.
fn whole_multiple_from(moment: OffsetDateTime, seconds: i64) -> OffsetDateTime {
    let second = moment.replace_nanosecond(0).unwrap_or(moment);
    second + Duration::seconds((-second.unix_timestamp()).rem_euclid(seconds))
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
