//! Watches the cluster and runs a runner stand-in per task, as Fargate would run the image.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ecs::error::DisplayErrorContext;
use aws_sdk_ecs::types::{DesiredStatus, Task, TaskOverride};
use jitgate::job::JobId;
use jitgate_tests::github::GitHub;
use jitgate_tests::runner::{JIT_CONFIG_VARIABLE, Runner, Step};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::args::Cluster;
use crate::fates::{Fate, Fates};

/// How often the cluster is polled.
const LOOK: Duration = Duration::from_millis(300);

/// How often a runner asks for a job, and checks whether its job is done.
const STEP: Duration = Duration::from_millis(100);

/// The most ARNs that `DescribeTasks` takes.
const MOST_DESCRIBED: usize = 100;

/// A task that has or had a runner.
struct Living {
    kill: Option<oneshot::Sender<()>>,
    life: JoinHandle<()>,
}

/// Starts a runner for each new task, and kills the runners of stopped tasks.
pub(crate) struct Watcher {
    github: GitHub,
    fates: Fates,
    ecs: Client,
    /// Absent until there is one.
    cluster: Option<String>,
    job_time: Duration,
    living: HashMap<String, Living>,
}

impl Watcher {
    pub(crate) fn new(github: GitHub, fates: Fates, cluster: Cluster) -> Self {
        let Cluster { aws_endpoint, name, job_time } = cluster;
        let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        // An emulator takes any credentials, but some read the account from them.
        let credentials = Credentials::new(
            variable("AWS_ACCESS_KEY_ID", "test"),
            variable("AWS_SECRET_ACCESS_KEY", "test"),
            None,
            None,
            "stand-in",
        );
        let config = aws_sdk_ecs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(variable("AWS_REGION", "us-east-1")))
            .credentials_provider(credentials)
            .endpoint_url(aws_endpoint)
            .build();
        Self { github, fates, ecs: Client::from_conf(config), cluster: name, job_time, living: HashMap::new() }
    }

    /// Polls for ever; a failed poll is followed by another. The cluster may come later, so only the first of several failures
    /// is logged.
    pub(crate) async fn run(mut self) {
        let mut fails = false;
        loop {
            let seen = self.look().await;
            if let Err(problem) = &seen
                && !fails
            {
                tracing::warn!("failed to look at the cluster: {problem}");
            }
            fails = seen.is_err();
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&mut self) -> Result<(), String> {
        if self.cluster.is_none() {
            self.cluster = self.only_cluster().await?;
        }
        if self.cluster.is_none() {
            return Ok(());
        }
        let arns = self.running_tasks().await?;
        self.living.retain(|arn, living| {
            let stopped = !arns.contains(arn);
            if stopped && let Some(kill) = living.kill.take() {
                let _ = kill.send(());
            }
            // A runner that has ended stays in the list as long as ECS shows its task, so that the task gets no second
            // one.
            !stopped || !living.life.is_finished()
        });
        let new: Vec<String> = arns.into_iter().filter(|arn| !self.living.contains_key(arn)).collect();
        for batch in new.chunks(MOST_DESCRIBED) {
            let described = self.ecs.describe_tasks().set_cluster(self.cluster.clone()).set_tasks(Some(batch.to_vec()));
            let described = described.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
            for task in described.tasks() {
                self.begin(task);
            }
        }
        Ok(())
    }

    /// The account's first cluster, if it has one by now.
    async fn only_cluster(&self) -> Result<Option<String>, String> {
        let answer = self.ecs.list_clusters().send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
        Ok(answer.cluster_arns().first().cloned())
    }

    async fn running_tasks(&self) -> Result<Vec<String>, String> {
        let mut pages = self
            .ecs
            .list_tasks()
            .set_cluster(self.cluster.clone())
            .desired_status(DesiredStatus::Running)
            .into_paginator()
            .items()
            .send();
        let mut arns = Vec::new();
        while let Some(arn) = pages.next().await {
            arns.push(arn.map_err(|error| DisplayErrorContext(error).to_string())?);
        }
        Ok(arns)
    }

    /// Runs a runner for the task, once the task runs.
    fn begin(&mut self, task: &Task) {
        let Some(arn) = task.task_arn() else { return };
        if task.last_status() != Some("RUNNING") {
            return;
        }
        let job = self.job_of(task);
        self.github.note(job, "task_started", arn.rsplit('/').next().unwrap_or(arn).to_owned());
        let fate = job.and_then(|job| self.fates.meet(job));
        let runner = jit_config(task).filter(|_| !matches!(fate, Some(Fate::NeverStarts | Fate::Slow)));
        let runner = runner.and_then(|config| Runner::start(&self.github, config, self.job_time).ok());
        let runner = runner.map(|runner| runner.gated(environment_of(task)));
        let reason = match fate {
            Some(Fate::NeverStarts) => "CannotPullContainerError: the image was not found",
            _ => "Essential container in task exited",
        };
        let (kill, killed) = oneshot::channel();
        let (ecs, cluster, arn) = (self.ecs.clone(), self.cluster.clone(), arn.to_owned());
        let task = arn.clone();
        let life = tokio::spawn(async move {
            // A dropped sender is not a kill.
            let killed = async {
                if killed.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let mut killed = std::pin::pin!(killed);
            if fate == Some(Fate::Slow) {
                return killed.await;
            }
            if let Some(runner) = runner {
                let end = runner.run(STEP, &mut killed).await;
                if fate == Some(Fate::Hangs) && matches!(end, Step::Finished(_)) {
                    return killed.await;
                }
            } else {
                tracing::warn!("task {task}: no runner starts");
            }
            // The container has exited, which the emulator cannot see.
            let stop = ecs.stop_task().set_cluster(cluster).task(&task).reason(reason);
            if let Err(error) = stop.send().await {
                tracing::warn!("failed to stop task {task}: {}", DisplayErrorContext(error));
            }
        });
        self.living.insert(arn, Living { kill: Some(kill), life });
    }

    /// The job for which the task was started, by its `startedBy`.
    fn job_of(&self, task: &Task) -> Option<JobId> {
        let parts = task.started_by()?.split('-').filter_map(|part| part.parse().ok().map(JobId));
        parts.into_iter().find(|id| self.github.job(*id).is_some())
    }
}

fn environment_of(task: &Task) -> BTreeMap<String, String> {
    let containers = task.overrides().map(TaskOverride::container_overrides).unwrap_or_default();
    let variables = containers.iter().flat_map(aws_sdk_ecs::types::ContainerOverride::environment);
    variables.filter_map(|variable| Some((variable.name()?.to_owned(), variable.value()?.to_owned()))).collect()
}

fn jit_config(task: &Task) -> Option<&str> {
    let containers = task.overrides()?.container_overrides();
    let mut variables = containers.iter().flat_map(aws_sdk_ecs::types::ContainerOverride::environment);
    variables.find(|variable| variable.name() == Some(JIT_CONFIG_VARIABLE))?.value()
}
