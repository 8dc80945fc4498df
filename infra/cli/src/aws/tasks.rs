//! The runners' tasks and their task definitions.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::ProvideErrorMetadata as _;
use aws_sdk_ecs::types::{DesiredStatus, Task, TaskDefinitionStatus, TaskField};

use jitgate::ecs::tag;

use super::{Aws, trouble_of};
use crate::trouble::Trouble;

/// A runner's task that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerTask {
    /// Its class, from a tag.
    pub class: String,
    /// Whether its containers run; otherwise it starts.
    pub is_running: bool,
}

/// A task that lives, and whose job it was started for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOrigin {
    /// Its ARN.
    pub arn: String,
    /// `owner/name` of the job's repository, from a tag.
    pub repository: Option<String>,
}

impl Aws {
    /// The cluster's tasks that run or start.
    pub async fn runner_tasks(&self, cluster: &str) -> Result<Vec<RunnerTask>, Trouble> {
        let described = self.described_tasks(cluster).await?;
        let task = |task: &Task| RunnerTask {
            class: tag_of(task, tag::CLASS).unwrap_or("?").to_owned(),
            is_running: task.last_status() == Some("RUNNING"),
        };
        Ok(described.iter().map(task).collect())
    }

    /// The same tasks, by the repositories of their jobs.
    pub async fn task_origins(&self, cluster: &str) -> Result<Vec<TaskOrigin>, Trouble> {
        let described = self.described_tasks(cluster).await?;
        let origin = |task: &Task| TaskOrigin {
            arn: task.task_arn().unwrap_or_default().to_owned(),
            repository: tag_of(task, tag::REPOSITORY).map(str::to_owned),
        };
        Ok(described.iter().map(origin).collect())
    }

    async fn described_tasks(&self, cluster: &str) -> Result<Vec<Task>, Trouble> {
        let client = Client::new(&self.sdk);
        let mut found = Vec::new();
        // ECS describes a hundred tasks a call. Source: the API reference of DescribeTasks.
        for some in self.tasks(cluster).await?.chunks(100) {
            let describe = client.describe_tasks().cluster(cluster).set_tasks(Some(some.to_vec()));
            let answer = describe.include(TaskField::Tags).send().await;
            let answer = answer.map_err(|error| trouble_of("tasks (ecs:DescribeTasks)", &error))?;
            found.extend(answer.tasks.unwrap_or_default());
        }
        Ok(found)
    }

    /// The ARNs of the cluster's tasks that run or start; none if there is no cluster.
    pub async fn tasks(&self, cluster: &str) -> Result<Vec<String>, Trouble> {
        let list = Client::new(&self.sdk).list_tasks().cluster(cluster).desired_status(DesiredStatus::Running);
        let mut pages = list.into_paginator().send();
        let mut tasks = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => tasks.extend(page.task_arns.unwrap_or_default()),
                Err(error) if error.code() == Some("ClusterNotFoundException") => return Ok(tasks),
                Err(error) => return Err(trouble_of(&format!("cluster {cluster} (ecs:ListTasks)"), &error)),
            }
        }
        Ok(tasks)
    }

    /// The tasks that somebody started, by its `startedBy`, whether they live or have stopped within the last hour. Their
    /// overrides hold a JIT config: do not show them.
    pub async fn tasks_by(&self, cluster: &str, started_by: &str) -> Result<Vec<Task>, Trouble> {
        let client = Client::new(&self.sdk);
        let list = |status| {
            let list = client.list_tasks().cluster(cluster).started_by(started_by).desired_status(status);
            async move {
                let answer = list.send().await;
                answer.map_err(|error| trouble_of(&format!("cluster {cluster} (ecs:ListTasks)"), &error))
            }
        };
        let (live, stopped) = tokio::try_join!(list(DesiredStatus::Running), list(DesiredStatus::Stopped))?;
        let arns = [live, stopped].into_iter().flat_map(|answer| answer.task_arns.unwrap_or_default());
        let arns: Vec<String> = arns.collect();
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let describe = client.describe_tasks().cluster(cluster).set_tasks(Some(arns)).send().await;
        let answer = describe.map_err(|error| trouble_of("tasks (ecs:DescribeTasks)", &error))?;
        Ok(answer.tasks.unwrap_or_default())
    }

    /// Stops a task. One that has stopped already is no error.
    pub async fn stop(&self, cluster: &str, task: &str) -> Result<(), Trouble> {
        let stop = Client::new(&self.sdk).stop_task().cluster(cluster).task(task);
        match stop.reason("jitgate destroy: the fleet is removed").send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("InvalidParameterException") => Ok(()),
            Err(error) => Err(trouble_of("a task (ecs:StopTask)", &error)),
        }
    }

    /// The task definitions of a family that are left, active or not.
    pub async fn task_definitions(&self, family: &str) -> Result<Vec<String>, Trouble> {
        let mut found = Vec::new();
        for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
            let list = Client::new(&self.sdk).list_task_definitions().family_prefix(family).status(status);
            let mut pages = list.into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| trouble_of("task definitions (ecs:ListTaskDefinitions)", &error))?;
                found.extend(page.task_definition_arns.unwrap_or_default());
            }
        }
        Ok(found)
    }

    /// Whether there is an active task definition of this name or ARN.
    pub async fn has_task_definition(&self, name: &str) -> Result<bool, Trouble> {
        let describe = Client::new(&self.sdk).describe_task_definition().task_definition(name).send().await;
        match describe {
            Ok(answer) => {
                Ok(answer.task_definition().and_then(|found| found.status()) == Some(&TaskDefinitionStatus::Active))
            }
            // ECS's only words for one that is not there.
            Err(error) if error.code() == Some("ClientException") => Ok(false),
            Err(error) => Err(trouble_of("a task definition (ecs:DescribeTaskDefinition)", &error)),
        }
    }

    /// Deletes task definitions for good.
    pub async fn delete_task_definitions(&self, arns: &[String]) -> Result<(), Trouble> {
        let client = Client::new(&self.sdk);
        for arn in arns {
            // Only an inactive one can be deleted. One that is inactive already is answered as one that becomes so.
            let deregistered = client.deregister_task_definition().task_definition(arn).send().await;
            deregistered.map_err(|error| trouble_of("a task definition (ecs:DeregisterTaskDefinition)", &error))?;
        }
        // ECS takes ten a call. Source: the API reference of DeleteTaskDefinitions.
        for some in arns.chunks(10) {
            let delete = client.delete_task_definitions().set_task_definitions(Some(some.to_vec()));
            let answer = delete
                .send()
                .await
                .map_err(|error| trouble_of("task definitions (ecs:DeleteTaskDefinitions)", &error))?;
            if let Some(failure) = answer.failures().first() {
                let words = failure.reason().unwrap_or("no reason given");
                return Err(Trouble::failed(format!("task definitions: {words}"), "run the command again in a minute"));
            }
        }
        Ok(())
    }
}

fn tag_of<'t>(task: &'t Task, key: &str) -> Option<&'t str> {
    task.tags().iter().find(|tag| tag.key() == Some(key))?.value()
}
