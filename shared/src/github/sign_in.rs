//! Which credential a call uses: the secret's token as it is, or an installation token obtained with the App's key.
//!
//! | copy of | kept for | read again earlier when |
//! |---|---|---|
//! | App key or personal access token | 15 min | GitHub answers 401 |
//! | installation token | until 2 min before it expires | GitHub answers 401, once for each call |
//! | a new installation token that some of GitHub's servers refuse | as any other; the call waits | |
//! | a failed request for a token | not at all, but calls that waited for it share its failure | |
//! | an installation that was looked up | the process's life | GitHub answers 404 |
//!
//! However many calls need a token at the same time, it is requested once. It is narrowed to the permissions in use. Check runs
//! have one of their own: GitHub refuses a token for what an installation does not grant, and launches must not depend on that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use time::{Duration, OffsetDateTime};

use super::app::AppSigner;
use super::call::{Call, CredentialKey, Needs, subject_of_checks};
use super::error::{GitHubError, Refusal};
use super::fetched::Fetched;
use super::pauses::TOKEN_PAUSE;
use super::place::Account;
use super::transport::{Answer, Failure, Transport};
use crate::clock::Clock;
use crate::config::ScopeKind;
use crate::job::InstallationId;
use crate::secret::{Credential, SecretReader, expose};

/// How long a copy of the secret is used before it is read again.
const SECRET_LIFETIME: Duration = Duration::minutes(15);

/// A new installation token takes seconds to reach all of GitHub's servers, of which users saw up to thirty. Until then some
/// answer 401 (the token is not known), 403 or 404 (its permissions are not). Source: octokit/auth-app.js#65 and #589.
const TOKEN_LAG: Duration = Duration::seconds(60);

/// An installation token this close to its end is no longer used: a call may take ten seconds, and clocks differ.
const TOKEN_MARGIN: Duration = Duration::minutes(2);

/// Source: the enterprise routes in GitHub's OpenAPI description have `enabledForGitHubApps: false`.
const NO_APP_FOR_ENTERPRISES: &str = "GitHub lets no App register an enterprise's runners: token must be a classic \
                                      personal access token with manage_runners:enterprise and repo, in place of \
                                      app_id and private_key";

/// The credentials in use.
pub(super) struct SignIn {
    secret: SecretReader,
    scope: ScopeKind,
    clock: Clock,
    /// With the time at which the secret was read.
    identity: Fetched<(OffsetDateTime, Arc<Identity>)>,
    tokens: Mutex<Tokens>,
    /// Found by asking GitHub, because no delivery named one or the one named was wrong. Keys are logins in lower case.
    installations: Mutex<HashMap<String, InstallationId>>,
}

/// Installation tokens, by what they are for.
type Tokens = HashMap<(InstallationId, Needs), Arc<Fetched<Token>>>;

enum Identity {
    App(AppSigner),
    Token(SecretString),
}

#[derive(Deserialize)]
struct InstallationIdJson {
    id: InstallationId,
}

#[derive(Deserialize)]
struct TokenJson {
    token: SecretString,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

#[derive(Clone)]
struct Token {
    bearer: SecretString,
    expires_at: OffsetDateTime,
    youth: Arc<Youth>,
}

/// Whether an installation token may still be on its way to some of GitHub's servers.
pub(super) struct Youth {
    made_at: OffsetDateTime,
    /// A call with it has succeeded.
    is_accepted: AtomicBool,
}

impl Youth {
    pub(super) fn accept(&self) {
        self.is_accepted.store(true, Ordering::Relaxed);
    }

    /// No call with the token has succeeded so far.
    pub(super) fn is_untried(&self) -> bool {
        !self.is_accepted.load(Ordering::Relaxed)
    }

    /// Whether the refusal may only mean that the token is new. That another call has succeeded says nothing: it may have met
    /// another server.
    pub(super) fn explains(&self, refusal: &Refusal, now: OffsetDateTime) -> bool {
        now - self.made_at < TOKEN_LAG
            && matches!(refusal, Refusal::Unauthorized(_) | Refusal::Forbidden(_) | Refusal::NotFound(_))
    }

    /// When to ask again about something that GitHub does not show: at growing intervals, and last when the token is no longer
    /// new, since it may really be gone.
    pub(super) fn tells_more_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        (now + TOKEN_PAUSE.max(now - self.made_at)).min(self.made_at + TOKEN_LAG)
    }
}

/// What a call is signed with.
pub(super) struct SignedIn {
    pub(super) key: CredentialKey,
    pub(super) bearer: SecretString,
    /// Absent for a personal access token.
    pub(super) youth: Option<Arc<Youth>>,
}

impl SignedIn {
    fn with(installation: InstallationId, token: Token) -> Self {
        Self { key: CredentialKey::Installation(installation), bearer: token.bearer, youth: Some(token.youth) }
    }
}

