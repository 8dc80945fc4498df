//! Which class a job fits, and what its runner is made of: a pure function of the classes and of what the job asks for.
//!
//! `docs/LABELS.md` says the same to people; its table is a test.

use std::fmt;

use super::labels::LONGEST_LABEL;
use super::size::thousand_and_twenty_fourths;
use super::{
    Architecture, Capacity, Cpu, Dialect, Disk, FargateSize, LONGEST_LABELS, MOST_LABELS, Memory, RunnerClass,
    RunnerClasses,
};
use crate::job::Job;

/// Keys by which workflows for other fleets choose what Fargate does not have. Sources: `RunsOn`'s "Job labels" and
/// AWS `CodeBuild`'s "Label overrides supported with the CodeBuild-hosted GitHub Actions runner".
const FOREIGN_KEYS: [&str; 25] = [
    "ami",
    "buildspec-override",
    "debug",
    "env",
    "extras",
    "family",
    "fleet",
    "gpu",
    "hdd",
    "image",
    "instance-size",
    "instance-type",
    "ipv6",
    "machine",
    "nested-virt",
    "pool",
    "preinstall",
    "private",
    "region",
    "retry",
    "runner",
    "ssh",
    "tag",
    "volume",
    "zone",
];

/// What a job asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Login of the account that owns the job's repository.
    pub owner: &'a str,
    /// The repository's name.
    pub repository: &'a str,
    /// The job's labels.
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
    /// Disk, as Fargate has it.
    pub disk: Option<Disk>,
    /// Architecture.
    pub architecture: Option<Architecture>,
    /// Whether it may run on Spot.
    pub spot: Option<bool>,
}

/// A job's class, and what the job has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit<'a> {
    /// The class.
    pub class: &'a RunnerClass,
    /// What the job has chosen.
    pub demand: Demand,
}

/// One thing to try: all that a task is started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement<'a> {
    /// The job's class, or the fallback that stands in for it.
    pub class: &'a RunnerClass,
    /// What it runs on.
    pub capacity: Capacity,
    /// Its architecture, as far as the class says it right.
    pub architecture: Architecture,
    /// Family, `family:revision` or ARN.
    pub task_definition: &'a str,
    /// Processors and memory; `None` leaves them to the task definition.
    pub size: Option<FargateSize>,
    /// Disk; likewise.
    pub disk: Option<Disk>,
}

/// Why a job gets none of the classes.
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
    /// Each class lacks at least one of the labels: the job is somebody else's.
    #[error("no runner class has all labels of [{}]", .0.join(", "))]
    NoClass(Vec<String>),
    /// At least one class is meant, but none may give what is asked for. With the name of each such class.
    #[error("{}", list(.0))]
    Refused(Vec<(String, Refusal)>),
}

