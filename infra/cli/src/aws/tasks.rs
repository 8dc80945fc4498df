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
    /// Its ARN.
    pub arn: String,
    /// Its class, from a tag.
    pub class: String,
    /// Whether its containers run; otherwise it starts.
    pub is_running: bool,
    /// The name of its registration, from a tag; none while the launch is under way.
    pub runner: Option<String>,
    /// `owner/name` of the repository of the job that it was launched for, from a tag.
    pub repository: Option<String>,
    /// Who started it: the launch token.
    pub started_by: String,
}

/// A task definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// Whether tasks can be started from it.
    pub is_active: bool,
    /// The role with which ECS starts its tasks.
    pub execution_role: Option<String>,
    /// The role of its containers.
    pub task_role: Option<String>,
    /// CPU units of its tasks, unless a launch says otherwise.
    pub cpu: Option<u32>,
    /// Its containers: name and image, and whether ECS signs in to the registry for it.
    pub containers: Vec<(String, String, bool)>,
}

impl Aws {
    /// The cluster's tasks that run or start.
    pub async fn runner_tasks(&self, cluster: &str) -> Result<Vec<RunnerTask>, Trouble> {
        let client = Client::new(&self.sdk);
        let mut found = Vec::new();
        // ECS describes a hundred tasks a call. Source: the API reference of DescribeTasks.
        for some in self.tasks(cluster).await?.chunks(100) {
            let describe = client.describe_tasks().cluster(cluster).set_tasks(Some(some.to_vec()));
            let answer = describe.include(TaskField::Tags).send().await;
            let answer = answer.map_err(|error| trouble_of("tasks (ecs:DescribeTasks)", &error))?;
            found.extend(answer.tasks().iter().map(|task| RunnerTask {
                arn: task.task_arn().unwrap_or_default().to_owned(),
                class: tag_of(task, tag::CLASS).unwrap_or_else(|| "?".to_owned()),
                is_running: task.last_status() == Some("RUNNING"),
                runner: tag_of(task, tag::RUNNER_NAME),
                repository: tag_of(task, tag::REPOSITORY),
                started_by: task.started_by().unwrap_or_default().to_owned(),
            }));
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

    /// The task definition of this name or ARN; `None` if there is none.
    pub async fn definition(&self, name: &str) -> Result<Option<Definition>, Trouble> {
        let describe = Client::new(&self.sdk).describe_task_definition().task_definition(name).send().await;
        let found = match describe {
            Ok(answer) => answer.task_definition,
            // ECS's only words for one that is not there.
            Err(error) if error.code() == Some("ClientException") => None,
            Err(error) => return Err(trouble_of("a task definition (ecs:DescribeTaskDefinition)", &error)),
        };
        Ok(found.map(|found| Definition {
            is_active: found.status() == Some(&TaskDefinitionStatus::Active),
            cpu: found.cpu().and_then(|cpu| cpu.parse().ok()),
            containers: found
                .container_definitions()
                .iter()
                .map(|container| {
                    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
                    let signs_in = container.repository_credentials().is_some();
                    (text(container.name()), text(container.image()), signs_in)
                })
                .collect(),
            execution_role: found.execution_role_arn,
            task_role: found.task_role_arn,
        }))
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

fn tag_of(task: &Task, key: &str) -> Option<String> {
    task.tags().iter().find(|tag| tag.key() == Some(key))?.value().map(str::to_owned)
}
