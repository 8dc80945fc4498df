//! GitHub's API with the App's own sign-in.

use std::collections::BTreeMap;

use jitgate::clock::Clock;
use jitgate::github::AppSigner;
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;

use super::Place;
use super::app::Account;
use super::cursor::next_cursor;
use crate::trouble::{Exit, Trouble};

/// The version of the API that the answers are read by.
const API_VERSION: &str = "2022-11-28";

/// The most items that GitHub puts on a page.
const ITEMS_A_PAGE: usize = 100;

/// A call that failed.
#[derive(Clone, Debug)]
pub struct GitHubTrouble {
    /// GitHub's status, if it answered.
    pub status: Option<StatusCode>,
    what: String,
}

impl From<GitHubTrouble> for Trouble {
    fn from(trouble: GitHubTrouble) -> Self {
        let (exit, remedy) = match trouble.status {
            None => (Exit::Unknown, "check the network, the proxy and --github-url, then run it again"),
            Some(StatusCode::UNAUTHORIZED) => (Exit::Failed, "check the App's key and this machine's clock"),
            Some(StatusCode::NOT_FOUND) => (Exit::Failed, "check that the App and its installation still exist"),
            Some(status) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                (Exit::Unknown, "run the command again in a few minutes")
            }
            Some(_) => (Exit::Failed, "correct what GitHub names, then run the command again"),
        };
        Self { exit, what: trouble.what, remedy: remedy.to_owned() }
    }
}

/// A client that signs in as an App.
pub struct SignedIn {
    place: Place,
    signer: AppSigner,
    clock: Clock,
}

/// The App as GitHub shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct App {
    /// Its id.
    pub id: u64,
    /// Its name in addresses.
    pub slug: String,
    /// Whose it is.
    pub owner: Account,
    /// What it asks for.
    pub permissions: BTreeMap<String, String>,
    /// The events that it subscribes to.
    pub events: Vec<String>,
}

/// An installation.
#[derive(Clone, Debug, Deserialize)]
pub struct Installation {
    /// Its id.
    pub id: u64,
    /// Where it is installed.
    pub account: Account,
    /// What was granted, which may be less than the App asks for by now.
    pub permissions: BTreeMap<String, String>,
    /// The events that it gets.
    pub events: Vec<String>,
    /// `all` or `selected`.
    pub repository_selection: String,
    /// Since when it is suspended.
    pub suspended_at: Option<String>,
}

impl Installation {
    /// A permission that the App asks for and the installation does not grant, with its level. An installation keeps its old
    /// permissions until an owner accepts the new ones.
    pub fn missing_permission<'a>(&self, app: &'a App) -> Option<(&'a str, &'a str)> {
        let grants = |name, level| self.permissions.get(name).is_some_and(|has| has == level || has == "write");
        let missing = app.permissions.iter().find(|(name, level)| !grants(name.as_str(), level.as_str()));
        missing.map(|(name, level)| (name.as_str(), level.as_str()))
    }
}

/// The App's webhook.
#[derive(Clone, Debug, Deserialize)]
pub struct Hook {
    /// Where deliveries go.
    #[serde(default)]
    pub url: String,
    /// `json` or `form`.
    #[serde(default)]
    pub content_type: String,
    /// `1` if the certificate is not verified. GitHub writes it as a text or as a number.
    #[serde(default)]
    pub insecure_ssl: Value,
}

/// A delivery in the App's log.
#[derive(Clone, Debug, Deserialize)]
pub struct Delivery {
    /// Its id in the log.
    pub id: u64,
    /// The same for all attempts.
    pub guid: String,
    /// When GitHub made the attempt.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub delivered_at: Option<OffsetDateTime>,
    /// The event.
    pub event: String,
    /// The event's action.
    #[serde(default)]
    pub action: Option<String>,
    /// The receiver's answer.
    pub status_code: u16,
    /// Whether it repeats an earlier one.
    pub redelivery: bool,
}

#[derive(Deserialize)]
struct Token {
    token: SecretString,
}

/// A page of a list whose items are in a field.
#[derive(Deserialize)]
struct Runners {
    runners: Vec<Runner>,
}

/// A registration.
#[derive(Clone, Debug, Deserialize)]
pub struct Runner {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whether it runs a job.
    pub busy: bool,
    /// `online` or `offline`.
    #[serde(default)]
    pub status: String,
}

impl SignedIn {
    /// With an App's id and key.
    pub fn new(place: Place, app_id: &str, key: &SecretString) -> Result<Self, Trouble> {
        let signer = AppSigner::new(app_id, key).map_err(|problem| {
            Trouble::failed(problem, "take the .pem file that GitHub generated for the App, as it is")
        })?;
        Ok(Self { place, signer, clock: Clock::system() })
    }

