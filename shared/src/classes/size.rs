//! The sizes of tasks: processors, memory, disk and architecture.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::capacity::Capacity;

/// CPU units of one vCPU, and MiB of one GiB.
const UNIT: u32 = 1024;

/// For each number of CPU units, the smallest memory, the largest, and the step between them, in MiB; except for
/// [`NO_SUCH_SIZE`]. Source: ECS's "Task definition parameters for Fargate", task size. The last two need platform
/// version 1.4.0, which `LATEST` has meant for years.
const SIZES: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// The fewest and the most CPU units of a task on instances. Source: ECS's `RegisterTaskDefinition` reference, `cpu`.
const CPU_ON_INSTANCES: (u32, u32) = (128, 196_608);

/// The least and the most memory of a task on instances, in MiB: what Docker reserves for a container, and what EC2's largest
/// instance has. Sources: ECS's `ContainerDefinition` reference, `memory`; EC2's "High memory instances", `u7in-32tb`.
const MEMORY_ON_INSTANCES: (u32, u32) = (6, 32 * 1024 * 1024);

/// The one gap in the steps above: a quarter of a vCPU has 0.5, 1 or 2 GiB.
const NO_SUCH_SIZE: TaskSize = TaskSize { cpu: Cpu(256), memory: Memory(1536) };

/// Processors in CPU units, of which one vCPU has 1,024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu(pub u32);

/// Memory in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Memory(pub u32);

/// Disk in GiB, 21 to 200. A task that asks for none has 20.
/// Source: ECS's API reference, `EphemeralStorage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Disk(pub u32);

impl Disk {
    /// The smallest that a task may ask for.
    pub const LEAST: Self = Self(21);
    /// The largest.
    pub const MOST: Self = Self(200);

    /// The smallest disk with at least that many GiB; `None` beyond the largest.
    pub fn at_least(gib: u32) -> Option<Self> {
        (gib <= Self::MOST.0).then_some(Self(gib.max(Self::LEAST.0)))
    }
}

/// Processors and memory of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskSize {
    /// The task's processors.
    pub cpu: Cpu,
    /// The task's memory.
    pub memory: Memory,
}

impl TaskSize {
    /// All sizes of Fargate, ordered by processors and then by memory.
    pub fn on_fargate() -> impl Iterator<Item = Self> {
        SIZES.into_iter().flat_map(|(cpu, least, most, step)| {
            let memories = (least..=most).step_by(step as usize);
            memories
                .map(move |memory| Self { cpu: Cpu(cpu), memory: Memory(memory) })
                .filter(|size| *size != NO_SUCH_SIZE)
        })
    }
}

/// Which sizes a class's tasks may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizing {
    /// Those that Fargate has.
    Fargate,
    /// Any: instances have what is asked for, or tasks wait for one that has.
    Any,
}

impl Sizing {
    /// Fargate's sizes go everywhere, so they are the ones for a class that may run on Fargate.
    pub(super) fn of(capacity: &[Capacity]) -> Self {
        if capacity.iter().any(Capacity::is_fargate) { Self::Fargate } else { Self::Any }
    }

    /// Whether there is a size with exactly that many processors.
    pub(super) fn has_cpu(self, cpu: Cpu) -> bool {
        match self {
            Self::Fargate => TaskSize::on_fargate().any(|size| size.cpu == cpu),
            Self::Any => (CPU_ON_INSTANCES.0..=CPU_ON_INSTANCES.1).contains(&cpu.0),
        }
    }

    /// Whether there is a size with exactly that much memory.
    pub(super) fn has_memory(self, memory: Memory) -> bool {
        match self {
            Self::Fargate => TaskSize::on_fargate().any(|size| size.memory == memory),
            Self::Any => (MEMORY_ON_INSTANCES.0..=MEMORY_ON_INSTANCES.1).contains(&memory.0),
        }
    }

