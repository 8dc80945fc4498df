//! The time, which a test can set.
//!
//! Everything that expires, ages or waits asks a [`Clock`], so that a test moves an hour forward instead of sleeping.
//! The only exception is time-outs of network calls, which guard against the real world and run in real time. Random
//! numbers come from the clock, too, so that a test with a manual clock is the same in every run.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::oneshot;

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
    /// When each sleep ends; absent if sleeps take no time.
    sleepers: Option<Mutex<Vec<Sleeper>>>,
}

/// When a sleep ends, and what ends it.
type Sleeper = (OffsetDateTime, oneshot::Sender<()>);

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

    /// A manual clock on which a sleep lasts until the clock has been moved that far.
    pub fn driven(start: OffsetDateTime) -> Self {
        let hands = AtomicI64::new(to_millis(start));
        let manual = Manual { hands, sleepers: Some(Mutex::default()), ..Manual::default() };
        Self { manual: Some(Arc::new(manual)) }
    }

    /// When the next sleep on a [driven](Self::driven) clock ends.
    pub fn next_wake(&self) -> Option<OffsetDateTime> {
        let sleepers = self.manual.as_ref()?.sleepers.as_ref()?;
        let sleepers = sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        // A sleeper that was dropped waits no longer.
        sleepers.iter().filter(|(_, wake)| !wake.is_closed()).map(|(at, _)| *at).min()
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
        if let Some(sleepers) = &manual.sleepers {
            let now = self.now();
            let mut sleepers = sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, wake) in sleepers.extract_if(.., |(at, _)| *at <= now) {
                let _ = wake.send(());
            }
        }
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

    /// Waits. A manual clock returns at once, since only its owner moves time, unless it is [driven](Self::driven).
    pub async fn sleep(&self, duration: Duration) {
        match &self.manual {
            None => tokio::time::sleep(duration).await,
            Some(manual) => match &manual.sleepers {
                None => tokio::task::yield_now().await,
                Some(sleepers) => {
                    let (wake, woken) = oneshot::channel();
                    let at =
                        self.now() + Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
                    sleepers.lock().unwrap_or_else(PoisonError::into_inner).push((at, wake));
                    let _ = woken.await;
                }
            },
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
