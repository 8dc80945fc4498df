//! The log of the App's own hook: what GitHub could not deliver, it can deliver again.

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;
use serde::de::IgnoredAny;
use time::OffsetDateTime;

use super::{Call, GitHub, GitHubError};

/// Most entries of a page. Source: GitHub's OpenAPI description.
const PAGE: usize = 100;

const APP: &str = "a GitHub App";

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

impl GitHub {
    /// Attempts back to a moment, the latest first, from a bounded number of pages; only those that failed, if so
    /// asked. None where the credential has no hook of its own.
    pub async fn deliveries(
        &self,
        since: OffsetDateTime,
        only_failed: bool,
        most_pages: usize,
    ) -> Result<Vec<Delivery>, GitHubError> {
        let mut found = Vec::new();
        let mut cursor = None;
        for _ in 0..most_pages {
            let mut call = Call::get(vec!["app", "hook", "deliveries"], APP);
            call.query = vec![("per_page", PAGE.to_string())];
            call.query.extend(cursor.map(|cursor| ("cursor", cursor)));
            if only_failed {
                call.query.push(("status", "failure".to_owned()));
            }
            let (page, headers) = match self.call_as_app_itself::<Vec<Delivery>>(&call).await {
                Ok(Some(answer)) => answer,
                // An App without a hook of its own: its organisation's or its repositories' hooks deliver.
                Ok(None) | Err(GitHubError::NotFound { .. }) => break,
                Err(error) => return Err(error),
            };
            let reaches_back = page.last().is_none_or(|last| last.delivered_at < since);
            found.extend(page.into_iter().filter(|delivery| delivery.delivered_at >= since));
            cursor = next_cursor(&headers);
            if reaches_back || cursor.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Asks GitHub to deliver once more what that attempt could not.
    pub async fn redeliver(&self, id: u64) -> Result<(), GitHubError> {
        let id = id.to_string();
        let path = vec!["app", "hook", "deliveries", &id, "attempts"];
        let mut call = Call::get(path, APP);
        call.method = reqwest::Method::POST;
        self.call_as_app_itself::<IgnoredAny>(&call).await.map(|_| ())
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
