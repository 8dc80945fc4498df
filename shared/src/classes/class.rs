//! A runner class: which jobs it takes, and what their runners are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::capacity::Capacity;
use super::hooks::Hooks;
use super::labels::LabelPattern;
use super::size::{Architecture, Cpu, Disk, Memory, TaskSize};
use super::translate::System;
use super::warm::Warm;
use crate::globs::RepositoryGlob;

/// The configured classes, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerClasses(pub(super) Vec<RunnerClass>);

impl RunnerClasses {
    /// The class with that name.
    pub fn named(&self, name: &str) -> Option<&RunnerClass> {
        self.0.iter().find(|class| class.name == name)
    }

    /// The same classes, with these security groups for those that name none.
    #[must_use]
    pub fn with_security_groups(mut self, groups: &[String]) -> Self {
        for class in self.0.iter_mut().filter(|class| class.security_groups.is_empty()) {
            class.security_groups = groups.to_vec();
        }
        self
    }

    /// All classes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &RunnerClass> {
        self.0.iter()
    }
}

/// One kind of runner.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own, and they do not depend on each other")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerClass {
    /// Unique; letters, digits, `-` and `_`, 24 at most.
    pub name: String,
    /// The labels that a job may have; `docs/LABELS.md` has the rules.
    pub labels: Vec<LabelPattern>,
    /// The runner group that registrations join.
    pub runner_group: RunnerGroup,
    /// What the task is started from.
    pub task_definition: TaskDefinitions,
    /// The container of the task definition that runs the runner.
    pub container: String,
    /// The task's processors and memory where the job does not choose; `None` leaves them to the task definition.
    pub size: Option<TaskSize>,
    /// The task's disk where the job does not choose; `None` leaves it to the task definition.
    pub disk: Option<Disk>,
    /// What a job may choose by label.
    pub sizes: Sizes,
    /// Subnets of the task's network interface, 16 at most (an ECS limit). None, only with a provider: the task definition gives
    /// the task the network of its instance.
    pub subnets: Vec<String>,
    /// Security groups of the task's network interface; 5 at most (an ECS limit). None means `RUNNER_SECURITY_GROUPS`.
    pub security_groups: Vec<String>,
    /// Whether the task gets a public IP address; in a public subnet it needs one to reach GitHub.
    pub assign_public_ip: bool,
    /// What the task runs on, in the order in which it is tried while ECS lacks capacity.
    pub capacity: Vec<Capacity>,
    /// Names of the classes whose task definition, network and capacity are tried next, in this order.
    pub fallback: Vec<String>,
    /// How many runners of this class may live at once; no limit if absent.
    pub max_runners: Option<u32>,
    /// How many runners of this class may live at once for the jobs of one owner; no limit if absent.
    pub max_per_owner: Option<u32>,
    /// How many runners of this class may live at once for the jobs of one repository; no limit if absent.
    pub max_per_repository: Option<u32>,
    /// Runners that are kept ready before a job asks for one.
    pub warm: Vec<Warm>,
    /// Minutes that a runner may be online without a job, counted from when it was first seen idle; 2 to 1440.
    pub idle_minutes: u32,
    /// Minutes after which a runner that has not connected will not; 2 to 1440.
    pub start_minutes: u32,
    /// Minutes that a task may live, busy or not.
    pub lifetime_minutes: u32,
    /// Further environment variables of the runner's container. Job steps see them.
    pub environment: BTreeMap<String, String>,
    /// ARN of the role that job steps have, in place of the task definition's.
    pub task_role: Option<String>,
    /// ARN of the role with which ECS starts the task, in place of the task definition's.
    pub execution_role: Option<String>,
    /// Further tags of the task, by key.
    pub tags: BTreeMap<String, String>,
    /// The repositories whose jobs are taken; all if absent.
    pub repositories: Option<Vec<RepositoryGlob>>,
    /// Whether the runner refuses jobs that this class would not take.
    pub gate: bool,
    /// The class's own scripts before and after a job.
    pub hooks: Hooks,
    /// Whether jobs of public repositories are taken.
    pub public_repositories: bool,
    /// Whether jobs of pull requests from forks are taken.
    pub fork_pull_requests: bool,
    /// Whether a job may have the label `self-hosted` although it is not among `labels`.
    pub self_hosted: bool,
    /// What labels of other systems mean: the class's own `translate`, then the tables of `compatible`.
    pub(super) translations: Vec<Arc<System>>,
    /// Labels that a job must have.
    pub requires: Vec<LabelPattern>,
    /// Labels that a job must not have, whatever else says that it may.
    pub excluded_labels: Vec<LabelPattern>,
    /// Labels that a job may have without any effect.
    pub ignored_labels: Vec<LabelPattern>,
}

/// The group that a class's registrations join.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RunnerGroup {
    /// 1 is GitHub's default group, and the only one of a repository.
    Id(u64),
    /// The group's name in the organisation that owns the job's repository.
    Name(String),
}

/// The task definitions of a class: one or two, each a family, `family:revision` or ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDefinitions {
    /// The architecture of a job that chooses none.
    pub usual: Architecture,
    /// One for each architecture that the class has; never empty, and one is for the usual.
    pub(super) each: Vec<(Architecture, String)>,
}

impl TaskDefinitions {
    /// The one for an architecture, if the class has it.
    pub fn of(&self, architecture: Architecture) -> Option<&str> {
        self.each.iter().find(|(each, _)| *each == architecture).map(|(_, definition)| definition.as_str())
    }

    /// The architectures that the class has.
    pub fn architectures(&self) -> impl Iterator<Item = Architecture> {
        self.each.iter().map(|(architecture, _)| *architecture)
    }
}

/// What a class lets a job choose by label, and the maximum of each; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// `cpu=`
    pub cpu: Option<Cpu>,
    /// `memory=`
    pub memory: Option<Memory>,
    /// `disk=`
    pub disk: Option<Disk>,
    /// `arch=`, among the architectures that the class has a task definition for.
    pub arch: bool,
    /// `spot=`
    pub spot: bool,
    /// `run=`
    pub run: bool,
}
