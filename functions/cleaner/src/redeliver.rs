//! Having GitHub deliver again what never arrived.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, stream};
use jitgate::github::{Account, Attempts, GitHubError, Hook, Log, Place};
use jitgate::job::Message;

use crate::clean::{AT_ONCE, Cleaner, Pass, Steps};
use crate::plan::{LOOK_BACK, candidates, plan_redeliveries};
use crate::tally::Done;

/// Pages of one hook's log that a pass reads at most, a hundred attempts each.
const LOG_PAGES: usize = 20;

/// Deliveries that a pass has repeated at most, of all hooks together: 500 of the 900 points a minute that GitHub allows.
const MOST_REDELIVERIES: usize = 100;

impl Cleaner {
    /// An App sees its own hook. A token sees the hooks of organisations and repositories, of which those are ours that
    /// deliver to our URL.
    pub(crate) async fn redeliver(&self, pass: Pass, recent: &[Message]) -> Steps {
        let mut steps = Vec::new();
        let mut hooks = match self.github.is_app().await {
            Ok(true) => vec![Hook::App],
            Ok(false) => self.hooks_of_token(recent, &mut steps).await,
            Err(error) => {
                tracing::error!(error = %error, "hooks not looked at");
                return vec![Done::Failed];
            }
        };
        self.rotate(&mut hooks);
        let repeats = AtomicUsize::new(0);
        let done = stream::iter(&hooks).map(|hook| self.redeliver_of(pass, hook, &repeats));
        steps.extend(done.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten());
        steps
    }

    async fn hooks_of_token(&self, recent: &[Message], steps: &mut Steps) -> Vec<Hook> {
        let Some(url) = &self.config.webhook_url else { return Vec::new() };
        let organizations = self.github.accounts().await.unwrap_or_default();
        let of_organizations = organizations
            .into_iter()
            .filter(|account| self.config.allowed.includes(&account.login, account.installation))
            .map(|account| Place { scope: jitgate::github::Scope::Organization(account.login.clone()), account });
        let of_repositories = recent.iter().map(|message| Place {
            account: Account::from(&message.job),
            scope: jitgate::github::Scope::Repository {
                owner: message.job.owner.clone(),
                name: message.job.repository.clone(),
            },
        });
        let places: Vec<_> = of_organizations.chain(of_repositories).collect();
        let found = stream::iter(&places).map(async |place| (place, self.github.hooks(place, url).await));
        let mut hooks = Vec::new();
        for (place, found) in found.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
            match found {
                Ok(found) => hooks.extend(found),
                // The token need not see hooks.
                Err(GitHubError::Denied { reason, .. } | GitHubError::NotFound { message: reason }) => {
                    tracing::debug!(scope = %place.scope, reason, "hooks not shown");
                }
                Err(error) => {
                    tracing::error!(scope = %place.scope, error = %error, "hooks not listed");
                    steps.push(Done::Failed);
                }
            }
        }
        hooks
    }

    /// The whole log is read only as far back as something failed that is still to be mended.
    async fn redeliver_of(&self, pass: Pass, hook: &Hook, repeats: &AtomicUsize) -> Steps {
        if pass.is_over(self.clock.now()) {
            return vec![Done::Left];
        }
        let now = self.clock.now();
        let log = async {
            let failed = self.github.deliveries(hook, now - LOOK_BACK, Attempts::Failed, LOG_PAGES).await?;
            match candidates(now, &failed.attempts) {
                Some(since) => self.github.deliveries(hook, since, Attempts::All, LOG_PAGES).await,
                None => Ok(Log { attempts: Vec::new(), complete_since: now }),
            }
        };
        let log = match log.await {
            Ok(log) => log,
            Err(error) => {
                tracing::error!(hook = %hook, error = %error, "delivery log not read");
                return vec![Done::Failed];
            }
        };
        let mut steps = Vec::new();
        let mut is_limited = false;
        for attempt in plan_redeliveries(now, &log) {
            if self.config.dry_run {
                tracing::info!(hook = %hook, delivery.attempt = attempt, "would be delivered again");
                continue;
            }
            if is_limited
                || pass.is_over(self.clock.now())
                || repeats.fetch_add(1, Ordering::Relaxed) >= MOST_REDELIVERIES
            {
                steps.push(Done::Left);
                continue;
            }
            steps.push(match self.github.redeliver(hook, attempt).await {
                Ok(()) => {
                    tracing::warn!(hook = %hook, delivery.attempt = attempt, "delivered again");
                    Done::Redelivered
                }
                // Every further one would hear the same until then.
                Err(GitHubError::RateLimited { until }) => {
                    let delay_seconds = (until - self.clock.now()).whole_seconds();
                    tracing::warn!(hook = %hook, delay_seconds, "deliveries left to a later pass: GitHub limits them");
                    is_limited = true;
                    Done::Left
                }
                Err(error) => {
                    tracing::error!(hook = %hook, delivery.attempt = attempt, error = %error, "not delivered again");
                    Done::Failed
                }
            });
        }
        steps
    }
}
