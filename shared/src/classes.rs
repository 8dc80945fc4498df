//! Runner classes: which jobs we take, and what their runners are made of.

mod fit;
mod labels;
mod parse;
mod size;
mod warm;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use fit::{Asked, Demand, Fit, Misfit, Placement, Refusal};
pub use labels::{LONGEST_LABEL, LabelPattern};
pub use size::{Architecture, Cpu, Disk, FargateSize, Memory};
pub use warm::{Day, Hours, MOST_WARM, Warm};

use crate::globs::RepositoryGlob;

/// Most labels a registration may carry. Source: GitHub's OpenAPI description of `generate-jitconfig`.
pub const MOST_LABELS: usize = 100;

/// Most characters that all labels of one job may have together: they travel in the queue's message, which stays at
/// about 1 KB, and on the task.
pub const LONGEST_LABELS: usize = 300;

/// The configured classes, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerClasses(Vec<RunnerClass>);

/// One kind of runner.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own, and they do not depend on each other")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerClass {
    /// Unique; letters, digits, `-` and `_`, 24 at most.
    pub name: String,
    /// What a job may ask for to get this class; `docs/LABELS.md` has the rules.
    pub labels: Vec<LabelPattern>,
    /// The runner group that registrations join.
    pub runner_group: RunnerGroup,
    /// What the task is started from.
    pub task_definition: TaskDefinitions,
    /// The container of the task definition that runs the runner.
    pub container: String,
    /// What the task is made of where the job does not say; `None` leaves it to the task definition.
    pub size: Option<FargateSize>,
    /// Likewise its disk.
    pub disk: Option<Disk>,
    /// What a job may choose for itself.
    pub sizes: Sizes,
    /// Subnets of the task's network interface; 1 to 16 (an ECS limit).
    pub subnets: Vec<String>,
    /// Security groups of the task's network interface; 5 at most (an ECS limit). None means the VPC's default one.
    pub security_groups: Vec<String>,
    /// Whether the task gets a public IP address; needed in a public subnet to reach GitHub.
    pub assign_public_ip: bool,
    /// What the task runs on, in the order in which it is tried while there is no capacity.
    pub capacity: Vec<Capacity>,
    /// Names of other classes whose task definition, network and capacity are tried next, in this order.
    pub fallback: Vec<String>,
    /// How many runners of this class may live at once; no limit if absent.
    pub max_runners: Option<u32>,
    /// Runners that are kept ready.
    pub warm: Vec<Warm>,
    /// For how many minutes a runner may be online without a job, counted from when it was first seen so; 2 to 1440.
    pub idle_minutes: u32,
    /// For how many minutes a task may live, whatever it does. GitHub itself ends jobs after five days.
    pub lifetime_minutes: Option<u32>,
    /// Further environment of the runner's container. Job steps see it.
    pub environment: BTreeMap<String, String>,
    /// Further tags of the task, by key.
    pub tags: BTreeMap<String, String>,
    /// The repositories whose jobs are taken; all if absent.
    pub repositories: Option<Vec<RepositoryGlob>>,
    /// Whether jobs of public repositories are taken.
    pub public_repositories: bool,
    /// Whether jobs of pull requests from forks are taken.
    pub fork_pull_requests: bool,
    /// Whether a job may ask for `self-hosted`, which need not be among the labels then.
    pub self_hosted: bool,
    /// Whose labels are understood besides our own.
    pub compatible: Vec<Dialect>,
    /// What a job may ask for without getting it.
    pub ignored_labels: Vec<LabelPattern>,
}

/// The group that a class's registrations join.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RunnerGroup {
    /// 1 is GitHub's default group, and the only one of a repository.
    Id(u64),
    /// As it is called in the organisation that owns the job's repository.
    Name(String),
}

/// What a class's tasks are started from: one or two task definitions, each a family, `family:revision` or ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDefinitions {
    /// The architecture of a job that asks for none.
    pub usual: Architecture,
    /// One for each architecture that the class has; never empty, and one is for the usual.
    each: Vec<(Architecture, String)>,
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

