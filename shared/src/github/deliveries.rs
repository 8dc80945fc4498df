//! The logs of hooks: what GitHub could not deliver, it can deliver again.

use std::fmt;

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;
use serde::de::IgnoredAny;
use time::OffsetDateTime;

use super::accounts::page_of;
use super::{Call, GitHub, GitHubError, Place, Scope};

/// Most entries of a page. Source: GitHub's OpenAPI description.
const PAGE: usize = 100;

const APP: &str = "a GitHub App";

const HOOKS: &str = "a token with admin:org_hook, or admin:repo_hook for a repository";

/// Whose log it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The App's own.
    App,
    /// An organisation's or a repository's, by its id.
    Of(Place, u64),
}

impl fmt::Display for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App => formatter.write_str("the App's hook"),
            Self::Of(place, id) => write!(formatter, "hook {id} of {}", place.scope),
        }
    }
}

/// One attempt to deliver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Delivery {
    /// The attempt's id.
    pub id: u64,
    /// `X-GitHub-Delivery`: the same for all attempts.
    pub guid: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub delivered_at: OffsetDateTime,
    /// Whether somebody had asked for it to be made again.
    #[serde(default)]
    pub redelivery: bool,
    /// What was answered; GitHub writes 502 or 504, or 0, where nothing was.
    pub status_code: u16,
    /// `X-GitHub-Event`
    pub event: String,
    /// The payload's action.
    pub action: Option<String>,
}

impl Delivery {
    /// As GitHub counts it.
    pub fn succeeded(&self) -> bool {
        (200..400).contains(&self.status_code)
    }
}

/// Which attempts of a log are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempts {
    /// Those that failed.
    Failed,
    /// All of them.
    All,
}

/// A part of a log, the latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The attempts.
    pub attempts: Vec<Delivery>,
    /// Nothing is missing since then; before it, the pages did not reach.
    pub complete_since: OffsetDateTime,
}

#[derive(Deserialize)]
struct HookJson {
    id: u64,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    events: Vec<String>,
    config: HookConfigJson,
}

#[derive(Deserialize)]
struct HookConfigJson {
    url: Option<String>,
}

impl GitHub {
    /// Whether the credential is an App.
    pub async fn is_app(&self) -> Result<bool, GitHubError> {
        self.sign_in.is_app().await
    }

    /// The hooks of a place that deliver jobs to that URL. Other hooks of the place are somebody else's.
    pub async fn hooks(&self, place: &Place, url: &str) -> Result<Vec<Hook>, GitHubError> {
        let same = |other: &str| other.trim_end_matches('/') == url.trim_end_matches('/');
        let mut found = Vec::new();
        for page in 1_u32.. {
            let mut path = of_place(&place.scope);
            path.push("hooks");
            let call = page_of(path, page, HOOKS).about_hooks(&place.scope);
            let hooks: Vec<HookJson> = self.call(&place.account, call).await?;
            let is_last = hooks.len() < PAGE;
            found.extend(hooks.into_iter().filter(|hook| {
                let hears = hook.events.iter().any(|event| event == "workflow_job" || event == "*");
                hook.active && hears && hook.config.url.as_deref().is_some_and(same)
            }));
            if is_last {
                break;
            }
        }
        Ok(found.into_iter().map(|hook| Hook::Of(place.clone(), hook.id)).collect())
    }

    /// Attempts back to a moment, from a bounded number of pages. An App without a hook of its own has an empty log.
    pub async fn deliveries(
        &self,
        hook: &Hook,
        since: OffsetDateTime,
        which: Attempts,
        most_pages: usize,
    ) -> Result<Log, GitHubError> {
        let mut log = Log { attempts: Vec::new(), complete_since: since };
        let mut cursor = None;
        for number in 1..=most_pages {
            let mut query = vec![("per_page", PAGE.to_string())];
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            if which == Attempts::Failed {
                query.push(("status", "failure".to_owned()));
            }
            let Some((page, headers)) = self.page_of_log(hook, query).await? else { break };
            let oldest = page.last().map(|last| last.delivered_at);
            log.attempts.extend(page.into_iter().filter(|delivery| delivery.delivered_at >= since));
            cursor = next_cursor(&headers);
            match oldest {
                Some(oldest) if oldest >= since && cursor.is_some() => {
                    if number == most_pages {
                        log.complete_since = oldest;
                    }
                }
                _ => break,
            }
        }
        Ok(log)
    }

    async fn page_of_log(
        &self,
        hook: &Hook,
        query: Vec<(&'static str, String)>,
    ) -> Result<Option<(Vec<Delivery>, HeaderMap)>, GitHubError> {
        match hook {
            Hook::App => {
                let mut call = Call::get(vec!["app", "hook", "deliveries"], APP);
                call.query = query;
                match self.call_as_app_itself(&call).await {
                    // Its organisation's or its repositories' hooks deliver.
                    Err(GitHubError::NotFound { .. }) => Ok(None),
                    outcome => outcome,
                }
            }
            Hook::Of(place, id) => {
                let id = id.to_string();
                let mut path = of_place(&place.scope);
                path.extend(["hooks", &id, "deliveries"]);
                let mut call = Call::get(path, HOOKS).about_hooks(&place.scope);
                call.query = query;
                self.call_with_headers(&place.account, call).await.map(Some)
            }
        }
    }

    /// Asks GitHub to deliver once more what that attempt could not.
    pub async fn redeliver(&self, hook: &Hook, attempt: u64) -> Result<(), GitHubError> {
        let attempt = attempt.to_string();
        match hook {
            Hook::App => {
                let mut call = Call::get(vec!["app", "hook", "deliveries", &attempt, "attempts"], APP);
                call.method = reqwest::Method::POST;
                self.call_as_app_itself::<IgnoredAny>(&call).await.map(|_| ())
            }
            Hook::Of(place, id) => {
                let id = id.to_string();
                let mut path = of_place(&place.scope);
                path.extend(["hooks", &id, "deliveries", &attempt, "attempts"]);
                let mut call = Call::get(path, HOOKS).about_hooks(&place.scope);
                call.method = reqwest::Method::POST;
                self.call::<IgnoredAny>(&place.account, call).await.map(|_| ())
            }
        }
    }
}

fn of_place(scope: &Scope) -> Vec<&str> {
    match scope {
        Scope::Enterprise(slug) => vec!["enterprises", slug],
        Scope::Organization(login) => vec!["orgs", login],
        Scope::Repository { owner, name } => vec!["repos", owner, name],
    }
}

/// `Link: <https://…?cursor=v1_7>; rel="next"`
fn next_cursor(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(LINK)?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, url) = next.split_once('<')?;
    let url: Url = url.split_once('>')?.0.parse().ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}
