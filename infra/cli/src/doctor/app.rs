//! The checks of GitHub's side.

use std::collections::BTreeMap;

use time::format_description::well_known::Rfc2822;
use time::{Duration, OffsetDateTime};
use url::Url;

use super::finding::{Fix, Look, Wrong};
use crate::github::{App, Delivery, Hook, Installation, Place, SignedIn, Uses};
use crate::trouble::Trouble;
use crate::verify::same;

/// An App's sign-in begins 60 seconds in the past and ends within ten minutes. Source: GitHub's "Generating a JSON Web Token
/// (JWT) for a GitHub App".
const CLOCK_TOLERANCE: Duration = Duration::seconds(60);

/// Whether the App signs in. `skew` is how far this machine's clock is ahead of GitHub's.
pub(super) fn signs_in(app: &Result<App, Trouble>, skew: Option<Duration>) -> Look {
    match app {
        Ok(app) => Ok(Ok(app.slug.clone())),
        Err(trouble) if trouble.what.contains("answer 401") => Ok(Err(match skew {
            Some(skew) if skew.abs() > CLOCK_TOLERANCE => Wrong::new(
                format!("{}: this machine's clock is {} seconds off GitHub's", trouble.what, skew.whole_seconds()),
                "set this machine's clock, and run the command again; AWS's are right",
            ),
            _ => Wrong::new(
                trouble.what.clone(),
                "see in the App's settings that the secret's key is still valid; else run `jitgate app --replace`",
            ),
        })),
        // "Integration not found"
        Err(trouble) if trouble.what.contains("answer 404") => Ok(Err(Wrong::new(
            format!("{}: it knows no App of this id", trouble.what),
            "correct app_id in the secret, or run `jitgate app --replace`",
        ))),
        Err(trouble) => Err(trouble.clone()),
    }
}

/// How far this machine's clock is ahead of GitHub's, by the answer to a call without a sign-in.
pub(super) async fn clock_skew(place: &Place) -> Option<Duration> {
    let answer = crate::http::client().get(place.parameter()).send().await.ok()?;
    let date = answer.headers().get(reqwest::header::DATE)?.to_str().ok()?;
    Some(OffsetDateTime::now_utc() - OffsetDateTime::parse(date, &Rfc2822).ok()?)
}

pub(super) fn asks_for(app: &App, uses: Uses) -> Result<String, Wrong> {
    let has =
        |name: &str, needed: &str| app.permissions.get(name).is_some_and(|level| level == needed || level == "write");
    if let Some((name, level)) = uses.permissions().into_iter().find(|(name, level)| !has(name, level)) {
        let reports = if name == "checks" { ", which ReportToGitHub needs" } else { "" };
        return Err(Wrong::new(
            format!("it lacks {name}: {level}{reports}"),
            "grant it in the App's settings, and accept it where it is installed",
        ));
    }
    if !app.events.iter().any(|event| event == "workflow_job") {
        return Err(Wrong::new(
            "the event Workflow job is off",
            "switch it on in the App's settings under Permissions & events",
        ));
    }
    Ok(String::new())
}

pub(super) async fn hook(app: &SignedIn, webhook: &Url) -> Look {
    Ok(of_hook(&app.hook().await?, webhook))
}

fn of_hook(hook: &Hook, webhook: &Url) -> Result<String, Wrong> {
    let wrong = |what: String| Err(Wrong::new(what, "run `jitgate doctor --fix`").with(Fix::PointHook));
    if !same(&hook.url, webhook) {
        return wrong(format!("the App delivers to {:?}, not to {webhook}", hook.url));
    }
    if hook.content_type == "form" {
        return wrong("the App delivers forms, not JSON".to_owned());
    }
    if hook.insecure_ssl == "1" || hook.insecure_ssl == 1 {
        return wrong("GitHub does not verify the webhook's certificate".to_owned());
    }
    Ok(String::new())
}

/// How many of the latest deliveries are looked at.
const LATEST: usize = 50;

