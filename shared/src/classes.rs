//! Runner classes: which jobs we take, and what their runners are made of.

use std::collections::HashSet;

use serde::Deserialize;

/// Most labels a registration may carry. Source: GitHub's OpenAPI description of `generate-jitconfig`.
pub const MOST_LABELS: usize = 100;

/// Longest label, in characters. Source: GitHub's limit on runner labels.
pub const LONGEST_LABEL: usize = 256;

/// Most characters that all labels of one job may have together: they travel in the queue's message, which stays at
/// about 1 KB, and on the task.
pub const LONGEST_LABELS: usize = 300;

/// Longest name of a class, in characters; it becomes part of runner names, which have 64.
const LONGEST_CLASS_NAME: usize = 24;

/// The configured classes, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerClasses(Vec<RunnerClass>);

/// One kind of runner. Unknown keys are refused, so that a typing error is an error and not a default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunnerClass {
    /// Unique; letters, digits, `-` and `_`, 24 at most.
    pub name: String,
    /// A job fits when each of its labels is one of these, whatever the case.
    pub labels: Vec<String>,
    /// The runner group the registration joins; 1 is GitHub's default group and the only one of a repository.
    #[serde(default = "default_runner_group")]
    pub runner_group_id: u64,
    /// Family, `family:revision` or ARN.
    pub task_definition: String,
    /// The container of the task definition that runs the runner.
    #[serde(default = "default_container")]
    pub container: String,
    /// Subnets of the task's network interface; 1 to 16 (an ECS limit).
    pub subnets: Vec<String>,
    /// Security groups of the task's network interface; 5 at most (an ECS limit). None means the VPC's default one.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// Whether the task gets a public IP address; needed in a public subnet to reach GitHub.
    #[serde(default)]
    pub assign_public_ip: bool,
    /// What the task runs on, in the order in which it is tried while there is no capacity; On-Demand alone by default.
    #[serde(default = "default_capacity")]
    pub capacity: Vec<Capacity>,
    /// Names of other classes whose task definition, network and capacity are tried next, in this order.
    #[serde(default)]
    pub fallback: Vec<String>,
    /// For how many minutes a runner may be online without a job, counted from when it was first seen so; 2 to 1440.
    #[serde(default = "default_idle_minutes")]
    pub idle_minutes: u32,
    /// For how many minutes a task may live, whatever it does; no limit by default. GitHub itself ends jobs after five
    /// days.
    #[serde(default)]
    pub lifetime_minutes: Option<u32>,
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

fn default_runner_group() -> u64 {
    1
}

fn default_capacity() -> Vec<Capacity> {
    vec![Capacity::OnDemand]
}

fn default_idle_minutes() -> u32 {
    10
}

fn default_container() -> String {
    "runner".to_owned()
}

/// Why a job's labels fit none of the classes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// `runs-on: {group: …}` without labels: the group does not arrive in the delivery, so nothing says who is meant.
    #[error("the job has no labels")]
    NoLabels,
    /// More than GitHub would register, or than fits the message.
    #[error(
        "a job may have {MOST_LABELS} labels of {LONGEST_LABEL} characters at most, {LONGEST_LABELS} characters together"
    )]
    TooMany,
    /// Each class lacks at least one of the labels.
    #[error("no runner class has all labels of [{}]", .0.join(", "))]
    NoClass(Vec<String>),
}

impl RunnerClasses {
    /// Reads and checks the value of `RUNNER_CLASSES`. The error says which class and key, and what was expected.
    pub fn parse(json: &str) -> Result<Self, String> {
        let classes: Vec<RunnerClass> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if classes.is_empty() {
            return Err("at least one class is needed".to_owned());
        }
        let mut names = HashSet::new();
        for (index, class) in classes.iter().enumerate() {
            class.check().map_err(|problem| format!("class {index} ({:?}): {problem}", class.name))?;
            if !names.insert(class.name.as_str()) {
                return Err(format!("class {index}: the name {:?} is used twice", class.name));
            }
        }
        for class in &classes {
            if let Some(missing) =
                class.fallback.iter().find(|name| **name == class.name || !names.contains(name.as_str()))
            {
                return Err(format!("class {:?}: fallback {missing:?} must be the name of another class", class.name));
            }
        }
        Ok(Self(classes))
    }

    /// Where a launch for this class is tried: the class itself on each of its capacities, then its fallbacks likewise.
    pub fn choices<'a>(&'a self, class: &'a RunnerClass) -> impl Iterator<Item = (&'a RunnerClass, Capacity)> {
        let fallbacks = class.fallback.iter().filter_map(|name| self.named(name));
        std::iter::once(class)
            .chain(fallbacks)
            .flat_map(|class| class.capacity.iter().map(move |capacity| (class, *capacity)))
    }

    /// The first class that fits all of a job's labels.
    pub fn fit(&self, labels: &[String]) -> Result<&RunnerClass, Misfit> {
        if labels.is_empty() {
            return Err(Misfit::NoLabels);
        }
        let lengths = || labels.iter().map(|label| label.chars().count());
        if labels.len() > MOST_LABELS
            || lengths().any(|length| length > LONGEST_LABEL)
            || lengths().sum::<usize>() > LONGEST_LABELS
        {
            return Err(Misfit::TooMany);
        }
        self.0.iter().find(|class| class.fits(labels)).ok_or_else(|| Misfit::NoClass(labels.to_vec()))
    }

    /// The class of that name.
    pub fn named(&self, name: &str) -> Option<&RunnerClass> {
        self.0.iter().find(|class| class.name == name)
    }

    /// All classes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &RunnerClass> {
        self.0.iter()
    }
}

