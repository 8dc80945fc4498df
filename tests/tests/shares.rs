//! Stories of shares: while a runner limit is reached, no owner and no repository starves another.

use std::sync::Arc;
use std::time::Duration;

use jitgate::job::JobId;
use jitgate_tests::aws::sqs::mapping::EventSource;
use jitgate_tests::github::{JobSpec, JobStatus, ORGANIZATION};
use jitgate_tests::world::{JOB_QUEUE, World, invoke, runner_classes};
use serde_json::json;
use worker::Worker;

const STEP: Duration = Duration::from_secs(5);

/// A fleet whose worker runs in several processes. Each batch goes to the next one.
struct Fleet {
    world: World,
    workers: Vec<Worker>,
    source: EventSource,
    next: usize,
}

impl Fleet {
    async fn new(settings: &[(&str, &str)], processes: usize) -> Self {
        let settings: Vec<_> = settings.iter().copied().chain([("GITHUB_POINTS_PER_MINUTE", "0")]).collect();
        let world = World::unchecked(&settings).await;
        world.github.limit(|limits| limits.secondary = None);
        let workers = (0..processes).map(|_| world.new_worker().expect("a complete environment")).collect();
        let source = EventSource::new(Arc::clone(&world.aws.sqs), JOB_QUEUE).allow_loops();
        Self { world, workers, source, next: 0 }
    }

    async fn queue(&self, owner: &str, repository: &str, jobs: usize) -> Vec<JobId> {
        let mut queued = Vec::new();
        for _ in 0..jobs {
            let spec = JobSpec::labels(["fargate"]).in_repository(owner, repository);
            let job = self.world.github.queue_job(spec);
            self.world.deliver_queued(job).await;
            queued.push(job);
        }
        queued
    }

    fn add_organization(&self, login: &str) {
        self.world.github.add_organization(login);
        self.world.github.install_app(login);
    }

    /// All visible messages are worked on, then time passes.
    async fn step(&mut self) {
        let Self { workers, source, next, .. } = self;
        source
            .drain(async |event| {
                *next += 1;
                invoke(&workers[*next % workers.len()], event).await
            })
            .await;
        self.world.pass(STEP);
    }

    fn has_run(&self, job: JobId) -> bool {
        self.world.github.job(job).expect("it exists").status != JobStatus::Queued
    }

    /// Waits until all these jobs run, `most` at most.
    async fn until(&mut self, jobs: &[JobId], most: Duration) {
        let start = self.world.clock.now();
        while !jobs.iter().all(|job| self.has_run(*job)) {
            let waited = (self.world.clock.now() - start).unsigned_abs();
            assert!(waited < most, "{} jobs wait", jobs.iter().filter(|job| !self.has_run(**job)).count());
            self.step().await;
        }
    }

    fn live_of(&self, owner: &str) -> usize {
        let tasks = self.world.aws.ecs.live_tasks();
        tasks.iter().filter(|task| task.tags["jitgate:repository"].starts_with(&format!("{owner}/"))).count()
    }
}

/// A job takes two minutes here, so a runner ends every half minute.
#[tokio::test]
async fn the_only_job_of_one_owner_does_not_wait_behind_hundreds_of_another() {
    for processes in [1, 3] {
        let mut fleet = Fleet::new(&[("MAX_RUNNERS", "5")], processes).await;
        fleet.add_organization("second");
        fleet.queue(ORGANIZATION, "octo-repo", 400).await;
        fleet.step().await;
        assert_eq!(fleet.world.live_tasks(), 5);
        let only = fleet.queue("second", "hello", 1).await;
        fleet.until(&only, Duration::from_mins(6)).await;
    }
}

/// With organization scope, GitHub decides which of the organization's jobs a runner takes.
#[tokio::test]
async fn the_only_job_of_one_repository_does_not_wait_behind_hundreds_of_its_owners() {
    let mut fleet = Fleet::new(&[("MAX_RUNNERS", "5"), ("RUNNER_SCOPE", "repo")], 1).await;
    fleet.queue(ORGANIZATION, "octo-repo", 200).await;
    fleet.step().await;
    let only = fleet.queue(ORGANIZATION, "second", 1).await;
    fleet.until(&only, Duration::from_mins(6)).await;
}

#[tokio::test]
async fn ten_owners_with_endless_jobs_get_equal_shares() {
    const STEPS: usize = 60;
    let mut fleet = Fleet::new(&[("MAX_RUNNERS", "20")], 1).await;
    let owners: Vec<_> = (0..10).map(|number| format!("owner-{number}")).collect();
    for owner in &owners {
        fleet.add_organization(owner);
    }
    for owner in &owners {
        fleet.queue(owner, "hello", 35).await;
        fleet.step().await;
    }
    // Until then the first owner's jobs end, which held all places.
    for _ in 0..40 {
        fleet.step().await;
    }
    let mut shares = vec![0; owners.len()];
    for _ in 0..STEPS {
        fleet.step().await;
        for (share, owner) in shares.iter_mut().zip(&owners) {
            *share += fleet.live_of(owner);
        }
    }
    // Two places each would be 2 x STEPS. A place is free for a moment until its next job comes back.
    assert!(shares.iter().all(|share| (STEPS..=3 * STEPS).contains(share)), "{shares:?}");
    assert!(shares.iter().sum::<usize>() >= 16 * STEPS, "{shares:?}");
}

#[tokio::test]
async fn without_limits_shares_cost_no_call() {
    let mut fleet = Fleet::new(&[], 1).await;
    fleet.add_organization("second");
    fleet.queue(ORGANIZATION, "octo-repo", 30).await;
    fleet.queue("second", "hello", 30).await;
    fleet.world.aws.calls().clear();
    fleet.step().await;
    assert_eq!(fleet.world.live_tasks(), 60);
    assert_eq!(fleet.world.aws.calls().count("ListTasks") + fleet.world.aws.calls().count("DescribeTasks"), 0);
}

#[tokio::test]
async fn an_owner_and_a_repository_stay_within_the_caps_of_their_class() {
    let mut classes = runner_classes();
    classes[0]["max_per_owner"] = json!(3);
    classes[0]["max_per_repository"] = json!(2);
    let mut fleet = Fleet::new(&[("RUNNER_CLASSES", &classes.to_string())], 1).await;
    fleet.add_organization("second");
    let mut jobs = Vec::new();
    for (owner, repository) in [(ORGANIZATION, "one"), (ORGANIZATION, "two"), ("second", "one")] {
        jobs.extend(fleet.queue(owner, repository, 6).await);
    }
    fleet.step().await;
    assert_eq!((fleet.live_of(ORGANIZATION), fleet.live_of("second")), (3, 2));
    fleet.until(&jobs, Duration::from_hours(1)).await;
}
