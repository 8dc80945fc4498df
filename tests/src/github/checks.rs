//! Check runs: what Apps say about a commit.

use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::answers::{self, Refused, refuse};
use super::auth::Identity;
use super::objects::{self, HEAD_SHA};
use super::route::{Paging, query};
use super::scope::Scope;
use super::state::{State, next};
use crate::wire::{self, Answer, Request};

/// The longest summary, in characters. Source: GitHub's OpenAPI description of "Create a check run".
const LONGEST_SUMMARY: usize = 65_535;

/// A check run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRun {
    /// GitHub's id.
    pub id: u64,
    /// The App that made it.
    pub app: u64,
    /// Its repository.
    pub scope: Scope,
    /// Its commit.
    pub head_sha: String,
    /// Its name.
    pub name: String,
    /// The App's own id for it.
    pub external_id: Option<String>,
    /// Where "Details" leads.
    pub details_url: Option<String>,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// Of a completed one.
    pub conclusion: Option<String>,
    /// One line.
    pub title: Option<String>,
    /// In Markdown.
    pub summary: Option<String>,
    /// When it was made.
    pub started_at: OffsetDateTime,
    /// When it was completed.
    pub completed_at: Option<OffsetDateTime>,
    /// How often it was written.
    pub writes: u32,
}

/// What may be written.
#[derive(Deserialize)]
struct Written {
    name: Option<String>,
    head_sha: Option<String>,
    external_id: Option<String>,
    details_url: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    output: Option<Output>,
}

#[derive(Deserialize)]
struct Output {
    title: String,
    summary: String,
}

impl CheckRun {
    fn write(&mut self, written: Written, now: OffsetDateTime) -> Refused<()> {
        let status = match (written.status, &written.conclusion) {
            // Source: GitHub's "Create a check run": a conclusion sets the status.
            (_, Some(_)) => "completed".to_owned(),
            (Some(status), None) if status == "completed" => {
                return refuse(answers::error(422, "Invalid request.\n\nNo conclusion was supplied."));
            }
            (status, None) => status.unwrap_or_else(|| self.status.clone()),
        };
        if let Some(output) = written.output {
            if output.summary.chars().count() > LONGEST_SUMMARY {
                return refuse(answers::error(422, "Validation Failed: output.summary is too long"));
            }
            (self.title, self.summary) = (Some(output.title), Some(output.summary));
        }
        self.completed_at = (status == "completed").then_some(self.completed_at.unwrap_or(now));
        (self.status, self.conclusion) = (status, written.conclusion);
        self.details_url = written.details_url.or(self.details_url.take());
        self.external_id = written.external_id.or(self.external_id.take());
        self.writes += 1;
        Ok(())
    }
}

impl State {
    /// The App whose token it is: nobody else may write check runs. Source: GitHub's "Using the REST API to interact with checks".
    fn app_of(&self, identity: &Identity) -> Refused<u64> {
        match identity {
            Identity::Installation(token) => Ok(self.installations[&token.installation.0].app),
            _ => refuse(answers::error(403, "You must authenticate via a GitHub App.")),
        }
    }

    pub(super) fn create_check_run(
        &mut self,
        identity: &Identity,
        scope: &Scope,
        request: &Request,
        now: OffsetDateTime,
    ) -> Refused<Answer> {
        let app = self.app_of(identity)?;
        let written = read(request)?;
        let (Some(name), Some(head_sha)) = (written.name.clone(), written.head_sha.clone()) else {
            return refuse(answers::error(422, "Invalid request.\n\n\"name\", \"head_sha\" weren't supplied."));
        };
        if head_sha != HEAD_SHA {
            return refuse(answers::error(422, &format!("No commit found for SHA: {head_sha}")));
        }
        let mut run = CheckRun {
            id: next(&mut self.counters.check_run),
            app,
            scope: scope.clone(),
            head_sha,
            name,
            external_id: None,
            details_url: None,
            status: "queued".to_owned(),
            conclusion: None,
            title: None,
            summary: None,
            started_at: now,
            completed_at: None,
            writes: 0,
        };
        run.write(written, now)?;
        let answer = wire::json(201, &self.check_run_object(&run));
        self.check_runs.insert(run.id, run);
        Ok(answer)
    }

    pub(super) fn update_check_run(
        &mut self,
        identity: &Identity,
        scope: &Scope,
        id: u64,
        request: &Request,
        now: OffsetDateTime,
    ) -> Refused<Answer> {
        let app = self.app_of(identity)?;
        let written = read(request)?;
        let Some(run) = self.check_runs.get_mut(&id).filter(|run| run.scope == *scope) else {
            return refuse(answers::not_found());
        };
        if run.app != app {
            return refuse(answers::error(
                403,
                "Invalid app_id - check run can only be modified by the GitHub App that created it.",
            ));
        }
        run.write(written, now)?;
        let run = run.clone();
        Ok(answers::ok(&self.check_run_object(&run)))
    }

    /// With `filter=latest`, the default, only the latest of each App and name.
    pub(super) fn list_check_runs(&self, scope: &Scope, sha: &str, request: &Request) -> Answer {
        let name = query(request, "check_name");
        let is_latest = query(request, "filter").is_none_or(|filter| filter == "latest");
        let of_commit = || self.check_runs.values().filter(|run| run.scope == *scope && run.head_sha == sha);
        let is_last = |run: &CheckRun| {
            !of_commit().any(|other| other.id > run.id && (other.app, &other.name) == (run.app, &run.name))
        };
        let found = of_commit().filter(|run| name.as_ref().is_none_or(|name| *name == run.name));
        let found: Vec<_> = found.filter(|run| !is_latest || is_last(run)).collect();
        let paging = Paging::of(request);
        let page: Vec<Value> = paging.cut(found.iter()).into_iter().map(|run| self.check_run_object(run)).collect();
        let mut answer = answers::ok(&json!({ "total_count": found.len(), "check_runs": page }));
        if let Some(link) = paging.link(request, found.len()) {
            answers::set(&mut answer, "link", link);
        }
        answer
    }

    fn check_run_object(&self, run: &CheckRun) -> Value {
        objects::check_run(run, self.apps.get(&run.app))
    }
}

fn read(request: &Request) -> Refused<Written> {
    serde_json::from_slice(request.body()).map_err(|_| Box::new(answers::error(400, "Problems parsing JSON")))
}
