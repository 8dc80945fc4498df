//! A stand-in for GitHub: it keeps state, follows GitHub's rules, and can be slow, odd or down on demand.
//!
//! Over HTTP it is a [`Service`]; tests act as people and runners through [`GitHub`]'s methods. It reads only its own
//! clock.

mod acts;
pub mod answers;
mod apps;
mod auth;
mod behaviour;
mod checks;
pub mod courier;
mod deliveries;
mod hooks;
mod jitconfig;
mod jobs;
pub mod keys;
mod limits;
mod meter;
mod objects;
mod respond;
mod route;
mod runners;
mod scope;
mod setup;
mod state;
#[cfg(test)]
mod tests;
mod views;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jitgate::clock::Clock;
use jitgate::job::InstallationId;
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Notify;

use self::apps::{App, Page};
use self::keys::AppKey;
use self::route::Route;
use self::state::{AccountKind, State, next};
use crate::openapi::Checker;
use crate::wire::{Answer, Request, Service};

pub use self::apps::{AppView, DeliveryView, InstallationView};
pub use self::behaviour::{Behaviour, EndOfLife};
pub use self::checks::CheckRun;
pub use self::hooks::{Delivery, HookTarget, Outcome};
pub use self::jobs::JobSpec;
pub use self::meter::{Counting, Limits, Meter, Secondary};
pub use self::route::operation;
pub use self::runners::Gone;
pub use self::scope::Scope;
pub use self::state::{Event, Job, JobStatus, Runner};

/// The id of the App that exists from the start.
pub const APP_ID: u64 = 123_456;

/// Its client id.
pub const CLIENT_ID: &str = "Iv23liJitgateTests01";

/// The organisation that exists from the start, with the App installed.
pub const ORGANIZATION: &str = "octo-org";

/// The App's installation on it.
pub const INSTALLATION: InstallationId = InstallationId(77);

/// The default permissions of an installation: all that jitgate needs.
pub const PERMISSIONS: [(&str, &str); 5] = [
    ("actions", "read"),
    ("administration", "write"),
    ("metadata", "read"),
    ("organization_hooks", "write"),
    ("organization_self_hosted_runners", "write"),
];

/// The stand-in; clones are the same GitHub.
#[derive(Clone)]
pub struct GitHub(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// Absent in an unchecked GitHub.
    checker: Option<Checker>,
    state: Mutex<State>,
    /// Notified when there is a delivery to send.
    unsent: Notify,
}

impl GitHub {
    /// A GitHub with the tests' App installed on [`ORGANIZATION`]. It checks every request and every answer against
    /// GitHub's description: end with [`assert_spoke_github`](Self::assert_spoke_github).
    pub fn new(clock: Clock) -> Self {
        Self::build(clock, APP_ID, tests_key(), Some(Checker::default()))
    }

    /// The same, unchecked: for runs of thousands of jobs.
    pub fn unchecked(clock: Clock) -> Self {
        Self::build(clock, APP_ID, tests_key(), None)
    }

    /// Unchecked, with another App; an error if the key is not PEM.
    pub fn with_app(clock: Clock, id: u64, public_pem: &[u8]) -> Result<Self, jsonwebtoken::errors::Error> {
        Ok(Self::build(clock, id, DecodingKey::from_rsa_pem(public_pem)?, None))
    }

    /// A checked GitHub with nothing on it: no account, no App.
    pub fn empty(clock: Clock) -> Self {
        Self::bare(clock, Some(Checker::default()))
    }

    /// The same, unchecked.
    pub fn empty_unchecked(clock: Clock) -> Self {
        Self::bare(clock, None)
    }

    fn bare(clock: Clock, checker: Option<Checker>) -> Self {
        Self(Arc::new(Inner { clock, checker, state: Mutex::new(State::new()), unsent: Notify::new() }))
    }

    fn build(clock: Clock, id: u64, public_key: DecodingKey, checker: Option<Checker>) -> Self {
        let github = Self::bare(clock, checker);
        {
            let (mut state, now) = github.state();
            let owner = state.account(ORGANIZATION, AccountKind::Organization);
            state.apps.insert(id, App::of_tests(id, owner, public_key, now));
        }
        github.install_app(ORGANIZATION);
        github
    }

    /// Whether calls are checked against GitHub's description.
    pub fn is_checked(&self) -> bool {
        self.0.checker.is_some()
    }

    /// What either side said that does not agree with GitHub's description.
    ///
    /// # Panics
    /// If this GitHub is unchecked.
    pub fn violations(&self) -> Vec<String> {
        self.0.checker.as_ref().expect("a checked GitHub").violations()
    }

    /// Asserts that all calls agree with GitHub's description.
    ///
    /// # Panics
    /// If one does not, or this GitHub is unchecked.
    pub fn assert_spoke_github(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "calls disagree with GitHub's description:\n{}", violations.join("\n"));
    }

    /// The secret that jitgate reads to act as the tests' App.
    pub fn app_secret(webhook_secret: &str) -> Value {
        json!({
            "app_id": APP_ID.to_string(),
            "private_key": AppKey::of_tests().private_pem,
            "webhook_secret": webhook_secret,
        })
    }

    /// The clock of this GitHub.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The state, after everything that is due by now.
    fn state(&self) -> (MutexGuard<'_, State>, OffsetDateTime) {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle(now);
        (state, now)
    }

    /// Wakes the courier if there is a delivery to send.
    fn ring(&self, state: &State) {
        if !state.unsent.is_empty() {
            self.0.unsent.notify_one();
        }
    }
}

impl Service for GitHub {
    fn operation(&self, request: &Request) -> String {
        let page = Page::of(request).map(|page| page.operation());
        page.or_else(|| Route::of(request).map(|route| route.operation())).unwrap_or(operation::UNKNOWN).to_owned()
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        let (mut state, now) = self.state();
        let mut answer = match Page::of(request) {
            Some(page) => state.show(&page, request, now),
            None => state.respond(request, now).unwrap_or_else(|refusal| *refusal),
        };
        let id = next(&mut state.counters.request);
        self.ring(&state);
        drop(state);
        answers::set(&mut answer, "x-github-request-id", format!("0000:0000:{id:08X}"));
        futures::future::ready(answer).boxed()
    }

    fn overhear(&self, request: &Request, answer: Option<&Answer>) {
        // The description has the API, not the web pages.
        if let Some(checker) = &self.0.checker
            && Page::of(request).is_none()
        {
            checker.check(request, answer);
        }
    }
}

fn tests_key() -> DecodingKey {
    DecodingKey::from_rsa_pem(AppKey::of_tests().public_pem.as_bytes()).expect("a key that was just made")
}
