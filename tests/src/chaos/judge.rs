//! What must hold, at every moment and in the end.
//!
//! Exactly-once is about jobs, not about who runs them: GitHub gives a job to any idle runner that has its labels. Where
//! jobs are alike, a job may be run by another's runner, and its own may then find another's job, or none. What is
//! promised then is that there are enough runners, and no more than that: a runner too many comes only from a job that
//! was launched again, or cancelled, while somebody else's runner was about to take it, and it is idle, registered and
//! alive, so that the next job alike gets it, or the cleaner ends it.

use std::collections::BTreeMap;

use jitgate::job::{JobId, RunnerId};

use super::driver::Driver;
use crate::aws::ecs::Task;
use crate::github::{Job, JobStatus, Scope};
use crate::world::{JOB_QUEUE, World};

/// What is known of a job beforehand.
#[derive(Debug)]
struct Expected {
    alike: bool,
    cancelled: bool,
}

#[derive(Debug)]
struct Launch {
    task: String,
    runner: Option<RunnerId>,
}

/// Collects what does not hold.
#[derive(Debug, Default)]
pub(super) struct Judge {
    complaints: Vec<(Option<JobId>, String)>,
    expected: BTreeMap<JobId, Expected>,
    launches: BTreeMap<JobId, Vec<Launch>>,
}

impl Judge {
    pub(super) fn complain(&mut self, job: Option<JobId>, what: impl Into<String>) {
        self.complaints.push((job, what.into()));
    }

    pub(super) fn complaints(&self) -> &[(Option<JobId>, String)] {
        &self.complaints
    }

    pub(super) fn expect(&mut self, job: JobId, alike: bool) {
        self.expected.insert(job, Expected { alike, cancelled: false });
    }

    pub(super) fn cancelled(&mut self, job: JobId) {
        if let Some(expected) = self.expected.get_mut(&job) {
            expected.cancelled = true;
        }
    }

    /// A task was started: no other of the same job may be alive and able to take a job.
    pub(super) fn started(&mut self, world: &World, job: JobId, task: &str, token: &str) {
        let is_useful = |launch: &Launch| {
            world.aws.ecs.task(&launch.task).is_some_and(|task| task.is_wanted())
                && launch.runner.is_some_and(|runner| world.github.runner(runner).is_some())
        };
        let launches = self.launches.entry(job).or_default();
        if launches.iter().any(is_useful) {
            self.complaints.push((Some(job), format!("{token} was started beside another live task of the job")));
        }
        let runner = world.aws.ecs.task(task).and_then(|task| runner_of(&task));
        launches.push(Launch { task: task.to_owned(), runner });
    }
}

fn runner_of(task: &Task) -> Option<RunnerId> {
    task.tags.get("jitgate:runner-id")?.parse().ok().map(RunnerId)
}

/// Jobs of one group may be run by each other's runners.
type Group = (String, Vec<String>);

fn group_of(job: &Job, repository_scope: bool) -> Group {
    let scope = if repository_scope {
        Scope::repo(&job.owner, &job.repository)
    } else {
        Scope::org(&job.owner)
    };
    (scope.to_string(), job.labels.clone())
}

/// Looks at what is left when all is done, and lets the cleaner have its turn.
pub(super) async fn conclude(driver: &mut Driver) {
    jobs_ran_once(driver);
    nothing_waits(driver);
    let live = tasks_have_a_purpose(driver);
    registrations_are_used(driver, &live);
    if let Err(error) = driver.world.clean().await {
        driver.judge.complain(None, format!("the cleaner failed: {error}"));
    }
    for runner in driver.world.github.runners() {
        if !live.iter().any(|task| runner_of(task) == Some(runner.id)) {
            let job = driver.diary.job_of_runner(runner.id);
            driver.judge.complain(job, format!("even the cleaner left registration {}", runner.name));
        }
    }
}

