//! GitHub's error answers, for the stand-in itself and for scripted faults.

use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::wire::{self, Answer};

const DOCUMENTATION: &str = "https://docs.github.com/rest";
const ABOUT_LIMITS: &str = "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api";

/// A result whose error is the answer to send; boxed, since answers are large.
pub(super) type Refused<T> = Result<T, Box<Answer>>;

/// An error in GitHub's common shape.
pub fn error(status: u16, message: &str) -> Answer {
    wire::json(status, &json!({ "message": message, "documentation_url": DOCUMENTATION, "status": status.to_string() }))
}

/// 401: no such token, or it has expired.
pub fn bad_credentials() -> Answer {
    error(401, "Bad credentials")
}

/// 401: no token at all.
pub fn requires_authentication() -> Answer {
    error(401, "Requires authentication")
}

/// 403: the App lacks a permission.
pub fn forbidden() -> Answer {
    error(403, "Resource not accessible by integration")
}

/// 403: the installation has been suspended.
pub fn suspended() -> Answer {
    error(403, "This installation has been suspended")
}

/// 404: there is no such thing, or the token may not see it.
pub fn not_found() -> Answer {
    error(404, "Not Found")
}

/// 409: the runner's name is in use.
pub fn name_in_use(name: &str) -> Answer {
    error(409, &format!("Already exists - A runner with the name {name} already exists."))
}

/// 422: the request has the wrong shape.
pub fn validation_failed(errors: &[&str]) -> Answer {
    let body = json!({
        "message": "Validation Failed", "errors": errors, "documentation_url": DOCUMENTATION, "status": "422",
    });
    wire::json(422, &body)
}

/// 422: the runner cannot be deleted now.
pub fn still_running(name: &str) -> Answer {
    error(422, &format!("Bad request - Runner \"{name}\" is still running a job"))
}

/// 403: the secondary limit; GitHub does not always say how long to wait.
pub fn secondary_limit(retry_after: Option<Duration>) -> Answer {
    secondary_limit_as(403, retry_after)
}

/// 403 or 429: the secondary limit.
pub fn secondary_limit_as(status: u16, retry_after: Option<Duration>) -> Answer {
    let body = json!({
        "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        "documentation_url": format!("{ABOUT_LIMITS}#about-secondary-rate-limits"),
        "status": status.to_string(),
    });
    let mut answer = wire::json(status, &body);
    if let Some(retry_after) = retry_after {
        set(&mut answer, "retry-after", whole_seconds(retry_after));
    }
    answer
}

/// 403: the primary limit, used up until `reset`.
pub fn primary_limit(reset: OffsetDateTime) -> Answer {
    let body = json!({
        "message": "API rate limit exceeded for installation.",
        "documentation_url": format!("{ABOUT_LIMITS}#about-primary-rate-limits"),
        "status": "403",
    });
    let mut answer = wire::json(403, &body);
    set(&mut answer, "x-ratelimit-remaining", 0);
    set(&mut answer, "x-ratelimit-reset", reset.unix_timestamp());
    answer
}

/// 500
pub fn server_error() -> Answer {
    error(500, "Server Error")
}

/// 502 in HTML, as GitHub's front end answers when its backend does not.
pub fn bad_gateway() -> Answer {
    http::Response::builder()
        .status(502)
        .header("content-type", "text/html; charset=utf-8")
        .body(Bytes::from_static(b"<html><head><title>502 Bad Gateway</title></head><body></body></html>"))
        .expect("a valid status and a static header")
}

/// 503
pub fn unavailable() -> Answer {
    error(503, "No server is currently available to service your request.")
}

/// 200, with any body.
pub fn ok(body: &Value) -> Answer {
    wire::json(200, body)
}

pub(super) fn empty(status: u16) -> Answer {
    http::Response::builder().status(status).body(Bytes::new()).expect("a valid status")
}

pub(super) fn refuse<T>(answer: Answer) -> Refused<T> {
    Err(Box::new(answer))
}

/// Sets a header to a number or another harmless text.
pub(super) fn set(answer: &mut Answer, name: &'static str, value: impl std::fmt::Display) {
    let value = value.to_string().parse().expect("a header's value without control characters");
    answer.headers_mut().insert(name, value);
}

/// At least 1: GitHub's `retry-after` has no fractions.
fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}
