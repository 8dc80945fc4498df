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
use tokio::sync::Mutex as AsyncMutex;

use super::app::AppSigner;
use super::error::Refusal;
use super::{Account, Call, CredentialKey, Failure, GitHub, GitHubError};
use crate::clock::Clock;
use crate::config::ScopeKind;
use crate::job::InstallationId;
use crate::secret::{Credential, SecretReader, expose};

/// How long a copy of the secret is used before it is read again.
const SECRET_LIFETIME: Duration = Duration::minutes(15);

/// An installation token this close to its end is not used any more: a call may take ten seconds, and clocks differ.
const TOKEN_MARGIN: Duration = Duration::minutes(2);

/// A request for a token that just failed is not repeated for this long: its neighbours in the batch wait for the same
/// one, and each would find the same. Shorter than the pause before a quick repeat.
const FAILURE_LIFETIME: Duration = Duration::milliseconds(50);

/// Source: the enterprise routes in GitHub's OpenAPI description have `enabledForGitHubApps: false`.
const NO_APP_FOR_ENTERPRISES: &str = "GitHub lets no App register an enterprise's runners: token must be a classic \
                                      personal access token with manage_runners:enterprise and repo, in place of \
                                      app_id and private_key";

/// Keeps what has been signed in.
pub(super) struct SignIn {
    secret: SecretReader,
    clock: Clock,
    identity: AsyncMutex<Option<(OffsetDateTime, Arc<Identity>)>>,
    tokens: Mutex<HashMap<InstallationId, Arc<AsyncMutex<Slot>>>>,
    /// Found by asking, because no delivery named one or the one named was wrong. Keys are logins in lower case.
    installations: Mutex<HashMap<String, InstallationId>>,
}

enum Identity {
    App(AppSigner),
    Token(SecretString),
}

#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Token {
        token: SecretString,
        expires_at: OffsetDateTime,
    },
    Failed {
        at: OffsetDateTime,
        error: GitHubError,
    },
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

impl SignIn {
    pub(super) fn new(secret: SecretReader, clock: Clock) -> Self {
        Self {
            secret,
            clock,
            identity: AsyncMutex::default(),
            tokens: Mutex::default(),
            installations: Mutex::default(),
        }
    }

    /// GitHub no longer takes this bearer: the token and the copy of the secret behind it are read anew. A token that
    /// a neighbour has renewed meanwhile stays.
    pub(super) async fn forget(&self, key: CredentialKey, refused: &SecretString) {
        if let CredentialKey::Installation(installation) = key {
            let slot = self.slot(installation);
            let mut slot = slot.lock().await;
            match &*slot {
                Slot::Token { token, .. } if expose(token) == expose(refused) => *slot = Slot::Empty,
                _ => return,
            }
        }
        *self.identity.lock().await = None;
    }

    async fn identity(&self) -> Result<Arc<Identity>, GitHubError> {
        let mut cached = self.identity.lock().await;
        let now = self.clock.now();
        if let Some((read_at, identity)) = &*cached
            && now - *read_at < SECRET_LIFETIME
        {
            return Ok(Arc::clone(identity));
        }
        let secret = self.secret.current().await?;
        let identity = match secret.credential().map_err(|problem| self.secret.unusable(problem))? {
            Credential::App { id, private_key } => {
                Identity::App(AppSigner::new(id, private_key).map_err(|problem| self.secret.unusable(problem))?)
            }
            Credential::Token(token) => Identity::Token(token.clone()),
        };
        let identity = Arc::new(identity);
        *cached = Some((now, Arc::clone(&identity)));
        Ok(identity)
    }

    /// Whether the secret holds an App's key, not a token.
    pub(super) async fn is_app(&self) -> Result<bool, GitHubError> {
        Ok(matches!(&*self.identity().await?, Identity::App(_)))
    }

    fn slot(&self, installation: InstallationId) -> Arc<AsyncMutex<Slot>> {
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
        let slot = self.sign_in.slot(installation);
        let mut slot = slot.lock().await;
        let now = self.clock.now();
        match &*slot {
            Slot::Token { token, expires_at } if *expires_at - TOKEN_MARGIN > now => return Ok(token.clone()),
            Slot::Failed { at, error } if now - *at < FAILURE_LIFETIME => return Err(error.clone()),
            _ => {}
        }
        let id = installation.to_string();
        let call = Call::post(
            vec!["app", "installations", &id, "access_tokens"],
            "an installation that grants what the App asks for",
            &serde_json::json!({ "permissions": self.permissions(account) }),
        );
        let key = CredentialKey::Installation(installation);
        match self.call_as_app::<TokenJson>(signer, key, &account.login, &call).await {
            Ok((TokenJson { token, expires_at }, _)) => {
                *slot = Slot::Token { token: token.clone(), expires_at };
                Ok(token)
            }
            Err(error) => {
                let error = match error {
                    // "The permissions requested are not granted to this installation."
                    GitHubError::Rejected { status: 422, message } => {
                        let reason =
                            format!("{message} (422): the installation must grant {}", self.permissions(account));
                        self.gate.deny(key, &account.login, reason, now)
                    }
                    other => other,
                };
                *slot = Slot::Failed { at: now, error: error.clone() };
                Err(error)
            }
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
                    *self.sign_in.identity.lock().await = None;
                }
                Err(self.decide(refusal, key, owner, call.permission))
            }
        }
    }
}
