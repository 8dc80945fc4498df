//! The delivery logs of hooks. GitHub can repeat a delivery that failed.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use time::OffsetDateTime;

use super::call::{Call, Caller};
use super::client::GitHub;
use super::error::GitHubError;
use super::pages::Pages;
use super::place::Place;

const APP: &str = "a GitHub App";

const HOOKS: &str = "a token with admin:org_hook, or admin:repo_hook for a repository";

/// Whose log it is: an App has one hook, organizations and repositories have any number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The App's own.
    App,
    /// An organization's or a repository's, by its id.
    Of(Place, u64),
}

impl Hook {
    fn caller(&self) -> Caller<'_> {
        match self {
            Self::App => Caller::App,
            Self::Of(place, _) => Caller::Account(&place.account),
        }
    }

    fn id(&self) -> Option<String> {
        match self {
            Self::App => None,
            Self::Of(_, id) => Some(id.to_string()),
        }
    }

    /// A read of this hook; `id` is [`Self::id`], which must outlive the call.
    fn read<'a>(&'a self, id: Option<&'a str>, further: &[&'a str]) -> Call<'a> {
        match self {
            Self::App => {
                let mut path = vec!["app", "hook"];
                path.extend(further);
                Call::get(path, APP)
            }
            Self::Of(place, _) => {
                let mut path = place.scope.root();
                path.push("hooks");
                path.extend(id);
                path.extend(further);
                Call::get(path, HOOKS).about_hooks(&place.scope)
            }
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App => formatter.write_str("the App's hook"),
            Self::Of(place, id) => write!(formatter, "hook {id} of {}", place.scope),
        }
    }
}

/// One attempt of GitHub's to deliver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeliveryAttempt {
    /// The attempt's id.
    pub id: u64,
    /// `X-GitHub-Delivery`: the same for all attempts.
    pub guid: String,
    /// When GitHub made the attempt.
    #[serde(with = "time::serde::rfc3339")]
    pub delivered_at: OffsetDateTime,
    /// Whether it repeats an earlier attempt on request.
    #[serde(default)]
    pub redelivery: bool,
    /// The answer's status. Without an answer GitHub writes 502, 504 or 0.
    pub status_code: u16,
    /// `X-GitHub-Event`
    pub event: String,
    /// The payload's action.
    pub action: Option<String>,
}

impl DeliveryAttempt {
    /// Whether GitHub counts the attempt as a success.
    pub fn succeeded(&self) -> bool {
        (200..400).contains(&self.status_code)
    }
}

/// Which attempts of a log are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempts {
    /// Failed attempts.
    Failed,
    /// All attempts.
    All,
}

/// A part of a log, the latest attempt first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The attempts.
    pub attempts: Vec<DeliveryAttempt>,
    /// No attempt since this moment is missing. The pages that were read reach no further.
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
    /// The hooks of a place that deliver jobs to that URL. Other hooks of the place are not ours.
    pub async fn hooks(&self, place: &Place, url: &str) -> Result<Vec<Hook>, GitHubError> {
        let same = |other: &str| other.trim_end_matches('/') == url.trim_end_matches('/');
        let mut path = place.scope.root();
        path.push("hooks");
        let call = Call::get(path, HOOKS).about_hooks(&place.scope);
        let all = Pages::numbered(self, Caller::Account(&place.account), call);
        let ours = all.collect::<Vec<HookJson>>(|hook| {
            let hears = hook.events.iter().any(|event| event == "workflow_job" || event == "*");
            hook.active && hears && hook.config.url.as_deref().is_some_and(same)
        });
        Ok(ours.await?.into_iter().map(|hook| Hook::Of(place.clone(), hook.id)).collect())
    }

    /// The delivery attempts since a moment, from at most `most_pages` pages. An App without a hook of its own has an empty
    /// log.
    pub async fn deliveries(
        &self,
        hook: &Hook,
        since: OffsetDateTime,
        which: Attempts,
        most_pages: usize,
    ) -> Result<Log, GitHubError> {
        let mut log = Log { attempts: Vec::new(), complete_since: since };
        let id = hook.id();
        let mut call = hook.read(id.as_deref(), &["deliveries"]);
        if which == Attempts::Failed {
            call.query.push(("status", "failure".to_owned()));
        }
        let mut pages = Pages::with_cursors(self, hook.caller(), call);
        for number in 1..=most_pages {
            let page = match pages.next::<Vec<DeliveryAttempt>>().await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                // The App has no hook: those of its organizations or repositories deliver.
                Err(GitHubError::NotFound { .. }) if *hook == Hook::App => break,
                Err(error) => return Err(error),
            };
            let oldest = page.last().map(|last| last.delivered_at);
            log.attempts.extend(page.into_iter().filter(|attempt| attempt.delivered_at >= since));
            match oldest {
                Some(oldest) if oldest >= since && pages.has_next() => {
                    if number == most_pages {
                        log.complete_since = oldest;
                    }
                }
                _ => break,
            }
        }
        Ok(log)
    }

    /// Asks GitHub to repeat the delivery of a failed attempt.
    pub async fn redeliver(&self, hook: &Hook, attempt: u64) -> Result<(), GitHubError> {
        let (id, attempt) = (hook.id(), attempt.to_string());
        let mut call = hook.read(id.as_deref(), &["deliveries", &attempt, "attempts"]);
        call.method = reqwest::Method::POST;
        self.call::<IgnoredAny>(hook.caller(), &call).await.map(|_| ())
    }
}