pub(super) fn deliveries(log: &[Delivery]) -> Result<String, Wrong> {
    // Other events, such as that of the App's installation, tell nothing of jobs, and nobody has them repeated.
    let counts = |delivery: &&Delivery| matches!(delivery.event.as_str(), "workflow_job" | "ping");
    let latest: Vec<&Delivery> = log.iter().filter(counts).take(LATEST).collect();
    let failed: Vec<&&Delivery> = latest.iter().filter(|each| !(200..300).contains(&each.status_code)).collect();
    // One that was repeated with success is mended.
    let is_mended = |delivery: &Delivery| {
        latest.iter().any(|other| other.guid == delivery.guid && (200..300).contains(&other.status_code))
    };
    let Some(worst) = failed.iter().find(|delivery| !is_mended(delivery)) else {
        return Ok(format!("the last {} arrived", latest.len()));
    };
    let todo = match worst.status_code {
        401 => {
            "the webhook secrets differ: run `jitgate app --replace`, or copy webhook_secret into the App's settings"
        }
        403 => "AWS answers in the webhook's place: allow public Function URLs, then run `jitgate upgrade`",
        429 => "raise Lambda's concurrency, or WebhookConcurrency",
        0 => "GitHub got no answer: check the App's webhook URL",
        _ => "read the webhook's log",
    };
    let count = failed.iter().filter(|delivery| !is_mended(delivery)).count();
    Err(Wrong::new(format!("{count} of the last {} failed, the latest with {}", latest.len(), worst.status_code), todo))
}

