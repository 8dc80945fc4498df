//! How GitHub told of the job, or why it did not.

use super::{Cause, refused};
use crate::why::sources::{Announced, Installed, Seen, Sources};
use crate::why::words;

/// What became of the delivery that announces the job.
pub(super) fn of_delivery(sources: &Sources) -> Option<Cause> {
    if let Some(Installed::No | Installed::Suspended) = sources.installation.known() {
        return of_app(sources);
    }
    match sources.delivery.known()? {
        Announced::Delivered { status: 200..=299, reason: Some(reason), .. } => Some(refused(sources, reason)),
        Announced::Delivered { status, reason, attempts, .. } => {
            Some(failed(sources, *status, reason.as_deref(), *attempts))
        }
        Announced::Never => of_app(sources).or_else(|| {
            let class = match sources.classes.known() {
                Some(Err(reason)) => return Some(Cause::of(words::of_reason(reason), reason)),
                Some(Ok(class)) => format!(", though class {class} would take it"),
                None => String::new(),
            };
            Some(Cause::new(
                "never-delivered",
                format!("GitHub has not delivered it{class}"),
                "nothing: the cleaner finds such jobs within minutes; if it does not, run the job again",
            ))
        }),
        Announced::Forgotten => None,
    }
}

fn failed(sources: &Sources, status: u16, reason: Option<&str>, attempts: usize) -> Cause {
    let errors = sources.webhook_errors.known().and_then(|lines| lines.last()).and_then(|line| line.text("error"));
    let words = reason.or(errors).map_or_else(String::new, |words| format!(": {words}"));
    let (kind, because, todo) = match status {
        401 => (
            "secrets-differ",
            "the webhook refuses GitHub's deliveries: the webhook secrets differ",
            "copy webhook_secret from the secret into the App's settings, or run `jitgate app --replace`",
        ),
        403 => (
            "webhook-closed",
            "AWS answers in the webhook's place: its Function URL is closed to the public",
            "let nothing in your organisation forbid public Function URLs, then run `jitgate upgrade`",
        ),
        404 => (
            "webhook-elsewhere",
            "there is no webhook at the App's webhook URL",
            "run `jitgate doctor`, and correct the URL in the App's settings",
        ),
        415 => {
            ("content-type", "the App delivers forms", "set the content type to application/json in the App's settings")
        }
        429 => (
            "webhook-throttled",
            "Lambda had no concurrency left for the webhook",
            "raise the account's concurrency, or WebhookConcurrency; the cleaner has the delivery repeated",
        ),
        // GitHub's log has 504 after its ten seconds, and 0 for what it never sent.
        0 | 504 => {
            ("webhook-silent", "GitHub got no answer from the webhook", "check the App's webhook URL: `jitgate doctor`")
        }
        503 => (
            "webhook-fails",
            "the webhook could not take it",
            "mend what it names; the cleaner has the delivery repeated",
        ),
        502 => (
            "delivery-failed",
            "GitHub could not connect to the webhook, or its process ended early",
            "run `jitgate doctor`, and read the webhook's log; the cleaner has the delivery repeated",
        ),
        _ => {
            ("delivery-failed", "its delivery failed", "read the webhook's log; the cleaner has the delivery repeated")
        }
    };
    let times = if attempts > 1 { format!(", {attempts} times") } else { String::new() };
    Cause::new(kind, format!("{because} (answer {status}{times}){words}"), todo)
}

/// Whether the App is where the job is, and hears of it.
pub(super) fn of_app(sources: &Sources) -> Option<Cause> {
    let there = sources.repository.as_deref().unwrap_or("its repository");
    match (sources.installation.known(), sources.is_subscribed.known()) {
        (Some(Installed::No), _) => Some(Cause::new(
            "not-installed",
            format!("the App is not installed on {there}"),
            "install it there, or add the repository to its installation; then run the job again",
        )),
        (Some(Installed::Suspended), _) => Some(Cause::new(
            "suspended",
            format!("the App's installation on {there} is suspended"),
            "unsuspend it in the organisation's settings under GitHub Apps",
        )),
        (_, Some(false)) => Some(Cause::new(
            "event-off",
            "the App does not subscribe to the event Workflow job",
            "switch it on in the App's settings under Permissions & events",
        )),
        _ => match &sources.job {
            Seen::Known(None) => Some(Cause::new(
                "no-such-job",
                format!("GitHub shows no such job in {there}"),
                "check the address; the App needs Actions: Read-only",
            )),
            _ => None,
        },
    }
}
