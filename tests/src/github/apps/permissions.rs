//! Which permissions and events an App can have, as far as Apps around Actions ask for them.

/// Permissions of repositories, with the highest level of each. Source: the schema `app-permissions` of GitHub's description.
const OF_REPOSITORIES: [(&str, &str); 14] = [
    ("actions", "write"),
    ("administration", "write"),
    ("checks", "write"),
    ("contents", "write"),
    ("deployments", "write"),
    ("environments", "write"),
    ("issues", "write"),
    ("metadata", "write"),
    ("packages", "write"),
    ("pull_requests", "write"),
    ("repository_hooks", "write"),
    ("secrets", "write"),
    ("statuses", "write"),
    ("workflows", "write"),
];

/// Permissions of organisations. Source: as above.
const OF_ORGANIZATIONS: [(&str, &str); 8] = [
    ("members", "write"),
    ("organization_administration", "write"),
    ("organization_events", "read"),
    ("organization_hooks", "write"),
    ("organization_plan", "read"),
    ("organization_projects", "admin"),
    ("organization_secrets", "write"),
    ("organization_self_hosted_runners", "write"),
];

/// Events, each with the permission that it needs. Source: GitHub Docs, "Webhook events and payloads"; that `issue_comment` needs
/// `issues` in a manifest: derive-to/derive#269; `organization`: cyrusagents/cyrus#1406.
const EVENTS: [(&str, &str); 14] = [
    ("check_run", "checks"),
    ("check_suite", "checks"),
    ("deployment", "deployments"),
    ("deployment_status", "deployments"),
    ("issue_comment", "issues"),
    ("issues", "issues"),
    ("organization", "organization_administration"),
    ("pull_request", "pull_requests"),
    ("push", "contents"),
    ("release", "contents"),
    ("repository", "metadata"),
    ("status", "statuses"),
    ("workflow_job", "actions"),
    ("workflow_run", "actions"),
];

/// Whether only an organisation can grant it.
pub(super) fn is_of_organizations(permission: &str) -> bool {
    OF_ORGANIZATIONS.iter().any(|(name, _)| *name == permission)
}

/// The levels that a permission can have; `None` if there is no such permission.
pub(super) fn levels(permission: &str) -> Option<&'static [&'static str]> {
    let all = OF_REPOSITORIES.iter().chain(&OF_ORGANIZATIONS);
    let (name, highest) = all.into_iter().find(|(name, _)| *name == permission)?;
    Some(match *highest {
        // Source: the schema `app-permissions`.
        _ if *name == "workflows" => &["write"],
        "read" => &["read"],
        "write" => &["read", "write"],
        _ => &["read", "write", "admin"],
    })
}

/// The permission that an event needs; `None` if no App can subscribe to it. Every App gets `installation` unasked.
pub(super) fn needed_by(event: &str) -> Option<&'static str> {
    EVENTS.iter().find(|(name, _)| *name == event).map(|(_, permission)| *permission)
}