/// `repositories` says how many an installation on selected ones has, as far as GitHub told.
pub(super) fn installations(
    app: &App,
    all: &[Installation],
    repositories: &BTreeMap<u64, u64>,
) -> Result<String, Wrong> {
    let mut usable = Vec::new();
    for each in all {
        let login = &each.account.login;
        if each.suspended_at.is_some() {
            return Err(Wrong::new(
                format!("that of {login} is suspended"),
                "unsuspend it in its settings under GitHub Apps",
            ));
        }
        if let Some((name, level)) = each.missing_permission(app) {
            return Err(Wrong::new(
                format!("that of {login} does not grant {name}: {level}"),
                format!("have an owner of {login} accept it in its settings under GitHub Apps"),
            ));
        }
        if !each.events.is_empty() && !each.events.iter().any(|event| event == "workflow_job") {
            return Err(Wrong::new(
                format!("that of {login} does not get the event Workflow job"),
                format!("have an owner of {login} accept the App's events in its settings under GitHub Apps"),
            ));
        }
        let count = repositories.get(&each.id);
        if count == Some(&0) {
            return Err(Wrong::new(
                format!("that of {login} has no repository"),
                "select repositories in its settings under GitHub Apps",
            ));
        }
        let which = count.map_or_else(
            || format!("{} repositories", each.repository_selection),
            |count| format!("{count} repositories"),
        );
        usable.push(format!("{login} ({which})"));
    }
    if usable.is_empty() {
        return Err(Wrong::new("the App is installed nowhere", "install it from the App's page"));
    }
    Ok(usable.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(json: Value) -> T {
        serde_json::from_value(json).unwrap()
    }

    fn app(permissions: &Value, events: &Value) -> App {
        let owner = json!({ "login": "o", "type": "Organization" });
        read(json!({ "id": 1, "slug": "a", "owner": owner, "permissions": permissions, "events": events }))
    }

    #[test]
    fn an_app_needs_two_permissions_and_one_event_and_one_more_permission_to_report() {
        let runners = "organization_self_hosted_runners";
        let uses = |in_repositories, reports| Uses { in_repositories, reports };
        let good = app(&json!({ runners: "write", "actions": "read" }), &json!(["workflow_job"]));
        assert!(asks_for(&good, uses(false, false)).is_ok() && asks_for(&good, uses(true, false)).is_err());
        for (permissions, events) in [
            (json!({ runners: "read", "actions": "read" }), json!(["workflow_job"])),
            (json!({ runners: "write" }), json!(["workflow_job"])),
            (json!({ runners: "write", "actions": "read" }), json!([])),
        ] {
            assert!(asks_for(&app(&permissions, &events), uses(false, false)).is_err(), "{permissions} {events}");
        }
        let of_checks = |level: &str| {
            let permissions = json!({ runners: "write", "actions": "read", "checks": level });
            asks_for(&app(&permissions, &json!(["workflow_job"])), uses(false, true))
        };
        assert!(of_checks("write").is_ok() && of_checks("read").is_err());
        let remedy = "grant it in the App's settings, and accept it where it is installed";
        let lacks = Wrong::new("it lacks checks: write, which ReportToGitHub needs", remedy);
        assert_eq!(asks_for(&good, uses(false, true)), Err(lacks));
    }

    #[test]
    fn an_installation_grants_all_and_is_not_suspended() {
        let app = app(&json!({ "actions": "read" }), &json!([]));
        let of = |permissions: Value, suspended: Option<&str>| -> Vec<Installation> {
            let account = json!({ "login": "o", "type": "Organization" });
            vec![read(json!({ "id": 1, "account": account, "permissions": permissions, "events": [],
                "repository_selection": "all", "suspended_at": suspended }))]
        };
        let none = BTreeMap::new();
        let good = of(json!({ "actions": "read" }), None);
        assert_eq!(installations(&app, &good, &none), Ok("o (all repositories)".to_owned()));
        assert_eq!(installations(&app, &good, &[(1, 3)].into()), Ok("o (3 repositories)".to_owned()));
        assert!(installations(&app, &good, &[(1, 0)].into()).is_err());
        assert!(installations(&app, &of(json!({}), None), &none).is_err());
        let suspended = of(json!({ "actions": "read" }), Some("2026-11-01T00:00:00Z"));
        assert!(installations(&app, &suspended, &none).is_err());
        assert!(installations(&app, &[], &none).is_err());
        let mut deaf = good.clone();
        deaf[0].events = vec!["ping".to_owned()];
        assert!(installations(&app, &deaf, &none).is_err());
    }

    #[test]
    fn a_refused_sign_in_is_the_clocks_or_the_keys_fault() {
        let refused = Err(Trouble::failed("GitHub, GET /app: answer 401 Unauthorized: Bad credentials", ""));
        let says = |skew: i64| format!("{:?}", signs_in(&refused, Some(Duration::seconds(skew))));
        assert!(says(3).contains("jitgate app --replace") && says(-700).contains("clock is -700 seconds off"));
        let unknown = Err(Trouble::failed("GitHub, GET /app: answer 404 Not Found: Integration not found", ""));
        assert!(format!("{:?}", signs_in(&unknown, None)).contains("correct app_id"));
        assert!(signs_in(&Err(Trouble::unknown("GitHub: no answer", "")), None).is_err());
    }

    #[test]
    fn a_failed_delivery_counts_until_it_is_repeated() {
        let of = |id: u64, guid: &str, status: u16| -> Delivery {
            read(json!({ "id": id, "guid": guid, "event": "workflow_job", "status_code": status, "redelivery": false }))
        };
        assert_eq!(deliveries(&[of(1, "a", 202)]), Ok("the last 1 arrived".to_owned()));
        assert!(deliveries(&[of(2, "b", 202), of(1, "a", 401)]).is_err());
        assert!(deliveries(&[of(2, "a", 202), of(1, "a", 503)]).is_ok());
        let other = Delivery { event: "installation".to_owned(), ..of(3, "c", 401) };
        assert_eq!(deliveries(&[other, of(1, "a", 202)]), Ok("the last 1 arrived".to_owned()));
    }

    #[test]
    fn a_hook_that_leads_elsewhere_can_be_corrected() {
        let url = Url::parse("https://w.example/").unwrap();
        let of = |json: Value| of_hook(&read(json), &url);
        assert!(of(json!({ "url": "https://w.example", "content_type": "json", "insecure_ssl": "0" })).is_ok());
        for wrong in [
            json!({ "url": "https://other.example" }),
            json!({ "url": "https://w.example", "content_type": "form" }),
            json!({ "url": "https://w.example", "insecure_ssl": "1" }),
        ] {
            assert!(of(wrong).is_err());
        }
    }
}
