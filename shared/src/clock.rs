//! The time, which a test can set.
//!
//! Everything that expires, ages or waits asks a [`Clock`], so that a test moves an hour forward instead of sleeping.
//! The only exception is time-outs of network calls, which guard against the real world and run in real time. Random
//! numbers come from the clock, too, so that a test with a manual clock is the same in every run.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;

/// Tells the time, in UTC. Clones of a manual clock share its hands.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Absent for the system's clock.
    manual: Option<Arc<Manual>>,
}

#[derive(Debug, Default)]
struct Manual {
    /// Milliseconds since the Unix epoch.
    hands: AtomicI64,
    /// How many random numbers were given out.
    asked: AtomicU64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until it is [advanced](Self::advance).
    pub fn manual(start: OffsetDateTime) -> Self {
        let manual = Manual { hands: AtomicI64::new(to_millis(start)), ..Manual::default() };
        Self { manual: Some(Arc::new(manual)) }
    }

    /// The time now; a manual clock has millisecond resolution.
    pub fn now(&self) -> OffsetDateTime {
        match &self.manual {
            None => OffsetDateTime::now_utc(),
            Some(manual) => {
                OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(manual.hands.load(Ordering::SeqCst))
            }
        }
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    /// On the system's clock.
    pub fn advance(&self, by: Duration) {
        let manual = self.manual.as_ref().expect("only a manual clock can be advanced");
        manual.hands.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Moves a manual clock to a moment; never backwards.
    ///
    /// # Panics
    /// On the system's clock.
    pub fn advance_to(&self, moment: OffsetDateTime) {
        let manual = self.manual.as_ref().expect("only a manual clock can be advanced");
        manual.hands.fetch_max(to_millis(moment), Ordering::SeqCst);
    }

    /// A random number from 0 up to, but not including, 1. A manual clock gives the same sequence in every run.
    pub fn chance(&self) -> f64 {
        let bits = match &self.manual {
            // The standard library's randomly keyed hasher is random enough to spread load.
            None => RandomState::new().hash_one(0_u8),
            Some(manual) => mixed(manual.asked.fetch_add(1, Ordering::SeqCst)),
        };
        f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
    }

    /// Waits on the system's clock. On a manual clock it returns at once: only its owner moves time.
    pub async fn sleep(&self, duration: Duration) {
        match &self.manual {
            None => tokio::time::sleep(duration).await,
            Some(_) => tokio::task::yield_now().await,
        }
    }
}

/// Mixes a number's bits so that consecutive numbers look random. Source: `SplitMix64`, by Guy Steele and others.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn to_millis(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
