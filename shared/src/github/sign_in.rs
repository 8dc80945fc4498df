//! Which credential a call uses: the secret's token as it is, or an installation's token, had with the App's key.
//!
//! Tokens live for an hour and are kept until shortly before; however many calls need one at the same time, it is
//! asked for once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};

use super::app::AppSigner;
use super::error::Refusal;
use super::fetched::Fetched;
use super::{Account, Call, CredentialKey, Failure, GitHub, GitHubError};
use crate::clock::Clock;
use crate::config::ScopeKind;
use crate::job::InstallationId;
use crate::secret::{Credential, SecretReader, expose};

/// How long a copy of the secret is used before it is read again.
const SECRET_LIFETIME: Duration = Duration::minutes(15);

/// An installation token this close to its end is not used any more: a call may take ten seconds, and clocks differ.
const TOKEN_MARGIN: Duration = Duration::minutes(2);

/// Source: the enterprise routes in GitHub's OpenAPI description have `enabledForGitHubApps: false`.
const NO_APP_FOR_ENTERPRISES: &str = "GitHub lets no App register an enterprise's runners: token must be a classic \
                                      personal access token with manage_runners:enterprise and repo, in place of \
                                      app_id and private_key";

/// Keeps what has been signed in.
pub(super) struct SignIn {
    secret: SecretReader,
    clock: Clock,
    /// With the time at which it was read.
    identity: Fetched<(OffsetDateTime, Arc<Identity>)>,
    tokens: Mutex<HashMap<InstallationId, Arc<Fetched<Token>>>>,
    /// Found by asking, because no delivery named one or the one named was wrong. Keys are logins in lower case.
    installations: Mutex<HashMap<String, InstallationId>>,
}

enum Identity {
    App(AppSigner),
    Token(SecretString),
}

#[derive(Deserialize)]
struct InstallationIdJson {
    id: InstallationId,
}

#[derive(Clone, Deserialize)]
struct Token {
    token: SecretString,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

impl SignIn {
    pub(super) fn new(secret: SecretReader, clock: Clock) -> Self {
        Self { secret, clock, identity: Fetched::default(), tokens: Mutex::default(), installations: Mutex::default() }
    }

