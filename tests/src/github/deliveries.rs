//! What hooks send, and GitHub's log of it.

use std::sync::Arc;
use std::time::Duration;

use jitgate::job::{InstallationId, JobId};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::answers::{self, Refused, refuse};
use super::hooks::{Delivery, DeliveryRecord, Hook, HookOwner, Outcome};
use super::objects;
use super::route::{Paging, query, url};
use super::scope::Scope;
use super::state::{AccountKind, Job, State, next};
use crate::payloads::WorkflowJobEvent;
use crate::wire::{self, Answer, Request};

/// How long GitHub keeps a delivery in the log. Source: GitHub's "Handling failed webhook deliveries".
const LOG_KEPT: Duration = Duration::from_hours(72);

impl DeliveryRecord {
    fn object(&self) -> Value {
        let outcome = self.outcome.clone().unwrap_or_else(Outcome::unreachable);
        let status = match outcome.status {
            200..400 => "OK".to_owned(),
            502 if outcome.body.is_empty() => "failed to connect to host".to_owned(),
            504 if outcome.body.is_empty() => "timed out".to_owned(),
            status => format!("Invalid HTTP Response: {status}"),
        };
        json!({
            "id": self.id,
            "guid": self.guid,
            "delivered_at": objects::moment(self.delivered_at),
            "redelivery": self.redelivery,
            "duration": 0.1,
            "status": status,
            "status_code": outcome.status,
            "event": self.event,
            "action": self.action,
            "installation_id": self.installation,
            "repository_id": self.repository,
            "throttled_at": null,
        })
    }

    fn whole_object(&self) -> Value {
        let payload = self.payload.as_ref().and_then(|payload| serde_json::from_slice(payload).ok());
        let mut body = self.object();
        body["url"] = json!("");
        body["request"] = json!({
            "headers": { "X-GitHub-Delivery": self.guid, "X-GitHub-Event": self.event },
            "payload": payload.unwrap_or(Value::Null),
        });
        body["response"] = json!({
            "headers": {},
            "payload": self.outcome.as_ref().map(|outcome| &outcome.body),
        });
        body
    }
}

impl State {
    pub(super) fn add_hook(&mut self, owner: HookOwner, url: &str, now: OffsetDateTime) -> u64 {
        let id = next(&mut self.counters.hook);
        let hook = Hook { id, owner, url: url.to_owned(), secret: None, active: true, created_at: now };
        self.hooks.insert(id, hook);
        id
    }

    /// The GUID of the next delivery.
    pub(super) fn new_guid(&self) -> String {
        format!("7c1e4f50-0000-11f1-8000-{:012x}", self.counters.delivery + 1)
    }

    /// Creates a delivery for each hook that covers the job.
    pub(super) fn deliver_job(&mut self, id: JobId, action: &str, now: OffsetDateTime) {
        let Some(job) = self.jobs.get(&id.0) else { return };
        let through = |app: u64| {
            self.installations_of_app(app).find(|installation| {
                installation.covers(&job.owner, &job.repository)
                    && installation.suspended_at.is_none()
                    && installation.events.iter().any(|event| event == "workflow_job")
            })
        };
        let hooks: Vec<(u64, Option<InstallationId>)> = self
            .hooks
            .values()
            .filter(|hook| hook.active)
            .filter_map(|hook| match &hook.owner {
                HookOwner::App(app) => through(*app).map(|installation| (hook.id, Some(installation.id))),
                HookOwner::Scope(Scope::Organization(login)) => {
                    job.owner.eq_ignore_ascii_case(login).then_some((hook.id, None))
                }
                HookOwner::Scope(scope) => {
                    (Scope::repo(&job.owner, &job.repository) == *scope).then_some((hook.id, None))
                }
            })
            .collect();
        if hooks.is_empty() {
            return;
        }
        let guid = self.new_guid();
        let job = job.clone();
        for (hook, installation) in hooks {
            let event = self.workflow_job_event(&job, action, installation);
            let record = DeliveryRecord {
                id: next(&mut self.counters.delivery),
                guid: guid.clone(),
                hook,
                event: "workflow_job".to_owned(),
                action: Some(action.to_owned()),
                installation: event.json()["installation"]["id"].as_u64().map(InstallationId),
                repository: event.json()["repository"]["id"].as_u64(),
                job_id: Some(id),
                payload: Some(event.bytes().into()),
                redelivery: false,
                delivered_at: now,
                outcome: None,
            };
            self.unsent.push(record.id);
            self.deliveries.insert(record.id, record);
        }
    }

