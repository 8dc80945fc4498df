//! GitHub's refusals, as the decisions that follow from them.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};

use crate::secret::SecretError;

/// Without a `retry-after`, wait at least a minute. Source: GitHub's "Rate limits for the REST API".
pub(super) const SHORTEST_PAUSE: Duration = Duration::minutes(1);

/// No `retry-after` and no reset is believed beyond this: the primary limit's window is one hour.
pub(super) const LONGEST_PAUSE: Duration = Duration::minutes(65);

/// How much of GitHub's own words goes into an error, in characters.
const LONGEST_QUOTE: usize = 300;

/// Why a call to GitHub did not do what it should. None of them carries a token or a configuration.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GitHubError {
    /// A registration of that name exists (409): ours from an earlier try, or a neighbour's.
    #[error("a runner of that name is registered already")]
    NameTaken,
    /// There is no such thing, or the credential may not see it.
    #[error("not found: {message}")]
    NotFound {
        /// GitHub's words.
        message: String,
    },
    /// Calls with this credential have to wait. Known without a call while the pause lasts.
    #[error("rate limited until {until}")]
    RateLimited {
        /// When to go on.
        until: OffsetDateTime,
    },
    /// A call now would come close to GitHub's secondary limit. Nothing was called.
    #[error("paced: to be called from {until}")]
    Paced {
        /// When to go on.
        until: OffsetDateTime,
    },
    /// The credential does not permit it: somebody must mend the App, its installation or the secret. Calls with it
    /// stop for a while.
    #[error("GitHub denies access: {reason}")]
    Denied {
        /// When it is worth looking again.
        until: OffsetDateTime,
        /// What is missing, as far as the answer tells.
        reason: String,
    },
    /// The runner group or the scope holds as many registrations as GitHub allows (10,000 a group). It will pass.
    #[error("no room for another registration: {message}")]
    Full {
        /// GitHub's words.
        message: String,
    },
    /// GitHub understood and refuses; the same call will be refused again.
    #[error("GitHub refuses ({status}): {message}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// GitHub's words.
        message: String,
    },
    /// GitHub answered that it cannot at the moment.
    #[error("GitHub is unavailable ({status}): {message}")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// GitHub's words.
        message: String,
    },
    /// No answer was heard. The call may have been carried out all the same.
    #[error("no answer from GitHub: {cause}")]
    Silent {
        /// What the network said.
        cause: String,
    },
    /// We have nothing to sign in with.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// An answer that is no success, sorted by its status and headers alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NameTaken,
    NotFound(String),
    /// With the moment GitHub named, if it named one.
    Limited(Option<OffsetDateTime>),
    Unauthorized(String),
    Forbidden(String),
    Full(String),
    Rejected(u16, String),
    Unavailable(u16, String),
}

/// Sorts an answer that is no success. A 403 is a limit only if it says so: by `retry-after`, by a spent budget, or in
/// words; the secondary limit may come with none of the headers.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8], now: OffsetDateTime) -> Refusal {
    let message = quote(body);
    match status.as_u16() {
        401 => Refusal::Unauthorized(message),
        403 | 429 => {
            let pause = pause(headers, now);
            if status.as_u16() == 429 || pause.is_some() || message.to_ascii_lowercase().contains("rate limit") {
                Refusal::Limited(pause)
            } else {
                Refusal::Forbidden(message)
            }
        }
        404 | 410 => Refusal::NotFound(message),
        409 => Refusal::NameTaken,
        422 if speaks_of_a_limit(&message) => Refusal::Full(message),
        code if status.is_server_error() => Refusal::Unavailable(code, message),
        code => Refusal::Rejected(code, message),
    }
}

fn speaks_of_a_limit(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["limit", "maximum", "too many runners"].iter().any(|words| message.contains(words))
}

