//! Seeing registrations and tasks.
//!
//! Accounts are the App's installations that are not suspended, or the organizations of a token's user, as far as
//! `ALLOWED_INSTALLATIONS` includes them. The registrations are theirs, or the enterprise's in place of its organizations'.
//! A token has no list of repositories. So in repository scope those of recent tasks stand in, and are looked at only after
//! the tasks.

use std::collections::HashSet;

use jitgate::ecs::{EcsError, TaskView};
use jitgate::github::{Account, GitHubError, Place, Runner};
use jitgate::job::{Message, Purpose};
use jitgate::names::RunnerOrigin;
use time::OffsetDateTime;
use tracing::{Instrument, error_span};

use crate::context::{Pass, all};
use crate::plan::{Seen, SeenPlace};
use crate::tally::{Done, Tally};

/// What was seen, and what later looks need to know of it.
pub(crate) struct Looked {
    pub(crate) accounts: Vec<Account>,
    /// What tasks ran for lately: one message for each repository.
    pub(crate) recent: Vec<Message>,
    /// Registrations and tasks.
    pub(crate) seen: Seen,
    pub(crate) tasks_seen_at: OffsetDateTime,
}

pub(crate) async fn look(pass: Pass<'_>, tally: &mut Tally) -> Result<Looked, EcsError> {
    let mut accounts = pass.github.accounts().await.unwrap_or_else(|error| {
        tracing::error!(error = %error, "accounts not listed");
        tally.add(Done::Failed);
        Vec::new()
    });
    accounts.retain(|account| pass.config.allowed.includes(&account.login, account.installation));
    let places = places(pass, &accounts, tally).await;
    let mut places = list(pass, places, false, tally).await;
    let live = pass.tasks.live(&pass.config.name_prefix).await?;
    let tasks_seen_at = pass.clock.now();
    let stopped = pass.tasks.stopped(&pass.config.name_prefix).await.unwrap_or_else(|error| {
        tracing::error!(error = %error, "stopped tasks not listed");
        tally.add(Done::Failed);
        Vec::new()
    });
    let recent = repositories(live.iter().chain(&stopped));
    if !pass.github.is_app().await.unwrap_or(true) {
        let late = places_of_tasks(pass, &places, &recent);
        places.extend(list(pass, late, true, tally).await);
    }
    Ok(Looked { accounts, recent, seen: Seen { places, live, stopped, ..Seen::default() }, tasks_seen_at })
}

async fn places(pass: Pass<'_>, accounts: &[Account], tally: &mut Tally) -> Vec<Place> {
    let found = accounts.iter().map(async |account| (account, pass.github.places_of(account).await));
    let mut places: Vec<_> = pass.github.enterprise().into_iter().collect();
    for (account, found) in all(found).await {
        match found {
            Ok(found) => places.extend(found),
            Err(error) => {
                tracing::error!(owner = account.login, error = %error, "account not looked at");
                tally.add(Done::Failed);
            }
        }
    }
    places
}

fn places_of_tasks(pass: Pass<'_>, listed: &[SeenPlace], recent: &[Message]) -> Vec<Place> {
    let key = |place: &Place| place.scope.to_string().to_lowercase();
    let mut known: HashSet<String> = listed.iter().map(|listed| key(&listed.place)).collect();
    let places = recent.iter().map(|message| pass.github.place_of(&message.job));
    places.filter(|place| known.insert(key(place))).collect()
}

/// The places whose registrations could be listed before the time was over.
async fn list(pass: Pass<'_>, mut places: Vec<Place>, after_tasks: bool, tally: &mut Tally) -> Vec<SeenPlace> {
    pass.rotate(&mut places);
    let lists = places.into_iter().map(|place| {
        let span = error_span!("place", scope = %place.scope);
        registrations(pass, place, after_tasks).instrument(span)
    });
    let mut seen = Vec::new();
    for listed in all(lists).await {
        match listed {
            Ok(listed) => seen.push(listed),
            Err(done) => tally.add(done),
        }
    }
    seen
}

async fn registrations(pass: Pass<'_>, place: Place, after_tasks: bool) -> Result<SeenPlace, Done> {
    if pass.is_over() {
        return Err(Done::Left);
    }
    let is_ours = |runner: &Runner| RunnerOrigin::parse(&pass.config.name_prefix, &runner.name).is_some();
    let listed = pass.github.at(&place).runners(is_ours).await;
    match listed {
        Ok(runners) => Ok(SeenPlace { place, runners, after_tasks }),
        // A token's user may be a mere member of an organization. Then we cannot have registered runners there.
        Err(GitHubError::Denied { reason, .. }) if place.account.installation.is_none() => {
            tracing::info!(reason, "not ours to clean");
            Err(Done::Nothing)
        }
        Err(error) => {
            tracing::error!(error = %error, "registrations not listed");
            Err(Done::Failed)
        }
    }
}

fn repositories<'a>(tasks: impl Iterator<Item = &'a TaskView>) -> Vec<Message> {
    let mut known = HashSet::new();
    let messages = tasks.filter_map(|task| task.message.as_ref()).filter(|message| message.purpose == Purpose::Launch);
    messages.filter(|message| known.insert(message.job.full_name().to_lowercase())).cloned().collect()
}
