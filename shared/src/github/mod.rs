//! GitHub's REST API, as far as jitgate needs it.
//!
//! A call never sleeps and never repeats itself, but for one renewal of a token that GitHub no longer takes: every
//! refusal comes back as a [`GitHubError`] that says what follows from it, since waiting inside a function is billed
//! and waiting in the queue is not.

mod accounts;
mod app;
mod deliveries;
mod error;
mod fetched;
mod gate;
mod groups;
mod pace;
mod repeat;
mod runners;
mod runs;
mod sign_in;
mod versions;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use accounts::Place;
pub use deliveries::{Attempts, Delivery, Hook, Log};
pub use error::GitHubError;
pub use gate::DENIED_PAUSE;
pub use repeat::quickly;
pub use runners::{Deletion, JitConfig, JitRequest, Runner, RunnerStatus};
pub use runs::{HeadRepository, Job, JobState, Page, Run, RunOwner, RunRepository, RunState};
pub use versions::{EndOfLife, RunnerVersion};

use crate::aws::causes;
use crate::clock::Clock;
use crate::config::{GitHubConfig, ScopeKind};
use crate::job::{InstallationId, JobMessage};
use crate::secret::{SecretReader, expose};
use error::{Refusal, classify};
use gate::Gate;
use groups::Groups;
use pace::{Cost, Pacer, READ_POINTS, WRITE_POINTS};
use sign_in::SignIn;

/// Before this, the call is given up as unanswered. Real time: it guards against the real network.
const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// Likewise, for the connection alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The version of the REST API that this code was written to.
const API_VERSION: &str = "2022-11-28";

/// What GitHub counts limits by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CredentialKey {
    /// An App's installation.
    Installation(InstallationId),
    /// The personal access token.
    Token,
    /// The App itself.
    App,
}

/// Whose resources a call is about, and thereby which credential it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The organisation's or user's login.
    pub login: String,
    /// Whether it is an organisation.
    pub is_organization: bool,
    /// One of its repositories, to find the installation of a personal account by.
    pub repository: Option<String>,
    /// The installation, where somebody told us. It may be out of date.
    pub installation: Option<InstallationId>,
}

impl From<&JobMessage> for Account {
    fn from(message: &JobMessage) -> Self {
        Self {
            login: message.owner.clone(),
            is_organization: message.organization.is_some(),
            repository: Some(message.repository.clone()),
            installation: message.installation_id,
        }
    }
}

/// Where a runner is registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// With an enterprise, by its slug: its runner groups say which organisations may use it.
    Enterprise(String),
    /// With an organisation: its runner groups say which repositories may use it.
    Organization(String),
    /// With one repository.
    Repository {
        /// The owner's login.
        owner: String,
        /// The repository's name.
        name: String,
    },
}

impl Scope {
    /// Where the runner for a job is registered. A personal account has no runners of its own and belongs to no
    /// enterprise, so there it is the repository whatever was configured.
    pub fn of(kind: &ScopeKind, message: &JobMessage) -> Self {
        match (kind, &message.organization) {
            (ScopeKind::Enterprise(slug), Some(_)) => Self::Enterprise(slug.clone()),
            (ScopeKind::Org, Some(organization)) => Self::Organization(organization.clone()),
            (ScopeKind::Repo, _) | (_, None) => {
                Self::Repository { owner: message.owner.clone(), name: message.repository.clone() }
            }
        }
    }

    fn path(&self) -> Vec<&str> {
        match self {
            Self::Enterprise(slug) => vec!["enterprises", slug, "actions", "runners"],
            Self::Organization(login) => vec!["orgs", login, "actions", "runners"],
            Self::Repository { owner, name } => vec!["repos", owner, name, "actions", "runners"],
        }
    }

    /// What the credential needs in order to manage runners here, in the words of GitHub's settings.
    fn permission(&self) -> &'static str {
        match self {
            Self::Enterprise(_) => "a classic personal access token with manage_runners:enterprise",
            Self::Organization(_) => {
                "the App's organization permission \"Self-hosted runners: Read and write\" (or a token with admin:org)"
            }
            Self::Repository { .. } => {
                "the App's repository permission \"Administration: Read and write\" (or a token with repo)"
            }
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enterprise(slug) => write!(formatter, "enterprise {slug}"),
            Self::Organization(login) => write!(formatter, "organization {login}"),
            Self::Repository { owner, name } => write!(formatter, "repository {owner}/{name}"),
        }
    }
}

/// A client that lives as long as its process. Tokens, pauses and connections are shared by all calls.
pub struct GitHub {
    http: reqwest::Client,
    config: GitHubConfig,
    clock: Clock,
    gate: Gate,
    pacer: Pacer,
    /// What is left of each credential's hour, by the last answer.
    budgets: Mutex<HashMap<CredentialKey, u64>>,
    sign_in: SignIn,
    groups: Groups,
}