    /// The smallest size with at least that much of both; `None` beyond the largest.
    pub fn at_least(self, cpu: Cpu, memory: Memory) -> Option<TaskSize> {
        match self {
            Self::Fargate => TaskSize::on_fargate().find(|size| size.cpu >= cpu && size.memory >= memory),
            Self::Any => {
                let size = TaskSize {
                    cpu: Cpu(cpu.0.max(CPU_ON_INSTANCES.0)),
                    memory: Memory(memory.0.max(MEMORY_ON_INSTANCES.0)),
                };
                (self.has_cpu(size.cpu) && self.has_memory(size.memory)).then_some(size)
            }
        }
    }

    /// The size for a job that asks for processors only: as many, with the usual memory. On Fargate, processors are rounded up,
    /// and the memory is the nearest that Fargate has for them. `None` if there is no such size.
    pub fn with_cpu(self, cpu: Cpu, usual: Option<TaskSize>) -> Option<TaskSize> {
        if self == Self::Any {
            return self.at_least(cpu, usual?.memory);
        }
        let (cpu, least, most, _) = SIZES.into_iter().find(|(each, ..)| *each >= cpu.0)?;
        let usual = usual.map_or(least, |usual| usual.memory.0);
        self.at_least(Cpu(cpu), Memory(usual.clamp(least, most)))
    }

    /// The size for a job that asks for memory only: as much, with the usual processors. On Fargate, memory is rounded up, and the
    /// processors are the nearest that Fargate has for it. `None` if there is no such size.
    pub fn with_memory(self, memory: Memory, usual: Option<TaskSize>) -> Option<TaskSize> {
        if self == Self::Any {
            return self.at_least(usual?.cpu, memory);
        }
        let (fewest, ..) = SIZES.into_iter().find(|(_, _, most, _)| *most >= memory.0)?;
        let most = SIZES.into_iter().rev().find(|(_, least, ..)| *least <= memory.0).map_or(fewest, |(cpu, ..)| cpu);
        let usual = usual.map_or(fewest, |usual| usual.cpu.0);
        self.at_least(Cpu(usual.clamp(fewest, most)), memory)
    }

    /// The largest amounts, in words.
    pub(super) fn most(self) -> &'static str {
        match self {
            Self::Fargate => "Fargate has 16 vCPU and 120 GiB",
            Self::Any => "ECS takes 192 vCPU and 32768 GiB",
        }
    }
}

/// The processor's instruction set; a task's comes from its task definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum Architecture {
    /// `X86_64`
    #[serde(rename = "x86_64")]
    X86_64,
    /// `ARM64`, a fifth cheaper.
    #[serde(rename = "arm64")]
    Arm64,
}

impl Architecture {
    /// Both architectures.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Arm64];
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}

impl FromStr for Architecture {
    type Err = ();

    /// Accepts any of the names that GitHub, Docker and Linux use.
    fn from_str(name: &str) -> Result<Self, ()> {
        match name.to_ascii_lowercase().as_str() {
            "x86_64" | "x64" | "amd64" => Ok(Self::X86_64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            _ => Err(()),
        }
    }
}

/// Parses a number of vCPUs or GiB with up to three decimals, in 1,024ths and rounded up.
pub(super) fn thousand_and_twenty_fourths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str, longest: usize| {
        (1..=longest).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(whole, 6) || !is_number(decimals, 3) {
        return None;
    }
    let thousandths: u32 = format!("{decimals:0<3}").parse().ok()?;
    Some(whole.parse::<u32>().ok()? * UNIT + (thousandths * UNIT).div_ceil(1000))
}

/// Writes 1,024ths as people write them: `0.25`, `0.5`, `4`.
fn write(amount: u32, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(formatter, "{}", f64::from(amount) / f64::from(UNIT))
}

impl fmt::Display for Cpu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, formatter)?;
        formatter.write_str(" vCPU")
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, formatter)?;
        formatter.write_str(" GiB")
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} GiB", self.0)
    }
}

