//! What tasks cost, added up.

use std::collections::{BTreeMap, BTreeSet};

use jitgate::classes::Architecture;
use jitgate::prices::{self, ADDRESS, Hosted, Hour};
use serde::{Serialize, Serializer};

use super::task::{Capacity, Task};

/// By what costs are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The repository of the job that a task was started for
    Repository,
    /// The workflow of that job
    Workflow,
    /// The runner class
    Class,
    /// The day on which the task ended, in UTC
    Day,
}

/// Dollars by what AWS bills for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Dollars {
    #[serde(serialize_with = "rounded")]
    pub(super) vcpu: f64,
    #[serde(serialize_with = "rounded")]
    pub(super) memory: f64,
    #[serde(serialize_with = "rounded")]
    pub(super) disk: f64,
    #[serde(serialize_with = "rounded")]
    pub(super) address: f64,
}

impl Dollars {
    pub(super) fn total(&self) -> f64 {
        self.vcpu + self.memory + self.disk + self.address
    }
}

/// The same minutes on GitHub's own runners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct OnGitHub {
    pub(super) jobs: u64,
    /// Each job rounded up.
    pub(super) minutes: u64,
    #[serde(serialize_with = "rounded")]
    pub(super) dollars: f64,
    /// Jobs of a size that GitHub has no runner of, or that is not known; they are in no other number here.
    pub(super) unmatched: u64,
}

/// What some tasks cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sum {
    pub(super) tasks: u64,
    /// Billed.
    #[serde(serialize_with = "rounded")]
    pub(super) hours: f64,
    #[serde(serialize_with = "rounded")]
    pub(super) vcpu_hours: f64,
    #[serde(serialize_with = "rounded")]
    pub(super) memory_gib_hours: f64,
    pub(super) dollars: Dollars,
    #[serde(serialize_with = "rounded")]
    pub(super) total_dollars: f64,
    /// How many of the dollars are an estimate.
    #[serde(serialize_with = "rounded")]
    pub(super) estimated_dollars: f64,
    pub(super) github: OnGitHub,
}

/// The tasks of a repository, a workflow, a class or a day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Group {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) sum: Sum,
}

/// Everything that was added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bill {
    /// Dearest first; days in their order.
    pub(super) groups: Vec<Group>,
    pub(super) all: Sum,
    /// Tasks whose size ECS did not tell, which cost something that is not known.
    pub(super) unpriced: u64,
    /// Tasks on Fargate whose architecture the line does not say. They count as x86-64, which is dearer.
    pub(super) of_unknown_architecture: u64,
    /// Tasks whose line does not say the repository, since an earlier version wrote it.
    pub(super) of_unknown_repository: u64,
}

/// What stands for a name that the line does not have.
const NOT_LOGGED: &str = "(not logged)";

/// Adds tasks up. `public_classes` are the classes whose tasks get a public IP address.
pub(super) fn add_up(tasks: &[Task], by: By, public_classes: &BTreeSet<String>) -> Bill {
    let mut bill = Bill::default();
    let mut groups: BTreeMap<String, Sum> = BTreeMap::new();
    for task in tasks {
        let has_address = task.class.as_ref().is_some_and(|class| public_classes.contains(class));
        let sum = of_task(task, has_address);
        bill.all.add(&sum);
        groups.entry(name_of(task, by)).or_default().add(&sum);
        bill.unpriced += u64::from(task.size().is_none() && task.billed() > 0.0);
        let is_on_fargate = task.capacity() != Capacity::Provider;
        bill.of_unknown_architecture += u64::from(task.architecture().is_none() && is_on_fargate);
        bill.of_unknown_repository += u64::from(task.public.is_none());
    }
    bill.groups = groups.into_iter().map(|(name, sum)| Group { name, sum }).collect();
    if by != By::Day {
        bill.groups.sort_by(|one, other| other.sum.total_dollars.total_cmp(&one.sum.total_dollars));
    }
    bill
}

