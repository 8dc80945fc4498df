//! A large fleet at work, for what depends on size.

use futures::{StreamExt, stream};
use jitgate::classes::{Asked, RunnerClasses};
use jitgate::ecs::{Launch, Tasks};
use jitgate::github::JitConfig;
use jitgate::job::{Attempt, JobId, Message};
use jitgate::names::{LaunchToken, NamePrefix, RunnerName};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::github::{JobSpec, ORGANIZATION, Scope};
use crate::world::{World, runner_classes};

/// The size of a fleet.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Registrations in all.
    pub registrations: usize,
    /// How many of them have a task and a job.
    pub tasks: usize,
    /// How many of them are old and have no task.
    pub orphans: usize,
}

impl Fleet {
    /// As many registrations as one runner group may have.
    pub const LARGE: Self = Self { registrations: 10_000, tasks: 3_000, orphans: 100 };

    /// Creates the fleet in a world.
    pub async fn populate(self, world: &World) {
        let tasks = Tasks::new(&world.aws.sdk_config(), "runners".to_owned());
        let jobs = (0..self.tasks as u64).map(|number| start_task(&tasks, world, JobId(52_100_000_000 + number)));
        stream::iter(jobs).buffer_unordered(16).collect::<Vec<_>>().await;
        let now = OffsetDateTime::now_utc();
        for number in 0..self.registrations - self.tasks {
            // Orphans are old; all others were just registered.
            let is_orphan = number < self.orphans;
            let born_at = if is_orphan { now - Duration::hours(1) } else { now };
            let name = format!("jit-default-{}-1-{}", 53_000_000_000_usize + number, born_at.unix_timestamp());
            world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], is_orphan);
        }
    }
}

/// A task with the runner of a registration, and with a JIT config of ordinary size.
async fn start_task(tasks: &Tasks, world: &World, job: JobId) {
    let prefix = NamePrefix::default();
    let born_at = (OffsetDateTime::now_utc() - Duration::minutes(30)).unix_timestamp();
    world.github.queue_job(JobSpec::labels(["fargate"]).with_id(job));
    let run_id = world.github.job(job).expect("queued above").run_id;
    let message = json!({
        "v": 1, "job_id": job, "run_id": run_id, "run_attempt": 1, "owner": ORGANIZATION, "owner_id": 6_000_001,
        "repository": "octo-repo", "organization": ORGANIZATION, "installation_id": 77, "labels": ["fargate"],
        "class": "default", "created_at": "2026-11-02T09:00:00Z", "delivery_id": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "html_url": format!("https://github.com/octo-org/octo-repo/actions/runs/{run_id}/job/{job}"),
        "attempt": 1, "queued_at": born_at, "born_at": born_at,
    });
    let message = Message::parse(&message.to_string()).expect("a message as the webhook makes it");
    let runner_name = RunnerName::derive(&prefix, &message, 0);
    let id = world.github.orphan(&Scope::org(ORGANIZATION), runner_name.as_str(), &["fargate"], true);
    world.github.connect(id).expect("registered above");
    assert!(world.github.take_job(id).expect("registered above").is_some(), "a job waits");
    let classes = RunnerClasses::parse(&runner_classes().to_string()).expect("the world's own classes");
    let jit = JitConfig { runner_id: id, encoded: world.github.config_of(id).expect("registered above").into() };
    let token = LaunchToken::derive(&prefix, job, Attempt::FIRST);
    let fit = classes.fit(&Asked::from(&message.job)).expect("labels of the world's own class");
    let launch = Launch {
        message: &message,
        fit: &fit,
        scope: &jitgate::github::Scope::Organization(ORGANIZATION.to_owned()),
        placement: classes.placements(&fit)[0],
        token: &token,
        runner_name: &runner_name,
        jit: &jit,
    };
    tasks.run(launch).await.expect("an ECS without limits");
}
