//! Credentials that must pause, remembered so that no call asks GitHub for the same refusal again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};

use super::call::CredentialKey;
use super::error::{GitHubError, LONGEST_PAUSE, SHORTEST_PAUSE};

/// How long a denied credential pauses: long enough not to hammer GitHub, short enough that a corrected App works within
/// minutes.
pub const DENIED_PAUSE: Duration = Duration::minutes(5);

/// How long calls pause that were refused with a new token: one of them asks for all whether GitHub knows it by now.
pub(super) const TOKEN_PAUSE: Duration = Duration::seconds(2);

#[derive(Default)]
pub(super) struct Pauses {
    limited: Mutex<HashMap<CredentialKey, Limited>>,
    /// By credential and subject: an organization or a repository.
    denied: Mutex<HashMap<(CredentialKey, String), Denied>>,
    /// The same for a token that is too new.
    held: Mutex<HashMap<(CredentialKey, String), OffsetDateTime>>,
}

struct Limited {
    until: OffsetDateTime,
    /// How often in a row GitHub limited the credential without saying for how long.
    strikes: u32,
}

struct Denied {
    until: OffsetDateTime,
    reason: String,
}

impl Pauses {
    /// Whether a call may be made now.
    pub(super) fn check(&self, key: CredentialKey, subject: &str, now: OffsetDateTime) -> Result<(), GitHubError> {
        if let Some(limited) = lock(&self.limited).get(&key)
            && limited.until > now
        {
            return Err(GitHubError::RateLimited { until: limited.until });
        }
        if let Some(denied) = lock(&self.denied).get(&(key, subject.to_ascii_lowercase()))
            && denied.until > now
        {
            return Err(GitHubError::Denied { until: denied.until, reason: denied.reason.clone() });
        }
        if let Some(until) = lock(&self.held).get(&(key, subject.to_ascii_lowercase()))
            && *until > now
        {
            return Err(GitHubError::TokenTooNew { until: *until });
        }
        Ok(())
    }

    /// A call succeeded.
    pub(super) fn opened(&self, key: CredentialKey, subject: &str) {
        // Another call may have met a limit while this answer was on its way, so that limit stands.
        if let Some(limited) = lock(&self.limited).get_mut(&key) {
            limited.strikes = 0;
        }
        let place = (key, subject.to_ascii_lowercase());
        lock(&self.denied).remove(&place);
        lock(&self.held).remove(&place);
    }

    /// GitHub limited a call. `until` is absent if it did not say for how long.
    pub(super) fn limit(&self, key: CredentialKey, until: Option<OffsetDateTime>, now: OffsetDateTime) -> GitHubError {
        let mut limited = lock(&self.limited);
        let entry = limited.entry(key).or_insert(Limited { until: now, strikes: 0 });
        // Calls under way at the same time meet the same limit: one strike.
        let fresh = entry.until <= now;
        let until = until.unwrap_or_else(|| {
            if fresh {
                entry.strikes += 1;
            }
            now + (SHORTEST_PAUSE * 2_i32.saturating_pow(entry.strikes.saturating_sub(1).min(6))).min(LONGEST_PAUSE)
        });
        entry.until = entry.until.max(until);
        GitHubError::RateLimited { until: entry.until }
    }

    /// GitHub refused a call with a token so new that not all of its servers may know it.
    pub(super) fn hold(&self, key: CredentialKey, subject: &str, now: OffsetDateTime) -> GitHubError {
        let until = now + TOKEN_PAUSE;
        lock(&self.held).insert((key, subject.to_ascii_lowercase()), until);
        GitHubError::TokenTooNew { until }
    }

    /// GitHub denied a call.
    pub(super) fn deny(&self, key: CredentialKey, subject: &str, reason: String, now: OffsetDateTime) -> GitHubError {
        let until = now + DENIED_PAUSE;
        lock(&self.denied).insert((key, subject.to_ascii_lowercase()), Denied { until, reason: reason.clone() });
        GitHubError::Denied { until, reason }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);
    const KEY: CredentialKey = CredentialKey::Token;

    fn until(error: GitHubError) -> OffsetDateTime {
        match error {
            GitHubError::RateLimited { until } | GitHubError::Denied { until, .. } => until,
            other => panic!("not a pause: {other}"),
        }
    }

    #[test]
    fn a_limit_without_a_time_doubles_with_every_strike_but_not_with_every_call() {
        let pauses = Pauses::default();
        assert_eq!(until(pauses.limit(KEY, None, NOW)), NOW + Duration::minutes(1));
        assert_eq!(until(pauses.limit(KEY, None, NOW)), NOW + Duration::minutes(1));
        let later = NOW + Duration::minutes(1);
        assert_eq!(until(pauses.limit(KEY, None, later)), later + Duration::minutes(2));
        let later = later + Duration::minutes(2);
        assert_eq!(until(pauses.limit(KEY, None, later)), later + Duration::minutes(4));
        pauses.opened(KEY, "o");
        let later = later + Duration::minutes(4);
        assert_eq!(until(pauses.limit(KEY, None, later)), later + Duration::minutes(1));
    }

    #[test]
    fn a_limit_holds_for_the_credential_and_a_denial_for_one_owner() {
        let pauses = Pauses::default();
        pauses.deny(KEY, "Octo", "no".to_owned(), NOW);
        assert!(matches!(pauses.check(KEY, "octo", NOW), Err(GitHubError::Denied { .. })));
        assert!(pauses.check(KEY, "other", NOW).is_ok());
        assert!(pauses.check(KEY, "octo", NOW + DENIED_PAUSE).is_ok());
        pauses.limit(KEY, Some(NOW + Duration::seconds(9)), NOW);
        assert!(matches!(pauses.check(KEY, "other", NOW), Err(GitHubError::RateLimited { .. })));
        assert!(pauses.check(KEY, "other", NOW + Duration::seconds(9)).is_ok());
    }
}
