//! The checks of GitHub's side.

use std::collections::BTreeMap;

use jitgate::classes::RunnerGroup;
use reqwest::StatusCode;
use serde_json::Value;
use url::Url;

use super::finding::{Fix, Look, Wrong};
use crate::fleet::Deployed;
use crate::github::{App, Delivery, Hook, Installation, SignedIn, Uses};
use crate::trouble::Trouble;
use crate::verify::same;

pub(super) fn signs_in(app: &Result<App, Trouble>) -> Look {
    match app {
        Ok(app) => Ok(Ok(app.slug.clone())),
        Err(trouble) if trouble.what.contains("answer 401") => Ok(Err(Wrong::new(
            trouble.what.clone(),
            "check this machine's clock, and that the App's key is still valid; else run `jitgate app --replace`",
        ))),
        Err(trouble) => Err(trouble.clone()),
    }
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
    let latest: Vec<&Delivery> = log.iter().take(LATEST).collect();
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

pub(super) fn installations(app: &App, all: &[Installation]) -> Result<String, Wrong> {
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
        usable.push(login.as_str());
    }
    if usable.is_empty() {
        return Err(Wrong::new("the App is installed nowhere", "install it from the App's page"));
    }
    Ok(usable.join(", "))
}

/// Whether a token may do there what registering needs, and whether the classes' runner groups are there.
pub(super) async fn registering(app: &SignedIn, fleet: &Deployed, all: &[Installation]) -> Look {
    // Registering does not depend on reports.
    let needed = Uses { reports: false, ..fleet.uses() }.permissions();
    let wanted: BTreeMap<_, _> = needed.into_iter().map(|(name, level)| (name.to_owned(), level.to_owned())).collect();
    let classes = fleet.classes()?;
    for each in all.iter().filter(|each| each.suspended_at.is_none()) {
        let token = match app.token(each.id, &wanted).await {
            Ok(token) => token,
            Err(trouble) if trouble.status.is_some_and(|status| status.is_client_error()) => {
                let what = Trouble::from(trouble).what;
                return Ok(Err(Wrong::new(what, "grant the permission, and accept it where the App is installed")));
            }
            Err(trouble) => return Err(trouble.into()),
        };
        if fleet.in_repositories() || each.account.kind != "Organization" {
            continue;
        }
        let path = format!("orgs/{}/actions/runner-groups?per_page=100", each.account.login);
        let answer: Result<Value, _> = app.read(Some(&token), &path).await;
        let groups = match answer {
            Ok(groups) => groups,
            // Free plans have the default group alone, and no list of groups.
            Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => continue,
            Err(trouble) => return Err(trouble.into()),
        };
        let named: Vec<&str> = groups["runner_groups"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|group| group["name"].as_str())
            .collect();
        for class in classes.iter() {
            if let RunnerGroup::Name(group) = &class.runner_group
                && !named.iter().any(|name| name.eq_ignore_ascii_case(group))
            {
                return Ok(Err(Wrong::new(
                    format!("{} has no runner group {group:?}, which class {} names", each.account.login, class.name),
                    "make it in the organisation's settings, or correct runner_group in the class",
                )));
            }
        }
    }
    Ok(Ok(String::new()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        assert_eq!(installations(&app, &of(json!({ "actions": "read" }), None)), Ok("o".to_owned()));
        assert!(installations(&app, &of(json!({}), None)).is_err());
        assert!(installations(&app, &of(json!({ "actions": "read" }), Some("2026-11-01T00:00:00Z"))).is_err());
        assert!(installations(&app, &[]).is_err());
    }

    #[test]
    fn a_failed_delivery_counts_until_it_is_repeated() {
        let of = |id: u64, guid: &str, status: u16| -> Delivery {
            read(json!({ "id": id, "guid": guid, "event": "workflow_job", "status_code": status, "redelivery": false }))
        };
        assert_eq!(deliveries(&[of(1, "a", 202)]), Ok("the last 1 arrived".to_owned()));
        assert!(deliveries(&[of(2, "b", 202), of(1, "a", 401)]).is_err());
        assert!(deliveries(&[of(2, "a", 202), of(1, "a", 503)]).is_ok());
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
