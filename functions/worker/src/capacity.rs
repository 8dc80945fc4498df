//! Which classes have no capacity at the moment.
//!
//! A launch registers before it starts its task, so finding out that there is no capacity costs two writes at GitHub: a
//! registration and its deletion. With a thousand jobs waiting, that alone would use up the budget. So one that finds
//! out tells its neighbours, and for a while they do not try. Then one does, for all; each that succeeds lets one more
//! try at the same time, until it is no shortage any more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jitgate::ecs::RunError;
use time::{Duration, OffsetDateTime};

/// After the first failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::seconds(10);

/// What a class's jobs wait at most longer than they would have to.
const LONGEST_PAUSE: Duration = Duration::seconds(60);

/// When so many may try at the same time, it is as if there had been no shortage: a batch has no more.
const PLENTY: usize = 10;

/// What this process knows; others find out for themselves.
#[derive(Debug, Default)]
pub(crate) struct Shortages(Mutex<HashMap<String, Shortage>>);

#[derive(Debug)]
struct Shortage {
    until: OffsetDateTime,
    pauses: u32,
    reason: String,
    /// How many launches may try at the same time.
    allowed: usize,
    trying: usize,
}

/// A launch that may try, as long as this lives.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn<'a> {
    shortages: &'a Shortages,
    /// Its class, if there is a shortage.
    short: Option<String>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(class) = &self.short else { return };
        if let Some(shortage) = self.shortages.lock().get_mut(class) {
            shortage.trying = shortage.trying.saturating_sub(1);
        }
    }
}

impl Shortages {
    /// Whether it is worth trying to launch for a class.
    pub(crate) fn turn(&self, class: String, now: OffsetDateTime) -> Result<Turn<'_>, RunError> {
        let mut classes = self.lock();
        let Some(shortage) = classes.get_mut(&class) else { return Ok(Turn { shortages: self, short: None }) };
        if shortage.until > now || shortage.trying >= shortage.allowed {
            return Err(RunError::NoCapacity { reason: format!("a moment ago: {}", shortage.reason) });
        }
        shortage.trying += 1;
        Ok(Turn { shortages: self, short: Some(class) })
    }

    /// There was no capacity for a class.
    pub(crate) fn missing(&self, class: &str, reason: &str, now: OffsetDateTime) {
        let mut classes = self.lock();
        let shortage = classes.entry(class.to_owned()).or_insert(Shortage {
            until: now,
            pauses: 0,
            reason: String::new(),
            allowed: 1,
            trying: 0,
        });
        reason.clone_into(&mut shortage.reason);
        shortage.allowed = 1;
        // Launches under way at the same time find out the same: one pause.
        if shortage.until <= now {
            shortage.until = now + (FIRST_PAUSE * 2_i32.pow(shortage.pauses.min(8))).min(LONGEST_PAUSE);
            shortage.pauses += 1;
        }
    }

    /// There was capacity.
    pub(crate) fn found(&self, class: &str) {
        let mut classes = self.lock();
        let Some(shortage) = classes.get_mut(class) else { return };
        shortage.pauses = 0;
        shortage.allowed += 1;
        if shortage.allowed > PLENTY {
            classes.remove(class);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Shortage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

    fn may_try(shortages: &Shortages, class: &str, now: OffsetDateTime) -> bool {
        shortages.turn(class.to_owned(), now).is_ok()
    }

    #[test]
    fn pauses_grow_with_each_failure_and_start_anew_after_a_success() {
        let shortages = Shortages::default();
        let mut now = NOW;
        assert!(may_try(&shortages, "a", now));
        for seconds in [10, 20, 40, 60, 60] {
            shortages.missing("a", "none", now);
            shortages.missing("a", "none", now);
            assert!(!may_try(&shortages, "a", now + Duration::seconds(seconds - 1)));
            assert!(may_try(&shortages, "b", now));
            now += Duration::seconds(seconds);
            assert!(may_try(&shortages, "a", now));
        }
        shortages.found("a");
        shortages.missing("a", "none", now);
        assert!(!may_try(&shortages, "a", now + Duration::seconds(9)));
        assert!(may_try(&shortages, "a", now + Duration::seconds(10)));
    }

    #[test]
    fn after_a_shortage_one_tries_for_all_and_each_success_lets_one_more_try() {
        let shortages = Shortages::default();
        let try_all = || -> Vec<_> { (0..20).map_while(|_| shortages.turn("a".to_owned(), NOW).ok()).collect() };
        assert_eq!(try_all().len(), 20, "no shortage is known");
        shortages.missing("a", "none", NOW - FIRST_PAUSE);
        for allowed in [1, 2, 4, 8] {
            let turns = try_all();
            assert_eq!(turns.len(), allowed);
            for _ in turns {
                shortages.found("a");
            }
        }
        assert_eq!(try_all().len(), 20, "the shortage is over");

        shortages.missing("a", "none", NOW - FIRST_PAUSE);
        shortages.found("a");
        shortages.missing("a", "none", NOW - FIRST_PAUSE);
        assert_eq!(try_all().len(), 1, "a failure starts over");
    }

    #[test]
    fn a_turn_that_came_to_nothing_is_the_next_ones() {
        let shortages = Shortages::default();
        shortages.missing("a", "none", NOW - FIRST_PAUSE);
        let turn = shortages.turn("a".to_owned(), NOW);
        assert!(!may_try(&shortages, "a", NOW));
        drop(turn);
        assert!(may_try(&shortages, "a", NOW));
    }
}
