//! Having GitHub repeat the deliveries that never arrived.
//!
//! An App sees its own hook. A token sees the hooks of organizations and repositories; those that deliver to our URL are
//! ours.

use std::sync::atomic::{AtomicUsize, Ordering};

use jitgate::github::{Account, Attempts, GitHubError, Hook, Place, Scope};
use jitgate::job::Message;
use tracing::{Instrument, error_span};

use crate::context::{Pass, all};
use crate::plan::{LOOK_BACK, Redeliveries, due, log_needed, plan_redeliveries};
use crate::tally::Done;

/// The most pages of one hook's log that a pass reads, a hundred attempts each: two hours with 50 deliveries a minute. GitHub
/// allows the App 5,000 calls an hour, and a pass reads so many only while deliveries wait to be repeated.
const LOG_PAGES: usize = 60;

/// The same for its failures alone, of a day: a thousand deliveries, each failed four times.
const PAGES_OF_FAILURES: usize = 40;

/// The most deliveries that a pass has repeated, of all hooks together: 500 of the 900 points a minute that GitHub allows.
const MOST_REDELIVERIES: usize = 100;

pub(crate) async fn redeliver(pass: Pass<'_>, recent: &[Message]) -> Vec<Done> {
    let mut steps = Vec::new();
    let mut hooks = match pass.github.is_app().await {
        Ok(true) => vec![Hook::App],
        Ok(false) => hooks_of_token(pass, recent, &mut steps).await,
        Err(error) => {
            tracing::error!(error = %error, "hooks not looked at");
            return vec![Done::Failed];
        }
    };
    pass.rotate(&mut hooks);
    let repeats = AtomicUsize::new(0);
    let done =
        hooks.iter().map(|hook| redeliver_of(pass, hook, &repeats).instrument(error_span!("hook", hook = %hook)));
    steps.extend(all(done).await.into_iter().flatten());
    steps
}

async fn hooks_of_token(pass: Pass<'_>, recent: &[Message], steps: &mut Vec<Done>) -> Vec<Hook> {
    let Some(url) = &pass.config.webhook_url else { return Vec::new() };
    let organizations = pass.github.accounts().await.unwrap_or_default();
    let of_organizations = organizations
        .into_iter()
        .filter(|account| pass.config.allowed.includes(&account.login, account.installation))
        .map(|account| Place { scope: Scope::Organization(account.login.clone()), account });
    let of_repositories = recent.iter().map(|message| Place {
        account: Account::from(&message.job),
        scope: Scope::Repository { owner: message.job.owner.clone(), name: message.job.repository.clone() },
    });
    let places: Vec<_> = of_organizations.chain(of_repositories).collect();
    let found = places.iter().map(async |place| (place, pass.github.hooks(place, url).await));
    let mut hooks = Vec::new();
    for (place, found) in all(found).await {
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

async fn redeliver_of(pass: Pass<'_>, hook: &Hook, repeats: &AtomicUsize) -> Vec<Done> {
    if pass.is_over() {
        return vec![Done::Left];
    }
    let Redeliveries { attempts, out_of_reach } = match plan(pass, hook).await {
        Ok(planned) => planned,
        Err(error) => {
            tracing::error!(error = %error, "delivery log not read");
            return vec![Done::Failed];
        }
    };
    let mut steps = Vec::new();
    if out_of_reach > 0 {
        tracing::warn!(
            deliveries = out_of_reach,
            pages = LOG_PAGES,
            "failed deliveries are further back than a pass reads"
        );
        steps.extend(std::iter::repeat_n(Done::Left, out_of_reach));
    }
    let mut is_limited = false;
    for attempt in attempts {
        if pass.config.dry_run {
            tracing::info!(delivery.attempt = attempt, "would be delivered again");
            continue;
        }
        if is_limited || pass.is_over() || repeats.fetch_add(1, Ordering::Relaxed) >= MOST_REDELIVERIES {
            steps.push(Done::Left);
            continue;
        }
        steps.push(match pass.github.redeliver(hook, attempt).await {
            Ok(()) => {
                tracing::warn!(delivery.attempt = attempt, "delivered again");
                Done::Redelivered
            }
            // Until then, GitHub would answer each further call the same.
            Err(GitHubError::RateLimited { until }) => {
                let delay_seconds = (until - pass.clock.now()).whole_seconds();
                tracing::warn!(delay_seconds, "deliveries left to a later pass: GitHub limits them");
                is_limited = true;
                Done::Left
            }
            Err(error) => {
                tracing::error!(delivery.attempt = attempt, error = %error, "not delivered again");
                Done::Failed
            }
        });
    }
    steps
}

/// The whole log is read only as far back as it has to tell what was repeated.
async fn plan(pass: Pass<'_>, hook: &Hook) -> Result<Redeliveries, GitHubError> {
    let now = pass.clock.now();
    let failures = pass.github.deliveries(hook, now - LOOK_BACK, Attempts::Failed, PAGES_OF_FAILURES).await?;
    if failures.complete_since > now - LOOK_BACK {
        tracing::warn!(since = %failures.complete_since, "more deliveries have failed than a pass reads of");
    }
    let due = due(now, &failures);
    let Some(since) = log_needed(&due) else { return Ok(Redeliveries::default()) };
    let log = pass.github.deliveries(hook, since, Attempts::All, LOG_PAGES).await?;
    Ok(plan_redeliveries(&due, &log))
}