    /// The same by another clock.
    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Which GitHub it signs in to.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The App itself.
    pub async fn app(&self) -> Result<App, GitHubTrouble> {
        self.call(Method::GET, "app", None).await
    }

    /// Its installations.
    pub async fn installations(&self) -> Result<Vec<Installation>, GitHubTrouble> {
        self.pages(None, "app/installations", |installations: Vec<Installation>| installations).await
    }

    /// Removes an installation. One that is gone is no error.
    pub async fn uninstall(&self, installation: u64) -> Result<(), GitHubTrouble> {
        match self.call::<Value>(Method::DELETE, &format!("app/installations/{installation}"), None).await {
            Err(trouble) if trouble.status != Some(StatusCode::NOT_FOUND) => Err(trouble),
            _ => Ok(()),
        }
    }

    /// The App's webhook.
    pub async fn hook(&self) -> Result<Hook, GitHubTrouble> {
        self.call(Method::GET, "app/hook/config", None).await
    }

    /// Sets the webhook's address, and what its deliveries are signed with.
    pub async fn set_hook(&self, url: &url::Url, secret: &SecretString) -> Result<Hook, GitHubTrouble> {
        let body = serde_json::json!({
            "url": url.as_str(), "secret": secret.expose_secret(), "content_type": "json", "insecure_ssl": "0"
        });
        self.call(Method::PATCH, "app/hook/config", Some(&body)).await
    }

    /// Reads anything: as the App, or with an installation's token.
    pub async fn read<T: DeserializeOwned>(
        &self,
        token: Option<&SecretString>,
        path: &str,
    ) -> Result<T, GitHubTrouble> {
        match token {
            Some(token) => call(&self.place, Method::GET, path, Some(token), None).await,
            None => self.call(Method::GET, path, None).await,
        }
    }

    /// The latest deliveries, newest first.
    pub async fn deliveries(&self) -> Result<Vec<Delivery>, GitHubTrouble> {
        self.call(Method::GET, "app/hook/deliveries?per_page=100", None).await
    }

    /// A page of deliveries, newest first, and where the next page begins, if there is one.
    pub async fn deliveries_from(
        &self,
        cursor: Option<&str>,
    ) -> Result<(Vec<Delivery>, Option<String>), GitHubTrouble> {
        let from = cursor.map_or_else(String::new, |cursor| {
            let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
            format!("&cursor={cursor}")
        });
        let path = format!("app/hook/deliveries?per_page={ITEMS_A_PAGE}{from}");
        let token = self.signature()?;
        let (headers, page) = exchange(&self.place, Method::GET, &path, Some(&token), None).await?;
        Ok((page, headers.get(LINK).and_then(|link| next_cursor(link.to_str().ok()?))))
    }

    /// Has a delivery repeated.
    pub async fn redeliver(&self, delivery: u64) -> Result<(), GitHubTrouble> {
        let path = format!("app/hook/deliveries/{delivery}/attempts");
        self.call::<Value>(Method::POST, &path, None).await.map(|_| ())
    }

    /// A token for an installation, narrowed to these permissions. GitHub refuses what was not granted.
    pub async fn token(
        &self,
        installation: u64,
        permissions: &BTreeMap<String, String>,
    ) -> Result<SecretString, GitHubTrouble> {
        let body = serde_json::json!({ "permissions": permissions });
        let path = format!("app/installations/{installation}/access_tokens");
        let token: Token = self.call(Method::POST, &path, Some(&body)).await?;
        Ok(token.token)
    }

    /// The registrations of a place (`orgs/NAME` or `repos/OWNER/NAME`).
    pub async fn runners(&self, token: &SecretString, of: &str) -> Result<Vec<Runner>, GitHubTrouble> {
        self.pages(Some(token), &format!("{of}/actions/runners"), |Runners { runners }| runners).await
    }

    /// Deletes a registration. One that is gone is no error.
    pub async fn delete_runner(&self, token: &SecretString, of: &str, runner: u64) -> Result<(), GitHubTrouble> {
        let path = format!("{of}/actions/runners/{runner}");
        match call::<Value>(&self.place, Method::DELETE, &path, Some(token), None).await {
            Err(trouble) if trouble.status != Some(StatusCode::NOT_FOUND) => Err(trouble),
            _ => Ok(()),
        }
    }

