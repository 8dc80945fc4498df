//! Waits until the App is installed with everything that it asks for.

use std::time::Duration;

use crate::args::GitHubOptions;
use crate::github::{App, Installation, SignedIn};
use crate::screen::Screen;
use crate::trouble::Trouble;

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Somebody else may have to be asked to install it. After this, the command can be run again.
const PATIENCE: Duration = Duration::from_mins(30);

/// Opens the page that installs the App, and waits until there is an installation that grants all that it asks for.
pub async fn wait_for(
    screen: &Screen,
    app: &SignedIn,
    description: &App,
    options: &GitHubOptions,
) -> Result<Vec<Installation>, Trouble> {
    let (usable, _) = sorted(description, app.installations().await?);
    if !usable.is_empty() {
        screen.done(format!("the App is installed for {}", names(&usable)));
        return Ok(usable);
    }
    let page = app.place().installation_of(&description.slug);
    screen.note("Install the App", "Choose the repositories that may use the runners.");
    screen.open(page.as_str(), !options.no_browser);
    let mut waiting = screen.wait("waiting until the App is installed");
    let began = tokio::time::Instant::now();
    while began.elapsed() < PATIENCE {
        let (usable, incomplete) = sorted(description, app.installations().await?);
        if !usable.is_empty() {
            waiting.done(format!("the App is installed for {}", names(&usable)));
            return Ok(usable);
        }
        if let Some((installation, missing)) = incomplete.first() {
            waiting
                .tell(format!("the installation for {} lacks {missing}; accept it there", installation.account.login));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Trouble::unknown("the App is not installed yet", format!("install it at {page}, then run the command again")))
}

/// The installations that can be used, and the others with what they lack.
fn sorted(app: &App, installations: Vec<Installation>) -> (Vec<Installation>, Vec<(Installation, String)>) {
    let (mut usable, mut incomplete) = (Vec::new(), Vec::new());
    for installation in installations {
        match lacks(app, &installation) {
            None => usable.push(installation),
            Some(missing) => incomplete.push((installation, missing)),
        }
    }
    (usable, incomplete)
}

/// What an installation lacks of what the App asks for.
fn lacks(app: &App, installation: &Installation) -> Option<String> {
    if installation.suspended_at.is_some() {
        return Some("its owner's consent: it is suspended".to_owned());
    }
    if let Some((name, level)) = installation.missing_permission(app) {
        return Some(format!("the permission {name}: {level}"));
    }
    let missing = app.events.iter().find(|event| !installation.events.contains(event));
    missing.map(|event| format!("the event {event}"))
}

fn names(installations: &[Installation]) -> String {
    let name = |installation: &Installation| {
        let which = if installation.repository_selection == "selected" { "selected" } else { "all" };
        format!("{} ({which} repositories)", installation.account.login)
    };
    installations.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn app() -> App {
        serde_json::from_value(json!({
            "id": 1, "slug": "s", "owner": {"login": "acme", "type": "Organization"},
            "permissions": {"actions": "read", "organization_self_hosted_runners": "write"}, "events": ["workflow_job"]
        }))
        .unwrap()
    }

    #[test]
    fn an_installation_must_grant_all_that_the_app_asks_for_by_now() {
        for (permissions, events, suspended, says) in [
            (
                json!({"actions": "read", "organization_self_hosted_runners": "write"}),
                json!(["workflow_job"]),
                None,
                None,
            ),
            (
                json!({"actions": "write", "organization_self_hosted_runners": "write"}),
                json!(["workflow_job"]),
                None,
                None,
            ),
            (
                json!({"actions": "read"}),
                json!(["workflow_job"]),
                None,
                Some("organization_self_hosted_runners: write"),
            ),
            (
                json!({"actions": "read", "organization_self_hosted_runners": "read"}),
                json!(["workflow_job"]),
                None,
                Some("organization_self_hosted_runners: write"),
            ),
            (
                json!({"actions": "read", "organization_self_hosted_runners": "write"}),
                json!([]),
                None,
                Some("workflow_job"),
            ),
            (
                json!({"actions": "read", "organization_self_hosted_runners": "write"}),
                json!(["workflow_job"]),
                Some("2026-01-01T00:00:00Z"),
                Some("suspended"),
            ),
        ] {
            let installation = serde_json::from_value(json!({
                "id": 1, "account": {"login": "acme"}, "permissions": permissions, "events": events,
                "repository_selection": "all", "suspended_at": suspended
            }))
            .unwrap();
            let missing = lacks(&app(), &installation);
            assert_eq!(missing.is_none(), says.is_none(), "{missing:?}");
            assert!(missing.unwrap_or_default().contains(says.unwrap_or_default()));
        }
    }
}
