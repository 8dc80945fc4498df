//! What the pacer is compared with.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use reqwest::header::HeaderMap;
use time::{Duration, OffsetDateTime};

use crate::call::CredentialKey;
use crate::pace;
use crate::workers::Pacing;

/// A job comes back when the minute has room for it, and for those that wait already.
struct Own {
    points: f64,
    spent: RefCell<HashMap<CredentialKey, VecDeque<OffsetDateTime>>>,
}

impl Own {
    /// The moments of past and future calls: the one that is asked for is put down there, too.
    fn moment(&self, key: CredentialKey, has_waited: bool, now: OffsetDateTime) -> Result<(), OffsetDateTime> {
        let mut spent = self.spent.borrow_mut();
        let spent = spent.entry(key).or_default();
        if has_waited {
            return Ok(());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
        let calls = (self.points / 5.0) as usize;
        let moment = match spent.len().checked_sub(calls) {
            Some(older) => (spent[older] + Duration::MINUTE + Duration::SECOND).max(now),
            None => now,
        };
        spent.push_back(moment);
        spent.drain(..spent.len().saturating_sub(2 * calls).min(1));
        if moment > now { Err(moment) } else { Ok(()) }
    }
}

/// Each process keeps its own sliding minute, of its share of the points or of all of them.
pub(crate) struct Alone<const SHARES: bool>(Own);

/// Of its share.
pub(crate) type Share = Alone<true>;

/// Of all of them, as if there were no other process.
pub(crate) type Optimist = Alone<false>;

impl<const SHARES: bool> Pacing for Alone<SHARES> {
    type Permit = ();

    fn new(points: u32, processes: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let processes = if SHARES { processes as f64 } else { 1.0 };
        Self(Own { points: f64::from(points) / processes, spent: RefCell::default() })
    }

    async fn admit(
        &self,
        key: CredentialKey,
        has_waited: bool,
        now: impl Fn() -> OffsetDateTime,
    ) -> Result<(), OffsetDateTime> {
        self.0.moment(key, has_waited, now())
    }

    fn answered(&self, _: CredentialKey, _: &HeaderMap, _: OffsetDateTime) {}

    fn refused(&self, _: CredentialKey, _: OffsetDateTime, _: OffsetDateTime) {}
}

impl Pacing for pace::Pacer {
    type Permit = pace::Permit;

    fn new(points: u32, _: usize) -> Self {
        Self::new(points)
    }

    async fn admit(
        &self,
        key: CredentialKey,
        has_waited: bool,
        now: impl Fn() -> OffsetDateTime,
    ) -> Result<pace::Permit, OffsetDateTime> {
        let cost = pace::Cost { points: crate::call::WRITE_POINTS, needed: crate::call::WRITE_POINTS };
        self.admit(key, cost, has_waited, now).await
    }

    fn answered(&self, key: CredentialKey, headers: &HeaderMap, now: OffsetDateTime) {
        self.answered(key, headers, now);
    }

    fn refused(&self, key: CredentialKey, until: OffsetDateTime, now: OffsetDateTime) {
        self.refused(key, until, now);
    }
}
