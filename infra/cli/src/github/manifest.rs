//! What the App may do: no more than the fleet needs.

use serde_json::{Value, json};
use url::Url;

use super::Place;

/// Who owns the App.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An organisation, by its login.
    Organization(String),
    /// Whoever is signed in to GitHub.
    Personal,
}

/// The manifest from which GitHub creates an App. `in_repositories`: runners are registered in repositories, which
/// personal accounts always do.
///
/// There is no `setup_url`: GitHub would call it with an installation's id that anybody can forge.
pub fn manifest(
    place: &Place,
    name: &str,
    owner: &Owner,
    in_repositories: bool,
    webhook: &Url,
    redirect: &Url,
) -> Value {
    let registers = match owner {
        Owner::Organization(_) if !in_repositories => "organization_self_hosted_runners",
        _ => "administration",
    };
    json!({
        "name": name,
        // GitHub requires a home page; the owner's own is always there.
        "url": place.page(if let Owner::Organization(login) = owner { login } else { "" }).as_str(),
        "description": "Starts a runner on AWS Fargate for each job that asks for one",
        "hook_attributes": { "url": webhook.as_str(), "active": true },
        "redirect_url": redirect.as_str(),
        "public": false,
        "default_permissions": { "actions": "read", registers: "write" },
        "default_events": ["workflow_job"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_asks_for_what_registering_needs_and_nothing_else() {
        let url = |text| Url::parse(text).unwrap();
        let of = |owner: &Owner, in_repositories| {
            let place = Place::new(url("https://github.com"));
            let (webhook, redirect) = (url("https://w.example/"), url("http://127.0.0.1:1/callback"));
            let made = manifest(&place, "n", owner, in_repositories, &webhook, &redirect);
            made["default_permissions"].clone()
        };
        let organization = Owner::Organization("acme".to_owned());
        assert_eq!(of(&organization, false), json!({ "actions": "read", "organization_self_hosted_runners": "write" }));
        assert_eq!(of(&organization, true), json!({ "actions": "read", "administration": "write" }));
        assert_eq!(of(&Owner::Personal, false), json!({ "actions": "read", "administration": "write" }));
    }
}