/// Classes that refuse for the same reason share it.
fn list(refusals: &[(String, Refusal)]) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (class, refusal) in refusals {
        let reason = refusal.to_string();
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, classes)) => classes.push(class),
            None => reasons.push((reason, vec![class])),
        }
    }
    let each = reasons.iter().map(|(reason, classes)| {
        let word = if classes.len() == 1 { "class" } else { "classes" };
        format!("{word} {}: {reason}", classes.join(", "))
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Why a job does not fit one class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not one of the class's labels.
    #[error("{0} is none of its labels")]
    Unknown(String),
    /// The same of a piece of a combined label, which begins with one of the class's labels.
    #[error("{piece:?} in {label} is none of its labels")]
    UnknownPiece {
        /// The piece.
        piece: String,
        /// The label.
        label: String,
    },
    /// A key that other fleets know and Fargate cannot honour.
    #[error("{0} cannot be had on Fargate, and is not among the class's ignored_labels")]
    Foreign(String),
    /// A size label that the class does not let jobs choose.
    #[error("{label} is not for jobs to choose; sizes permits {permitted}")]
    NotPermitted {
        /// The label.
        label: String,
        /// What the class lets them choose.
        permitted: String,
    },
    /// A size label whose value makes no sense.
    #[error("{label} is malformed: {expected}")]
    Malformed {
        /// The label.
        label: String,
        /// What would make sense.
        expected: &'static str,
    },
    /// Two values for one thing.
    #[error("{one} and {other} contradict each other")]
    Contradictory {
        /// The first.
        one: String,
        /// The second.
        other: String,
    },
    /// More than the class permits, or than Fargate has.
    #[error("{asked} is too large: {most} at most")]
    TooLarge {
        /// What it would take.
        asked: String,
        /// What there may be.
        most: String,
    },
    /// The class has no task definition for the architecture.
    #[error("{asked} is not to be had: task_definition has {has}")]
    NoArchitecture {
        /// The label.
        asked: String,
        /// What there is.
        has: String,
    },
    /// Labels that are ignored say nothing about whose job it is.
    #[error("all labels are ignored ones")]
    OnlyIgnored,
    /// The class is for other repositories.
    #[error("it is not for repository {0}")]
    Repository(String),
}

impl Refusal {
    /// Whether the job may have meant this class.
    pub fn is_near(&self) -> bool {
        !matches!(self, Self::Unknown(_) | Self::OnlyIgnored)
    }
}

impl RunnerClasses {
    /// The first class that a job fits.
    pub fn fit(&self, asked: &Asked<'_>) -> Result<Fit<'_>, Misfit> {
        check_lengths(asked.labels)?;
        let mut near = Vec::new();
        for class in self.iter() {
            match class.judge(asked) {
                Ok(demand) => return Ok(Fit { class, demand }),
                Err(refusal) if refusal.is_near() => near.push((class.name.clone(), refusal)),
                Err(_) => {}
            }
        }
        Err(if near.is_empty() { Misfit::NoClass(asked.labels.to_vec()) } else { Misfit::Refused(near) })
    }

    /// The same for a job that was given a class before. It keeps that one as long as it fits: the configuration may have
    /// changed while its message waited.
    pub fn fit_again(&self, class: &str, asked: &Asked<'_>) -> Result<Fit<'_>, Misfit> {
        let before = self.named(class).filter(|_| check_lengths(asked.labels).is_ok());
        match before.map(|class| (class, class.judge(asked))) {
            Some((class, Ok(demand))) => Ok(Fit { class, demand }),
            _ => self.fit(asked),
        }
    }

    /// Where a launch is tried: the class itself on each capacity, then its fallbacks likewise. What the job has chosen
    /// holds everywhere, so a fallback without the architecture that the job asked for is left out.
    pub fn placements<'a>(&'a self, fit: &Fit<'a>) -> Vec<Placement<'a>> {
        let demand = fit.demand;
        let wanted = demand.architecture.unwrap_or(fit.class.task_definition.usual);
        let fallbacks = fit.class.fallback.iter().filter_map(|name| self.named(name));
        let mut placements = Vec::new();
        for class in std::iter::once(fit.class).chain(fallbacks) {
            let has_wanted = class.task_definition.of(wanted).is_some();
            let architecture = match demand.architecture {
                _ if has_wanted => wanted,
                Some(_) => continue,
                None => class.task_definition.usual,
            };
            let Some(task_definition) = class.task_definition.of(architecture) else { continue };
            let (size, disk) = (demand.size.or(class.size), demand.disk.or(class.disk));
            let place = |capacity| Placement { class, capacity, architecture, task_definition, size, disk };
            placements.extend(class.capacities(demand.spot).into_iter().map(place));
        }
        placements
    }
}

fn check_lengths(labels: &[String]) -> Result<(), Misfit> {
    if labels.is_empty() {
        return Err(Misfit::NoLabels);
    }
    let lengths = || labels.iter().map(|label| label.chars().count());
    let is_fine = labels.len() <= MOST_LABELS
        && lengths().all(|length| length <= LONGEST_LABEL)
        && lengths().sum::<usize>() <= LONGEST_LABELS;
    if is_fine { Ok(()) } else { Err(Misfit::TooMany) }
}

impl Fit<'_> {
    /// What tells apart whether there is capacity: the class and what the job has chosen, but for the disk.
    pub fn kind(&self) -> String {
        let Self { class, demand } = self;
        let mut kind = class.name.clone();
        for part in [
            demand.size.map(|size| size.to_string()),
            demand.architecture.map(|architecture| architecture.to_string()),
            demand.spot.map(|spot| if spot { "spot" } else { "on-demand" }.to_owned()),
        ]
        .into_iter()
        .flatten()
        {
            kind.push_str(", ");
            kind.push_str(&part);
        }
        kind
    }
}

/// A size label's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Cpu,
    Memory,
    Disk,
    Arch,
    Spot,
    Run,
    RunsOn,
}

/// What a label, or a piece of a combined one, is to a class.
#[derive(Clone, Copy)]
enum Word<'a> {
    Own,
    Ignored,
    Choice(Key, &'a str),
}

/// What a job's labels choose, each with the label that says so.
#[derive(Default)]
struct Choices<'a> {
    cpu: Option<(&'a str, Cpu)>,
    memory: Option<(&'a str, Memory)>,
    disk: Option<(&'a str, u32)>,
    architecture: Option<(&'a str, Architecture)>,
    spot: Option<(&'a str, bool)>,
    run: Option<(&'a str, String)>,
    runs_on: Option<(&'a str, String)>,
}

impl RunnerClass {
    /// Whether a job fits this class, and what it has chosen.
    pub fn judge(&self, asked: &Asked<'_>) -> Result<Demand, Refusal> {
        let mut choices = Choices::default();
        let mut first = None;
        let mut is_meant = false;
        for label in asked.labels {
            let pieces = self.pieces(label);
            let is_combined = pieces.len() > 1;
            for piece in pieces {
                let taken = self.word(piece).and_then(|word| {
                    is_meant |= !matches!(word, Word::Ignored);
                    choices.take(word, piece)
                });
                let taken = taken.map_err(|refusal| match refusal {
                    Refusal::Unknown(piece) if is_combined => Refusal::UnknownPiece { piece, label: label.clone() },
                    refusal => refusal,
                });
                match taken {
                    Ok(()) => {}
                    // Somebody else's job, whatever else is wrong with it.
                    Err(refusal) if !refusal.is_near() => return Err(refusal),
                    Err(refusal) => first = first.or(Some(refusal)),
                }
            }
        }
        if let Some(refusal) = first {
            return Err(refusal);
        }
        if !is_meant {
            return Err(Refusal::OnlyIgnored);
        }
        if !self
            .repositories
            .as_ref()
            .is_none_or(|globs| globs.iter().any(|glob| glob.matches(asked.owner, asked.repository)))
        {
            return Err(Refusal::Repository(format!("{}/{}", asked.owner, asked.repository)));
        }
        self.demand(&choices)
    }

    /// A label that is none of the class's as a whole, and whose beginning is one, is a combined one. `RunsOn` also writes
    /// it with commas.
    fn pieces<'a>(&self, label: &'a str) -> Vec<&'a str> {
        let is_whole = self.labels.iter().chain(&self.ignored_labels).any(|pattern| pattern.matches(label));
        let separators: &[char] = match label.split('/').next().map(|first| self.word(first)) {
            Some(Ok(Word::Choice(Key::RunsOn, _))) => &['/', ','],
            Some(Ok(Word::Own)) if !is_whole => &['/'],
            _ => &[],
        };
        label.split(separators).collect()
    }

    /// A label that is written out in the class is meant before a size, and a size before a pattern that it happens to
    /// match.
    fn word<'a>(&self, piece: &'a str) -> Result<Word<'a>, Refusal> {
        let is_own =
            |literal: bool| self.labels.iter().any(|label| label.is_literal() == literal && label.matches(piece));
        if is_own(true) {
            return Ok(Word::Own);
        }
        let choice = self.choice(piece);
        if let Some((key, value)) = choice
            && self.permits(key)
        {
            return Ok(Word::Choice(key, value));
        }
        if is_own(false) || (self.self_hosted && piece.eq_ignore_ascii_case("self-hosted")) {
            return Ok(Word::Own);
        }
        if self.ignored_labels.iter().any(|ignored| ignored.matches(piece)) {
            return Ok(Word::Ignored);
        }
        Err(match choice {
            Some(_) => Refusal::NotPermitted { label: piece.to_owned(), permitted: self.permitted() },
            None if is_foreign(piece) => Refusal::Foreign(piece.to_owned()),
            None => Refusal::Unknown(piece.to_owned()),
        })
    }

    fn choice<'a>(&self, piece: &'a str) -> Option<(Key, &'a str)> {
        let (key, value) = piece.split_once('=')?;
        let is_compatible = self.compatible.contains(&Dialect::RunsOn);
        let key = match key.to_ascii_lowercase().as_str() {
            "cpu" => Key::Cpu,
            "memory" => Key::Memory,
            "ram" if is_compatible => Key::Memory,
            "disk" => Key::Disk,
            "arch" => Key::Arch,
            "spot" => Key::Spot,
            "run" => Key::Run,
            "runs-on" if is_compatible => Key::RunsOn,
            _ => return None,
        };
        Some((key, value))
    }

    fn permits(&self, key: Key) -> bool {
        match key {
            Key::Cpu => self.sizes.cpu.is_some(),
            Key::Memory => self.sizes.memory.is_some(),
            Key::Disk => self.sizes.disk.is_some(),
            Key::Arch => self.sizes.arch,
            Key::Spot => self.sizes.spot,
            Key::Run => self.sizes.run,
            Key::RunsOn => true,
        }
    }

    fn permitted(&self) -> String {
        let sizes = &self.sizes;
        let each = [
            sizes.cpu.map(|most| format!("cpu= up to {most}")),
            sizes.memory.map(|most| format!("memory= up to {most}")),
            sizes.disk.map(|most| format!("disk= up to {most}")),
            sizes.arch.then(|| "arch=".to_owned()),
            sizes.spot.then(|| "spot=".to_owned()),
            sizes.run.then(|| "run=".to_owned()),
        ];
        let each: Vec<_> = each.into_iter().flatten().collect();
        if each.is_empty() { "nothing".to_owned() } else { each.join(", ") }
    }

    fn demand(&self, choices: &Choices<'_>) -> Result<Demand, Refusal> {
        Ok(Demand {
            size: self.size_of(choices)?,
            disk: choices.disk.map(|(label, gib)| self.disk_of(label, gib)).transpose()?,
            architecture: choices.architecture.map(|(label, asked)| self.architecture_of(label, asked)).transpose()?,
            spot: choices.spot.map(|(_, spot)| spot),
        })
    }

    /// What a job asks for it gets, or the next size above; what it does not ask for stays as near to the class's own as
    /// Fargate permits.
    fn size_of(&self, choices: &Choices<'_>) -> Result<Option<FargateSize>, Refusal> {
        let (asked, size) = match (choices.cpu, choices.memory) {
            (None, None) => return Ok(None),
            (Some((label, cpu)), None) => (label.to_owned(), FargateSize::with_cpu(cpu, self.size)),
            (None, Some((label, memory))) => (label.to_owned(), FargateSize::with_memory(memory, self.size)),
            (Some((one, cpu)), Some((other, memory))) => {
                (format!("{one} with {other}"), FargateSize::at_least(cpu, memory))
            }
        };
        let Some(size) = size else {
            return Err(Refusal::TooLarge { asked, most: "Fargate has 16 vCPU and 120 GiB".to_owned() });
        };
        let is_within = self.sizes.cpu.is_none_or(|most| size.cpu <= most)
            && self.sizes.memory.is_none_or(|most| size.memory <= most);
        if is_within {
            return Ok(Some(size));
        }
        let most = [self.sizes.cpu.map(|most| most.to_string()), self.sizes.memory.map(|most| most.to_string())];
        let most = most.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        Err(Refusal::TooLarge { asked: format!("{asked} ({size} on Fargate)"), most })
    }

    fn disk_of(&self, label: &str, gib: u32) -> Result<Disk, Refusal> {
        let most = self.sizes.disk.unwrap_or(Disk::MOST);
        Disk::at_least(gib)
            .filter(|disk| *disk <= most)
            .ok_or_else(|| Refusal::TooLarge { asked: label.to_owned(), most: most.to_string() })
    }

    fn architecture_of(&self, label: &str, asked: Architecture) -> Result<Architecture, Refusal> {
        if self.task_definition.of(asked).is_some() {
            return Ok(asked);
        }
        let has: Vec<_> = self.task_definition.architectures().map(|each| each.to_string()).collect();
        Err(Refusal::NoArchitecture { asked: label.to_owned(), has: has.join(" and ") })
    }

    fn capacities(&self, spot: Option<bool>) -> Vec<Capacity> {
        match spot {
            None => self.capacity.clone(),
            Some(false) => vec![Capacity::OnDemand],
            Some(true) if self.capacity.contains(&Capacity::OnDemand) => vec![Capacity::Spot, Capacity::OnDemand],
            Some(true) => vec![Capacity::Spot],
        }
    }
}

impl<'a> Choices<'a> {
    fn take(&mut self, word: Word<'_>, label: &'a str) -> Result<(), Refusal> {
        let Word::Choice(key, value) = word else { return Ok(()) };
        match key {
            Key::Cpu => {
                let cpu = parsed(label, value, "a number of vCPU such as 0.25, 1 or 4", amount)?;
                set(&mut self.cpu, label, Cpu(cpu))
            }
            Key::Memory => {
                let memory = parsed(label, value, "a number of GiB such as 0.5, 8 or 16", amount)?;
                set(&mut self.memory, label, Memory(memory))
            }
            Key::Disk => {
                let gib = parsed(label, value, "a whole number of GiB such as 50", |value| {
                    let is_number = (1..=6).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
                    value.parse().ok().filter(|gib| is_number && *gib > 0)
                })?;
                set(&mut self.disk, label, gib)
            }
            Key::Arch => {
                let architecture = parsed(label, value, "x86_64 or arm64", |value| value.parse().ok())?;
                set(&mut self.architecture, label, architecture)
            }
            Key::Spot => {
                let spot = parsed(label, value, "true or false", |value| value.to_ascii_lowercase().parse().ok())?;
                set(&mut self.spot, label, spot)
            }
            Key::Run => set(&mut self.run, label, parsed(label, value, "a value without a /", anything)?),
            Key::RunsOn => {
                let run = parsed(label, value, "a value without a / or a comma", |value| {
                    anything(value).filter(|value| !value.contains(','))
                })?;
                set(&mut self.runs_on, label, run)
            }
        }
    }
}

/// GitHub compares labels whatever the case, so the same run in another case is the same run.
fn anything(value: &str) -> Option<String> {
    (!value.is_empty() && !value.contains('/')).then(|| value.to_lowercase())
}

fn amount(value: &str) -> Option<u32> {
    thousand_and_twenty_fourths(value).filter(|amount| *amount > 0)
}

fn parsed<T>(
    label: &str,
    value: &str,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Refusal> {
    parse(value).ok_or_else(|| Refusal::Malformed {
        label: label.to_owned(),
        expected: if value.contains('/') {
            "a combined label begins with one of the class's labels, and no value has a / in it"
        } else {
            expected
        },
    })
}

fn set<'a, T: PartialEq>(slot: &mut Option<(&'a str, T)>, label: &'a str, value: T) -> Result<(), Refusal> {
    match slot {
        Some((one, before)) if *before != value => {
            Err(Refusal::Contradictory { one: (*one).to_owned(), other: label.to_owned() })
        }
        _ => {
            *slot = Some((label, value));
            Ok(())
        }
    }
}

fn is_foreign(piece: &str) -> bool {
    let key = piece.split(['=', ':']).next().unwrap_or_default().to_ascii_lowercase();
    FOREIGN_KEYS.contains(&key.as_str()) && (piece.len() > key.len() || key == "gpu")
}

impl fmt::Display for Capacity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
        })
    }
}
