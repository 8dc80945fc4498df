//! GitHub's refusals. Each variant is a decision.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};

use crate::secret::SecretError;

/// Without a `retry-after`, wait at least a minute. Source: GitHub's "Rate limits for the REST API".
pub(super) const SHORTEST_PAUSE: Duration = Duration::minutes(1);

/// The longest pause that is believed: the primary limit's window is one hour.
pub(super) const LONGEST_PAUSE: Duration = Duration::minutes(65);

/// How many characters of GitHub's own words go into an error.
const LONGEST_QUOTE: usize = 300;

/// Why a call to GitHub failed. No variant carries a token or a JIT config.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GitHubError {
    /// It does not exist, or the credential may not see it.
    #[error("not found: {message}")]
    NotFound {
        /// GitHub's words.
        message: String,
    },
    /// Calls with this credential have to wait. While the pause lasts, nothing is called to find that out.
    #[error("rate limited until {until}")]
    RateLimited {
        /// When to call again.
        until: OffsetDateTime,
    },
    /// A call now could exceed GitHub's secondary limit, so none was made.
    #[error("paced: to be called from {until}")]
    Paced {
        /// When to call again.
        until: OffsetDateTime,
    },
    /// The installation token is so new that not all of GitHub's servers may know it, and one refused it. The same token is
    /// tried again; what is refused beyond its first minute is a denial.
    #[error("the installation token is too new, to be tried again from {until}")]
    TokenTooNew {
        /// When to call again.
        until: OffsetDateTime,
    },
    /// The credential does not permit it: a person must change the App, its installation or the secret. Calls with it
    /// pause.
    #[error("GitHub denies access: {reason}")]
    Denied {
        /// When to try again.
        until: OffsetDateTime,
        /// What is missing, as far as the answer says.
        reason: String,
    },
    /// The runner group or the scope holds as many registrations as GitHub allows (10,000 a group). Temporary.
    #[error("no registration is left: {message}")]
    Full {
        /// GitHub's words.
        message: String,
    },
    /// GitHub refuses the call, and this code does not know why. It may be a passing state of GitHub's.
    #[error("GitHub refuses for an unknown reason ({status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// GitHub's words.
        message: String,
    },
    /// GitHub understood the call and will refuse it again.
    #[error("GitHub refuses ({status}): {message}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// GitHub's words.
        message: String,
    },
    /// The call is about something that GitHub cannot have, so none was made.
    #[error("{name:?} is no name that GitHub gives")]
    BadName {
        /// The name of an account or a repository.
        name: String,
    },
    /// GitHub answered that it cannot do it now.
    #[error("GitHub is unavailable ({status}): {message}")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// GitHub's words.
        message: String,
    },
    /// No answer arrived. GitHub may have carried the call out.
    #[error("no answer from GitHub: {cause}")]
    Silent {
        /// What the network said.
        cause: String,
    },
    /// There is no usable credential.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// An unsuccessful answer, classified by its status, headers and words alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound(String),
    /// With the moment GitHub named, if it named one.
    Limited(Option<OffsetDateTime>),
    Unauthorized(String),
    Forbidden(String),
    Full(String),
    Other(u16, String),
    Unavailable(u16, String),
}

/// Classifies an unsuccessful answer. A 403 is a limit only if it says so: by `retry-after`, by a spent budget, or in words.
/// The secondary limit may come without any of these headers.
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
        422 if speaks_of_a_limit(&message) => Refusal::Full(message),
        code if status.is_server_error() => Refusal::Unavailable(code, message),
        code => Refusal::Other(code, message),
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

/// GitHub's `message` with its details, or the beginning of a body that is something else, such as a proxy's page.
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
            (409, Refusal::Other(409, words())),
            (422, Refusal::Other(422, words())),
            (400, Refusal::Other(400, words())),
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