    /// What a hook would send of a job now.
    pub(super) fn workflow_job_event(
        &self,
        job: &Job,
        action: &str,
        installation: Option<InstallationId>,
    ) -> WorkflowJobEvent {
        let base = match (job.example, action) {
            (Some(number), _) => WorkflowJobEvent::example(number),
            (None, "in_progress") => WorkflowJobEvent::in_progress(),
            (None, "completed") => WorkflowJobEvent::completed(),
            (None, "waiting") => WorkflowJobEvent::waiting(),
            (None, _) => WorkflowJobEvent::queued(),
        };
        let has_installation = job.example.is_none() || base.json().get("installation").is_some();
        let account = self.accounts.get(&job.owner.to_lowercase());
        let mut event = base.in_repository(&job.owner, &job.repository);
        event = match account.map(|account| account.kind) {
            Some(AccountKind::User) => event.of_user(&job.owner),
            _ => event.of_organization(&job.owner),
        };
        if let Some(account) = account {
            event = event.owner_id(account.id);
        }
        if let Some(repository) = self.known_repository(&job.owner, &job.repository) {
            event = event.with("/repository/id", json!(repository.id)).public(repository.is_public);
        }
        event = event
            .action(action)
            .job(job.id)
            .run(job.run_id)
            .named(&job.name)
            .labels(&job.labels)
            .created_at(job.created_at)
            .started_at(job.started_at.unwrap_or(job.created_at))
            .completed_at(job.completed_at)
            .with("/workflow_job/head_sha", json!(objects::HEAD_SHA))
            .with("/workflow_job/html_url", json!(objects::page_of(job)));
        event = match &job.conclusion {
            Some(conclusion) => event.conclusion(conclusion),
            None => event.without_conclusion(),
        };
        event = match (job.runner_id, &job.runner_name) {
            (Some(id), Some(name)) => event.runner(id, name),
            _ => event.without_runner(),
        };
        match installation.filter(|_| has_installation) {
            Some(installation) => event.installation(installation),
            None => event.without_installation(),
        }
    }

    /// The deliveries to send; each is returned once.
    pub(super) fn take_unsent(&mut self) -> Vec<Delivery> {
        let ids = std::mem::take(&mut self.unsent);
        ids.into_iter().filter_map(|id| self.delivery(self.deliveries.get(&id)?)).collect()
    }

    fn delivery(&self, record: &DeliveryRecord) -> Option<Delivery> {
        let hook = self.hooks.get(&record.hook)?;
        Some(Delivery {
            id: record.id,
            guid: record.guid.clone(),
            event: record.event.clone(),
            hook_id: record.hook,
            url: hook.url.clone(),
            secret: hook.secret.clone(),
            body: Arc::clone(record.payload.as_ref()?),
            redelivery: record.redelivery,
            job_id: record.job_id,
        })
    }

    /// Withdraws the latest delivery of a job if it is still unsent.
    pub(super) fn withdraw_unsent(&mut self, job: JobId) -> Option<u64> {
        let (id, _) = self.last_delivery_of(job)?;
        let waiting = self.unsent.iter().position(|unsent| *unsent == id)?;
        Some(self.unsent.remove(waiting))
    }

    pub(super) fn record_outcome(&mut self, id: u64, outcome: Outcome, now: OffsetDateTime) {
        let keep = self.behaviour.keep_payloads;
        let Some(record) = self.deliveries.get_mut(&id) else { return };
        if outcome.succeeded() && !keep {
            record.payload = None;
        }
        record.delivered_at = now;
        let event = if record.redelivery { "redelivered" } else { "delivered" };
        let detail = format!("{} → {}", record.action.as_deref().unwrap_or(&record.event), outcome.status);
        let job_id = record.job_id;
        record.outcome = Some(outcome);
        self.note(now, job_id, event, detail);
    }

    pub(super) fn outcome(&self, id: u64) -> Option<Outcome> {
        self.deliveries.get(&id).and_then(|record| record.outcome.clone())
    }

    /// The latest delivery for a job.
    pub(super) fn last_delivery_of(&self, job: JobId) -> Option<(u64, String)> {
        let of_job = |record: &&DeliveryRecord| record.job_id == Some(job);
        self.deliveries.values().rev().find(of_job).map(|record| (record.id, record.guid.clone()))
    }

    pub(super) fn list_hooks(&self, scope: &Scope, request: &Request) -> Answer {
        let owner = HookOwner::Scope(scope.clone());
        let hooks: Vec<&Hook> = self.hooks.values().filter(|hook| hook.owner == owner).collect();
        let paging = Paging::of(request);
        let page: Vec<Value> = paging.cut(hooks.iter()).into_iter().map(|hook| hook_object(hook, scope)).collect();
        let mut answer = answers::ok(&Value::Array(page));
        if let Some(link) = paging.link(request, hooks.len()) {
            answers::set(&mut answer, "link", link);
        }
        answer
    }

