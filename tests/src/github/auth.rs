//! Who asks, and what they may see and do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, USER_AGENT};
use jitgate::job::InstallationId;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::answers::{self, Refused, refuse};
use super::apps::App;
use super::objects;
use super::route::Paging;
use super::scope::Scope;
use super::state::{AccountKind, Installation, State, Token, next};
use crate::wire::{self, Answer, Request};

/// How long an installation token is valid. Source: GitHub's "Generating an installation access token".
const TOKEN_LIFE: Duration = Duration::from_hours(1);

/// The longest time until `exp` of an App's JWT. Source: GitHub's "Generating a JSON Web Token (JWT) for a GitHub App".
const LONGEST_JWT_LIFE: i64 = 600;

/// The key by which the limits of calls without a sign-in are counted. GitHub counts them by address; here all come from
/// one.
pub(super) const STRANGER: &str = "anonymous";

/// Whose token it is.
pub(super) enum Identity {
    /// Anybody: the call needs no sign-in.
    Stranger,
    /// The App with this id.
    App(u64),
    Installation(Arc<Token>),
    Personal(String, Arc<BTreeSet<String>>),
}

impl Identity {
    /// The key by which limits are counted.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Stranger => STRANGER.to_owned(),
            Self::App(id) => format!("app {id}"),
            Self::Installation(token) => format!("installation {}", token.installation),
            Self::Personal(token, _) => format!("token {token}"),
        }
    }
}

/// What a call requires of a token.
#[derive(Clone, Copy)]
pub(super) enum Permission {
    /// The runners of an organisation or a repository.
    Runners,
    /// Jobs and runs of a repository.
    Actions,
    /// Hooks of an organisation or a repository.
    Hooks,
    /// Check runs of a repository.
    Checks,
}

impl Permission {
    /// GitHub's name for it, which depends on the scope.
    fn name(self, scope: &Scope) -> &'static str {
        match (self, scope) {
            (Self::Runners, Scope::Repository(..)) => "administration",
            (Self::Runners, _) => "organization_self_hosted_runners",
            (Self::Actions, _) => "actions",
            (Self::Checks, _) => "checks",
            (Self::Hooks, Scope::Repository(..)) => "repository_hooks",
            (Self::Hooks, _) => "organization_hooks",
        }
    }

    /// The classic token's scopes; any of them suffices.
    fn token_scopes(self, scope: &Scope) -> &'static [&'static str] {
        match (self, scope) {
            (_, Scope::Enterprise(_)) => &["manage_runners:enterprise", "admin:enterprise"],
            (Self::Hooks, Scope::Organization(_)) => &["admin:org_hook"],
            (_, Scope::Organization(_)) => &["admin:org"],
            (_, Scope::Repository(..)) => &["repo"],
        }
    }
}

/// Whether a call reads or also writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Read,
    Write,
}

impl State {
    /// The identity of a call that needs no sign-in.
    pub(super) fn stranger(request: &Request) -> Refused<Identity> {
        if !request.headers().contains_key(USER_AGENT) {
            return refuse(answers::error(403, "Request forbidden by administrative rules: no User-Agent header"));
        }
        Ok(Identity::Stranger)
    }

    pub(super) fn authenticate(&mut self, request: &Request, now: OffsetDateTime) -> Refused<Identity> {
        Self::stranger(request)?;
        let Some(header) = request.headers().get(AUTHORIZATION).and_then(|header| header.to_str().ok()) else {
            return refuse(answers::requires_authentication());
        };
        let (kind, token) = header.split_once(' ').unwrap_or((header, ""));
        if !kind.eq_ignore_ascii_case("bearer") && !kind.eq_ignore_ascii_case("token") {
            return refuse(answers::requires_authentication());
        }
        if token.matches('.').count() == 2 {
            return self.check_jwt(token, now).map(Identity::App);
        }
        if let Some(scopes) = self.personal_tokens.get(token) {
            return Ok(Identity::Personal(token.to_owned(), Arc::clone(scopes)));
        }
        match self.tokens.get(token) {
            Some(found) if found.expires_at > now && self.installations.contains_key(&found.installation.0) => {
                let found = Arc::clone(found);
                self.check_lag(&found, now)?;
                Ok(Identity::Installation(found))
            }
            _ => refuse(answers::bad_credentials()),
        }
    }

    fn check_lag(&mut self, token: &Token, now: OffsetDateTime) -> Refused<()> {
        if token.expires_at - TOKEN_LIFE + self.behaviour.token_lag <= now {
            return Ok(());
        }
        let answers = &self.behaviour.lag_answers;
        let heard = answers[self.lagging_calls % answers.len()];
        self.lagging_calls += 1;
        match heard {
            401 => refuse(answers::bad_credentials()),
            403 => refuse(answers::forbidden()),
            404 => refuse(answers::not_found()),
            _ => Ok(()),
        }
    }