impl SignIn {
    pub(super) fn new(secret: SecretReader, scope: ScopeKind, clock: Clock) -> Self {
        Self {
            secret,
            scope,
            clock,
            identity: Fetched::default(),
            tokens: Mutex::default(),
            installations: Mutex::default(),
        }
    }

    /// GitHub no longer accepts this bearer: read the token, and the secret behind it, again. A token that another call has
    /// renewed meanwhile stays.
    pub(super) async fn forget(&self, key: CredentialKey, refused: &SecretString) {
        if let CredentialKey::Installation(installation) = key {
            let is_refused = |known: &Token| expose(&known.bearer) == expose(refused);
            // Whichever of the two it was.
            let of_runners = self.token_of(installation, Needs::Runners).forget(is_refused).await;
            let is_known = of_runners || self.token_of(installation, Needs::Checks).forget(is_refused).await;
            if !is_known {
                return;
            }
        }
        self.forget_identity().await;
    }

    async fn forget_identity(&self) {
        self.identity.forget(|_| true).await;
    }

    async fn identity(&self) -> Result<Arc<Identity>, GitHubError> {
        let is_fresh = |(read_at, _): &(OffsetDateTime, _)| self.clock.now() - *read_at < SECRET_LIFETIME;
        let (_, identity) = self.identity.get(is_fresh, async || self.read_identity().await).await?;
        Ok(identity)
    }

    async fn read_identity(&self) -> Result<(OffsetDateTime, Arc<Identity>), GitHubError> {
        let now = self.clock.now();
        let secret = self.secret.current().await?;
        let identity = match secret.credential().map_err(|problem| self.secret.unusable(problem))? {
            Credential::App { id, private_key } => {
                Identity::App(AppSigner::new(id, private_key).map_err(|problem| self.secret.unusable(problem))?)
            }
            Credential::Token(token) => Identity::Token(token.clone()),
        };
        Ok((now, Arc::new(identity)))
    }

    /// Whether the secret holds an App's key, not a personal access token.
    pub(super) async fn is_app(&self) -> Result<bool, GitHubError> {
        Ok(matches!(&*self.identity().await?, Identity::App(_)))
    }

