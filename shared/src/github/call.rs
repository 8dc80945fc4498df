//! One call to GitHub, before it is signed.

use reqwest::Method;
use serde::Serialize;

use super::place::{Account, Scope};
use crate::job::InstallationId;

/// What a read costs under GitHub's secondary limit. Source: GitHub's "Rate limits for the REST API".
pub(super) const READ_POINTS: u32 = 1;

/// What a write costs. Same source.
pub(super) const WRITE_POINTS: u32 = 5;

/// What GitHub counts its limits by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CredentialKey {
    /// An App's installation.
    Installation(InstallationId),
    /// The personal access token.
    Token,
    /// The App itself.
    App,
}

/// Who makes a call.
#[derive(Clone, Copy)]
pub(super) enum Caller<'a> {
    /// The App itself, with its own token.
    App,
    /// The account's installation, or the personal access token.
    Account(&'a Account),
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: Vec<&'a str>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<serde_json::Value>,
    /// What the credential needs for it, in the words of GitHub's settings.
    pub(super) permission: &'static str,
    /// A 404 means that the credential may not see the account, not that one thing in it is gone.
    pub(super) on_account_itself: bool,
    /// What a denial is remembered for, if not for the account.
    pub(super) subject: Option<String>,
    pub(super) pace: Pace,
    pub(super) needs: Needs,
}

/// What the installation token of a call is narrowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Needs {
    /// What launching and cleaning take.
    Runners,
    /// Writing check runs, and nothing else.
    Checks,
}

/// How a call respects GitHub's secondary limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// It finishes what has begun, so it is made in any case.
    Uncovered,
    /// It begins something, so it is made only if the pacer admits it.
    Covered {
        /// A call for a message that has waited goes before others.
        has_waited: bool,
    },
    /// Launches can do without it, so it is made only if they leave points over.
    Spare,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: Vec<&'a str>, permission: &'static str) -> Self {
        Self {
            method: Method::GET,
            path,
            query: Vec::new(),
            body: None,
            permission,
            on_account_itself: false,
            subject: None,
            pace: Pace::Uncovered,
            needs: Needs::Runners,
        }
    }

    pub(super) fn post(path: Vec<&'a str>, permission: &'static str, body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).expect("our own request types always become JSON");
        Self { method: Method::POST, body: Some(body), ..Self::get(path, permission) }
    }

    pub(super) fn patch(path: Vec<&'a str>, permission: &'static str, body: &impl Serialize) -> Self {
        Self { method: Method::PATCH, ..Self::post(path, permission, body) }
    }

    pub(super) fn delete(path: Vec<&'a str>, permission: &'static str) -> Self {
        Self { method: Method::DELETE, ..Self::get(path, permission) }
    }

    pub(super) fn on_account_itself(mut self) -> Self {
        self.on_account_itself = true;
        self
    }

    /// For looks at jobs: a repository that denies them says nothing about its owner's registrations.
    pub(super) fn about_jobs(mut self, owner: &str, repository: &str) -> Self {
        self.subject = Some(format!("{owner}/{repository} jobs"));
        self
    }

    /// For looks at hooks, which jitgate can do without.
    pub(super) fn about_hooks(mut self, scope: &Scope) -> Self {
        self.subject = Some(format!("{scope} hooks"));
        self
    }

    /// For questions about a runner version, which jitgate can do without.
    pub(super) fn about_versions(mut self, scope: &Scope) -> Self {
        self.subject = Some(format!("{scope} versions"));
        self
    }

    /// For check runs, which jitgate can do without.
    pub(super) fn about_checks(mut self, owner: &str) -> Self {
        self.subject = Some(subject_of_checks(owner));
        self.needs = Needs::Checks;
        self.pace = Pace::Spare;
        self
    }

    /// For a call that begins something and can wait until the pacer admits it.
    pub(super) fn in_turn(mut self, has_waited: bool) -> Self {
        self.pace = Pace::Covered { has_waited };
        self
    }

    pub(super) fn points(&self) -> u32 {
        if self.method == Method::GET { READ_POINTS } else { WRITE_POINTS }
    }

    /// The points that must be left before the call is made in turn. A read is followed by a registration; a deletion
    /// leaves room for two batches of registrations.
    pub(super) fn points_needed(&self) -> u32 {
        match self.method {
            Method::GET => READ_POINTS + WRITE_POINTS,
            Method::DELETE => 21 * WRITE_POINTS,
            _ => WRITE_POINTS,
        }
    }
}

/// What a denial of check runs is remembered for.
pub(super) fn subject_of_checks(owner: &str) -> String {
    format!("{owner} checks")
}