impl fmt::Display for TaskSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} and {}", self.cpu, self.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u32 = UNIT;

    fn size(units: u32, mib: u32) -> TaskSize {
        TaskSize { cpu: Cpu(units), memory: Memory(mib) }
    }

    #[test]
    fn an_amount_has_up_to_six_digits_and_three_decimals_and_is_rounded_up() {
        for (text, amount) in [("0.25", 256), ("1", 1024), ("0.001", 2), ("1.5", 1536), ("999999", 999_999 * 1024)] {
            assert_eq!(thousand_and_twenty_fourths(text), Some(amount), "{text}");
        }
        for text in ["", ".", ".5", "1.", "0.1234", "1000000", "-1", "+1", "1.+5", "1e3", "x", "1.x"] {
            assert_eq!(thousand_and_twenty_fourths(text), None, "{text}");
        }
    }

    #[test]
    fn a_job_that_chooses_processors_gets_the_memory_nearest_to_the_usual_one() {
        let with = |units, usual| Sizing::Fargate.with_cpu(Cpu(units), usual);
        assert_eq!(with(2048, None), Some(size(2048, 4 * GIB)), "the least");
        assert_eq!(with(1500, Some(size(4096, 10 * GIB))), Some(size(2048, 10 * GIB)));
        assert_eq!(with(1024, Some(size(4096, 10 * GIB))), Some(size(1024, 8 * GIB)), "the most");
        assert_eq!(with(8192, Some(size(1024, 17 * GIB))), Some(size(8192, 20 * GIB)), "the next step");
        assert_eq!(with(16_385, None), None);
    }

    #[test]
    fn a_job_that_chooses_memory_gets_the_processors_nearest_to_the_usual_ones() {
        let with = |mib, usual| Sizing::Fargate.with_memory(Memory(mib), usual);
        assert_eq!(with(9 * GIB, None), Some(size(2048, 9 * GIB)), "the fewest");
        assert_eq!(with(9 * GIB, Some(size(4096, 8 * GIB))), Some(size(4096, 9 * GIB)));
        assert_eq!(with(9 * GIB, Some(size(16_384, 32 * GIB))), Some(size(4096, 9 * GIB)), "the most");
        assert_eq!(with(8 * GIB, Some(size(4096, 16 * GIB))), Some(size(4096, 8 * GIB)));
        assert_eq!(with(8 * GIB, Some(size(256, GIB))), Some(size(1024, 8 * GIB)));
        assert_eq!(with(256, Some(size(1024, 2 * GIB))), Some(size(256, 512)), "less than the smallest size has");
        assert_eq!(with(120 * GIB + 1, None), None);
    }

    #[test]
    fn a_quarter_of_a_processor_has_no_one_and_a_half_gib() {
        assert_eq!(Sizing::Fargate.at_least(Cpu(256), Memory(1100)), Some(size(256, 2 * GIB)));
    }

    #[test]
    fn instances_have_any_size_within_what_ecs_takes() {
        let usual = Some(size(2048, 8 * GIB));
        assert_eq!(Sizing::Any.at_least(Cpu(3000), Memory(5000)), Some(size(3000, 5000)));
        assert_eq!(Sizing::Any.with_cpu(Cpu(3 * 1024), usual), Some(size(3 * 1024, 8 * GIB)), "the class's memory");
        assert_eq!(Sizing::Any.with_memory(Memory(64 * GIB), usual), Some(size(2048, 64 * GIB)), "its processors");
        assert_eq!(Sizing::Any.at_least(Cpu(1), Memory(1)), Some(size(128, 6)));
        assert_eq!(Sizing::Any.at_least(Cpu(196_609), Memory(GIB)), None);
        assert_eq!(Sizing::Any.at_least(Cpu(1024), Memory(32 * 1024 * GIB + 1)), None);
    }

    #[test]
    fn architectures_have_the_names_that_github_docker_and_linux_use() {
        for (names, architecture) in
            [(&["x86_64", "X64", "amd64"][..], Architecture::X86_64), (&["ARM64", "aarch64"], Architecture::Arm64)]
        {
            assert!(names.iter().all(|name| name.parse() == Ok(architecture)), "{names:?}");
        }
        assert_eq!("riscv".parse::<Architecture>(), Err(()));
    }

    #[test]
    fn sizes_are_written_as_people_write_them() {
        assert_eq!(size(256, 512).to_string(), "0.25 vCPU and 0.5 GiB");
        assert_eq!(Disk(50).to_string(), "50 GiB");
        assert_eq!(Architecture::ALL.map(|each| each.to_string()), ["x86_64", "arm64"]);
    }
}
