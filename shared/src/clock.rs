//! The time of day, as something a test can turn.
//!
//! Everything that expires, ages or waits asks a [`Clock`], so that a test moves an hour forward instead of sleeping
//! through it. Time-outs of network calls are the one exception: they guard against the real world and run on real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;

/// Tells the time, in UTC. Clones of a manual clock share its hands.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Milliseconds since the Unix epoch; absent for the system's own clock.
    hands: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until it is [advanced](Self::advance).
    pub fn manual(start: OffsetDateTime) -> Self {
        Self { hands: Some(Arc::new(AtomicI64::new(to_millis(start)))) }
    }

    /// The time now; a manual clock has millisecond resolution.
    pub fn now(&self) -> OffsetDateTime {
        match &self.hands {
            None => OffsetDateTime::now_utc(),
            Some(hands) => OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(hands.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    /// On the system's clock, which nobody here may move.
    pub fn advance(&self, by: Duration) {
        let hands = self.hands.as_ref().expect("only a manual clock can be advanced");
        hands.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Moves a manual clock to a moment; never backwards.
    ///
    /// # Panics
    /// On the system's clock, which nobody here may move.
    pub fn advance_to(&self, moment: OffsetDateTime) {
        let hands = self.hands.as_ref().expect("only a manual clock can be advanced");
        hands.fetch_max(to_millis(moment), Ordering::SeqCst);
    }

    /// Waits: really on the system's clock, not at all on a manual one, whose owner alone moves time.
    pub async fn sleep(&self, duration: Duration) {
        match &self.hands {
            None => tokio::time::sleep(duration).await,
            Some(_) => tokio::task::yield_now().await,
        }
    }
}

fn to_millis(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