impl RunnerClass {
    fn fits(&self, labels: &[String]) -> bool {
        labels.iter().all(|label| self.labels.iter().any(|own| same_label(own, label)))
    }

    fn check(&self) -> Result<(), String> {
        let name_is_fine = (1..=LONGEST_CLASS_NAME).contains(&self.name.len())
            && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !name_is_fine {
            return Err(format!("name must be 1 to {LONGEST_CLASS_NAME} letters, digits, '-' or '_'"));
        }
        if self.labels.is_empty() || self.labels.len() > MOST_LABELS {
            return Err(format!("labels must be 1 to {MOST_LABELS}"));
        }
        if let Some(label) = self.labels.iter().find(|label| !is_label(label)) {
            return Err(format!(
                "label {label:?} must be 1 to {LONGEST_LABEL} characters without commas or spaces around"
            ));
        }
        if self.runner_group_id == 0 {
            return Err("runner_group_id must be 1 or more".to_owned());
        }
        if self.task_definition.is_empty() || self.container.is_empty() {
            return Err("task_definition and container must not be empty".to_owned());
        }
        if !(1..=16).contains(&self.subnets.len()) || self.subnets.iter().any(String::is_empty) {
            return Err("subnets must be 1 to 16".to_owned());
        }
        if !(2..=1440).contains(&self.idle_minutes) {
            return Err("idle_minutes must be 2 to 1440".to_owned());
        }
        if self.lifetime_minutes == Some(0) {
            return Err("lifetime_minutes must be 1 or more".to_owned());
        }
        if self.capacity.is_empty() {
            return Err("capacity must be \"on-demand\", \"spot\" or both, in order".to_owned());
        }
        if self.security_groups.len() > 5 || self.security_groups.iter().any(String::is_empty) {
            return Err("security_groups must be 5 at most".to_owned());
        }
        Ok(())
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.chars().count() <= LONGEST_LABEL && label.trim() == label && !label.contains(',')
}

/// GitHub compares labels without regard to case.
fn same_label(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || one.to_lowercase() == other.to_lowercase()
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
            assert_eq!(classes.fit(&labels(job)).map(|class| class.name.as_str()), Ok(class));
        }
    }

    #[test]
    fn a_job_that_asks_for_more_or_for_nothing_fits_no_class() {
        let classes = two_classes();
        for job in [&["linux", "large"][..], &["self-hosted", "fargate"], &["ubuntu-latest"], &["fargat"], &[""]] {
            assert_eq!(classes.fit(&labels(job)), Err(Misfit::NoClass(labels(job))));
        }
        assert_eq!(classes.fit(&[]), Err(Misfit::NoLabels));
        assert_eq!(classes.fit(&vec!["fargate".to_owned(); 101]), Err(Misfit::TooMany));
        assert_eq!(classes.fit(&labels(&[&"x".repeat(257)])), Err(Misfit::TooMany));
        assert_eq!(classes.fit(&labels(&[&"x".repeat(151), &"y".repeat(150)])), Err(Misfit::TooMany));
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
        let choices: Vec<_> = classes.choices(class).map(|(class, capacity)| (class.name.as_str(), capacity)).collect();
        let (spot, on_demand) = (Capacity::Spot, Capacity::OnDemand);
        assert_eq!(choices, [("a", spot), ("a", on_demand), ("c", spot), ("b", on_demand)]);
    }

    #[test]
    fn an_unusable_class_is_refused_with_its_name_and_key() {
        let with =
            |change: &str| format!(r#"[{{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"]{change}}}]"#);
        for (json, says) in [
            ("[]".to_owned(), "at least one"),
            ("[{".to_owned(), "EOF"),
            (with(r#","colour":"red""#), "unknown field `colour`"),
            (with(r#","runner_group_id":0"#), "runner_group_id"),
            (with(r#","container":"""#), "container"),
            (with(r#","idle_minutes":1"#), "idle_minutes"),
            (with(r#","lifetime_minutes":0"#), "lifetime_minutes"),
            (with(r#","capacity":[]"#), "capacity"),
            (with(r#","capacity":["reserved"]"#), "`on-demand` or `spot`"),
            (with(r#","fallback":["b"]"#), "fallback \"b\""),
            (with(r#","fallback":["a"]"#), "fallback \"a\""),
            (with(r#","security_groups":["1","2","3","4","5","6"]"#), "security_groups"),
            (r#"[{"name":"a b","labels":["l"],"task_definition":"t","subnets":["s"]}]"#.to_owned(), "name must be"),
            (r#"[{"name":"a","labels":[],"task_definition":"t","subnets":["s"]}]"#.to_owned(), "labels must be"),
            (r#"[{"name":"a","labels":["a,b"],"task_definition":"t","subnets":["s"]}]"#.to_owned(), "label \"a,b\""),
            (r#"[{"name":"a","labels":["l"],"task_definition":"t","subnets":[]}]"#.to_owned(), "subnets"),
            (r#"[{"name":"a","labels":["l"],"subnets":["s"]}]"#.to_owned(), "task_definition"),
            (
                r#"[{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"]},
                    {"name":"a","labels":["m"],"task_definition":"t","subnets":["s"]}]"#
                    .to_owned(),
                "used twice",
            ),
        ] {
            let error = RunnerClasses::parse(&json).expect_err(&json);
            assert!(error.contains(says), "{error:?} should say {says:?}");
        }
    }
}
