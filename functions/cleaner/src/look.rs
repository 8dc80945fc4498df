//! Seeing registrations and tasks.

use std::collections::HashSet;

use futures::{StreamExt, stream};
use jitgate::ecs::{EcsError, TaskView};
use jitgate::github::{Account, GitHubError, Place, Runner};
use jitgate::job::{Message, Purpose};
use jitgate::names::RunnerOrigin;
use time::OffsetDateTime;

use crate::clean::{AT_ONCE, Cleaner, Pass};
use crate::plan::SeenPlace;
use crate::tally::Tally;

/// What a pass has seen so far.
pub(crate) struct Looked {
    pub(crate) accounts: Vec<Account>,
    pub(crate) places: Vec<SeenPlace>,
    pub(crate) live: Vec<TaskView>,
    pub(crate) stopped: Vec<TaskView>,
    /// When the live tasks had been listed.
    pub(crate) at: OffsetDateTime,
}

impl Cleaner {
    /// Registrations first, tasks after them; and what tasks lately ran for: one message for each repository.
    pub(crate) async fn look_at_tasks_and_places(
        &self,
        pass: Pass,
        tally: &mut Tally,
    ) -> Result<(Looked, Vec<Message>), EcsError> {
        let mut accounts = self.github.accounts().await.unwrap_or_else(|error| {
            tally.failed += 1;
            tracing::error!(error = %error, "accounts not listed");
            Vec::new()
        });
        accounts.retain(|account| self.config.allowed.includes(&account.login, account.installation));
        let places = self.places(&accounts, tally).await;
        let mut places = self.list(pass, places, false, tally).await;
        let live = self.tasks.live(&self.config.name_prefix).await?;
        let at = self.clock.now();
        let stopped = self.tasks.stopped(&self.config.name_prefix).await.unwrap_or_else(|error| {
            tally.failed += 1;
            tracing::error!(error = %error, "stopped tasks not listed");
            Vec::new()
        });
        let recent = repositories(live.iter().chain(&stopped));
        if !self.github.is_app().await.unwrap_or(true) {
            let late = self.places_of_tasks(&places, &recent);
            places.extend(self.list(pass, late, true, tally).await);
        }
        Ok((Looked { accounts, places, live, stopped, at }, recent))
    }

    async fn places(&self, accounts: &[Account], tally: &mut Tally) -> Vec<Place> {
        let found = stream::iter(accounts).map(async |account| (account, self.github.places_of(account).await));
        let mut places: Vec<_> = self.github.enterprise().into_iter().collect();
        for (account, found) in found.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
            match found {
                Ok(found) => places.extend(found),
                Err(error) => {
                    tally.failed += 1;
                    tracing::error!(owner = account.login, error = %error, "account not looked at");
                }
            }
        }
        places
    }

    /// A token has no list of its repositories: those are known in which tasks run.
    fn places_of_tasks(&self, listed: &[SeenPlace], recent: &[Message]) -> Vec<Place> {
        let mut known: HashSet<String> =
            listed.iter().map(|seen| seen.place.scope.to_string().to_lowercase()).collect();
        let places = recent.iter().map(|message| self.github.place_of(&message.job));
        places.filter(|place| known.insert(place.scope.to_string().to_lowercase())).collect()
    }

    /// The registrations of places, as far as they can be had; what is left when the time is over stays unseen.
    async fn list(&self, pass: Pass, mut places: Vec<Place>, after_tasks: bool, tally: &mut Tally) -> Vec<SeenPlace> {
        self.rotate(&mut places);
        let is_ours = |runner: &Runner| RunnerOrigin::parse(&self.config.name_prefix, &runner.name).is_some();
        let listed = stream::iter(places).map(async |place| {
            if pass.is_over(self.clock.now()) {
                return (place, None);
            }
            let runners = self.github.at(&place).runners(is_ours).await;
            (place, Some(runners))
        });
        let mut seen = Vec::new();
        for (place, runners) in listed.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
            match runners {
                Some(Ok(runners)) => seen.push(SeenPlace { place, runners, after_tasks }),
                // A token's user may be a mere member of some organisation, in which we can have no runners.
                Some(Err(GitHubError::Denied { reason, .. })) if place.account.installation.is_none() => {
                    tracing::info!(scope = %place.scope, reason, "not ours to clean");
                }
                Some(Err(error)) => {
                    tally.failed += 1;
                    tracing::error!(scope = %place.scope, error = %error, "registrations not listed");
                }
                None => tally.left += 1,
            }
        }
        seen
    }
}

fn repositories<'a>(tasks: impl Iterator<Item = &'a TaskView>) -> Vec<Message> {
    let mut known = HashSet::new();
    let messages = tasks.filter_map(|task| task.message.as_ref()).filter(|message| message.purpose == Purpose::Launch);
    messages.filter(|message| known.insert(message.job.full_name().to_lowercase())).cloned().collect()
}
