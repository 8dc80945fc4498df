//! The webhook secret, kept for a while, and looked at anew when a signature does not fit.
//!
//! While a secret is rotated, GitHub may sign with the version before, and we may hold either. So a misfit is a reason
//! to look again, at both versions; but a forged flood is nothing but misfits, so it makes us look no more than once
//! every few seconds.

use jitgate::clock::Clock;
use jitgate::secret::{SecretError, SecretReader};
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

#[derive(Default)]
struct Seen {
    copy: Option<Copy>,
    /// The last look that failed.
    failure: Option<(OffsetDateTime, SecretError)>,
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
        if kept && seen.failure.as_ref().is_some_and(|(at, _)| now - *at < PAUSE) {
            return Ok(());
        }
        match self.current().await {
            Ok(current) => {
                *seen =
                    Seen { copy: Some(Copy { read_at: now, current, previous: Previous::NotLookedAt }), failure: None };
                Ok(())
            }
            Err(error) if kept => {
                tracing::warn!(error = %error, "the secret could not be renewed, the copy at hand is used");
                seen.failure = Some((now, error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn look_again(&self, seen: &mut Seen, now: OffsetDateTime) -> Result<(), SecretError> {
        if let Some((at, error)) = &seen.failure
            && now - *at < PAUSE
        {
            return Err(error.clone());
        }
        match tokio::try_join!(self.current(), self.reader.previous()) {
            Ok((current, previous)) => {
                let previous = previous.and_then(|secret| secret.webhook_secret().ok().cloned());
                let previous = previous.map_or(Previous::None, Previous::Secret);
                *seen = Seen { copy: Some(Copy { read_at: now, current, previous }), failure: None };
                Ok(())
            }
            Err(error) => {
                seen.failure = Some((now, error.clone()));
                Err(error)
            }
        }
    }

    async fn current(&self) -> Result<SecretString, SecretError> {
        let secret = self.reader.current().await?;
        secret.webhook_secret().cloned().map_err(|problem| self.reader.unusable(problem))
    }
}
