//! What GitHub says: the job, its delivery, its runner, and the App there.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::{MARGIN, Witnesses, unknown};
use crate::github::{GitHubTrouble, Installation};
use crate::why::redact;
use crate::why::sources::{Announced, Installed, Job, Runner, Seen};

/// A delivery follows its job within seconds; later ones are repeats.
const DELIVERED_WITHIN: Duration = Duration::minutes(5);

/// How many deliveries of the time in question are opened to see whose they are.
const MOST_OPENED: usize = 20;

/// A repository's installation, and a token that reads there.
pub struct Access {
    pub(super) state: Seen<Installed>,
    pub(super) token: Option<SecretString>,
}

impl Witnesses<'_> {
    /// Signs in where the job is.
    pub async fn access(&self, repository: Option<&str>) -> Access {
        let none = |state| Access { state, token: None };
        let (app, repository) = match (&self.app, repository) {
            (Ok(app), Some(repository)) => (app, repository),
            (Err(why), _) => return none(Seen::Unknown(why.clone())),
            (_, None) => {
                return none(Seen::Unknown("no log line names its repository: give the job's address".to_owned()));
            }
        };
        let found: Result<Installation, GitHubTrouble> =
            app.read(None, &format!("repos/{repository}/installation")).await;
        let installation = match found {
            Ok(installation) => installation,
            Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => return none(Seen::Known(Installed::No)),
            Err(trouble) => return none(unknown(trouble)),
        };
        if installation.suspended_at.is_some() {
            return none(Seen::Known(Installed::Suspended));
        }
        let mut wanted: BTreeMap<String, String> = installation.permissions;
        wanted.retain(|name, _| {
            matches!(name.as_str(), "actions" | "administration" | "organization_self_hosted_runners")
        });
        match app.token(installation.id, &wanted).await {
            Ok(token) => Access { state: Seen::Known(Installed::Yes), token: Some(token) },
            Err(trouble) => none(unknown(trouble)),
        }
    }

    pub(super) async fn job(&self, access: &Access, job: u64, repository: Option<&str>) -> Seen<Option<Job>> {
        let (Ok(app), Some(token), Some(repository)) = (&self.app, &access.token, repository) else {
            return Seen::Unknown("the App reads nothing there".to_owned());
        };
        match app.read(Some(token), &format!("repos/{repository}/actions/jobs/{job}")).await {
            Ok(job) => Seen::Known(Some(job)),
            Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => Seen::Known(None),
            Err(trouble) => unknown(trouble),
        }
    }

    /// Which delivery announced the job, and what it was answered.
    pub(super) async fn delivery(&self, job: u64, created: Option<OffsetDateTime>) -> Seen<Announced> {
        let app = match &self.app {
            Ok(app) => app,
            Err(why) => return Seen::Unknown(why.clone()),
        };
        let Some(created) = created else { return Seen::Unknown("nobody says when the job was created".to_owned()) };
        let log = match app.deliveries().await {
            Ok(log) => log,
            Err(trouble) => return unknown(trouble),
        };
        let reaches_back =
            log.len() < 100 || log.last().and_then(|last| last.delivered_at).is_some_and(|at| at < created);
        let near = log.iter().filter(|delivery| {
            let at = delivery.delivered_at.unwrap_or(created);
            delivery.event == "workflow_job"
                && delivery.action.as_deref() == Some("queued")
                && (delivery.redelivery || (created - MARGIN..=created + DELIVERED_WITHIN).contains(&at))
        });
        let opened = near.take(MOST_OPENED).map(|delivery| async move {
            let whole: Value = app.read(None, &format!("app/hook/deliveries/{}", delivery.id)).await.ok()?;
            (whole["request"]["payload"]["workflow_job"]["id"].as_u64() == Some(job)).then_some((delivery, whole))
        });
        let found: Vec<_> = futures::future::join_all(opened).await.into_iter().flatten().collect();
        // The log is newest first.
        let Some((latest, whole)) = found.first() else {
            return Seen::Known(if reaches_back { Announced::Never } else { Announced::Forgotten });
        };
        Seen::Known(Announced::Delivered {
            at: latest.delivered_at.unwrap_or(created),
            attempts: found.len(),
            status: latest.status_code,
            reason: reason_of(&whole["response"]["payload"]),
        })
    }

    pub(super) async fn is_subscribed(&self) -> Seen<bool> {
        match &self.app {
            Err(why) => Seen::Unknown(why.clone()),
            Ok(app) => match app.app().await {
                Ok(app) => Seen::Known(app.events.iter().any(|event| event == "workflow_job")),
                Err(trouble) => unknown(trouble),
            },
        }
    }

    pub(super) async fn runner(
        &self,
        access: &Access,
        repository: Option<&str>,
        name: Option<&str>,
    ) -> Seen<Option<Runner>> {
        let (Ok(app), Some(token), Some(repository), Some(name)) = (&self.app, &access.token, repository, name) else {
            return Seen::Unknown("there is no runner to look for".to_owned());
        };
        let owner = repository.split('/').next().unwrap_or_default();
        let place = if self.fleet.in_repositories() { format!("repos/{repository}") } else { format!("orgs/{owner}") };
        match app.read(Some(token), &format!("{place}/actions/runners?name={name}")).await {
            Ok(Runners { runners }) => {
                Seen::Known(runners.into_iter().find(|runner| runner.name == name).map(|runner| Runner {
                    is_online: runner.status == "online",
                    is_busy: runner.busy,
                    group: runner.runner_group_id,
                    name: runner.name,
                }))
            }
            Err(trouble) => unknown(trouble),
        }
    }

    /// Whether the group of an idle runner admits the repository: asked only where that could explain why it is idle.
    pub(super) async fn group_admits(
        &self,
        access: &Access,
        repository: Option<&str>,
        runner: &Seen<Option<Runner>>,
    ) -> Seen<bool> {
        #[derive(Deserialize)]
        struct Page {
            runner_groups: Vec<Group>,
        }
        #[derive(Deserialize)]
        struct Group {
            id: u64,
        }
        let idle = runner.known().and_then(Option::as_ref).filter(|runner| runner.is_online && !runner.is_busy);
        let group = idle.and_then(|runner| runner.group).filter(|_| !self.fleet.in_repositories());
        let named = repository.and_then(|repository| repository.split_once('/'));
        let (Ok(app), Some(token), Some(group), Some((owner, name))) = (&self.app, &access.token, group, named) else {
            return Seen::Unknown("there is no idle runner in a group".to_owned());
        };
        let path = format!("orgs/{owner}/actions/runner-groups?per_page=100&visible_to_repository={name}");
        match app.read(Some(token), &path).await {
            Ok(Page { runner_groups }) => Seen::Known(runner_groups.iter().any(|each| each.id == group)),
            Err(trouble) => unknown(trouble),
        }
    }
}

/// GitHub's list of registrations.
#[derive(Deserialize)]
struct Runners {
    runners: Vec<Registration>,
}

#[derive(Deserialize)]
struct Registration {
    name: String,
    busy: bool,
    #[serde(default)]
    status: String,
    #[serde(default)]
    runner_group_id: Option<u64>,
}

/// What the webhook gave as the reason, if it is our webhook that answered.
fn reason_of(payload: &Value) -> Option<String> {
    let parsed = match payload {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    parsed["reason"].as_str().map(redact::text)
}
