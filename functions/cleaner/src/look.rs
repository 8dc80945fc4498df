//! Seeing registrations and tasks.
//!
//! Accounts are the App's installations that are not suspended, or the organizations of a token's user, as far as
//! `ALLOWED_INSTALLATIONS` includes them. The registrations are theirs, or the enterprise's in place of its organizations'.
//! In repository scope an installation may have thousands of places, of which a pass looks at some
//! ([`plan`](crate::plan)'s `repositories`), and at those of recent tasks, after the tasks. A token has no list of
//! repositories, so there it is only those.
//!
//! Live tasks may belong to a place that is no longer among these: `ALLOWED_INSTALLATIONS` no longer includes its account,
//! the App was uninstalled or suspended there, or it no longer covers the repository. If GitHub denies a look there, it is gone. A look that failed says nothing about any other place, so no place is gone
//! then.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use jitgate::ecs::{EcsError, TaskView};
use jitgate::github::{Account, GitHubError, Place, Registers, Runner, Scope};
use jitgate::job::{Message, Purpose};
use jitgate::names::RunnerOrigin;
use time::OffsetDateTime;
use tracing::{Instrument, error_span};

use crate::context::{Pass, all};
use crate::plan::{MOST_WITH_TASKS, Seen, SeenPlace};
use crate::repositories::Repositories;
use crate::tally::{Done, Tally};

/// What was seen, and what later looks need to know of it.
pub(crate) struct Looked {
    pub(crate) accounts: Vec<Account>,
    /// What is known of their repositories.
    pub(crate) repositories: Vec<Repositories>,
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
    let repositories = repositories(pass, &accounts, &mut is_complete, tally).await;
    let mut known = HashSet::new();
    let mut places = places(pass, &accounts, &repositories);
    places.retain(|place| known.insert(key(place)));
    let mut places = list(pass, places, false, tally).await.seen;
    let live = pass.tasks.live(&pass.config.name_prefix).await?;
    let tasks_seen_at = pass.clock.now();
    let stopped = pass.tasks.stopped(&pass.config.name_prefix).await.inspect_err(|error| {
        tracing::error!(error = %error, "stopped tasks not listed, orphans stay");
        tally.add(Done::Failed);
    });
    let lacks_stopped = stopped.is_err();
    let stopped = stopped.unwrap_or_default();
    let recent = repositories_of(live.iter().chain(&stopped));
    let of_token = !pass.github.is_app().await.unwrap_or(true);
    let mut gone = Vec::new();
    if of_token || is_complete {
        let mut late: Vec<_> = recent.iter().map(|message| pass.github.place_of(&message.job)).collect();
        late.retain(|place| known.insert(key(place)));
        pass.rotate(&mut late);
        let mut counts: HashMap<String, usize> = HashMap::new();
        late.retain(|place| {
            let count = counts.entry(place.account.login.to_lowercase()).or_default();
            *count += 1;
            *count <= MOST_WITH_TASKS
        });
        let late = list(pass, late, true, tally).await;
        places.extend(late.seen);
        if is_complete {
            gone = late.gone;
        }
    }
    Ok(Looked {
        accounts,
        repositories,
        recent,
        seen: Seen { places, gone, live, stopped, lacks_stopped, ..Seen::default() },
        tasks_seen_at,
    })
}

fn is_allowed(pass: Pass<'_>, account: &Account) -> bool {
    pass.config.allowed.includes(&account.login, account.installation)
}

fn key(place: &Place) -> String {
    place.scope.to_string().to_lowercase()
}

async fn repositories(
    pass: Pass<'_>,
    accounts: &[Account],
    is_complete: &mut bool,
    tally: &mut Tally,
) -> Vec<Repositories> {
    let of_app = accounts.iter().filter(|account| account.installation.is_some());
    let read = of_app.map(async |account| (account, Repositories::read(pass, account).await));
    let mut repositories = Vec::new();
    for (account, read) in all(read).await {
        match read {
            Ok(read) => repositories.push(read),
            Err(error) if pass.github.registers(account) == Registers::InRepositories => {
                tracing::error!(owner = account.login, error = %error, "repositories not listed");
                *is_complete = false;
                tally.add(Done::Failed);
            }
            // The registrations tell whether the account is out of reach. Without its repositories, only jobs that no delivery
            // announced may be found later.
            Err(error) => tracing::warn!(owner = account.login, error = %error, "repositories not listed"),
        }
    }
    repositories
}

fn places(pass: Pass<'_>, accounts: &[Account], repositories: &[Repositories]) -> Vec<Place> {
    let mut places: Vec<_> = pass.github.enterprise().into_iter().collect();
    for account in accounts {
        match pass.github.registers(account) {
            Registers::AtEnterprise => {}
            Registers::Here(place) => places.push(place),
            Registers::InRepositories => {
                places.extend(of_warm_runners(pass, account));
                let own = repositories.iter().filter(|each| each.account == *account);
                places.extend(own.flat_map(|each| each.places(pass)));
            }
        }
    }
    places
}

/// The repositories of an account in which warm runners are kept.
fn of_warm_runners(pass: Pass<'_>, account: &Account) -> Vec<Place> {
    let named = pass.config.classes.iter().flat_map(|class| &class.warm).filter_map(|warm| warm.place.as_deref());
    let own = named.filter_map(|name| name.split_once('/'));
    let own = own.filter(|(owner, _)| owner.eq_ignore_ascii_case(&account.login));
    own.map(|(owner, name)| Place {
        account: Account { repository: Some(name.to_owned()), ..account.clone() },
        scope: Scope::Repository { owner: owner.to_owned(), name: name.to_owned() },
    })
    .collect()
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
    let listed = pass.patiently(async || pass.github.at(&place).runners(is_ours).await).await;
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

fn repositories_of<'a>(tasks: impl Iterator<Item = &'a TaskView>) -> Vec<Message> {
    let mut known = HashSet::new();
    let messages = tasks.filter_map(|task| task.message.as_ref()).filter(|message| message.purpose == Purpose::Launch);
    messages.filter(|message| known.insert(message.job.full_name().to_lowercase())).cloned().collect()
}
