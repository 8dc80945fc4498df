//! GitHub's objects as JSON, with the fields that its description requires.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::apps::App;
use super::checks::CheckRun;
use super::scope::Scope;
use super::state::{Account, AccountKind, Group, Installation, Job, JobStatus, Repository, Run, Runner};

const API: &str = "https://api.github.com";
const WEB: &str = "https://github.com";

/// The commit of every run, and the only one that there is.
pub(super) const HEAD_SHA: &str = "3484a3fb816e0859fd6e1cea078d76385ff50625";

/// GitHub's format of times: UTC, whole seconds.
pub(super) fn moment(at: OffsetDateTime) -> String {
    let at = at.replace_nanosecond(0).expect("zero is a nanosecond");
    at.format(&Rfc3339).expect("a year of four digits")
}

fn node_id(kind: &str, id: u64) -> String {
    format!("{kind}_{id}")
}

pub(super) fn account(account: &Account) -> Value {
    let Account { id, login, kind } = account;
    let mut fields = Map::new();
    fields.insert("login".to_owned(), json!(login));
    fields.insert("id".to_owned(), json!(id));
    fields.insert("node_id".to_owned(), json!(node_id("O", id.0)));
    fields.insert("avatar_url".to_owned(), json!(format!("https://avatars.githubusercontent.com/u/{id}?v=4")));
    fields.insert("gravatar_id".to_owned(), json!(""));
    fields.insert("url".to_owned(), json!(format!("{API}/users/{login}")));
    fields.insert("html_url".to_owned(), json!(format!("{WEB}/{login}")));
    for (field, path) in [
        ("followers_url", "followers"),
        ("following_url", "following{/other_user}"),
        ("gists_url", "gists{/gist_id}"),
        ("starred_url", "starred{/owner}{/repo}"),
        ("subscriptions_url", "subscriptions"),
        ("organizations_url", "orgs"),
        ("repos_url", "repos"),
        ("events_url", "events{/privacy}"),
        ("received_events_url", "received_events"),
    ] {
        fields.insert(field.to_owned(), json!(format!("{API}/users/{login}/{path}")));
    }
    let kind = match kind {
        AccountKind::Organization => "Organization",
        AccountKind::User => "User",
    };
    fields.insert("type".to_owned(), json!(kind));
    fields.insert("site_admin".to_owned(), json!(false));
    Value::Object(fields)
}

/// An organisation, as in lists.
pub(super) fn organization(account: &Account) -> Value {
    let Account { id, login, .. } = account;
    let url = format!("{API}/orgs/{login}");
    json!({
        "login": login,
        "id": id,
        "node_id": node_id("O", id.0),
        "url": url,
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events"),
        "hooks_url": format!("{url}/hooks"),
        "issues_url": format!("{url}/issues"),
        "members_url": format!("{url}/members{{/member}}"),
        "public_members_url": format!("{url}/public_members{{/member}}"),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
        "description": null,
    })
}

/// URLs that end in the name of what they lead to, in the order of GitHub's description.
const REPOSITORY_LINKS: [(&str, &str); 37] = [
    ("archive_url", "{archive_format}{/ref}"),
    ("assignees_url", "assignees{/user}"),
    ("blobs_url", "git/blobs{/sha}"),
    ("branches_url", "branches{/branch}"),
    ("collaborators_url", "collaborators{/collaborator}"),
    ("comments_url", "comments{/number}"),
    ("commits_url", "commits{/sha}"),
    ("compare_url", "compare/{base}...{head}"),
    ("contents_url", "contents/{+path}"),
    ("contributors_url", "contributors"),
    ("deployments_url", "deployments"),
    ("downloads_url", "downloads"),
    ("events_url", "events"),
    ("forks_url", "forks"),
    ("git_commits_url", "git/commits{/sha}"),
    ("git_refs_url", "git/refs{/sha}"),
    ("git_tags_url", "git/tags{/sha}"),
    ("hooks_url", "hooks"),
    ("issue_comment_url", "issues/comments{/number}"),
    ("issue_events_url", "issues/events{/number}"),
    ("issues_url", "issues{/number}"),
    ("keys_url", "keys{/key_id}"),
    ("labels_url", "labels{/name}"),
    ("languages_url", "languages"),
    ("merges_url", "merges"),
    ("milestones_url", "milestones{/number}"),
    ("notifications_url", "notifications{?since,all,participating}"),
    ("pulls_url", "pulls{/number}"),
    ("releases_url", "releases{/id}"),
    ("stargazers_url", "stargazers"),
    ("statuses_url", "statuses/{sha}"),
    ("subscribers_url", "subscribers"),
    ("subscription_url", "subscription"),
    ("tags_url", "tags"),
    ("teams_url", "teams"),
    ("trees_url", "git/trees{/sha}"),
    ("svn_url", ""),
];

