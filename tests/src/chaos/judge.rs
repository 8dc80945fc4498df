//! What must hold at every moment.
//!
//! Exactly-once is about jobs, not about runners: GitHub gives a job to any idle runner with its labels, so runners can
//! be swapped between jobs with the same labels. A job may therefore have two live tasks: one whose runner works on
//! another job, and one that has not taken a job yet. It must never have two tasks whose runners could both still take
//! it.
//!
//! A job may wait as long as its message was deferred, and as long as its faults cost: the visibility time-out of a
//! message whose worker died, or the time until the cleaner's next pass. It must never wait while nothing is under way
//! for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jitgate::job::{JobId, RunnerId};
use time::OffsetDateTime;

use crate::aws::ecs::Task;
use crate::world::{JOB_QUEUE, World};

/// How late a promise may be kept, since workers may be busy.
const PATIENCE: Duration = Duration::from_mins(3);

#[derive(Debug)]
struct Launch {
    task: String,
    runner: Option<RunnerId>,
}

/// Collects violations.
#[derive(Debug, Default)]
pub(super) struct Judge {
    complaints: Vec<(Option<JobId>, String)>,
    pub(super) cancelled: Vec<JobId>,
    /// Until when something must happen to a waiting job.
    promises: BTreeMap<JobId, OffsetDateTime>,
    launches: BTreeMap<JobId, Vec<Launch>>,
    /// Tasks whose runners got a job.
    worked: BTreeSet<String>,
    /// Registrations that no launch could know of, with the reason.
    excused: BTreeMap<RunnerId, &'static str>,
    left_over: Vec<JobId>,
    excused_until: Option<OffsetDateTime>,
}

impl Judge {
    pub(super) fn complain(&mut self, job: Option<JobId>, what: impl Into<String>) {
        self.complaints.push((job, what.into()));
    }

    pub(super) fn complaints(&self) -> &[(Option<JobId>, String)] {
        &self.complaints
    }

    /// Jobs with a registration that was left to the cleaner.
    pub(super) fn leftovers(&self) -> &[JobId] {
        &self.left_over
    }

    pub(super) fn cancelled(&mut self, job: JobId) {
        self.cancelled.push(job);
    }

    /// Something is under way for the job and leads to a result by then: a delivery, a waiting message, a batch, a
    /// starting task, or the cleaner's next pass.
    pub(super) fn promise(&mut self, job: JobId, until: OffsetDateTime) {
        let promise = self.promises.entry(job).or_insert(until);
        *promise = (*promise).max(until);
    }

    /// An incident holds jobs up until then, whatever was promised.
    pub(super) fn excuse_until(&mut self, moment: OffsetDateTime) {
        self.excused_until = self.excused_until.max(Some(moment));
    }

    /// The most tasks of one job.
    pub(super) fn most_tasks(&self) -> usize {
        self.launches.values().map(Vec::len).max().unwrap_or_default()
    }

    /// The most minutes of one job's tasks whose runners got no job. ECS charges from the pull of the image on, so this is an upper
    /// bound.
    pub(super) fn most_minutes_in_vain(&self, world: &World) -> i64 {
        let minutes = |launch: &Launch| {
            let task = world.aws.ecs.task(&launch.task).filter(|_| !self.worked.contains(&launch.task))?;
            Some((task.stopped_at? - task.created_at) / 60_000)
        };
        let of_job = |launches: &Vec<Launch>| launches.iter().filter_map(minutes).sum();
        self.launches.values().map(of_job).max().unwrap_or_default()
    }

    /// A task's runner got a job.
    pub(super) fn worked(&mut self, task: &str) {
        self.worked.insert(task.to_owned());
    }

    /// The job got its runner. Complains if that is later than promised.
    pub(super) fn taken(&mut self, job: JobId, at: OffsetDateTime) {
        if let Some(promised) = self.promises.remove(&job)
            && at > promised + PATIENCE
            && self.excused_until.is_none_or(|until| at > until)
        {
            let late = (at - promised).whole_seconds();
            self.complain(Some(job), format!("it got its runner {late} s later than promised"));
        }
    }

    /// Notes why no launch can know of this registration, in case it is left to the cleaner.
    pub(super) fn excuse(&mut self, runner: RunnerId, why: &'static str) {
        self.excused.insert(runner, why);
    }

    /// A task was started: no other task of the same job may be live with a runner that can still take a job.
    pub(super) fn started(&mut self, world: &World, job: JobId, task: &str, token: &str) {
        let may_take_it = |launch: &Launch| {
            world.aws.ecs.task(&launch.task).is_some_and(|task| task.is_wanted())
                && launch.runner.and_then(|runner| world.github.runner(runner)).is_some_and(|runner| !runner.has_taken)
        };
        let launches = self.launches.entry(job).or_default();
        if launches.iter().any(may_take_it) {
            self.complaints
                .push((Some(job), format!("{token} was started beside another task that could take the job")));
        }
        let runner = world.aws.ecs.task(task).and_then(|task| runner_of(&task));
        launches.push(Launch { task: task.to_owned(), runner });
    }

    /// The cleaner removed a registration; returns why it was left. Complains if a later launch should have removed it.
    pub(super) fn cleaned(&mut self, world: &World, runner: RunnerId, job: Option<JobId>) -> &'static str {
        let Some(job) = job else { return "it was a surplus warm runner" };
        let launch =
            self.launches.get(&job).and_then(|launches| launches.iter().find(|launch| launch.runner == Some(runner)));
        if let Some(launch) = launch {
            let is_alive = world.aws.ecs.task(&launch.task).is_some_and(|task| task.is_wanted());
            return if is_alive { "its runner was idle" } else { "its task died before it took a job" };
        }
        let id = job.to_string();
        if world.aws.sqs.messages(JOB_QUEUE).iter().any(|message| message.body.contains(&id)) {
            return "the cleaner came before the job's message";
        }
        self.left_over.push(job);
        if let Some(why) = self.excused.get(&runner) {
            return why;
        }
        self.complain(
            Some(job),
            format!("registration {runner} was left to the cleaner although a launch could have known of it"),
        );
        "no launch took it back"
    }
}

fn runner_of(task: &Task) -> Option<RunnerId> {
    task.tags.get("jitgate:runner-id")?.parse().ok().map(RunnerId)
}
