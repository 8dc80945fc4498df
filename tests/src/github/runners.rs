//! Registrations: how they begin and end, and the calls that read them.

use jitgate::job::{JobId, RunnerId};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::answers::{self, Refused, refuse};
use super::behaviour::EndOfLife;
use super::jitconfig;
use super::objects;
use super::route::{Paging, query};
use super::scope::Scope;
use super::state::{Due, Group, JobStatus, Runner, State, next};
use crate::wire::{self, Answer, Request};

/// Source: GitHub's "Actions limits" and the description of `generate-jitconfig`.
const MOST_RUNNERS_IN_GROUP: usize = 10_000;
const LONGEST_NAME: usize = 64;
const LONGEST_LABEL: usize = 256;
const MOST_LABELS: usize = 100;

/// The default group of every scope.
const DEFAULT_GROUP: u64 = 1;

/// The registration is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl State {
    pub(super) fn generate_jitconfig(
        &mut self,
        scope: &Scope,
        request: &Request,
        now: OffsetDateTime,
    ) -> Refused<Answer> {
        #[derive(Deserialize)]
        struct Wanted {
            name: String,
            runner_group_id: u64,
            labels: Vec<String>,
            #[serde(default = "default_work_folder")]
            work_folder: String,
        }
        fn default_work_folder() -> String {
            "_work".to_owned()
        }
        let body: Value = serde_json::from_slice(request.body())
            .map_err(|_| Box::new(answers::error(400, "Problems parsing JSON")))?;
        let wanted: Wanted = serde_json::from_value(body)
            .map_err(|error| Box::new(answers::validation_failed(&[error.to_string().as_str()])))?;
        let Wanted { name, runner_group_id: group, labels, work_folder } = wanted;
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return refuse(answers::validation_failed(&["name must have 1 to 64 characters"]));
        }
        if !(1..=MOST_LABELS).contains(&labels.len()) {
            return refuse(answers::validation_failed(&["labels must have 1 to 100 items"]));
        }
        if labels.iter().any(|label| label.is_empty() || label.chars().count() > LONGEST_LABEL) {
            return refuse(answers::validation_failed(&["a label must have 1 to 256 characters"]));
        }
        if self.group(scope, group).is_none() {
            return refuse(answers::not_found());
        }
        if self.names.contains_key(&(scope.clone(), name.to_lowercase())) {
            return refuse(answers::name_in_use(&name));
        }
        // Counts only in the rare scope that could be full.
        if self.runners.len() >= MOST_RUNNERS_IN_GROUP
            && self.runners_of(scope).filter(|runner| runner.group_id == group).count() >= MOST_RUNNERS_IN_GROUP
        {
            return refuse(answers::validation_failed(&["the runner group is full"]));
        }
        let id = self.register(scope, group, name, labels, now);
        let runner = &self.runners[&id.0];
        let body = json!({
            "runner": objects::runner(runner, false),
            "encoded_jit_config": jitconfig::encode(runner, &work_folder),
        });
        Ok(wire::json(201, &body))
    }

    pub(super) fn register(
        &mut self,
        scope: &Scope,
        group_id: u64,
        name: String,
        labels: Vec<String>,
        now: OffsetDateTime,
    ) -> RunnerId {
        let id = RunnerId(next(&mut self.counters.runner));
        self.names.insert((scope.clone(), name.to_lowercase()), id.0);
        let job_id = self.job_in_name(&name);
        self.note(now, job_id, "registered", format!("runner {id} {name}"));
        self.plan(now + self.behaviour.unused_runner_after, Due::ExpireUnused(id));
        let runner = Runner {
            id,
            name,
            scope: scope.clone(),
            group_id,
            labels,
            online: false,
            version: None,
            job: None,
            has_taken: false,
            registered_at: now,
            taken_at: None,
            ended_at: None,
            seems_idle: false,
            client_id: format!("00000000-0000-4000-8000-{:012x}", id.0),
        };
        self.runners.insert(id.0, runner);
        id
    }

    /// The job for which a runner was launched, by its name: the first number in it that is a job's id.
    fn job_in_name(&self, name: &str) -> Option<JobId> {
        name.split('-').filter_map(|part| part.parse().ok()).find(|id| self.jobs.contains_key(id)).map(JobId)
    }

    fn runners_of<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Runner> {
        self.runners.values().filter(move |runner| runner.scope == *scope)
    }

    pub(super) fn group(&self, scope: &Scope, id: u64) -> Option<Group> {
        let default = Group { id: DEFAULT_GROUP, name: "Default".to_owned(), selected: None, allows_public: true };
        match self.groups.get(scope).and_then(|groups| groups.get(&id)) {
            Some(group) => Some(group.clone()),
            None => (id == DEFAULT_GROUP).then_some(default),
        }
    }

    pub(super) fn list_runners(&self, scope: &Scope, request: &Request, now: OffsetDateTime) -> Answer {
        let name = query(request, "name");
        let of_name = |runner: &&Runner| name.as_ref().is_none_or(|name| runner.name == *name);
        let paging = Paging::of(request);
        let total = self.runners_of(scope).filter(of_name).count();
        let page = paging.cut(self.runners_of(scope).filter(of_name));
        let page: Vec<Value> = page.into_iter().map(|runner| self.runner_object(runner, now)).collect();
        let mut answer = answers::ok(&json!({ "total_count": total, "runners": page }));
        if let Some(link) = paging.link(request, total) {
            answers::set(&mut answer, "link", link);
        }
        answer
    }

    fn runner_object(&self, runner: &Runner, now: OffsetDateTime) -> Value {
        objects::runner(runner, self.says_busy(runner, now))
    }

    /// The value of `busy`, which can be wrong.
    fn says_busy(&self, runner: &Runner, now: OffsetDateTime) -> bool {
        runner.job.is_some()
            && !runner.seems_idle
            && runner.taken_at.is_some_and(|taken_at| taken_at + self.behaviour.busy_lag <= now)
    }

    pub(super) fn get_runner(&self, scope: &Scope, id: u64, now: OffsetDateTime) -> Refused<Answer> {
        match self.runners.get(&id).filter(|runner| runner.scope == *scope) {
            Some(runner) => Ok(answers::ok(&self.runner_object(runner, now))),
            None => refuse(answers::not_found()),
        }
    }

    pub(super) fn delete_runner(&mut self, scope: &Scope, id: u64, now: OffsetDateTime) -> Refused<Answer> {
        let Some(runner) = self.runners.get(&id).filter(|runner| runner.scope == *scope) else {
            return refuse(answers::not_found());
        };
        let busy = if self.behaviour.deletion_trusts_busy { self.says_busy(runner, now) } else { runner.job.is_some() };
        let just_ended =
            runner.ended_at.is_some_and(|ended_at| now < ended_at + self.behaviour.deletion_refused_after_job);
        if busy || just_ended {
            return refuse(answers::still_running(&runner.name));
        }
        self.remove_runner(RunnerId(id), "deleted", now);
        Ok(answers::empty(204))
    }

    /// Removes a registration; if it has a job, the job is lost.
    pub(super) fn remove_runner(&mut self, id: RunnerId, event: &'static str, now: OffsetDateTime) {
        let Some(runner) = self.runners.remove(&id.0) else { return };
        self.names.remove(&(runner.scope.clone(), runner.name.to_lowercase()));
        let job_id = runner.job.or_else(|| self.job_in_name(&runner.name));
        self.note(now, job_id, event, format!("runner {id} {}", runner.name));
        if let Some(job) = runner.job {
            self.end_job(job, "failure", now);
        }
    }

    pub(super) fn list_runner_groups(&self, scope: &Scope, request: &Request) -> Answer {
        let mut groups = self.groups.get(scope).cloned().unwrap_or_default();
        if let Some(default) = self.group(scope, DEFAULT_GROUP) {
            groups.entry(DEFAULT_GROUP).or_insert(default);
        }
        let visible_to = match scope {
            Scope::Enterprise(_) => query(request, "visible_to_organization"),
            _ => query(request, "visible_to_repository"),
        };
        if let Some(name) = visible_to {
            groups.retain(|_, group| self.admits(scope, group, &name));
        }
        let paging = Paging::of(request);
        let page = paging.cut(groups.values());
        let page: Vec<Value> = page.into_iter().map(|group| objects::group(scope, group)).collect();
        let mut answer = answers::ok(&json!({ "total_count": groups.len(), "runner_groups": page }));
        if let Some(link) = paging.link(request, groups.len()) {
            answers::set(&mut answer, "link", link);
        }
        answer
    }

    pub(super) fn runner_deprecations(&self, version: &str) -> Refused<Answer> {
        if !self.behaviour.deprecations_offered {
            return refuse(answers::not_found());
        }
        let EndOfLife { registration, runtime } = self.behaviour.end_of_life.get(version).copied().unwrap_or_default();
        Ok(answers::ok(&json!({
            "runner_version": version,
            "registration_deprecates_at": registration.map(objects::moment),
            "runtime_deprecates_at": runtime.map(objects::moment),
        })))
    }

    /// A runner with this registration opens a session.
    pub(super) fn connect(&mut self, id: RunnerId, now: OffsetDateTime) -> Result<(), Gone> {
        if self.behaviour.turns_runners_away {
            return Err(Gone);
        }
        let version = self.behaviour.runner_version.clone();
        let runner = self.runners.get_mut(&id.0).ok_or(Gone)?;
        runner.online = true;
        runner.version = Some(version);
        let detail = format!("runner {id} {}", runner.name);
        let job_id = self.job_in_name(&self.runners[&id.0].name);
        self.note(now, job_id, "online", detail);
        Ok(())
    }

    /// A runner's session ends, and its registration stays. If it had a job, GitHub notices after a while.
    pub(super) fn disconnect(&mut self, id: RunnerId, now: OffsetDateTime) {
        let Some(runner) = self.runners.get_mut(&id.0) else { return };
        runner.online = false;
        let (job, detail) = (runner.job, format!("runner {id} {}", runner.name));
        if let Some(job) = job {
            self.plan(now + self.behaviour.lost_job_after, Due::LoseJob(job));
        }
        self.note(now, job, "offline", detail);
    }

    /// The runner takes the oldest queued job that it may take.
    pub(super) fn take_job(&mut self, id: RunnerId, now: OffsetDateTime) -> Result<Option<JobId>, Gone> {
        let runner = self.runners.get(&id.0).ok_or(Gone)?;
        if !runner.online || runner.job.is_some() || runner.has_taken || !self.behaviour.dispatches {
            return Ok(None);
        }
        let Some(job_id) = self.queued.iter().copied().find(|job| self.may_take(runner, *job)) else {
            return Ok(None);
        };
        let name = runner.name.clone();
        let group = self.group(&runner.scope, runner.group_id).map(|group| (group.id, group.name));
        let runner = self.runners.get_mut(&id.0).ok_or(Gone)?;
        runner.job = Some(JobId(job_id));
        runner.has_taken = true;
        runner.taken_at = Some(now);
        self.queued.remove(&job_id);
        let job = self.jobs.get_mut(&job_id).expect("whatever is queued is a job");
        job.status = JobStatus::InProgress;
        job.started_at = Some(now);
        job.runner_id = Some(id);
        job.runner_name = Some(name.clone());
        job.runner_group = group;
        job.times_taken += 1;
        let job_id = JobId(job_id);
        self.note(now, Some(job_id), "in_progress", format!("on runner {id} {name}"));
        self.deliver_job(job_id, "in_progress", now);
        Ok(Some(job_id))
    }

    fn may_take(&self, runner: &Runner, job: u64) -> bool {
        let Some(job) = self.jobs.get(&job) else { return false };
        let in_reach = match &runner.scope {
            Scope::Organization(login) => job.owner.eq_ignore_ascii_case(login),
            Scope::Repository(owner, name) => {
                job.owner.eq_ignore_ascii_case(owner) && job.repository.eq_ignore_ascii_case(name)
            }
            Scope::Enterprise(_) => true,
        };
        let has = |label: &String| runner.labels.iter().any(|own| own.eq_ignore_ascii_case(label));
        // Only groups of organisations and enterprises can be restricted to some repositories.
        let group_allows = || {
            let name = match &runner.scope {
                Scope::Enterprise(_) => &job.owner,
                _ => &job.repository,
            };
            self.group(&runner.scope, runner.group_id).is_some_and(|group| self.admits(&runner.scope, &group, name))
        };
        in_reach
            && job.group.is_none_or(|group| group == runner.group_id)
            && job.labels.iter().all(has)
            && group_allows()
    }

    /// Whether a group admits a repository of its organisation, or an organisation of its enterprise. Source: GitHub's
    /// "Managing access to self-hosted runners using groups", and its description of `visible_to_repository`.
    fn admits(&self, scope: &Scope, group: &Group, name: &str) -> bool {
        let is_public = match scope {
            Scope::Organization(login) => self.known_repository(login, name).is_some_and(|found| found.is_public),
            Scope::Repository(..) | Scope::Enterprise(_) => false,
        };
        let is_selected = group.selected.as_ref().is_none_or(|names| names.contains(&name.to_lowercase()));
        is_selected && (group.allows_public || !is_public)
    }

    /// The runner finishes its job and reports the conclusion.
    pub(super) fn finish_job(&mut self, id: RunnerId, conclusion: &str, now: OffsetDateTime) {
        let Some(runner) = self.runners.get_mut(&id.0) else { return };
        let Some(job) = runner.job.take() else { return };
        self.end_job(job, conclusion, now);
        self.free_runner(id, now);
    }

    /// The runner's job is over: its registration is removed soon.
    pub(super) fn free_runner(&mut self, id: RunnerId, now: OffsetDateTime) {
        let lag = self.behaviour.deregistration_lag;
        let Some(runner) = self.runners.get_mut(&id.0) else { return };
        runner.job = None;
        runner.ended_at = Some(now);
        self.plan(now + lag, Due::Deregister(id));
        self.settle(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_the_size_of_a_real_one_and_says_whose_it_is() {
        let runner = Runner {
            id: RunnerId(4711),
            name: "jit-default-52000000001-1-1760000000".to_owned(),
            scope: Scope::org("octo-org"),
            group_id: 1,
            labels: vec!["fargate".to_owned()],
            online: false,
            version: None,
            job: None,
            has_taken: false,
            registered_at: OffsetDateTime::UNIX_EPOCH,
            taken_at: None,
            ended_at: None,
            seems_idle: false,
            client_id: "a-client".to_owned(),
        };
        let encoded = jitconfig::encode(&runner, "_work");
        assert!((4_000..=4_500).contains(&encoded.len()), "{} characters", encoded.len());
        let credentials = jitconfig::decode(&encoded).expect("what was just written");
        assert_eq!(credentials, jitconfig::Credentials { runner_id: 4711, client_id: "a-client".to_owned() });
        assert_eq!(jitconfig::decode("bm90IGEgY29uZmln"), None);
    }
}