    /// The id of the App that the JWT speaks for.
    fn check_jwt(&mut self, jwt: &str, now: OffsetDateTime) -> Refused<u64> {
        #[derive(Deserialize)]
        struct Claims {
            iss: Value,
            iat: i64,
            exp: i64,
        }
        let mut validation = Validation::new(Algorithm::RS256);
        // Times are checked below, against the world's clock.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let undecodable = || Box::new(answers::error(401, "A JSON web token could not be decoded"));
        let Claims { iss, iat, exp } = claims(jwt).ok_or_else(undecodable)?;
        let is_meant =
            |app: &&App| iss == json!(app.id) || iss == json!(app.id.to_string()) || iss == json!(app.client_id);
        let Some(app) = self.apps.values().find(is_meant) else {
            // So it is for an App that was deleted, too. Source: archestra-ai/archestra#8038, octokit/auth-app.js#165.
            return refuse(answers::error(404, "Integration not found"));
        };
        if app.keys.is_empty() {
            // Source: fujidaiti/smooth_sheets#378.
            return refuse(answers::error(401, "Integration must generate a public key"));
        }
        if !app.keys.iter().any(|key| jsonwebtoken::decode::<Value>(jwt, key, &validation).is_ok()) {
            return Err(undecodable());
        }
        let id = app.id;
        let now = now.unix_timestamp();
        if iat > now {
            return refuse(answers::error(401, "'Issued at' claim ('iat') must not be in the future"));
        }
        if exp <= now {
            return refuse(answers::error(401, "'Expiration time' claim ('exp') has passed"));
        }
        if exp > now + LONGEST_JWT_LIFE {
            return refuse(answers::error(401, "'Expiration time' claim ('exp') is too far in the future"));
        }
        let repeated = self.last_jwt.as_ref().is_some_and(|(last, second)| last == jwt && *second == now);
        self.last_jwt = Some((jwt.to_owned(), now));
        if repeated && self.behaviour.identical_jwt_fails {
            return refuse(answers::not_found());
        }
        Ok(id)
    }

    /// Whether this identity may do this there; 404 hides what it may not see.
    pub(super) fn authorize(
        &self,
        identity: &Identity,
        scope: &Scope,
        permission: Permission,
        level: Level,
    ) -> Refused<()> {
        let known = match scope {
            Scope::Organization(login) => {
                self.accounts.get(login).is_some_and(|account| account.kind == AccountKind::Organization)
            }
            Scope::Repository(owner, name) => self.known_repository(owner, name).is_some(),
            Scope::Enterprise(_) => true,
        };
        if !known {
            return refuse(answers::not_found());
        }
        match identity {
            Identity::Stranger => refuse(answers::requires_authentication()),
            Identity::App(_) => refuse(answers::forbidden()),
            Identity::Personal(_, scopes) => {
                let any = permission.token_scopes(scope).iter().any(|needed| scopes.contains(*needed));
                if any {
                    Ok(())
                } else {
                    refuse(answers::error(403, "Resource not accessible by personal access token"))
                }
            }
            Identity::Installation(token) => self.authorize_installation(token, scope, permission, level),
        }
    }

    fn authorize_installation(
        &self,
        token: &Token,
        scope: &Scope,
        permission: Permission,
        level: Level,
    ) -> Refused<()> {
        let Some(installation) = self.installations.get(&token.installation.0) else {
            return refuse(answers::bad_credentials());
        };
        if installation.suspended_at.is_some() {
            return refuse(answers::suspended());
        }
        let seen = match scope {
            Scope::Organization(login) => installation.account.login.eq_ignore_ascii_case(login),
            Scope::Repository(owner, name) => {
                installation.account.login.eq_ignore_ascii_case(owner)
                    && installation.repositories.as_ref().is_none_or(|names| names.contains(name))
                    && token.repositories.as_ref().is_none_or(|names| names.contains(name))
            }
            // No App can be granted this, so GitHub refuses it and does not hide it.
            Scope::Enterprise(_) => return refuse(answers::forbidden()),
        };
        if !seen {
            return refuse(answers::not_found());
        }
        let name = permission.name(scope);
        match token.permissions.get(name).map(String::as_str) {
            Some("write" | "admin") => Ok(()),
            Some("read") if level == Level::Read => Ok(()),
            _ => {
                let needed = if level == Level::Read { "read" } else { "write" };
                let mut answer = answers::forbidden();
                answers::set(&mut answer, "x-accepted-github-permissions", format!("{name}={needed}"));
                refuse(answer)
            }
        }
    }

    pub(super) fn list_repositories(&self, identity: &Identity, request: &Request) -> Refused<Answer> {
        let Identity::Installation(token) = identity else { return refuse(answers::forbidden()) };
        let Some(installation) = self.installations.get(&token.installation.0) else {
            return refuse(answers::bad_credentials());
        };
        if installation.suspended_at.is_some() {
            return refuse(answers::suspended());
        }
        let owner = installation.account.login.to_lowercase();
        let is_covered = |name: &str| {
            [&installation.repositories, &token.repositories]
                .into_iter()
                .all(|names| names.as_ref().is_none_or(|names| names.contains(name)))
        };
        let covered = self.repositories.iter().filter(|((of, name), _)| *of == owner && is_covered(name));
        let covered: Vec<_> = covered.map(|(_, repository)| repository).collect();
        let paging = Paging::of(request);
        let total = covered.len();
        let page: Vec<_> = paging.cut(covered.into_iter()).into_iter().map(objects::repository).collect();
        let mut answer = answers::ok(&json!({ "total_count": total, "repositories": page }));
        if let Some(link) = paging.link(request, total) {
            answers::set(&mut answer, "link", link);
        }
        Ok(answer)
    }