/// One call, before it is signed.
struct Call<'a> {
    method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    body: Option<serde_json::Value>,
    /// What the credential needs for it.
    permission: &'static str,
    /// A 404 means that the credential may not see the account, not that one thing in it is gone.
    on_account_itself: bool,
    /// What a denial of it is remembered for, where that is not the account.
    subject: Option<String>,
    pace: Pace,
}

/// How a call minds GitHub's secondary limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// It finishes what has been begun, so it is made in any case.
    Uncovered,
    /// It begins something, and is made only if the ledger covers it.
    Covered {
        /// Whoever was told to come back goes before newcomers.
        has_waited: bool,
    },
}

impl<'a> Call<'a> {
    fn get(path: Vec<&'a str>, permission: &'static str) -> Self {
        Self {
            method: Method::GET,
            path,
            query: Vec::new(),
            body: None,
            permission,
            on_account_itself: false,
            subject: None,
            pace: Pace::Uncovered,
        }
    }

    fn post(path: Vec<&'a str>, permission: &'static str, body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).expect("our own request types always become JSON");
        Self { method: Method::POST, body: Some(body), ..Self::get(path, permission) }
    }

    fn on_account_itself(mut self) -> Self {
        self.on_account_itself = true;
        self
    }

    /// Looks at jobs: a repository that does not let us says nothing about the registrations of its owner.
    fn about_jobs(mut self, owner: &str, repository: &str) -> Self {
        self.subject = Some(format!("{owner}/{repository} jobs"));
        self
    }

    /// Looks at hooks, which we may do without.
    fn about_hooks(mut self, scope: &Scope) -> Self {
        self.subject = Some(format!("{scope} hooks"));
        self
    }

    /// Asks about a version of the runner, which we may do without.
    fn about_versions(mut self, scope: &Scope) -> Self {
        self.subject = Some(format!("{scope} versions"));
        self
    }

    /// Begins something that can wait for its turn.
    fn in_turn(mut self, has_waited: bool) -> Self {
        self.pace = Pace::Covered { has_waited };
        self
    }

    fn points(&self) -> u32 {
        if self.method == Method::GET { READ_POINTS } else { WRITE_POINTS }
    }

    /// What must be left before it is made in turn. A read is followed by a registration; a deletion leaves room for
    /// two batches of registrations.
    fn points_needed(&self) -> u32 {
        match self.method {
            Method::GET => READ_POINTS + WRITE_POINTS,
            Method::DELETE => 21 * WRITE_POINTS,
            _ => WRITE_POINTS,
        }
    }
}

/// What one exchange came to, short of success.
enum Failure {
    Refused(Refusal),
    Silent(String),
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Silent(causes(&error.without_url()))
    }
}

