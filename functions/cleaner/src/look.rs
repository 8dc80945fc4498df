//! Seeing registrations and tasks.
//!
//! Accounts are the App's installations that are not suspended, or the organizations of a token's user, as far as
//! `ALLOWED_INSTALLATIONS` includes them. The registrations are theirs, or the enterprise's in place of its organizations'.
//! A token has no list of repositories. So in repository scope those of recent tasks stand in, and are looked at only after
//! the tasks.
//!
//! Live tasks may belong to a place that is no longer among these: `ALLOWED_INSTALLATIONS` no longer includes its account,
//! the App was uninstalled or suspended there, or it no longer covers the repository. Such a place is looked at after the
//! tasks, too. If GitHub denies that, it is gone. A look that failed says nothing about any other place, so no place is gone
//! then.

use std::collections::HashSet;
use std::ops::ControlFlow;

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
    let accounts = pass.github.accounts().await;
    let mut is_complete = accounts.is_ok();
    let mut accounts = accounts.unwrap_or_else(|error| {
        tracing::error!(error = %error, "accounts not listed");
        tally.add(Done::Failed);
        Vec::new()
    });
    accounts.retain(|account| is_allowed(pass, account));
    let places = places(pass, &accounts, &mut is_complete, tally).await;
    let mut known: HashSet<String> = places.iter().map(key).collect();
    let mut places = list(pass, places, false, tally).await.seen;
    let live = pass.tasks.live(&pass.config.name_prefix).await?;
    let tasks_seen_at = pass.clock.now();
    let stopped = pass.tasks.stopped(&pass.config.name_prefix).await.unwrap_or_else(|error| {
        tracing::error!(error = %error, "stopped tasks not listed");
        tally.add(Done::Failed);
        Vec::new()
    });
    let recent = repositories(live.iter().chain(&stopped));
    let of_token = !pass.github.is_app().await.unwrap_or(true);
    let late = if of_token { recent.clone() } else { repositories(live.iter()) };
    let mut gone = Vec::new();
    if of_token || is_complete {
        let late: Vec<_> = late.iter().map(|message| pass.github.place_of(&message.job)).collect();
        let late = late.into_iter().filter(|place| known.insert(key(place))).collect();
        let late = list(pass, late, true, tally).await;
        places.extend(late.seen);
        if is_complete {
            gone = late.gone;
        }
    }
    Ok(Looked { accounts, recent, seen: Seen { places, gone, live, stopped, ..Seen::default() }, tasks_seen_at })
}

fn is_allowed(pass: Pass<'_>, account: &Account) -> bool {
    pass.config.allowed.includes(&account.login, account.installation)
}

fn key(place: &Place) -> String {
    place.scope.to_string().to_lowercase()
}

async fn places(pass: Pass<'_>, accounts: &[Account], is_complete: &mut bool, tally: &mut Tally) -> Vec<Place> {
    let found = accounts.iter().map(async |account| (account, pass.github.places_of(account).await));
    let mut places: Vec<_> = pass.github.enterprise().into_iter().collect();
    for (account, found) in all(found).await {
        match found {
            Ok(found) => places.extend(found),
            Err(error) => {
                tracing::error!(owner = account.login, error = %error, "account not looked at");
                *is_complete = false;
                tally.add(Done::Failed);
            }
        }
    }
    places
}

#[derive(Default)]
struct Listed {
    /// The places whose registrations could be listed before the time was over.
    seen: Vec<SeenPlace>,
    /// The places to which GitHub denies access.
    gone: Vec<Place>,
}

async fn list(pass: Pass<'_>, mut places: Vec<Place>, after_tasks: bool, tally: &mut Tally) -> Listed {
    pass.rotate(&mut places);
    let lists = places.into_iter().map(|place| {
        let span = error_span!("place", scope = %place.scope);
        registrations(pass, place, after_tasks).instrument(span)
    });
    let mut listed = Listed::default();
    for place in all(lists).await {
        match place {
            Ok(ControlFlow::Continue(seen)) => listed.seen.push(seen),
            Ok(ControlFlow::Break(gone)) => listed.gone.push(gone),
            Err(done) => tally.add(done),
        }
    }
    listed
}

/// Breaks off with a place that is gone.
async fn registrations(pass: Pass<'_>, place: Place, after_tasks: bool) -> Result<ControlFlow<Place, SeenPlace>, Done> {
    if pass.is_over() {
        return Err(Done::Left);
    }
    let is_ours = |runner: &Runner| RunnerOrigin::parse(&pass.config.name_prefix, &runner.name).is_some();
    let listed = pass.github.at(&place).runners(is_ours).await;
    match listed {
        Ok(runners) => {
            let is_served = is_allowed(pass, &place.account);
            Ok(ControlFlow::Continue(SeenPlace { place, runners, after_tasks, is_served }))
        }
        Err(GitHubError::Denied { reason, .. }) if after_tasks => {
            tracing::info!(reason, "gone");
            Ok(ControlFlow::Break(place))
        }
        Err(GitHubError::NotFound { message }) if after_tasks => {
            tracing::info!(reason = message, "gone");
            Ok(ControlFlow::Break(place))
        }
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
