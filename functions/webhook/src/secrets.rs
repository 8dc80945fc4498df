//! The webhook secret, kept for a while, and looked at anew when a signature does not fit.
//!
//! While a secret is rotated, GitHub may sign with the version before, and we may hold either. So a misfit is a reason
//! to look again, at both versions; but a forged flood is nothing but misfits, so it makes us look no more than once
//! every few seconds.

use jitgate::clock::Clock;
use jitgate::secret::{GitHubSecret, SecretError, SecretReader};
use secrecy::{ExposeSecret, SecretString};
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;

/// How long a copy is used before it is read again.
pub const LIFETIME: Duration = Duration::minutes(5);

/// While Secrets Manager does not answer, a copy is used for this long: a delivery that is turned away is not sent
/// again by itself.
pub const LIFETIME_IN_NEED: Duration = Duration::hours(1);

/// A misfit makes us look again only this long after the last look.
pub const PAUSE: Duration = Duration::seconds(5);

/// The webhook secret's versions.
pub struct WebhookSecrets {
    reader: SecretReader,
    clock: Clock,
    seen: Mutex<Seen>,
}

/// So many looks in a row may fail before the next one has to wait for its pause: a hiccup costs one delivery, an
/// outage does not turn a flood of deliveries into one of calls.
pub const FREE_FAILURES: u32 = 3;

#[derive(Default)]
struct Seen {
    copy: Option<Copy>,
    /// The last look, if it failed.
    failure: Option<Failure>,
}

struct Failure {
    at: OffsetDateTime,
    in_a_row: u32,
    error: SecretError,
}

impl Seen {
    /// Whether it is too early to look again, and with what error the last look ended.
    fn must_wait(&self, free: u32, now: OffsetDateTime) -> Option<&SecretError> {
        let failure = self.failure.as_ref()?;
        (failure.in_a_row >= free && now - failure.at < PAUSE).then_some(&failure.error)
    }

    fn failed(&mut self, error: &SecretError, now: OffsetDateTime) {
        let in_a_row = self.failure.as_ref().map_or(0, |failure| failure.in_a_row) + 1;
        self.failure = Some(Failure { at: now, in_a_row, error: error.clone() });
    }
}

struct Copy {
    read_at: OffsetDateTime,
    current: SecretString,
    previous: Previous,
}

enum Previous {
    /// Not before the first misfit.
    NotLookedAt,
    None,
    Secret(SecretString),
}

impl Copy {
    fn fits(&self, fits: &impl Fn(&[u8]) -> bool) -> bool {
        let previous = match &self.previous {
            Previous::Secret(secret) => Some(secret),
            Previous::NotLookedAt | Previous::None => None,
        };
        std::iter::once(&self.current).chain(previous).any(|secret| fits(secret.expose_secret().as_bytes()))
    }
}

impl WebhookSecrets {
    /// Nothing is read before the first question.
    pub fn new(reader: SecretReader, clock: Clock) -> Self {
        Self { reader, clock, seen: Mutex::default() }
    }

    /// Whether one of the versions in force fits. An error means that nobody can tell now.
    pub async fn any(&self, fits: impl Fn(&[u8]) -> bool) -> Result<bool, SecretError> {
        let mut seen = self.seen.lock().await;
        let now = self.clock.now();
        if seen.copy.as_ref().is_none_or(|copy| now - copy.read_at >= LIFETIME) {
            self.renew(&mut seen, now).await?;
        }
        let copy = seen.copy.as_ref().expect("renewed or kept, or else an error was returned");
        if copy.fits(&fits) {
            return Ok(true);
        }
        if !matches!(copy.previous, Previous::NotLookedAt) && now - copy.read_at < PAUSE {
            return Ok(false);
        }
        self.look_again(&mut seen, now).await?;
        Ok(seen.copy.as_ref().is_some_and(|copy| copy.fits(&fits)))
    }

    async fn renew(&self, seen: &mut Seen, now: OffsetDateTime) -> Result<(), SecretError> {
        let kept = seen.copy.as_ref().is_some_and(|copy| now - copy.read_at < LIFETIME_IN_NEED);
        if let Some(error) = seen.must_wait(if kept { 1 } else { FREE_FAILURES }, now) {
            return if kept { Ok(()) } else { Err(error.clone()) };
        }
        match self.current().await {
            Ok(current) => {
                *seen =
                    Seen { copy: Some(Copy { read_at: now, current, previous: Previous::NotLookedAt }), failure: None };
                Ok(())
            }
            Err(error) => {
                seen.failed(&error, now);
                if !kept {
                    return Err(error);
                }
                tracing::warn!(error = %error, "the secret could not be renewed, the copy at hand is used");
                Ok(())
            }
        }
    }

    async fn look_again(&self, seen: &mut Seen, now: OffsetDateTime) -> Result<(), SecretError> {
        if let Some(error) = seen.must_wait(1, now) {
            return Err(error.clone());
        }
        match tokio::try_join!(self.current(), self.previous()) {
            Ok((current, previous)) => {
                let previous = previous.and_then(|secret| secret.webhook_secret().ok().cloned());
                let previous = previous.map_or(Previous::None, Previous::Secret);
                *seen = Seen { copy: Some(Copy { read_at: now, current, previous }), failure: None };
                Ok(())
            }
            Err(error) => {
                seen.failed(&error, now);
                Err(error)
            }
        }
    }

    /// A version that cannot be used is none.
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