pub(super) fn repository(repository: &Repository) -> Value {
    let full_name = repository.full_name();
    let mut body = json!({
        "id": repository.id,
        "node_id": node_id("R", repository.id),
        "name": repository.name,
        "full_name": full_name,
        "owner": account(&repository.owner),
        "private": !repository.is_public,
        "html_url": format!("{WEB}/{full_name}"),
        "description": null,
        "fork": false,
        "url": format!("{API}/repos/{full_name}"),
        "clone_url": format!("{WEB}/{full_name}.git"),
        "git_url": format!("git:github.com/{full_name}.git"),
        "ssh_url": format!("git@github.com:{full_name}.git"),
        "mirror_url": null,
        "homepage": null,
        "language": null,
        "license": null,
        "default_branch": "main",
        "forks": 0,
        "forks_count": 0,
        "open_issues": 0,
        "open_issues_count": 0,
        "watchers": 0,
        "watchers_count": 0,
        "stargazers_count": 0,
        "size": 1,
        "has_downloads": true,
        "has_issues": true,
        "has_pages": false,
        "has_projects": true,
        "has_wiki": true,
        "archived": false,
        "disabled": false,
        "pushed_at": repository.pushed_at.map(moment),
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    });
    for (field, path) in REPOSITORY_LINKS {
        body[field] = json!(format!("{API}/repos/{full_name}/{path}"));
    }
    body["svn_url"] = body["html_url"].clone();
    body
}

/// A repository in a delivery about an installation.
pub(super) fn repository_in_brief(repository: &Repository) -> Value {
    json!({
        "id": repository.id,
        "node_id": node_id("R", repository.id),
        "name": repository.name,
        "full_name": repository.full_name(),
        "private": !repository.is_public,
    })
}

/// An App, with the count of its installations if it asks about itself.
pub(super) fn app(app: &App, installations: Option<usize>) -> Value {
    let mut body = json!({
        "id": app.id,
        "slug": app.slug,
        "node_id": node_id("A", app.id),
        "client_id": app.client_id,
        "owner": account(&app.owner),
        "name": app.name,
        "description": app.description,
        "external_url": app.url,
        "html_url": app.html_url(),
        "created_at": moment(app.created_at),
        "updated_at": moment(app.created_at),
        "permissions": app.permissions,
        "events": app.events,
    });
    if let Some(installations) = installations {
        body["installations_count"] = json!(installations);
    }
    body
}

pub(super) fn installation(app: &App, installation: &Installation) -> Value {
    let Installation { id, account: on, permissions, repositories, suspended_at, events, created_at, app: _ } =
        installation;
    let kind = match on.kind {
        AccountKind::Organization => "Organization",
        AccountKind::User => "User",
    };
    json!({
        "id": id,
        "account": account(on),
        "repository_selection": selection(repositories.is_none()),
        "access_tokens_url": format!("{API}/app/installations/{id}/access_tokens"),
        "repositories_url": format!("{API}/installation/repositories"),
        "html_url": installation_page(app, installation),
        "app_id": app.id,
        "client_id": app.client_id,
        "app_slug": app.slug,
        "target_id": on.id,
        "target_type": kind,
        "permissions": permissions,
        "events": events,
        "created_at": moment(*created_at),
        "updated_at": moment(*created_at),
        "single_file_name": null,
        "has_multiple_single_files": false,
        "single_file_paths": [],
        "suspended_by": suspended_at.map(|_| account(on)),
        "suspended_at": suspended_at.map(moment),
    })
}

/// The installation's page in the settings of its account.
pub(super) fn installation_page(app: &App, installation: &Installation) -> String {
    let settings = match installation.account.kind {
        AccountKind::Organization => format!("organizations/{}/settings", installation.account.login),
        AccountKind::User => "settings".to_owned(),
    };
    format!("{}/{settings}/installations/{}", app.site, installation.id)
}

fn selection(all: bool) -> &'static str {
    if all { "all" } else { "selected" }
}

pub(super) fn token(
    token: &str,
    expires_at: OffsetDateTime,
    permissions: &BTreeMap<String, String>,
    all_repositories: bool,
    repositories: Option<Vec<Value>>,
) -> Value {
    let mut body = json!({
        "token": token,
        "expires_at": moment(expires_at),
        "permissions": permissions,
        "repository_selection": selection(all_repositories && repositories.is_none()),
    });
    if let Some(repositories) = repositories {
        body["repositories"] = Value::Array(repositories);
    }
    body
}

pub(super) fn runner(runner: &Runner, busy: bool) -> Value {
    let label = |(number, name): (usize, &String)| json!({ "id": number + 1, "name": name, "type": "custom" });
    json!({
        "id": runner.id,
        "name": runner.name,
        // GitHub's value for a registration that has never connected.
        "os": if runner.version.is_some() { "linux" } else { "unknown" },
        "status": if runner.online { "online" } else { "offline" },
        "busy": busy,
        "labels": runner.labels.iter().enumerate().map(label).collect::<Vec<Value>>(),
        "runner_group_id": runner.group_id,
        "ephemeral": true,
        "version": runner.version,
    })
}

