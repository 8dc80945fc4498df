//! What the App may do: no more than the fleet needs.

use std::collections::BTreeMap;

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

/// What the fleet does with its App, which decides the App's permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Runners are registered in repositories, which personal accounts always do.
    pub in_repositories: bool,
    /// Commits are told why their jobs wait.
    pub reports: bool,
}

impl Uses {
    /// Those of a stack with these parameters.
    pub fn of_stack(parameters: &BTreeMap<String, String>) -> Self {
        let is = |name: &str, value: &str| parameters.get(name).is_some_and(|set| set == value);
        Self { in_repositories: is("RunnerScope", "repo"), reports: is("ReportToGitHub", "checks") }
    }

    /// The permissions that the App needs, with their levels.
    pub fn permissions(self) -> BTreeMap<&'static str, &'static str> {
        let mut needed = BTreeMap::from([("actions", "read"), (registers(self.in_repositories), "write")]);
        if self.reports {
            needed.insert("checks", "write");
        }
        needed
    }
}

/// The permission that covers registrations in this scope.
pub fn registers(in_repositories: bool) -> &'static str {
    if in_repositories { "administration" } else { "organization_self_hosted_runners" }
}

/// The manifest from which GitHub creates an App.
///
/// There is no `setup_url`: GitHub would call it with an installation's id that anybody can forge.
pub fn manifest(place: &Place, name: &str, owner: &Owner, uses: Uses, webhook: &Url, redirect: &Url) -> Value {
    let uses = Uses { in_repositories: uses.in_repositories || *owner == Owner::Personal, ..uses };
    json!({
        "name": name,
        // GitHub requires a home page; the owner's own is always there.
        "url": place.page(if let Owner::Organization(login) = owner { login } else { "" }).as_str(),
        "description": "Starts a runner on AWS Fargate for each job that asks for one",
        "hook_attributes": { "url": webhook.as_str(), "active": true },
        "redirect_url": redirect.as_str(),
        "public": false,
        "default_permissions": uses.permissions(),
        "default_events": ["workflow_job"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_asks_for_what_the_fleet_uses_and_nothing_else() {
        let url = |text| Url::parse(text).unwrap();
        let of = |owner: &Owner, in_repositories, reports| {
            let place = Place::new(url("https://github.com"));
            let (webhook, redirect) = (url("https://w.example/"), url("http://127.0.0.1:1/callback"));
            let made = manifest(&place, "n", owner, Uses { in_repositories, reports }, &webhook, &redirect);
            made["default_permissions"].clone()
        };
        let organization = Owner::Organization("acme".to_owned());
        let runners = "organization_self_hosted_runners";
        assert_eq!(of(&organization, false, false), json!({ "actions": "read", runners: "write" }));
        assert_eq!(of(&organization, true, false), json!({ "actions": "read", "administration": "write" }));
        assert_eq!(of(&Owner::Personal, false, false), json!({ "actions": "read", "administration": "write" }));
        let reporting = json!({ "actions": "read", runners: "write", "checks": "write" });
        assert_eq!(of(&organization, false, true), reporting);
    }

    #[test]
    fn a_stack_s_parameters_say_what_its_app_is_for() {
        let of = |name: &str, value: &str| Uses::of_stack(&[(name.to_owned(), value.to_owned())].into());
        assert_eq!(of("ReportToGitHub", "checks"), Uses { in_repositories: false, reports: true });
        assert_eq!(of("RunnerScope", "repo"), Uses { in_repositories: true, reports: false });
        assert_eq!(of("ReportToGitHub", "none"), Uses::default());
    }
}
