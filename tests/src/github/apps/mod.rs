//! GitHub Apps: how they are made from a manifest in a browser, installed, uninstalled and deleted.

mod announce;
mod api;
mod conversion;
mod manifest;
mod people;
mod permissions;
mod views;
mod web;

use std::collections::{BTreeMap, BTreeSet};

use jitgate::job::InstallationId;
use jsonwebtoken::DecodingKey;
use rand::RngExt as _;
use time::OffsetDateTime;

use self::conversion::Conversions;
use self::manifest::Manifest;
use super::hooks::HookOwner;
use super::state::{Account, Installation, State, next};
use super::{CLIENT_ID, PERMISSIONS};

pub use self::views::{AppView, DeliveryView, InstallationView};
pub(super) use self::web::Page;

/// GitHub's own web site. Any other host is a GitHub Enterprise Server.
const GITHUB: &str = "https://github.com";

/// A GitHub App, as GitHub knows it.
pub(super) struct App {
    pub(super) id: u64,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    /// Its home page.
    pub(super) url: String,
    /// The web site on which it was made: `https://HOST`.
    pub(super) site: String,
    pub(super) client_id: String,
    pub(super) owner: Account,
    /// Whether accounts other than its owner's can install it.
    pub(super) public: bool,
    /// Where a browser goes after an installation.
    pub(super) setup_url: Option<String>,
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) events: Vec<String>,
    /// The public halves of its keys. Without any, it cannot sign in.
    pub(super) keys: Vec<DecodingKey>,
    pub(super) created_at: OffsetDateTime,
}

impl App {
    /// The App that tests start with.
    pub(super) fn of_tests(id: u64, owner: Account, key: DecodingKey, now: OffsetDateTime) -> Self {
        Self {
            id,
            slug: "jitgate".to_owned(),
            name: "jitgate".to_owned(),
            description: None,
            url: "https://github.com/apps/jitgate".to_owned(),
            site: GITHUB.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            owner,
            public: true,
            setup_url: None,
            permissions: PERMISSIONS.map(|(name, level)| (name.to_owned(), level.to_owned())).into(),
            events: vec!["workflow_job".to_owned()],
            keys: vec![key],
            created_at: now,
        }
    }

    /// Its public page. Source: GitHub Docs, "Sharing your GitHub App", for github.com and for Enterprise Server.
    pub(super) fn html_url(&self) -> String {
        let folder = if self.site == GITHUB { "apps" } else { "github-apps" };
        format!("{}/{folder}/{}", self.site, self.slug)
    }
}

/// What GitHub's web site remembers: its users, and forms that are half-way.
#[derive(Default)]
pub(super) struct Web {
    /// Whose browser it is, by login. All requests come from this one browser.
    user: Option<String>,
    /// Owners of organisations, by the organisation's lower-case login.
    owners: BTreeMap<String, BTreeSet<String>>,
    /// Manifests that wait for their "Create GitHub App", by the form's token.
    pending: BTreeMap<String, Pending>,
    conversions: Conversions,
}

/// A manifest on the page that asks whether to create the App.
#[derive(Clone)]
struct Pending {
    owner: Account,
    manifest: Manifest,
    state: Option<String>,
    site: String,
    sent_at: OffsetDateTime,
}

/// So many random characters of GitHub's codes and secrets.
fn random_hex(length: usize) -> String {
    let mut bytes = vec![0; length.div_ceil(2)];
    rand::rng().fill(bytes.as_mut_slice());
    let mut text = hex::encode(bytes);
    text.truncate(length);
    text
}

impl State {
    /// The tests' App, or the oldest.
    ///
    /// # Panics
    /// If there is no App.
    pub(super) fn first_app(&self) -> u64 {
        *self.apps.keys().next().expect("a GitHub with an App")
    }

    fn app_with_slug(&self, slug: &str) -> Option<&App> {
        self.apps.values().find(|app| app.slug == slug)
    }

    /// An installation with all that jitgate needs, as tests start with.
    pub(super) fn tests_installation(
        &self,
        id: InstallationId,
        app: u64,
        account: Account,
        now: OffsetDateTime,
    ) -> Installation {
        Installation {
            id,
            app,
            account,
            permissions: PERMISSIONS.map(|(name, level)| (name.to_owned(), level.to_owned())).into(),
            repositories: None,
            suspended_at: None,
            events: self.apps[&app].events.clone(),
            created_at: now,
        }
    }

    /// Makes the App that a manifest describes, under the name that the user chose, with its hook; GitHub pings an active hook.
    fn create_app(&mut self, pending: Pending, name: String, now: OffsetDateTime) -> u64 {
        let Pending { owner, manifest, site, .. } = pending;
        let id = next(&mut self.counters.app);
        let app = App {
            id,
            slug: manifest::slug(&name),
            name,
            description: manifest.description,
            url: manifest.url,
            site,
            client_id: format!("Iv23li{}", random_hex(14)),
            owner,
            public: manifest.public,
            setup_url: manifest.setup_url,
            permissions: manifest.permissions,
            events: manifest.events,
            keys: Vec::new(),
            created_at: now,
        };
        self.apps.insert(id, app);
        if let Some(hook) = manifest.hook {
            let hook_id = self.add_hook(HookOwner::App(id), &hook.url, now);
            if let Some(record) = self.hooks.get_mut(&hook_id) {
                record.active = hook.active;
                record.secret = Some(random_hex(40));
            }
            if hook.active {
                self.announce_ping(hook_id, id, now);
            }
        }
        id
    }

    /// Deletes an App, which uninstalls it everywhere. Its hook is gone, so nobody hears of it. Source: GitHub Docs, "Deleting a
    /// GitHub App".
    fn delete_app(&mut self, id: u64) {
        self.apps.remove(&id);
        self.installations.retain(|_, installation| installation.app != id);
        self.hooks.retain(|_, hook| hook.owner != HookOwner::App(id));
    }
}