fn name_of(task: &Task, by: By) -> String {
    let repository = match (&task.repository, task.public) {
        (Some(repository), _) => repository,
        (None, Some(_)) => "(warm runners)",
        (None, None) => NOT_LOGGED,
    };
    match by {
        By::Repository => repository.to_owned(),
        By::Class => task.class.clone().unwrap_or_else(|| NOT_LOGGED.to_owned()),
        By::Day => task.ended_at.to_offset(time::UtcOffset::UTC).date().to_string(),
        By::Workflow if task.repository.is_none() => repository.to_owned(),
        By::Workflow => format!("{repository}: {}", task.workflow.as_deref().unwrap_or("(no name)")),
    }
}

fn of_task(task: &Task, has_address: bool) -> Sum {
    let mut sum = Sum { tasks: 1, ..Sum::default() };
    let minutes = task.job_minutes();
    let architecture = task.architecture().unwrap_or(Architecture::X86_64);
    let is_public = task.public.unwrap_or(false);
    if let Some(minutes) = minutes {
        match task.size().and_then(|size| Hosted::like(size, architecture, minutes)) {
            None => sum.github.unmatched = 1,
            Some(hosted) => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "minutes of a job")]
                let whole = minutes.ceil() as u64;
                let dollars = hosted.job(minutes, is_public);
                sum.github = OnGitHub { jobs: 1, minutes: whole, dollars, unmatched: 0 };
            }
        }
    }
    let Some(size) = task.size() else { return sum };
    let capacity = task.capacity();
    let hours = task.billed() / 3600.0;
    // AWS bills a provider's instances, not its tasks. Their size on Fargate is as near as can be told from here.
    let Hour { vcpu, memory, disk } = Hour::of(size, task.disk(), architecture, capacity == Capacity::Spot);
    let address = if has_address && capacity != Capacity::Provider { ADDRESS } else { 0.0 };
    sum.hours = hours;
    sum.vcpu_hours = hours * f64::from(size.cpu.0) / 1024.0;
    sum.memory_gib_hours = hours * f64::from(size.memory.0) / 1024.0;
    sum.dollars = Dollars { vcpu: vcpu * hours, memory: memory * hours, disk: disk * hours, address: address * hours };
    sum.total_dollars = sum.dollars.total();
    sum.estimated_dollars = match capacity {
        Capacity::OnDemand => 0.0,
        Capacity::Spot => (vcpu + memory) * hours,
        Capacity::Provider => sum.total_dollars,
    };
    sum
}

impl Sum {
    pub(super) fn add(&mut self, other: &Self) {
        self.tasks += other.tasks;
        self.hours += other.hours;
        self.vcpu_hours += other.vcpu_hours;
        self.memory_gib_hours += other.memory_gib_hours;
        self.dollars.vcpu += other.dollars.vcpu;
        self.dollars.memory += other.dollars.memory;
        self.dollars.disk += other.dollars.disk;
        self.dollars.address += other.dollars.address;
        self.total_dollars += other.total_dollars;
        self.estimated_dollars += other.estimated_dollars;
        self.github.jobs += other.github.jobs;
        self.github.minutes += other.github.minutes;
        self.github.dollars += other.github.dollars;
        self.github.unmatched += other.github.unmatched;
    }

    /// Whether an estimate is in it.
    pub(super) fn is_estimate(&self) -> bool {
        self.estimated_dollars > 0.0
    }
}

/// To a ten-thousandth of a cent, so that sums have no tail of binary fractions.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn rounded<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((number * 1e6).round() / 1e6)
}

/// When and where the prices are of.
pub(super) fn source() -> String {
    format!(
        "List prices: Fargate's of {}, {}; GitHub's of {}. Taxes, discounts, free tiers, included minutes and traffic are not \
         in them.",
        prices::REGION,
        prices::READ,
        prices::GITHUB_READ
    )
}
