//! The client: signs each call, repeats what a moment is likely to cure, and turns refusals into decisions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::call::{Call, Caller, CredentialKey};
use super::error::{GitHubError, Refusal};
use super::groups::Groups;
use super::place::{Account, Scope};
use super::repeat::Repeats;
use super::sign_in::{SignIn, SignedIn};
use super::transport::{Answer, Failure, Transport};
use crate::clock::Clock;
use crate::config::{GitHubConfig, ScopeKind};
use crate::secret::SecretReader;

/// How long a call waits for a new installation token before it is repeated: most reach all servers within a second.
const TOKEN_WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(900)];

/// A client that lives as long as its process. All calls share tokens, pauses and connections.
pub struct GitHub {
    pub(super) scope: ScopeKind,
    pub(super) transport: Transport,
    pub(super) sign_in: SignIn,
    groups: Mutex<HashMap<Scope, Arc<Groups>>>,
}

impl GitHub {
    /// A client for the configured host. Nothing is read or called before the first use.
    pub fn new(config: &GitHubConfig, secret: SecretReader, clock: Clock) -> Self {
        Self {
            scope: config.scope.clone(),
            sign_in: SignIn::new(secret, config.scope.clone(), clock.clone()),
            transport: Transport::new(config, clock),
            groups: Mutex::default(),
        }
    }

    /// Calls left of the hour to the credential that has the fewest, by the answers since the last question.
    pub fn take_budget(&self) -> Option<u64> {
        self.transport.take_budget()
    }

    /// Whether the credential is an App, not a personal access token.
    pub async fn is_app(&self) -> Result<bool, GitHubError> {
        self.sign_in.is_app().await
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.transport.clock
    }

    pub(super) fn groups_of(&self, scope: &Scope) -> Arc<Groups> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(groups.entry(scope.clone()).or_default())
    }

    pub(super) fn forget_groups_of(&self, scope: &Scope) {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).remove(scope);
    }

    /// Makes a call, and repeats it where a repeat is likely to succeed.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        caller: Caller<'_>,
        call: &Call<'_>,
    ) -> Result<T, GitHubError> {
        self.call_with_headers(caller, call).await.map(|answer| answer.body)
    }

    /// The same, where only existing things are found: `None` for a 404.
    pub(super) async fn find<T: DeserializeOwned>(
        &self,
        caller: Caller<'_>,
        call: &Call<'_>,
    ) -> Result<Option<T>, GitHubError> {
        match self.call(caller, call).await {
            Ok(found) => Ok(Some(found)),
            Err(GitHubError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same as [`Self::call`], with the answer's headers.
    pub(super) async fn call_with_headers<T: DeserializeOwned>(
        &self,
        caller: Caller<'_>,
        call: &Call<'_>,
    ) -> Result<Answer<T>, GitHubError> {
        self.call_repeatedly(caller, call, &mut Repeats::default()).await
    }

    /// The same; `repeats` tells afterwards whether a try may have been carried out although its answer was lost.
    pub(super) async fn call_repeatedly<T: DeserializeOwned>(
        &self,
        caller: Caller<'_>,
        call: &Call<'_>,
        repeats: &mut Repeats,
    ) -> Result<Answer<T>, GitHubError> {
        loop {
            let outcome = match caller {
                Caller::App => self.sign_in.call_as_app(&self.transport, call).await,
                Caller::Account(account) => self.call_once(account, call).await,
            };
            match outcome {
                Err(error) if repeats.another(&error, self.clock()).await => {}
                outcome => return outcome,
            }
        }
    }

    /// Makes a call once, whatever becomes of it.
    pub(super) async fn call_once<T: DeserializeOwned>(
        &self,
        account: &Account,
        call: &Call<'_>,
    ) -> Result<Answer<T>, GitHubError> {
        let subject = call.subject.clone().unwrap_or_else(|| self.subject(account));
        let mut renewed = false;
        let mut looked_up = false;
        let mut waits = TOKEN_WAITS.into_iter();
        loop {
            let SignedIn { key, bearer, youth } =
                self.sign_in.credential_for(&self.transport, account, call.needs).await?;
            let refusal = match self.transport.admit_and_exchange(call, &bearer, key, &subject).await? {
                Ok(answer) => {
                    youth.inspect(|youth| youth.accept());
                    self.transport.pauses.opened(key, &subject);
                    return Ok(answer);
                }
                Err(Failure::Silent(cause)) => return Err(GitHubError::Silent { cause }),
                Err(Failure::NoPath(name)) => return Err(GitHubError::BadName { name }),
                Err(Failure::Refused(refusal)) => refusal,
            };
            if matches!(refusal, Refusal::NotFound(_)) && call.on_account_itself && !looked_up {
                looked_up = true;
                if self.relocate(account, key).await? {
                    continue;
                }
            }
            let now = self.clock().now();
            if let Some(youth) = youth.as_ref().filter(|youth| youth.explains(&refusal, now)) {
                match waits.next() {
                    Some(wait) => self.clock().sleep(wait).await,
                    // It may really be gone, so calls about other things go on.
                    None if matches!(refusal, Refusal::NotFound(_)) && !call.on_account_itself => {
                        return Err(GitHubError::TokenTooNew { until: youth.tells_more_at(now) });
                    }
                    None => return Err(self.transport.pauses.hold(key, &subject, now)),
                }
                continue;
            }
            match refusal {
                Refusal::Unauthorized(_) if !renewed => {
                    self.sign_in.forget(key, &bearer).await;
                    // A token that was never accepted in its first minute is denied: the next one would be as new again.
                    if youth.is_some_and(|youth| youth.is_untried()) {
                        return Err(self.transport.decide(refusal, key, &subject, call.permission));
                    }
                    renewed = true;
                }
                // Other calls for this account may go on: the reason may be nothing but a wrong runner group.
                Refusal::NotFound(message) if call.on_account_itself => {
                    let message = format!(
                        "{message} (404): {} is not there for this credential, or the runner group is not; it needs {}",
                        account.login, call.permission
                    );
                    return Err(GitHubError::NotFound { message });
                }
                refusal => return Err(self.transport.decide(refusal, key, &subject, call.permission)),
            }
        }
    }

    async fn relocate(&self, account: &Account, used: CredentialKey) -> Result<bool, GitHubError> {
        self.sign_in.relocate(&self.transport, account, used).await
    }

    /// What a denial is remembered for: an enterprise, an organization, or one repository where runners are registered
    /// there. A repository that is archived or not selected for the App says nothing about others.
    fn subject(&self, account: &Account) -> String {
        match (&self.scope, &account.repository) {
            (ScopeKind::Enterprise(slug), _) if account.is_organization => format!("enterprise {slug}"),
            (kind, Some(repository)) if *kind == ScopeKind::Repo || !account.is_organization => {
                format!("{}/{repository}", account.login)
            }
            _ => account.login.clone(),
        }
    }
}