fn pause(headers: &HeaderMap, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let until = match number("retry-after") {
        Some(seconds) => now + Duration::seconds(seconds.clamp(1, LONGEST_PAUSE.whole_seconds())),
        None if number("x-ratelimit-remaining") == Some(0) => {
            let reset = OffsetDateTime::from_unix_timestamp(number("x-ratelimit-reset")?).ok()?;
            // The reset is in whole seconds of GitHub's clock.
            reset + Duration::seconds(1)
        }
        None => return None,
    };
    Some(until.clamp(now + Duration::seconds(1), now + LONGEST_PAUSE))
}

/// GitHub's `message` and what it gives in detail, or the body's beginning where it is something else, such as a
/// proxy's page.
fn quote(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
        #[serde(default)]
        errors: Vec<Detail>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Detail {
        Words(String),
        Object { message: Option<String>, code: Option<String>, field: Option<String> },
    }
    impl Detail {
        fn words(self) -> String {
            match self {
                Self::Words(words) => words,
                Self::Object { message, code, field } => {
                    [field, code, message].into_iter().flatten().collect::<Vec<_>>().join(" ")
                }
            }
        }
    }
    let text = match serde_json::from_slice::<Message>(body) {
        Ok(json) => std::iter::once(json.message)
            .chain(json.errors.into_iter().map(Detail::words))
            .collect::<Vec<_>>()
            .join("; "),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_QUOTE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

    fn refusal(status: u16, headers: &[(&'static str, &str)], message: &str) -> Refusal {
        let headers = headers
            .iter()
            .map(|&(name, value)| (name.parse().expect("a header name"), value.parse().expect("a header value")))
            .collect();
        let body = serde_json::json!({ "message": message }).to_string();
        classify(StatusCode::from_u16(status).expect("a status"), &headers, body.as_bytes(), NOW)
    }

    #[test]
    fn a_limit_is_known_by_header_budget_status_or_words() {
        let reset = (NOW + Duration::seconds(90)).unix_timestamp().to_string();
        for (status, headers, message, until) in [
            (403, &[("retry-after", "30")][..], "", Some(NOW + Duration::seconds(30))),
            (429, &[("retry-after", "0")], "", Some(NOW + Duration::seconds(1))),
            (429, &[("retry-after", "999999")], "", Some(NOW + LONGEST_PAUSE)),
            (
                403,
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)],
                "",
                Some(NOW + Duration::seconds(91)),
            ),
            (403, &[("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", &reset)], "secondary rate limit", None),
            (403, &[], "You have exceeded a secondary rate limit.", None),
            (429, &[], "slow down", None),
        ] {
            assert_eq!(refusal(status, headers, message), Refusal::Limited(until), "{status} {headers:?}");
        }
    }

    #[test]
    fn every_other_refusal_keeps_its_meaning() {
        let words = || "words".to_owned();
        for (status, expected) in [
            (401, Refusal::Unauthorized(words())),
            (403, Refusal::Forbidden(words())),
            (404, Refusal::NotFound(words())),
            (409, Refusal::NameTaken),
            (422, Refusal::Rejected(422, words())),
            (400, Refusal::Rejected(400, words())),
            (500, Refusal::Unavailable(500, words())),
            (503, Refusal::Unavailable(503, words())),
        ] {
            assert_eq!(refusal(status, &[("x-ratelimit-remaining", "4999")], "words"), expected);
        }
    }

    #[test]
    fn a_full_runner_group_is_not_a_mistake_of_ours() {
        let message = "The runner group has reached its maximum of 10000 runners";
        assert_eq!(refusal(422, &[], message), Refusal::Full(message.to_owned()));
    }

    #[test]
    fn a_page_that_is_not_json_is_quoted_briefly() {
        assert_eq!(quote(b"<html>\n  <b>Unicorn!</b>"), "<html> <b>Unicorn!</b>");
        assert_eq!(quote(&[b'x'; 5000]).len(), LONGEST_QUOTE);
        let details =
            br#"{"message":"Validation Failed","errors":["Name is odd",{"field":"labels","code":"invalid"}]}"#;
        assert_eq!(quote(details), "Validation Failed; Name is odd; labels invalid");
    }
}
