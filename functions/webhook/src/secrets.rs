//! The webhook secret, kept for a while, and read again when a signature does not fit.
//!
//! While a secret is being rotated, GitHub may sign with the previous version, and we may hold either. So a signature
//! that does not fit is a reason to read both versions again. A flood of forged deliveries consists of nothing else, so
//! it makes us read no more than once every few seconds.

use jitgate::clock::Clock;
use jitgate::secret::{GitHubSecret, SecretError, SecretReader};
use secrecy::{ExposeSecret, SecretString};
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;

/// How long the secret is kept before it is read again.
pub const LIFETIME: Duration = Duration::minutes(5);

/// How long the secret is kept while Secrets Manager does not answer: GitHub does not repeat a refused delivery by
/// itself.
pub const LIFETIME_IN_NEED: Duration = Duration::hours(1);

/// How long after a read the next signature that does not fit makes us read again.
pub const PAUSE: Duration = Duration::seconds(5);

/// How many reads in a row may fail before the next one waits for its pause. A hiccup then costs one delivery, and an
/// outage does not turn a flood of deliveries into one of calls.
pub const FREE_FAILURES: u32 = 3;

/// The webhook secret's versions.
pub struct WebhookSecrets {
    reader: SecretReader,
    clock: Clock,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    kept: Option<Kept>,
    /// The last read, if it failed.
    failure: Option<Failure>,
}

struct Failure {
    at: OffsetDateTime,
    in_a_row: u32,
    error: SecretError,
}

impl Seen {
    /// The error of the last read, if it is too early for another one.
    fn must_wait(&self, free: u32, now: OffsetDateTime) -> Option<&SecretError> {
        let failure = self.failure.as_ref()?;
        (failure.in_a_row >= free && now - failure.at < PAUSE).then_some(&failure.error)
    }

    fn failed(&mut self, error: &SecretError, now: OffsetDateTime) {
        let in_a_row = self.failure.as_ref().map_or(0, |failure| failure.in_a_row) + 1;
        self.failure = Some(Failure { at: now, in_a_row, error: error.clone() });
    }
}

/// What was read last.
struct Kept {
    read_at: OffsetDateTime,
    current: SecretString,
    previous: Previous,
}

enum Previous {
    /// It is read with the first signature that does not fit.
    NotRead,
    None,
    Secret(SecretString),
}

impl Kept {
    fn fits(&self, fits: &impl Fn(&[u8]) -> bool) -> bool {
        let previous = match &self.previous {
            Previous::Secret(secret) => Some(secret),
            Previous::NotRead | Previous::None => None,
        };
        std::iter::once(&self.current).chain(previous).any(|secret| fits(secret.expose_secret().as_bytes()))
    }
}

impl WebhookSecrets {
    /// Reads nothing before the first question.
    pub fn new(reader: SecretReader, clock: Clock) -> Self {
        Self { reader, clock, seen: Mutex::default() }
    }

    /// Whether one of the versions in force fits. An error means that this cannot be told now.
    pub async fn any(&self, fits: impl Fn(&[u8]) -> bool) -> Result<bool, SecretError> {
        let mut seen = self.seen.lock().await;
        let now = self.clock.now();
        if seen.kept.as_ref().is_none_or(|kept| now - kept.read_at >= LIFETIME) {
            self.renew(&mut seen, now).await?;
        }
        let kept = seen.kept.as_ref().expect("renewing keeps a secret or returns an error");
        if kept.fits(&fits) {
            return Ok(true);
        }
        if !matches!(kept.previous, Previous::NotRead) && now - kept.read_at < PAUSE {
            return Ok(false);
        }
        self.read_both(&mut seen, now).await?;
        Ok(seen.kept.as_ref().is_some_and(|kept| kept.fits(&fits)))
    }

    async fn renew(&self, seen: &mut Seen, now: OffsetDateTime) -> Result<(), SecretError> {
        let can_keep = seen.kept.as_ref().is_some_and(|kept| now - kept.read_at < LIFETIME_IN_NEED);
        if let Some(error) = seen.must_wait(if can_keep { 1 } else { FREE_FAILURES }, now) {
            return if can_keep { Ok(()) } else { Err(error.clone()) };
        }
        match self.current().await {
            Ok(current) => {
                let kept = Kept { read_at: now, current, previous: Previous::NotRead };
                *seen = Seen { kept: Some(kept), failure: None };
                Ok(())
            }
            Err(error) => {
                seen.failed(&error, now);
                if !can_keep {
                    tracing::error!(error = %error, "a delivery cannot be verified");
                    return Err(error);
                }
                tracing::warn!(error = %error, "the secret could not be read again, the kept one is used");
                Ok(())
            }
        }
    }

    async fn read_both(&self, seen: &mut Seen, now: OffsetDateTime) -> Result<(), SecretError> {
        if let Some(error) = seen.must_wait(1, now) {
            return Err(error.clone());
        }
        match tokio::try_join!(self.current(), self.previous()) {
            Ok((current, previous)) => {
                let previous = previous.and_then(|secret| secret.webhook_secret().ok().cloned());
                let previous = previous.map_or(Previous::None, Previous::Secret);
                *seen = Seen { kept: Some(Kept { read_at: now, current, previous }), failure: None };
                Ok(())
            }
            Err(error) => {
                seen.failed(&error, now);
                tracing::error!(error = %error, "a delivery cannot be verified");
                Err(error)
            }
        }
    }

    /// A previous version that cannot be used counts as none.
    async fn previous(&self) -> Result<Option<GitHubSecret>, SecretError> {
        match self.reader.previous().await {
            Err(SecretError::Unusable { .. }) => Ok(None),
            outcome => outcome,
        }
    }

    async fn current(&self) -> Result<SecretString, SecretError> {
        let secret = self.reader.current().await?;
        secret.webhook_secret().cloned().map_err(|problem| self.reader.unusable(problem))
    }
}