    fn hook_of(&self, owner: &HookOwner, hook: Option<u64>) -> Refused<u64> {
        let found = match hook {
            None => self.hooks.values().find(|hook| hook.owner == *owner),
            Some(id) => self.hooks.get(&id).filter(|hook| hook.owner == *owner),
        };
        match found {
            Some(hook) => Ok(hook.id),
            None => refuse(answers::not_found()),
        }
    }

    pub(super) fn list_deliveries(
        &self,
        owner: &HookOwner,
        hook: Option<u64>,
        request: &Request,
        now: OffsetDateTime,
    ) -> Refused<Answer> {
        let hook = self.hook_of(owner, hook)?;
        let Paging { per_page, .. } = Paging::of(request);
        let status = query(request, "status");
        let before = match query(request, "cursor") {
            None => u64::MAX,
            Some(cursor) => match cursor.strip_prefix("v1_").unwrap_or(&cursor).parse() {
                Ok(id) => id,
                Err(_) => return refuse(answers::error(400, "Invalid cursor")),
            },
        };
        let mut wanted = self.deliveries.range(..=before).rev().map(|(_, record)| record).filter(|record| {
            let Some(outcome) = &record.outcome else { return false };
            let fits = match status.as_deref() {
                Some("success") => outcome.succeeded(),
                Some("failure") => !outcome.succeeded(),
                _ => true,
            };
            fits && record.hook == hook && now < record.delivered_at + LOG_KEPT
        });
        let page: Vec<Value> = wanted.by_ref().take(per_page).map(DeliveryRecord::object).collect();
        let mut answer = answers::ok(&Value::Array(page));
        if let Some(next) = wanted.next() {
            let mut url = url(request);
            let others: Vec<(String, String)> =
                url.query_pairs().filter(|(name, _)| name != "cursor").map(|(a, b)| (a.into(), b.into())).collect();
            url.query_pairs_mut().clear().extend_pairs(others).append_pair("cursor", &format!("v1_{}", next.id));
            answers::set(&mut answer, "link", format!("<{url}>; rel=\"next\""));
        }
        Ok(answer)
    }

    fn logged(&self, owner: &HookOwner, hook: Option<u64>, id: u64, now: OffsetDateTime) -> Refused<&DeliveryRecord> {
        let hook = self.hook_of(owner, hook)?;
        let found = self
            .deliveries
            .get(&id)
            .filter(|record| record.hook == hook && record.outcome.is_some() && now < record.delivered_at + LOG_KEPT);
        match found {
            Some(record) => Ok(record),
            None => refuse(answers::not_found()),
        }
    }

    pub(super) fn get_delivery(
        &self,
        owner: &HookOwner,
        hook: Option<u64>,
        id: u64,
        now: OffsetDateTime,
    ) -> Refused<Answer> {
        Ok(answers::ok(&self.logged(owner, hook, id, now)?.whole_object()))
    }

    pub(super) fn redeliver(
        &mut self,
        owner: &HookOwner,
        hook: Option<u64>,
        id: u64,
        now: OffsetDateTime,
    ) -> Refused<Answer> {
        let mut again = self.logged(owner, hook, id, now)?.clone();
        if again.payload.is_none() {
            return refuse(answers::error(422, "The payload of this delivery was not kept"));
        }
        again.id = next(&mut self.counters.delivery);
        again.redelivery = true;
        again.outcome = None;
        self.unsent.push(again.id);
        self.deliveries.insert(again.id, again);
        Ok(wire::json(202, &json!({})))
    }
}

fn hook_object(hook: &Hook, scope: &Scope) -> Value {
    let kind = if matches!(scope, Scope::Repository(..)) { "Repository" } else { "Organization" };
    let url = format!("https://api.github.com/{scope}/hooks/{}", hook.id);
    let mut body = json!({
        "type": kind,
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": ["workflow_job"],
        "config": { "url": hook.url, "content_type": "json", "insecure_ssl": "0", "secret": "********" },
        "created_at": objects::moment(hook.created_at),
        "updated_at": objects::moment(hook.created_at),
        "url": url,
        "ping_url": format!("{url}/pings"),
        "deliveries_url": format!("{url}/deliveries"),
    });
    if kind == "Repository" {
        body["test_url"] = json!(format!("{url}/test"));
        body["last_response"] = json!({ "code": null, "status": "unused", "message": null });
    }
    body
}
