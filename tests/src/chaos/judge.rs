//! What must hold, at every moment and in the end.
//!
//! Exactly-once is about jobs, not about who runs them: GitHub gives a job to any idle runner that has its labels. Where
//! jobs are alike, one may be run by another's runner, and its own may then find another's job, or none. So a job may
//! rightly have two live tasks: one whose runner works on somebody else's job, and one that is still to take its own.
//! What never may be is two that could both still take it.
//!
//! A job may wait for as long as it was sent back to wait, and for what its faults cost: the visibility of a message
//! whose worker died, the cleaner's next look. What never may be is that it waits and nobody is bound to look after it.

use std::collections::BTreeMap;
use std::time::Duration;

use jitgate::job::{JobId, RunnerId};
use time::OffsetDateTime;

use crate::aws::ecs::Task;
use crate::world::{JOB_QUEUE, World};

/// What may lie between a moment at which something was to happen and when it did: all workers are busy, or few.
const PATIENCE: Duration = Duration::from_mins(3);

#[derive(Debug)]
struct Launch {
    task: String,
    runner: Option<RunnerId>,
}

/// Collects what does not hold.
#[derive(Debug, Default)]
pub(super) struct Judge {
    complaints: Vec<(Option<JobId>, String)>,
    pub(super) cancelled: Vec<JobId>,
    /// Until when somebody is bound to look after a job that waits.
    promises: BTreeMap<JobId, OffsetDateTime>,
    launches: BTreeMap<JobId, Vec<Launch>>,
    /// Registrations that no launch could know of, and why.
    excused: BTreeMap<RunnerId, &'static str>,
    left_over: Vec<JobId>,
}

impl Judge {
    pub(super) fn complain(&mut self, job: Option<JobId>, what: impl Into<String>) {
        self.complaints.push((job, what.into()));
    }

    pub(super) fn complaints(&self) -> &[(Option<JobId>, String)] {
        &self.complaints
    }

    /// Jobs of which the cleaner has removed a registration that no launch could know of.
    pub(super) fn leftovers(&self) -> &[JobId] {
        &self.left_over
    }

    pub(super) fn cancelled(&mut self, job: JobId) {
        self.cancelled.push(job);
    }

    /// Something is under way for the job that will come to something by then: a delivery, a message that waits or is
    /// being worked on, a task that starts, the cleaner's next look.
    pub(super) fn promise(&mut self, job: JobId, until: OffsetDateTime) {
        let promise = self.promises.entry(job).or_insert(until);
        *promise = (*promise).max(until);
    }

    /// The job got its runner. Until then no time must have passed in which nobody was bound to look after it.
    pub(super) fn taken(&mut self, job: JobId, at: OffsetDateTime) {
        if let Some(promised) = self.promises.remove(&job)
            && at > promised + PATIENCE
        {
            let late = (at - promised).whole_seconds();
            self.complain(Some(job), format!("it got its runner {late} s after anybody was bound to look after it"));
        }
    }

    /// Should this registration be left over, this is why no launch could know of it.
    pub(super) fn excuse(&mut self, runner: RunnerId, why: &'static str) {
        self.excused.insert(runner, why);
    }

    /// A task was started: no other of the same job may be alive and able to take a job.
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

    /// The cleaner has removed a registration: says what it was about it. One that some launch made, and that a later
    /// one should have taken back, must not be left to the cleaner.
    pub(super) fn cleaned(&mut self, world: &World, runner: RunnerId, job: Option<JobId>) -> &'static str {
        let Some(job) = job else { return "it was kept ready, and one too many" };
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
            format!("registration {runner} was left to the cleaner, and a launch could have known"),
        );
        "no launch took it back"
    }
}

fn runner_of(task: &Task) -> Option<RunnerId> {
    task.tags.get("jitgate:runner-id")?.parse().ok().map(RunnerId)
}