impl GitHub {
    /// A client for the configured host. Nothing is read or called before the first use.
    pub fn new(config: GitHubConfig, secret: SecretReader, clock: Clock) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert("x-github-api-version", HeaderValue::from_static(API_VERSION));
        let http = reqwest::Client::builder()
            .user_agent(concat!("jitgate/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .https_only(config.api_url.starts_with("https:"))
            .tls_certs_merge(config.authorities.clone())
            .build()
            .expect("static settings, and certificates that were tried when the configuration was read");
        Self {
            http,
            pacer: Pacer::new(config.points_per_minute),
            config,
            gate: Gate::default(),
            budgets: Mutex::default(),
            sign_in: SignIn::new(secret, clock.clone()),
            groups: Groups::default(),
            clock,
        }
    }

    /// Where the runner for a job is registered.
    pub fn scope_of(&self, message: &JobMessage) -> Scope {
        Scope::of(&self.config.scope, message)
    }

    /// Calls that are left of the hour to the credential that has the least, by the answers since the last question.
    pub fn take_budget(&self) -> Option<u64> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *budgets).into_values().min()
    }

    /// What a denial is remembered for: an enterprise, an organisation, or one repository where runners are registered
    /// there. A repository that is archived or not selected for the App says nothing about its neighbours.
    fn subject(&self, account: &Account) -> String {
        match (&self.config.scope, &account.repository) {
            (ScopeKind::Enterprise(slug), _) if account.is_organization => format!("enterprise {slug}"),
            (kind, Some(repository)) if *kind == ScopeKind::Repo || !account.is_organization => {
                format!("{}/{repository}", account.login)
            }
            _ => account.login.clone(),
        }
    }

    /// Makes a call with the account's credential.
    async fn call<T: DeserializeOwned>(&self, account: &Account, call: Call<'_>) -> Result<T, GitHubError> {
        self.call_with_headers(account, call).await.map(|(answer, _)| answer)
    }

    /// The same, with the answer's headers.
    async fn call_with_headers<T: DeserializeOwned>(
        &self,
        account: &Account,
        call: Call<'_>,
    ) -> Result<(T, HeaderMap), GitHubError> {
        let subject = call.subject.clone().unwrap_or_else(|| self.subject(account));
        let mut renewed = false;
        let mut relocated = false;
        loop {
            let (key, bearer) = self.credential_for(account).await?;
            self.gate.check(key, &subject, self.clock.now())?;
            let permit = match call.pace {
                Pace::Uncovered => self.pacer.spend(key, call.points(), self.clock.now()),
                Pace::Covered { has_waited } => {
                    let cost = Cost { points: call.points(), needed: call.points_needed() };
                    let permit = self.pacer.admit(key, cost, has_waited, || self.clock.now()).await;
                    // A neighbour may have met a limit while this call waited for its turn.
                    self.gate.check(key, &subject, self.clock.now())?;
                    permit.map_err(|until| GitHubError::Paced { until })?
                }
            };
            let outcome = self.exchange(&call, &bearer, key).await;
            drop(permit);
            let refusal = match outcome {
                Ok(answer) => {
                    self.gate.opened(key, &subject);
                    return Ok(answer);
                }
                Err(Failure::Silent(cause)) => return Err(GitHubError::Silent { cause }),
                Err(Failure::Refused(refusal)) => refusal,
            };
            match refusal {
                Refusal::Unauthorized(_) if !renewed => {
                    renewed = true;
                    self.sign_in.forget(key, &bearer).await;
                }
                Refusal::NotFound(_) if call.on_account_itself && !relocated && self.relocate(account, key).await? => {
                    relocated = true;
                }
                // Not a denial of everything else: it may be nothing but a wrong runner group.
                Refusal::NotFound(message) if call.on_account_itself => {
                    let message = format!(
                        "{message} (404): {} is not there for this credential, or the runner group is not; it needs {}",
                        account.login, call.permission
                    );
                    return Err(GitHubError::NotFound { message });
                }
                refusal => return Err(self.decide(refusal, key, &subject, call.permission)),
            }
        }
    }

    /// The one place where a refusal becomes a decision.
    fn decide(&self, refusal: Refusal, key: CredentialKey, subject: &str, permission: &str) -> GitHubError {
        let now = self.clock.now();
        match refusal {
            Refusal::NameTaken => GitHubError::NameTaken,
            Refusal::NotFound(message) => GitHubError::NotFound { message },
            Refusal::Limited(until) => {
                let error = self.gate.limit(key, until, now);
                if let GitHubError::RateLimited { until } = error {
                    self.pacer.refused(key, until, now);
                }
                error
            }
            Refusal::Unauthorized(message) => {
                let reason = match key {
                    CredentialKey::Token => format!("the token in the secret is not accepted (401): {message}"),
                    CredentialKey::App | CredentialKey::Installation(_) => {
                        format!("app_id and private_key in the secret are not accepted (401): {message}")
                    }
                };
                self.gate.deny(key, subject, reason, now)
            }
            Refusal::Forbidden(message) => {
                self.gate.deny(key, subject, format!("{message} (403): it needs {permission}"), now)
            }
            Refusal::Full(message) => GitHubError::Full { message },
            Refusal::Rejected(status, message) => GitHubError::Rejected { status, message },
            Refusal::Unavailable(status, message) => GitHubError::Unavailable { status, message },
        }
    }

    /// One request and its answer, with the answer's headers.
    async fn exchange<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        bearer: &SecretString,
        key: CredentialKey,
    ) -> Result<(T, HeaderMap), Failure> {
        let mut request = self.http.request(call.method.clone(), self.url(&call.path)).bearer_auth(expose(bearer));
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await?;
        let now = self.clock.now();
        self.pacer.answered(key, &headers, now);
        if let Some(remaining) =
            headers.get("x-ratelimit-remaining").and_then(|value| value.to_str().ok()?.parse().ok())
        {
            self.budgets.lock().unwrap_or_else(PoisonError::into_inner).insert(key, remaining);
        }
        if !status.is_success() {
            return Err(Failure::Refused(classify(status, &headers, &body, now)));
        }
        // 204 has no body; only a call whose answer is `()` gets one.
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        let answer = serde_json::from_slice(body).map_err(|error| {
            Failure::Silent(format!("answer {status} is not what is expected (column {})", error.column()))
        })?;
        Ok((answer, headers))
    }

    /// Percent-encodes each segment, so that a name can never lead elsewhere.
    fn url(&self, path: &[&str]) -> Url {
        let mut url: Url = self.config.api_url.parse().expect("checked when the configuration was read");
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(path);
        url
    }
}
