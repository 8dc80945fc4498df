//! The sizes that Fargate has: processors, memory, disk and architecture.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

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

/// The one gap in the steps above: a quarter of a vCPU has 0.5, 1 or 2 GiB.
const NO_SUCH_SIZE: FargateSize = FargateSize { cpu: Cpu(256), memory: Memory(1536) };

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

/// A combination of processors and memory that Fargate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FargateSize {
    /// The task's processors.
    pub cpu: Cpu,
    /// The task's memory.
    pub memory: Memory,
}

impl FargateSize {
    /// All sizes, ordered by processors and then by memory.
    pub fn all() -> impl Iterator<Item = Self> {
        SIZES.into_iter().flat_map(|(cpu, least, most, step)| {
            let memories = (least..=most).step_by(step as usize);
            memories
                .map(move |memory| Self { cpu: Cpu(cpu), memory: Memory(memory) })
                .filter(|size| *size != NO_SUCH_SIZE)
        })
    }

    /// The smallest size with at least that much of both; `None` beyond the largest.
    pub fn at_least(cpu: Cpu, memory: Memory) -> Option<Self> {
        Self::all().find(|size| size.cpu >= cpu && size.memory >= memory)
    }

    /// The size for a job that asks for processors only: as many, rounded up, with the memory nearest to the usual one
    /// that Fargate has for them. `None` if Fargate has no such size.
    pub fn with_cpu(cpu: Cpu, usual: Option<Self>) -> Option<Self> {
        let (cpu, least, most, _) = SIZES.into_iter().find(|(each, ..)| *each >= cpu.0)?;
        let usual = usual.map_or(least, |usual| usual.memory.0);
        Self::at_least(Cpu(cpu), Memory(usual.clamp(least, most)))
    }

    /// The size for a job that asks for memory only: as much, rounded up, with the processors nearest to the usual ones
    /// that Fargate has for it. `None` if Fargate has no such size.
    pub fn with_memory(memory: Memory, usual: Option<Self>) -> Option<Self> {
        let (fewest, ..) = SIZES.into_iter().find(|(_, _, most, _)| *most >= memory.0)?;
        let most = SIZES.into_iter().rev().find(|(_, least, ..)| *least <= memory.0).map_or(fewest, |(cpu, ..)| cpu);
        let usual = usual.map_or(fewest, |usual| usual.cpu.0);
        Self::at_least(Cpu(usual.clamp(fewest, most)), memory)
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

impl fmt::Display for FargateSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} and {}", self.cpu, self.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u32 = UNIT;

    fn size(units: u32, mib: u32) -> FargateSize {
        FargateSize { cpu: Cpu(units), memory: Memory(mib) }
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
        let with = |units, usual| FargateSize::with_cpu(Cpu(units), usual);
        assert_eq!(with(2048, None), Some(size(2048, 4 * GIB)), "the least");
        assert_eq!(with(1500, Some(size(4096, 10 * GIB))), Some(size(2048, 10 * GIB)));
        assert_eq!(with(1024, Some(size(4096, 10 * GIB))), Some(size(1024, 8 * GIB)), "the most");
        assert_eq!(with(8192, Some(size(1024, 17 * GIB))), Some(size(8192, 20 * GIB)), "the next step");
        assert_eq!(with(16_385, None), None);
    }

    #[test]
    fn a_job_that_chooses_memory_gets_the_processors_nearest_to_the_usual_ones() {
        let with = |mib, usual| FargateSize::with_memory(Memory(mib), usual);
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
        assert_eq!(FargateSize::at_least(Cpu(256), Memory(1100)), Some(size(256, 2 * GIB)));
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