    /// The repositories of an installation, as `OWNER/NAME`.
    pub async fn repositories(&self, token: &SecretString) -> Result<Vec<String>, GitHubTrouble> {
        #[derive(Deserialize)]
        struct Page {
            repositories: Vec<Repository>,
        }
        #[derive(Deserialize)]
        struct Repository {
            full_name: String,
        }
        let names = |Page { repositories }| repositories.into_iter().map(|each: Repository| each.full_name).collect();
        self.pages(Some(token), "installation/repositories", names).await
    }

    /// All items of a list; `items` takes a page apart.
    async fn pages<P: DeserializeOwned, T>(
        &self,
        token: Option<&SecretString>,
        path: &str,
        items: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, GitHubTrouble> {
        let mut found = Vec::new();
        for page in 1.. {
            let some = items(self.read(token, &format!("{path}?per_page={ITEMS_A_PAGE}&page={page}")).await?);
            let is_last = some.len() < ITEMS_A_PAGE;
            found.extend(some);
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, GitHubTrouble> {
        call(&self.place, method, path, Some(&self.signature()?), body).await
    }

    fn signature(&self) -> Result<SecretString, GitHubTrouble> {
        let signed = self.signer.sign(self.clock.now());
        let refused =
            |problem: &str| GitHubTrouble { status: Some(StatusCode::UNAUTHORIZED), what: problem.to_owned() };
        signed.map(Into::into).map_err(refused)
    }
}

/// Tries of a call that is not answered, or with 5xx. Each call here can be repeated: a second conversion of a code is
/// refused, and a second deletion finds nothing.
const TRIES: u32 = 3;

/// Makes a call.
pub(super) async fn call<T: DeserializeOwned>(
    place: &Place,
    method: Method,
    path: &str,
    token: Option<&SecretString>,
    body: Option<&Value>,
) -> Result<T, GitHubTrouble> {
    exchange(place, method, path, token, body).await.map(|(_, answer)| answer)
}

/// Makes a call, and returns the answer's headers, too.
async fn exchange<T: DeserializeOwned>(
    place: &Place,
    method: Method,
    path: &str,
    token: Option<&SecretString>,
    body: Option<&Value>,
) -> Result<(HeaderMap, T), GitHubTrouble> {
    let mut tries = 1;
    loop {
        let outcome = call_once(place, &method, path, token, body).await;
        let is_passing =
            |trouble: &GitHubTrouble| trouble.status.is_none_or(|status| status.is_server_error()) && tries < TRIES;
        match outcome {
            Err(trouble) if is_passing(&trouble) => {
                tokio::time::sleep(std::time::Duration::from_millis(400 * u64::from(tries))).await;
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn call_once<T: DeserializeOwned>(
    place: &Place,
    method: &Method,
    path: &str,
    token: Option<&SecretString>,
    body: Option<&Value>,
) -> Result<(HeaderMap, T), GitHubTrouble> {
    // A code is a part of a path, and is as good as the App's key.
    let shown = if path.starts_with("app-manifests/") { "app-manifests/CODE/conversions" } else { path };
    let what = |words: String| format!("GitHub, {method} /{shown}: {words}");
    let silent = |error: &reqwest::Error| GitHubTrouble { status: None, what: what(crate::http::words_of(error)) };
    let address = format!("{}/{path}", place.parameter());
    let mut request = crate::http::client()
        .request(method.clone(), address)
        .header("accept", "application/vnd.github+json")
        .header("x-github-api-version", API_VERSION);
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.map_err(|error| silent(&error))?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.bytes().await.map_err(|error| silent(&error))?;
    if !status.is_success() {
        let message = serde_json::from_slice::<Value>(&text).ok();
        let message = message.as_ref().and_then(|answer| answer["message"].as_str()).unwrap_or("no words");
        return Err(GitHubTrouble { status: Some(status), what: what(format!("answer {status}: {message}")) });
    }
    let text: &[u8] = if text.is_empty() { b"null" } else { &text };
    let answer = serde_json::from_slice(text).map_err(|error| GitHubTrouble {
        status: Some(status),
        what: what(format!("answer {status} cannot be read at column {}", error.column())),
    })?;
    Ok((headers, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_githubs_says_what_to_do() {
        let kinds = [None, Some(401), Some(403), Some(404), Some(422), Some(429), Some(502)];
        let told = kinds.map(|status| {
            let status = status.map(|status| StatusCode::from_u16(status).unwrap());
            let words = status.map_or("no answer".to_owned(), |status| format!("answer {status}"));
            let trouble = Trouble::from(GitHubTrouble { status, what: format!("GitHub, GET /app: {words}") });
            format!("{trouble}\nexit code {}", trouble.exit as u8)
        });
        insta::assert_snapshot!(told.join("\n\n"));
    }
}
