//! One request and its answer, and what every call learns from it: pauses, pace and the hour's budget.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url};
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use super::call::{Call, CredentialKey, Pace};
use super::error::{GitHubError, Refusal, classify};
use super::names::is_segment;
use super::pace::{Cost, Pacer};
use super::pauses::Pauses;
use crate::aws::causes;
use crate::clock::Clock;
use crate::config::GitHubConfig;
use crate::secret::expose;

/// After this, a call counts as unanswered. Real time: it guards against the real network.
const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// The same for the connection alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The version of the REST API that this code is written to.
const API_VERSION: &str = "2022-11-28";

/// Connections, and what answers have taught about each credential. It lives as long as its process.
pub(super) struct Transport {
    http: reqwest::Client,
    api_url: Url,
    pub(super) clock: Clock,
    pub(super) pauses: Pauses,
    pacer: Pacer,
    /// Calls left of each credential's hour, by the latest answer.
    budgets: Mutex<HashMap<CredentialKey, u64>>,
}

/// A successful answer.
pub(super) struct Answer<T> {
    pub(super) body: T,
    pub(super) headers: HeaderMap,
}

/// Why an exchange was not a success.
pub(super) enum Failure {
    Refused(Refusal),
    /// No answer, or one that cannot be read.
    Silent(String),
    /// The path has a segment that is no name of GitHub's, so nothing was sent.
    NoPath(String),
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Silent(causes(&error.without_url()))
    }
}

impl Transport {
    pub(super) fn new(config: &GitHubConfig, clock: Clock) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert("x-github-api-version", HeaderValue::from_static(API_VERSION));
        let http = reqwest::Client::builder()
            .user_agent(concat!("jitgate/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .https_only(config.api_url.starts_with("https:"))
            .tls_certs_merge(config.authorities.clone())
            .build()
            .expect("static settings, and certificates that were tried when the configuration was read");
        Self {
            http,
            api_url: config.api_url.parse().expect("checked when the configuration was read"),
            pacer: Pacer::new(config.points_per_minute),
            pauses: Pauses::default(),
            budgets: Mutex::default(),
            clock,
        }
    }

    /// Calls left of the hour to the credential that has the fewest, by the answers since the last question.
    pub(super) fn take_budget(&self) -> Option<u64> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *budgets).into_values().min()
    }

    /// Makes a call when neither a pause nor the pacer forbids it.
    pub(super) async fn admit_and_exchange<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        bearer: &SecretString,
        key: CredentialKey,
        subject: &str,
    ) -> Result<Result<Answer<T>, Failure>, GitHubError> {
        self.pauses.check(key, subject, self.clock.now())?;
        let _permit = match call.pace {
            Pace::Uncovered => self.pacer.spend(key, call.points(), self.clock.now()),
            Pace::Covered { has_waited } => {
                let cost = Cost { points: call.points(), needed: call.points_needed() };
                let permit = self.pacer.admit(key, cost, has_waited, || self.clock.now()).await;
                // Another call may have met a limit while this one waited to be admitted.
                self.pauses.check(key, subject, self.clock.now())?;
                permit.map_err(|until| GitHubError::Paced { until })?
            }
            Pace::Spare => self
                .pacer
                .admit_spare(key, call.points(), self.clock.now())
                .map_err(|until| GitHubError::Paced { until })?,
        };
        Ok(self.exchange(call, bearer, key).await)
    }

    /// One request and its answer.
    pub(super) async fn exchange<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        bearer: &SecretString,
        key: CredentialKey,
    ) -> Result<Answer<T>, Failure> {
        let url = self.url(&call.path)?;
        let mut request = self.http.request(call.method.clone(), url).bearer_auth(expose(bearer));
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await?;
        self.learn(key, &headers);
        if !status.is_success() {
            return Err(Failure::Refused(classify(status, &headers, &body, self.clock.now())));
        }
        Ok(Answer { body: read(status, &body)?, headers })
    }

    fn learn(&self, key: CredentialKey, headers: &HeaderMap) {
        self.pacer.answered(key, headers, self.clock.now());
        let remaining = headers.get("x-ratelimit-remaining").and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(remaining) = remaining {
            self.budgets.lock().unwrap_or_else(PoisonError::into_inner).insert(key, remaining);
        }
    }

    /// The one place where a refusal becomes a decision.
    pub(super) fn decide(&self, refusal: Refusal, key: CredentialKey, subject: &str, permission: &str) -> GitHubError {
        let now = self.clock.now();
        match refusal {
            Refusal::NotFound(message) => GitHubError::NotFound { message },
            Refusal::Limited(until) => {
                let error = self.pauses.limit(key, until, now);
                if let GitHubError::RateLimited { until } = error {
                    self.pacer.refused(key, until, now);
                }
                error
            }
            Refusal::Unauthorized(message) => {
                let reason = match key {
                    CredentialKey::Token => format!("the token in the secret is not accepted (401): {message}"),
                    CredentialKey::App | CredentialKey::Installation(_) => {
                        format!("app_id and private_key in the secret are not accepted (401): {message}")
                    }
                };
                self.pauses.deny(key, subject, reason, now)
            }
            Refusal::Forbidden(message) => {
                self.pauses.deny(key, subject, format!("{message} (403): it needs {permission}"), now)
            }
            Refusal::Full(message) => GitHubError::Full { message },
            Refusal::Other(status, message) => GitHubError::Refused { status, message },
            Refusal::Unavailable(status, message) => GitHubError::Unavailable { status, message },
        }
    }

    /// No request is made with a segment that could lead elsewhere.
    fn url(&self, path: &[&str]) -> Result<Url, Failure> {
        if let Some(segment) = path.iter().find(|segment| !is_segment(segment)) {
            return Err(Failure::NoPath((*segment).to_owned()));
        }
        let mut url = self.api_url.clone();
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(path);
        Ok(url)
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, Failure> {
    // A 204 has no body. Only a call whose answer is `()` gets one.
    let body: &[u8] = if body.is_empty() { b"null" } else { body };
    // serde's own words may quote the answer, which can hold a token or a JIT config.
    serde_json::from_slice(body).map_err(|error| {
        Failure::Silent(format!("answer {status} is not what is expected (column {})", error.column()))
    })
}