    /// The user of every personal access token here is a member of every organisation.
    pub(super) fn list_organizations(&self, identity: &Identity, request: &Request) -> Refused<Answer> {
        /// Any of them suffices. Source: GitHub's "List organizations for the authenticated user", and what scopes
        /// imply.
        const SCOPES: [&str; 4] = ["user", "read:org", "write:org", "admin:org"];
        let Identity::Personal(_, scopes) = identity else { return refuse(answers::forbidden()) };
        if !SCOPES.iter().any(|scope| scopes.contains(*scope)) {
            return refuse(answers::error(
                403,
                "You need at least read:org scope or user scope to list your organizations.",
            ));
        }
        let all: Vec<_> = self.accounts.values().filter(|account| account.kind == AccountKind::Organization).collect();
        let paging = Paging::of(request);
        let mut answer = answers::ok(&Value::Array(paging.cut(all.iter().copied().map(objects::organization))));
        if let Some(link) = paging.link(request, all.len()) {
            answers::set(&mut answer, "link", link);
        }
        Ok(answer)
    }

    pub(super) fn create_token(
        &mut self,
        identity: &Identity,
        id: u64,
        request: &Request,
        now: OffsetDateTime,
    ) -> Refused<Answer> {
        #[derive(Default, Deserialize)]
        struct Narrowed {
            permissions: Option<BTreeMap<String, String>>,
            repositories: Option<Vec<String>>,
            repository_ids: Option<Vec<u64>>,
        }
        let app = require_app(identity)?;
        let Some(installation) = self.installations.get(&id).filter(|found| found.app == app).cloned() else {
            return refuse(answers::not_found());
        };
        if installation.suspended_at.is_some() {
            return refuse(answers::suspended());
        }
        let narrowed = if request.body().is_empty() {
            Narrowed::default()
        } else {
            serde_json::from_slice(request.body())
                .map_err(|_| Box::new(answers::error(400, "Problems parsing JSON")))?
        };
        let permissions = match narrowed.permissions {
            None => installation.permissions.clone(),
            Some(wanted) => {
                let granted = |(name, level): (&String, &String)| {
                    let granted = installation.permissions.get(name);
                    granted.is_some_and(|granted| granted == level || granted == "admin" || level == "read")
                };
                if !wanted.iter().all(granted) {
                    return refuse(answers::error(
                        422,
                        "The permissions requested are not granted to this installation.",
                    ));
                }
                wanted
            }
        };
        let repositories =
            self.narrowed_repositories(&installation, narrowed.repositories, narrowed.repository_ids.as_deref())?;
        let token = format!("ghs_{:036}", next(&mut self.counters.token));
        let expires_at = now + TOKEN_LIFE;
        let of_them = repositories.as_ref().map(|names| {
            let all = self.repositories.values();
            all.filter(|repository| {
                repository.owner.id == installation.account.id && names.contains(&repository.name.to_lowercase())
            })
            .map(objects::repository)
            .collect()
        });
        let body = objects::token(&token, expires_at, &permissions, installation.repositories.is_none(), of_them);
        let installation = InstallationId(id);
        self.tokens.insert(token, Arc::new(Token { installation, permissions, repositories, expires_at }));
        Ok(wire::json(201, &body))
    }

    /// The repositories of a new token; absent for all of the installation's.
    fn narrowed_repositories(
        &self,
        installation: &Installation,
        names: Option<Vec<String>>,
        ids: Option<&[u64]>,
    ) -> Refused<Option<BTreeSet<String>>> {
        if names.is_none() && ids.is_none() {
            return Ok(None);
        }
        let of_ids = ids.unwrap_or_default().iter().map(|id| {
            let found = self.repositories.values().find(|repository| repository.id == *id);
            found.map_or_else(String::new, |repository| repository.name.to_lowercase())
        });
        let wanted: BTreeSet<String> =
            names.unwrap_or_default().iter().map(|name| name.to_lowercase()).chain(of_ids).collect();
        let accessible = |name: &String| {
            self.known_repository(&installation.account.login, name).is_some()
                && installation.repositories.as_ref().is_none_or(|names| names.contains(name))
        };
        if wanted.iter().all(accessible) {
            Ok(Some(wanted))
        } else {
            refuse(answers::error(
                422,
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            ))
        }
    }
}

/// What a JWT says, before anybody has checked who says it.
fn claims<T: DeserializeOwned>(jwt: &str) -> Option<T> {
    let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// The App's id; refuses any other identity.
pub(super) fn require_app(identity: &Identity) -> Refused<u64> {
    match identity {
        Identity::App(id) => Ok(*id),
        _ => refuse(answers::error(401, "A JSON web token could not be decoded")),
    }
}