/// What a class lets a job choose by label, and up to which maximum; nothing by default.
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

/// Labels that other fleets know, so that workflows written for those run unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Dialect {
    /// `runs-on=<anything>` stands for a class label and binds the runner to a run; `ram=` is `memory=`.
    #[serde(rename = "runs-on")]
    RunsOn,
}

/// What a Fargate task runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capacity {
    /// `FARGATE`
    OnDemand,
    /// `FARGATE_SPOT`: about 70 % less, and reclaimed with two minutes' notice. The cluster must have that capacity
    /// provider.
    Spot,
}

impl RunnerClasses {
    /// The class of that name.
    pub fn named(&self, name: &str) -> Option<&RunnerClass> {
        self.0.iter().find(|class| class.name == name)
    }

    /// All classes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &RunnerClass> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(json: &str) -> RunnerClasses {
        RunnerClasses::parse(json).expect("valid classes")
    }

    fn labels(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|&label| label.to_owned()).collect()
    }

    fn fit<'a>(classes: &'a RunnerClasses, labels: &[String]) -> Result<Fit<'a>, Misfit> {
        classes.fit(&Asked { owner: "octo-org", repository: "octo-repo", labels })
    }

    fn two_classes() -> RunnerClasses {
        classes(
            r#"[{"name":"small","labels":["fargate","Linux"],"task_definition":"t","subnets":["s"]},
                {"name":"large","labels":["fargate","large"],"task_definition":"t","subnets":["s"],"container":"c",
                 "runner_group_id":7,"security_groups":["sg"],"assign_public_ip":true}]"#,
        )
    }

    #[test]
    fn a_job_fits_the_first_class_that_has_all_its_labels() {
        let classes = two_classes();
        for (job, class) in [
            (&["fargate"][..], "small"),
            (&["LINUX", "Fargate"], "small"),
            (&["fargate", "large"], "large"),
            (&["large"], "large"),
        ] {
            assert_eq!(fit(&classes, &labels(job)).map(|fit| fit.class.name.as_str()), Ok(class));
        }
    }

    #[test]
    fn a_job_that_asks_for_more_or_for_nothing_fits_no_class() {
        let classes = two_classes();
        for job in [&["linux", "large"][..], &["self-hosted", "fargate"], &["ubuntu-latest"], &["fargat"], &[""]] {
            assert_eq!(fit(&classes, &labels(job)), Err(Misfit::NoClass(labels(job))));
        }
        assert_eq!(fit(&classes, &[]), Err(Misfit::NoLabels));
        assert_eq!(fit(&classes, &vec!["fargate".to_owned(); 101]), Err(Misfit::TooMany));
        assert_eq!(fit(&classes, &labels(&[&"x".repeat(257)])), Err(Misfit::TooMany));
        assert_eq!(fit(&classes, &labels(&[&"x".repeat(151), &"y".repeat(150)])), Err(Misfit::TooMany));
    }

    #[test]
    fn a_class_without_capacity_is_followed_by_its_fallbacks() {
        let classes = classes(
            r#"[{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"],"capacity":["spot","on-demand"],
                 "fallback":["c","b"]},
                {"name":"b","labels":["m"],"task_definition":"t","subnets":["s"],"fallback":["a"]},
                {"name":"c","labels":["n"],"task_definition":"t","subnets":["s"],"capacity":["spot"]}]"#,
        );
        let class = classes.named("a").unwrap();
        let placements = classes.placements(&Fit { class, demand: Demand::default() });
        let choices: Vec<_> = placements.iter().map(|each| (each.class.name.as_str(), each.capacity)).collect();
        let (spot, on_demand) = (Capacity::Spot, Capacity::OnDemand);
        assert_eq!(choices, [("a", spot), ("a", on_demand), ("c", spot), ("b", on_demand)]);
    }
}