    /// GitHub no longer takes this bearer: the token and the copy of the secret behind it are read anew. A token that
    /// a neighbour has renewed meanwhile stays.
    pub(super) async fn forget(&self, key: CredentialKey, refused: &SecretString) {
        if let CredentialKey::Installation(installation) = key {
            let is_refused = |known: &Token| expose(&known.token) == expose(refused);
            if !self.token_of(installation).forget(is_refused).await {
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

    /// Whether the secret holds an App's key, not a token.
    pub(super) async fn is_app(&self) -> Result<bool, GitHubError> {
        Ok(matches!(&*self.identity().await?, Identity::App(_)))
    }

    fn token_of(&self, installation: InstallationId) -> Arc<Fetched<Token>> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tokens.entry(installation).or_default())
    }

    fn known_installation(&self, account: &Account) -> Option<InstallationId> {
        let installations = self.installations.lock().unwrap_or_else(PoisonError::into_inner);
        installations.get(&account.login.to_ascii_lowercase()).copied()
    }

    fn remember_installation(&self, account: &Account, installation: InstallationId) {
        let mut installations = self.installations.lock().unwrap_or_else(PoisonError::into_inner);
        installations.insert(account.login.to_ascii_lowercase(), installation);
    }
}

impl GitHub {
    /// The credential for calls about an account.
    pub(super) async fn credential_for(&self, account: &Account) -> Result<(CredentialKey, SecretString), GitHubError> {
        let identity = self.sign_in.identity().await?;
        let signer = match &*identity {
            Identity::Token(token) => return Ok((CredentialKey::Token, token.clone())),
            Identity::App(_) if matches!(self.config.scope, ScopeKind::Enterprise(_)) => {
                return Err(self.sign_in.secret.unusable(NO_APP_FOR_ENTERPRISES).into());
            }
            Identity::App(signer) => signer,
        };
        let installation = match self.sign_in.known_installation(account).or(account.installation) {
            Some(installation) => installation,
            None => self.look_up(account, signer).await?,
        };
        match self.token(installation, account, signer).await {
            Ok(token) => Ok((CredentialKey::Installation(installation), token)),
            Err(GitHubError::NotFound { .. }) => {
                let found = self.look_up(account, signer).await?;
                match self.token(found, account, signer).await {
                    Ok(token) => Ok((CredentialKey::Installation(found), token)),
                    // Installed, says one answer, and not there, says the next: GitHub does that in passing.
                    Err(GitHubError::NotFound { message }) => Err(GitHubError::Unavailable { status: 404, message }),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The installation that a call used does not see the account: finds the right one. False if that is no other.
    pub(super) async fn relocate(&self, account: &Account, used: CredentialKey) -> Result<bool, GitHubError> {
        let identity = self.sign_in.identity().await?;
        match (&*identity, used) {
            (Identity::App(signer), CredentialKey::Installation(used)) => {
                Ok(self.look_up(account, signer).await? != used)
            }
            _ => Ok(false),
        }
    }

    async fn look_up(&self, account: &Account, signer: &AppSigner) -> Result<InstallationId, GitHubError> {
        let path = match &account.repository {
            Some(repository) if !account.is_organization => vec!["repos", &account.login, repository, "installation"],
            None if !account.is_organization => vec!["users", &account.login, "installation"],
            _ => vec!["orgs", &account.login, "installation"],
        };
        let call = Call::get(path, "a GitHub App");
        match self.call_as_app::<InstallationIdJson>(signer, CredentialKey::App, &account.login, &call).await {
            Ok((installation, _)) => {
                self.sign_in.remember_installation(account, installation.id);
                Ok(installation.id)
            }
            Err(GitHubError::NotFound { .. }) => {
                let reason = format!("the App is not installed on {}", account.login);
                Err(self.gate.deny(CredentialKey::App, &account.login, reason, self.clock.now()))
            }
            Err(error) => Err(error),
        }
    }

    async fn token(
        &self,
        installation: InstallationId,
        account: &Account,
        signer: &AppSigner,
    ) -> Result<SecretString, GitHubError> {
        let is_fresh = |token: &Token| token.expires_at - TOKEN_MARGIN > self.clock.now();
        let fetch = async || self.fetch_token(installation, account, signer).await;
        Ok(self.sign_in.token_of(installation).get(is_fresh, fetch).await?.token)
    }

    async fn fetch_token(
        &self,
        installation: InstallationId,
        account: &Account,
        signer: &AppSigner,
    ) -> Result<Token, GitHubError> {
        let id = installation.to_string();
        let call = Call::post(
            vec!["app", "installations", &id, "access_tokens"],
            "an installation that grants what the App asks for",
            &serde_json::json!({ "permissions": self.permissions(account) }),
        );
        let key = CredentialKey::Installation(installation);
        match self.call_as_app(signer, key, &account.login, &call).await {
            Ok((token, _)) => Ok(token),
            // "The permissions requested are not granted to this installation."
            Err(GitHubError::Rejected { status: 422, message }) => {
                let reason = format!("{message} (422): the installation must grant {}", self.permissions(account));
                Err(self.gate.deny(key, &account.login, reason, self.clock.now()))
            }
            Err(error) => Err(error),
        }
    }

    /// What a token is narrowed down to, whatever else the App may do.
    fn permissions(&self, account: &Account) -> serde_json::Value {
        match &self.config.scope {
            ScopeKind::Org if account.is_organization => {
                serde_json::json!({ "organization_self_hosted_runners": "write", "actions": "read" })
            }
            // An enterprise's runners are beyond any App, which is told before a token is asked for.
            ScopeKind::Org | ScopeKind::Repo | ScopeKind::Enterprise(_) => {
                serde_json::json!({ "administration": "write", "actions": "read" })
            }
        }
    }

    /// A call with the App's own token; `None` where the credential is a personal access token.
    pub(super) async fn call_as_app_itself<T: serde::de::DeserializeOwned>(
        &self,
        call: &Call<'_>,
    ) -> Result<Option<(T, HeaderMap)>, GitHubError> {
        let identity = self.sign_in.identity().await?;
        match &*identity {
            Identity::Token(_) => Ok(None),
            Identity::App(signer) => self.call_as_app(signer, CredentialKey::App, "", call).await.map(Some),
        }
    }

    async fn call_as_app<T: serde::de::DeserializeOwned>(
        &self,
        signer: &AppSigner,
        key: CredentialKey,
        owner: &str,
        call: &Call<'_>,
    ) -> Result<(T, HeaderMap), GitHubError> {
        let now = self.clock.now();
        self.gate.check(key, owner, now)?;
        let bearer = signer.sign(now).map_err(|problem| self.sign_in.secret.unusable(problem))?.into();
        match self.exchange(call, &bearer, CredentialKey::App).await {
            Ok(answer) => {
                self.gate.opened(key, owner);
                Ok(answer)
            }
            Err(Failure::Silent(cause)) => Err(GitHubError::Silent { cause }),
            Err(Failure::Refused(refusal)) => {
                if matches!(refusal, Refusal::Unauthorized(_)) {
                    // The key may have been rotated; the next look comes after the pause that follows.
                    self.sign_in.forget_identity().await;
                }
                Err(self.decide(refusal, key, owner, call.permission))
            }
        }
    }
}
