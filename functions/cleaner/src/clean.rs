//! One pass: look everywhere, plan, act. A failure in one place never stops the rest; it fails the invocation after
//! everything possible has been done.

use aws_config::SdkConfig;
use jitgate::clock::Clock;
use jitgate::config::FleetConfig;
use jitgate::ecs::{EcsError, Tasks};
use jitgate::github::{Account, Deletion, GitHub, GitHubError, Place};
use jitgate::secret::SecretReader;

use crate::plan::{Action, plan_cleanup};

/// The cleaner function, alive as long as its process.
pub struct Cleaner {
    config: FleetConfig,
    github: GitHub,
    tasks: Tasks,
    clock: Clock,
}

/// What could not be done. Each failure was logged where it happened.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The accounts could not be listed.
    #[error("accounts cannot be listed: {0}")]
    Accounts(#[from] GitHubError),
    /// Without the tasks nobody knows what is alive, so nothing was touched.
    #[error(transparent)]
    Tasks(#[from] EcsError),
    /// Everything else was done.
    #[error("{0} steps of the clean-up failed, see the log")]
    Incomplete(usize),
}

#[derive(Default)]
struct Tally {
    deleted: usize,
    gone: usize,
    busy: usize,
    failed: usize,
}

impl Cleaner {
    /// Nothing is read or called before the first pass.
    pub fn new(sdk: &SdkConfig, config: FleetConfig, clock: Clock) -> Self {
        let secret = SecretReader::new(aws_sdk_secretsmanager::Client::new(sdk), config.github_secret_id.clone());
        Self {
            github: GitHub::new(config.github.clone(), secret, clock.clone()),
            tasks: Tasks::new(sdk, config.cluster.clone()),
            config,
            clock,
        }
    }

    /// One pass over all accounts.
    pub async fn clean(&self) -> Result<(), CleanError> {
        let mut tally = Tally::default();
        let mut listed = Vec::new();
        for account in self.github.accounts().await? {
            match self.list(&account, &mut tally).await {
                Ok(places) => listed.extend(places),
                Err(error) => {
                    tally.failed += 1;
                    tracing::error!(owner = account.login, error = %error, "account not looked at");
                }
            }
        }
        // After the registrations: what is registered and started in between is then seen alive.
        let tasks = self.tasks.live(&self.config.name_prefix).await?;
        for (place, runners) in listed {
            for action in plan_cleanup(self.clock.now(), &self.config.name_prefix, &runners, &tasks) {
                self.act(&place, action, &mut tally).await;
            }
        }
        tracing::info!(
            deleted = tally.deleted,
            gone = tally.gone,
            busy = tally.busy,
            failed = tally.failed,
            tasks = tasks.len(),
            "clean-up done"
        );
        if tally.failed > 0 { Err(CleanError::Incomplete(tally.failed)) } else { Ok(()) }
    }

    async fn list(
        &self,
        account: &Account,
        tally: &mut Tally,
    ) -> Result<Vec<(Place, Vec<jitgate::github::Runner>)>, GitHubError> {
        let mut listed = Vec::new();
        for place in self.github.places_of(account).await? {
            match self.github.runners(&place.account, &place.scope).await {
                Ok(runners) => listed.push((place, runners)),
                // A token's user may be a mere member of some organisation, in which we can have no runners.
                Err(GitHubError::Denied { reason, .. }) if account.installation.is_none() => {
                    tracing::info!(scope = %place.scope, reason, "not ours to clean");
                }
                Err(error) => {
                    tally.failed += 1;
                    tracing::error!(scope = %place.scope, error = %error, "registrations not listed");
                }
            }
        }
        Ok(listed)
    }

    async fn act(&self, place: &Place, action: Action, tally: &mut Tally) {
        let Action::DeleteRegistration { id, name } = action;
        match self.github.delete_runner(&place.account, &place.scope, id).await {
            Ok(Deletion::Deleted) => {
                tally.deleted += 1;
                tracing::info!(runner.id = id.0, runner.name = name, scope = %place.scope, "orphaned registration deleted");
            }
            Ok(Deletion::Gone) => tally.gone += 1,
            Ok(Deletion::Busy) => tally.busy += 1,
            Err(error) => {
                tally.failed += 1;
                tracing::error!(runner.id = id.0, runner.name = name, error = %error, "registration not deleted");
            }
        }
    }
}