    fn token_of(&self, installation: InstallationId, needs: Needs) -> Arc<Fetched<Token>> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tokens.entry((installation, needs)).or_default())
    }

    fn known_installation(&self, account: &Account) -> Option<InstallationId> {
        let installations = self.installations.lock().unwrap_or_else(PoisonError::into_inner);
        installations.get(&account.login.to_ascii_lowercase()).copied()
    }

    fn remember_installation(&self, account: &Account, installation: InstallationId) {
        let mut installations = self.installations.lock().unwrap_or_else(PoisonError::into_inner);
        installations.insert(account.login.to_ascii_lowercase(), installation);
    }

    /// The credential for calls about an account.
    pub(super) async fn credential_for(
        &self,
        transport: &Transport,
        account: &Account,
        needs: Needs,
    ) -> Result<SignedIn, GitHubError> {
        let identity = self.identity().await?;
        let signer = match &*identity {
            Identity::Token(token) => {
                return Ok(SignedIn { key: CredentialKey::Token, bearer: token.clone(), youth: None });
            }
            Identity::App(_) if matches!(self.scope, ScopeKind::Enterprise(_)) => {
                return Err(self.secret.unusable(NO_APP_FOR_ENTERPRISES).into());
            }
            Identity::App(signer) => signer,
        };
        let installation = match self.known_installation(account).or(account.installation) {
            Some(installation) => installation,
            None => self.look_up(transport, account, signer).await?,
        };
        match self.token(transport, (installation, needs), account, signer).await {
            Ok(token) => Ok(SignedIn::with(installation, token)),
            Err(GitHubError::NotFound { .. }) => {
                let found = self.look_up(transport, account, signer).await?;
                match self.token(transport, (found, needs), account, signer).await {
                    Ok(token) => Ok(SignedIn::with(found, token)),
                    // One answer says that the App is installed and the next that it is not: a passing state of GitHub's.
                    Err(GitHubError::NotFound { message }) => Err(GitHubError::Unavailable { status: 404, message }),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// For a call whose installation does not see the account: finds the right one. False if there is no other.
    pub(super) async fn relocate(
        &self,
        transport: &Transport,
        account: &Account,
        used: CredentialKey,
    ) -> Result<bool, GitHubError> {
        let identity = self.identity().await?;
        match (&*identity, used) {
            (Identity::App(signer), CredentialKey::Installation(used)) => {
                Ok(self.look_up(transport, account, signer).await? != used)
            }
            _ => Ok(false),
        }
    }

    async fn look_up(
        &self,
        transport: &Transport,
        account: &Account,
        signer: &AppSigner,
    ) -> Result<InstallationId, GitHubError> {
        let path = match &account.repository {
            Some(repository) if !account.is_organization => vec!["repos", &account.login, repository, "installation"],
            None if !account.is_organization => vec!["users", &account.login, "installation"],
            _ => vec!["orgs", &account.login, "installation"],
        };
        let call = Call::get(path, "a GitHub App");
        let key = CredentialKey::App;
        match self.call_with_signer::<InstallationIdJson>(transport, signer, key, &account.login, &call).await {
            Ok(Answer { body: installation, .. }) => {
                self.remember_installation(account, installation.id);
                Ok(installation.id)
            }
            Err(GitHubError::NotFound { .. }) => {
                let reason = format!("the App is not installed on {}", account.login);
                Err(transport.pauses.deny(key, &account.login, reason, self.clock.now()))
            }
            Err(error) => Err(error),
        }
    }

    async fn token(
        &self,
        transport: &Transport,
        (installation, needs): (InstallationId, Needs),
        account: &Account,
        signer: &AppSigner,
    ) -> Result<Token, GitHubError> {
        let is_fresh = |token: &Token| token.expires_at - TOKEN_MARGIN > self.clock.now();
        let fetch = async || self.fetch_token(transport, (installation, needs), account, signer).await;
        self.token_of(installation, needs).get(is_fresh, fetch).await
    }

    async fn fetch_token(
        &self,
        transport: &Transport,
        (installation, needs): (InstallationId, Needs),
        account: &Account,
        signer: &AppSigner,
    ) -> Result<Token, GitHubError> {
        let (id, permissions) = (installation.to_string(), self.permissions(account, needs));
        let call = Call::post(
            vec!["app", "installations", &id, "access_tokens"],
            "an installation that grants what the App asks for",
            &serde_json::json!({ "permissions": permissions }),
        );
        let key = CredentialKey::Installation(installation);
        // A token without check runs says nothing about the other, so a denial of one does not count for both.
        let subject = match needs {
            Needs::Runners => account.login.clone(),
            Needs::Checks => subject_of_checks(&account.login),
        };
        match self.call_with_signer(transport, signer, key, &subject, &call).await {
            Ok(Answer { body: TokenJson { token, expires_at }, .. }) => {
                let youth = Youth { made_at: self.clock.now(), is_accepted: AtomicBool::new(false) };
                Ok(Token { bearer: token, expires_at, youth: Arc::new(youth) })
            }
            // "The permissions requested are not granted to this installation."
            Err(GitHubError::Refused { status: 422, message }) if message.contains("permission") => {
                let reason = format!("{message} (422): the installation must grant {permissions}");
                Err(transport.pauses.deny(key, &subject, reason, self.clock.now()))
            }
            Err(error) => Err(error),
        }
    }

    /// The permissions that a token is narrowed to, whatever else the App may do.
    fn permissions(&self, account: &Account, needs: Needs) -> serde_json::Value {
        match &self.scope {
            _ if needs == Needs::Checks => serde_json::json!({ "checks": "write" }),
            ScopeKind::Org if account.is_organization => {
                serde_json::json!({ "organization_self_hosted_runners": "write", "actions": "read" })
            }
            // No App may manage an enterprise's runners, which is said before a token is requested.
            ScopeKind::Org | ScopeKind::Repo | ScopeKind::Enterprise(_) => {
                serde_json::json!({ "administration": "write", "actions": "read" })
            }
        }
    }

    /// A call with the App's own token.
    pub(super) async fn call_as_app<T: DeserializeOwned>(
        &self,
        transport: &Transport,
        call: &Call<'_>,
    ) -> Result<Answer<T>, GitHubError> {
        let identity = self.identity().await?;
        match &*identity {
            Identity::Token(_) => Err(self.secret.unusable("the call needs app_id and private_key").into()),
            Identity::App(signer) => self.call_with_signer(transport, signer, CredentialKey::App, "", call).await,
        }
    }

    async fn call_with_signer<T: DeserializeOwned>(
        &self,
        transport: &Transport,
        signer: &AppSigner,
        key: CredentialKey,
        owner: &str,
        call: &Call<'_>,
    ) -> Result<Answer<T>, GitHubError> {
        let now = self.clock.now();
        transport.pauses.check(key, owner, now)?;
        let bearer = signer.sign(now).map_err(|problem| self.secret.unusable(problem))?.into();
        match transport.exchange(call, &bearer, CredentialKey::App).await {
            Ok(answer) => {
                transport.pauses.opened(key, owner);
                Ok(answer)
            }
            Err(Failure::Silent(cause)) => Err(GitHubError::Silent { cause }),
            Err(Failure::NoPath(name)) => Err(GitHubError::BadName { name }),
            Err(Failure::Refused(refusal)) => {
                if matches!(refusal, Refusal::Unauthorized(_)) {
                    // The key may have been rotated. The next read comes after the pause that follows.
                    self.forget_identity().await;
                }
                Err(transport.decide(refusal, key, owner, call.permission))
            }
        }
    }
}
