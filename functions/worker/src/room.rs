//! Which classes have no capacity at the moment.
//!
//! A launch registers before it starts its task, so finding out that there is no capacity costs two writes at GitHub: a
//! registration and its deletion. With a thousand jobs waiting, that alone would use up the budget. So one that finds
//! out tells its neighbours, and for a while they do not try.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jitgate::ecs::RunError;
use time::{Duration, OffsetDateTime};

/// After the first failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::seconds(10);

/// What a class's jobs wait at most longer than they would have to.
const LONGEST_PAUSE: Duration = Duration::seconds(60);

/// What this process knows; others find out for themselves.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<HashMap<String, Missing>>);

#[derive(Debug)]
struct Missing {
    until: OffsetDateTime,
    pauses: u32,
    reason: String,
}

impl Room {
    /// Whether it is worth trying to launch for a class.
    pub(crate) fn check(&self, class: &str, now: OffsetDateTime) -> Result<(), RunError> {
        match self.lock().get(class) {
            Some(missing) if missing.until > now => {
                Err(RunError::NoCapacity { reason: format!("a moment ago: {}", missing.reason) })
            }
            _ => Ok(()),
        }
    }

    /// There was no capacity for a class.
    pub(crate) fn missing(&self, class: &str, reason: &str, now: OffsetDateTime) {
        let mut classes = self.lock();
        let missing =
            classes.entry(class.to_owned()).or_insert(Missing { until: now, pauses: 0, reason: String::new() });
        reason.clone_into(&mut missing.reason);
        // Launches under way at the same time find out the same: one pause.
        if missing.until <= now {
            missing.until = now + (FIRST_PAUSE * 2_i32.pow(missing.pauses.min(8))).min(LONGEST_PAUSE);
            missing.pauses += 1;
        }
    }

    /// There was capacity.
    pub(crate) fn found(&self, class: &str) {
        self.lock().remove(class);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Missing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_each_failure_and_end_with_a_success() {
        let room = Room::default();
        let mut now = time::macros::datetime!(2026-11-01 12:00 UTC);
        assert!(room.check("a", now).is_ok());
        for seconds in [10, 20, 40, 60, 60] {
            room.missing("a", "none", now);
            room.missing("a", "none", now);
            assert!(room.check("a", now + Duration::seconds(seconds - 1)).is_err());
            assert!(room.check("b", now).is_ok());
            now += Duration::seconds(seconds);
            assert!(room.check("a", now).is_ok());
        }
        room.missing("a", "none", now);
        room.found("a");
        assert!(room.check("a", now).is_ok());
    }
}
