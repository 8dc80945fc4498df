//! What a job asks for, and what its class makes of it: sizes that there are and the class permits.

use super::choices::Choices;
use super::class::RunnerClass;
use super::misfit::Objection;
use super::size::{Architecture, Disk, Sizing, TaskSize};
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
    /// Processors and memory, as what the class runs on has them.
    pub size: Option<TaskSize>,
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
    /// What the class makes of the choices; adds what is against them.
    pub(super) fn demand(&self, choices: &Choices<'_>, objections: &mut Vec<Objection>) -> Demand {
        let mut or_object = |objection: Objection| objections.push(objection);
        Demand {
            size: self.size_of(choices).map_err(&mut or_object).unwrap_or_default(),
            disk: choices.disk.and_then(|(label, gib)| self.disk_of(label, gib).map_err(&mut or_object).ok()),
            architecture: choices
                .architecture
                .and_then(|(label, asked)| self.architecture_of(label, asked).map_err(&mut or_object).ok()),
            spot: choices.spot.map(|(_, spot)| spot),
            is_bound: choices.is_bound(),
        }
    }

    /// A job gets the size that it asks for, or the next one up. What it does not ask for stays as near to the class's
    /// own size as what it runs on permits.
    fn size_of(&self, choices: &Choices<'_>) -> Result<Option<TaskSize>, Objection> {
        let (asked, size) = match (choices.cpu, choices.memory) {
            (None, None) => return Ok(None),
            (Some((label, cpu)), None) => (label.to_owned(), self.sizing().with_cpu(cpu, self.size)),
            (None, Some((label, memory))) => (label.to_owned(), self.sizing().with_memory(memory, self.size)),
            (Some((one, cpu)), Some((other, memory))) => {
                let asked = if one == other { one.to_owned() } else { format!("{one} with {other}") };
                (asked, self.sizing().at_least(cpu, memory))
            }
        };
        let Some(size) = size else {
            let most = self.sizing().most().to_owned();
            return Err(Objection::TooLarge { asked, most, change: None });
        };
        let cpu = self.sizes.cpu.filter(|most| size.cpu > *most).map(|_| format!("sizes.cpu to {}", size.cpu));
        let memory =
            self.sizes.memory.filter(|most| size.memory > *most).map(|_| format!("sizes.memory to {}", size.memory));
        let raised: Vec<_> = cpu.into_iter().chain(memory).collect();
        if raised.is_empty() {
            return Ok(Some(size));
        }
        let most = [self.sizes.cpu.map(|most| most.to_string()), self.sizes.memory.map(|most| most.to_string())];
        let most = most.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        let change = Some(format!("raise {}", raised.join(" and ")));
        let asked = match self.sizing() {
            Sizing::Fargate => format!("{asked} ({size} on Fargate)"),
            Sizing::Any => asked,
        };
        Err(Objection::TooLarge { asked, most, change })
    }

    fn disk_of(&self, label: &str, gib: u32) -> Result<Disk, Objection> {
        let most = self.sizes.disk.unwrap_or(Disk::MOST);
        let disk = Disk::at_least(gib);
        let change = disk.map(|disk| format!("raise sizes.disk to {disk}"));
        disk.filter(|disk| *disk <= most).ok_or_else(|| Objection::TooLarge {
            asked: label.to_owned(),
            most: most.to_string(),
            change,
        })
    }

    fn architecture_of(&self, label: &str, asked: Architecture) -> Result<Architecture, Objection> {
        if self.task_definition.of(asked).is_some() {
            return Ok(asked);
        }
        let has: Vec<_> = self.task_definition.architectures().map(|each| each.to_string()).collect();
        Err(Objection::NoArchitecture { asked: label.to_owned(), has: has.join(" and "), wanted: asked.to_string() })
    }
}