pub(super) fn group(scope: &Scope, Group { id, name, selected, allows_public }: &Group) -> Value {
    let all_repositories = selected.is_none();
    let url = format!("{API}/{scope}/actions/runner-groups/{id}");
    let mut body = json!({
        "id": id,
        "name": name,
        "visibility": selection(all_repositories),
        "default": *id == 1,
        "runners_url": format!("{url}/runners"),
        "hosted_runners_url": format!("{url}/hosted-runners"),
        "inherited": false,
        "allows_public_repositories": allows_public,
        "workflow_restrictions_read_only": false,
        "restricted_to_workflows": false,
        "selected_workflows": [],
    });
    if !all_repositories {
        body["selected_repositories_url"] = json!(format!("{url}/repositories"));
    }
    body
}

pub(super) fn job(job: &Job) -> Value {
    let (id, run_id) = (job.id, job.run_id);
    let repository = format!("repos/{}/{}", job.owner, job.repository);
    json!({
        "id": id,
        "run_id": run_id,
        "workflow_name": "CI",
        "head_branch": "main",
        "run_url": format!("{API}/{repository}/actions/runs/{run_id}"),
        "run_attempt": 1,
        "node_id": node_id("CR", id.0),
        "head_sha": HEAD_SHA,
        "url": format!("{API}/{repository}/actions/jobs/{id}"),
        "html_url": page_of(job),
        "status": job.status.as_str(),
        "conclusion": job.conclusion,
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at.unwrap_or(job.created_at)),
        "completed_at": job.completed_at.map(moment),
        "name": job.name,
        "steps": [],
        "check_run_url": format!("{API}/{repository}/check-runs/{id}"),
        "labels": job.labels,
        "runner_id": job.runner_id,
        "runner_name": job.runner_name,
        "runner_group_id": job.runner_group.as_ref().map(|(id, _)| id),
        "runner_group_name": job.runner_group.as_ref().map(|(_, name)| name),
    })
}

pub(super) fn run(run: &Run, status: JobStatus, conclusion: Option<&str>) -> Value {
    let id = run.id;
    let repository_body = repository(&run.repository);
    let full_name = run.repository.full_name();
    let url = format!("{API}/repos/{full_name}/actions/runs/{id}");
    let at = moment(run.created_at);
    let owner = account(&run.repository.owner);
    json!({
        "id": id,
        "name": "CI",
        "node_id": node_id("WFR", id.0),
        "check_suite_id": id,
        "check_suite_node_id": node_id("CS", id.0),
        "head_branch": "main",
        "head_sha": HEAD_SHA,
        "path": ".github/workflows/ci.yml",
        "display_title": "CI",
        "run_number": 1,
        "run_attempt": 1,
        "event": run.event,
        "status": status.as_str(),
        "conclusion": conclusion,
        "workflow_id": 1,
        "url": url,
        "html_url": format!("{WEB}/{full_name}/actions/runs/{id}"),
        "pull_requests": [],
        "created_at": at,
        "updated_at": at,
        "run_started_at": at,
        "actor": owner,
        "triggering_actor": owner,
        "jobs_url": format!("{url}/jobs"),
        "logs_url": format!("{url}/logs"),
        "check_suite_url": format!("{API}/repos/{full_name}/check-suites/{id}"),
        "artifacts_url": format!("{url}/artifacts"),
        "cancel_url": format!("{url}/cancel"),
        "rerun_url": format!("{url}/rerun"),
        "previous_attempt_url": null,
        "workflow_url": format!("{API}/repos/{full_name}/actions/workflows/1"),
        "head_commit": {
            "id": HEAD_SHA,
            "tree_id": HEAD_SHA,
            "message": "Build",
            "timestamp": at,
            "author": { "name": "Mona", "email": "mona@github.example" },
            "committer": { "name": "Mona", "email": "mona@github.example" },
        },
        "repository": repository_body,
        "head_repository": run.fork.as_ref().map_or_else(|| repository_body.clone(), repository),
    })
}

/// The address of a job's page.
pub(super) fn page_of(job: &Job) -> String {
    format!("{WEB}/{}/{}/actions/runs/{}/job/{}", job.owner, job.repository, job.run_id, job.id)
}

pub(super) fn check_run(run: &CheckRun, app: Option<&App>) -> Value {
    let repository = run.scope.to_string();
    let id = run.id;
    json!({
        "id": id,
        "node_id": node_id("CR", id),
        "head_sha": run.head_sha,
        "external_id": run.external_id,
        "name": run.name,
        "url": format!("{API}/{repository}/check-runs/{id}"),
        "html_url": format!("{WEB}/{}/runs/{id}", repository.trim_start_matches("repos/")),
        "details_url": run.details_url,
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": moment(run.started_at),
        "completed_at": run.completed_at.map(moment),
        "output": {
            "title": run.title,
            "summary": run.summary,
            "text": null,
            "annotations_count": 0,
            "annotations_url": format!("{API}/{repository}/check-runs/{id}/annotations"),
        },
        "check_suite": { "id": run.app },
        "app": app.map(|app| self::app(app, None)),
        "pull_requests": [],
    })
}
