//! What a test can read of Apps.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::GitHub;
use super::super::hooks::HookOwner;
use super::super::objects;
use super::super::state::{Installation, State};
use super::App;

/// An App, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppView {
    /// GitHub's id.
    pub id: u64,
    /// The part of its URLs that stands for its name.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its owner's login.
    pub owner: String,
    /// Its public page.
    pub html_url: String,
    /// What it asks for.
    pub permissions: BTreeMap<String, String>,
    /// What it hears of.
    pub events: Vec<String>,
    /// Its hook's URL.
    pub hook_url: Option<String>,
    /// How many keys it has: none until its manifest is converted.
    pub keys: usize,
    /// Where it is installed, oldest first.
    pub installations: Vec<InstallationView>,
    /// What its hook was sent, oldest first.
    pub deliveries: Vec<DeliveryView>,
}

/// An installation of an App.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstallationView {
    /// GitHub's id.
    pub id: u64,
    /// The account's login.
    pub account: String,
    /// What it was granted.
    pub permissions: BTreeMap<String, String>,
    /// Lower-case names of its repositories; absent for all.
    pub repositories: Option<Vec<String>>,
    /// When it was suspended.
    pub suspended_at: Option<String>,
}

/// A delivery to an App's hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// GitHub's id of this attempt.
    pub id: u64,
    /// `X-GitHub-Delivery`
    pub guid: String,
    /// `X-GitHub-Event`
    pub event: String,
    /// The payload's action.
    pub action: Option<String>,
    /// Whether it is a redelivery.
    pub redelivery: bool,
    /// The status of the answer; absent until there is one.
    pub status: Option<u16>,
}

impl GitHub {
    /// All Apps, oldest first.
    pub fn apps(&self) -> Vec<AppView> {
        let (state, _) = self.state();
        state.apps.values().map(|app| view(&state, app)).collect()
    }
}

fn view(state: &State, app: &App) -> AppView {
    let owner = HookOwner::App(app.id);
    let hook = state.hooks.values().find(|hook| hook.owner == owner);
    let deliveries = state.deliveries.values().filter(|record| hook.is_some_and(|hook| hook.id == record.hook));
    AppView {
        id: app.id,
        slug: app.slug.clone(),
        name: app.name.clone(),
        owner: app.owner.login.clone(),
        html_url: app.html_url(),
        permissions: app.permissions.clone(),
        events: app.events.clone(),
        hook_url: hook.map(|hook| hook.url.clone()),
        keys: app.keys.len(),
        installations: state.installations_of_app(app.id).map(installation).collect(),
        deliveries: deliveries
            .map(|record| DeliveryView {
                id: record.id,
                guid: record.guid.clone(),
                event: record.event.clone(),
                action: record.action.clone(),
                redelivery: record.redelivery,
                status: record.outcome.as_ref().map(|outcome| outcome.status),
            })
            .collect(),
    }
}

fn installation(installation: &Installation) -> InstallationView {
    InstallationView {
        id: installation.id.0,
        account: installation.account.login.clone(),
        permissions: installation.permissions.clone(),
        repositories: installation.repositories.as_ref().map(|names| names.iter().cloned().collect()),
        suspended_at: installation.suspended_at.map(objects::moment),
    }
}