fn jobs_ran_once(driver: &mut Driver) {
    for id in driver.jobs.clone() {
        let job = driver.world.github.job(id).expect("it was queued there");
        let cancelled = driver.judge.expected[&id].cancelled;
        let is_well = match job.times_taken {
            0 => cancelled && job.status == JobStatus::Completed,
            1 => job.status == JobStatus::Completed && job.conclusion.as_deref() == Some("success"),
            _ => false,
        };
        if let Some(started_at) = job.started_at {
            let waited = (started_at - job.created_at).whole_seconds();
            driver.report.longest_wait = driver.report.longest_wait.max(waited);
            driver.report.waited += waited;
        }
        driver.report.lost += u64::from(!is_well && job.times_taken == 0);
        driver.report.ran_twice += u64::from(job.times_taken > 1);
        if !is_well {
            let what = format!(
                "it is {} ({}) and was taken {} times",
                job.status.as_str(),
                job.conclusion.as_deref().unwrap_or("no conclusion"),
                job.times_taken
            );
            driver.judge.complain(Some(id), what);
        }
    }
}

fn nothing_waits(driver: &mut Driver) {
    for reason in driver.world.dead_letters() {
        driver.judge.complain(None, format!("dead letter: {reason}"));
    }
    let depth = driver.world.aws.sqs.depth(JOB_QUEUE);
    if depth.total() > 0 {
        driver.judge.complain(None, format!("messages are left: {depth:?}"));
    }
}

/// Answers the tasks that may live on.
fn tasks_have_a_purpose(driver: &mut Driver) -> Vec<Task> {
    let live = driver.world.aws.ecs.live_tasks();
    let mut surplus: BTreeMap<Group, Vec<JobId>> = BTreeMap::new();
    for task in &live {
        let Some(job) = driver.diary.job_of_task(&task.arn) else {
            driver.judge.complain(None, format!("nobody knows task {}", task.arn));
            continue;
        };
        let is_idle = runner_of(task)
            .and_then(|runner| driver.world.github.runner(runner))
            .is_some_and(|runner| runner.online && runner.job.is_none());
        if driver.judge.expected[&job].alike && is_idle {
            let job_there = driver.world.github.job(job).expect("it was queued there");
            surplus.entry(group_of(&job_there, driver.repository_scope())).or_default().push(job);
            driver.report.surplus += 1;
        } else {
            driver.judge.complain(Some(job), format!("task {} lives on", task.arn));
        }
    }
    for (group, jobs) in surplus {
        let excuses = excuses(driver, &group);
        if jobs.len() > excuses {
            let what = format!("{} idle runners for {group:?}, {excuses} can be explained", jobs.len());
            driver.judge.complain(jobs.first().copied(), what);
        }
    }
    live
}

/// How many runners too many a group may have: one for each launch after a job's first, and for each cancelled job.
fn excuses(driver: &Driver, group: &Group) -> usize {
    let of_group = driver.judge.expected.iter().filter(|(id, _)| {
        driver.world.github.job(**id).is_some_and(|job| group_of(&job, driver.repository_scope()) == *group)
    });
    of_group
        .map(|(id, expected)| {
            let launches = driver.judge.launches.get(id).map_or(0, Vec::len);
            launches.saturating_sub(1) + usize::from(expected.cancelled)
        })
        .sum()
}

fn registrations_are_used(driver: &mut Driver, live: &[Task]) {
    for runner in driver.world.github.runners() {
        if live.iter().any(|task| runner_of(task) == Some(runner.id)) {
            continue;
        }
        let job = driver.diary.job_of_runner(runner.id);
        let was_started = job
            .and_then(|job| driver.judge.launches.get(&job))
            .is_some_and(|launches| launches.iter().any(|launch| launch.runner == Some(runner.id)));
        let why = if was_started { "its task died before it took a job" } else { "no launch took it back" };
        *driver.report.only_cleaner.entry(why).or_default() += 1;
        if !(was_started && driver.has_deaths()) {
            driver.judge.complain(job, format!("registration {} is left: {why}", runner.name));
        }
    }
}
