//! What a job asks for, and what its class makes of it: sizes that Fargate has and the class permits.

use super::choices::Choices;
use super::class::RunnerClass;
use super::misfit::Objection;
use super::size::{Architecture, Disk, FargateSize};
use crate::job::Job;

/// What a job asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Login of the account that owns the job's repository.
    pub owner: &'a str,
    /// Name of the repository, without its owner.
    pub repository: &'a str,
    /// The job's labels, as the workflow writes them.
    pub labels: &'a [String],
}

impl<'a> From<&'a Job> for Asked<'a> {
    fn from(job: &'a Job) -> Self {
        Self { owner: &job.owner, repository: &job.repository, labels: &job.labels }
    }
}

/// What a job has chosen for itself; the rest is its class's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Demand {
    /// Processors and memory, as Fargate has them.
    pub size: Option<FargateSize>,
    /// The disk, as Fargate has it.
    pub disk: Option<Disk>,
    /// The architecture, one that the class has.
    pub architecture: Option<Architecture>,
    /// Whether it may run on Spot.
    pub spot: Option<bool>,
    /// Whether it has asked for a runner that no other run may use (`run=`).
    pub is_bound: bool,
}

impl RunnerClass {
    pub(super) fn demand(&self, choices: &Choices<'_>) -> Result<Demand, Objection> {
        Ok(Demand {
            size: self.size_of(choices)?,
            disk: choices.disk.map(|(label, gib)| self.disk_of(label, gib)).transpose()?,
            architecture: choices.architecture.map(|(label, asked)| self.architecture_of(label, asked)).transpose()?,
            spot: choices.spot.map(|(_, spot)| spot),
            is_bound: choices.is_bound(),
        })
    }

    /// A job gets the size that it asks for, or the next one up. What it does not ask for stays as near to the class's
    /// own size as Fargate permits.
    fn size_of(&self, choices: &Choices<'_>) -> Result<Option<FargateSize>, Objection> {
        let (asked, size) = match (choices.cpu, choices.memory) {
            (None, None) => return Ok(None),
            (Some((label, cpu)), None) => (label.to_owned(), FargateSize::with_cpu(cpu, self.size)),
            (None, Some((label, memory))) => (label.to_owned(), FargateSize::with_memory(memory, self.size)),
            (Some((one, cpu)), Some((other, memory))) => {
                (format!("{one} with {other}"), FargateSize::at_least(cpu, memory))
            }
        };
        let Some(size) = size else {
            return Err(Objection::TooLarge { asked, most: "Fargate has 16 vCPU and 120 GiB".to_owned() });
        };
        let is_within = self.sizes.cpu.is_none_or(|most| size.cpu <= most)
            && self.sizes.memory.is_none_or(|most| size.memory <= most);
        if is_within {
            return Ok(Some(size));
        }
        let most = [self.sizes.cpu.map(|most| most.to_string()), self.sizes.memory.map(|most| most.to_string())];
        let most = most.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        Err(Objection::TooLarge { asked: format!("{asked} ({size} on Fargate)"), most })
    }

    fn disk_of(&self, label: &str, gib: u32) -> Result<Disk, Objection> {
        let most = self.sizes.disk.unwrap_or(Disk::MOST);
        Disk::at_least(gib)
            .filter(|disk| *disk <= most)
            .ok_or_else(|| Objection::TooLarge { asked: label.to_owned(), most: most.to_string() })
    }

    fn architecture_of(&self, label: &str, asked: Architecture) -> Result<Architecture, Objection> {
        if self.task_definition.of(asked).is_some() {
            return Ok(asked);
        }
        let has: Vec<_> = self.task_definition.architectures().map(|each| each.to_string()).collect();
        Err(Objection::NoArchitecture { asked: label.to_owned(), has: has.join(" and ") })
    }
}
