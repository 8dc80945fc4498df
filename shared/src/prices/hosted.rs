//! GitHub's own runners, by size.

use crate::classes::{Architecture, TaskSize};

/// When GitHub's prices were read.
pub const GITHUB_READ: &str = "May 2026";

/// One of GitHub's sizes of Linux runners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hosted {
    /// Its processors.
    pub vcpus: u32,
    /// Its memory, in GB.
    pub memory: u32,
    /// Dollars a minute. GitHub rounds each job up to whole minutes.
    pub minute: f64,
    /// The longest that a job may take, in minutes, where it is shorter than on all others.
    longest: Option<u32>,
}

const fn hosted(vcpus: u32, memory: u32, minute: f64) -> Hosted {
    Hosted { vcpus, memory, minute, longest: None }
}

/// The smallest standard runner for private repositories on x86-64, apart from the one-core runner.
pub const STANDARD_X86_64: Hosted = hosted(2, 8, 0.006);

/// The same on ARM64.
pub const STANDARD_ARM64: Hosted = hosted(2, 8, 0.005);

/// Smallest first. Sources: GitHub's "Actions runner pricing", prices as of January 2026; "GitHub-hosted runners reference" and
/// "Larger runners reference", sizes. The one-core runner is a container that ends a job after 15 minutes.
const X86_64: [Hosted; 8] = [
    Hosted { vcpus: 1, memory: 5, minute: 0.002, longest: Some(15) },
    STANDARD_X86_64,
    hosted(4, 16, 0.012),
    hosted(8, 32, 0.022),
    hosted(16, 64, 0.042),
    hosted(32, 128, 0.082),
    hosted(64, 256, 0.162),
    hosted(96, 384, 0.252),
];

/// The same on ARM64.
const ARM64: [Hosted; 6] = [
    STANDARD_ARM64,
    hosted(4, 16, 0.008),
    hosted(8, 32, 0.014),
    hosted(16, 64, 0.026),
    hosted(32, 128, 0.050),
    hosted(64, 208, 0.098),
];

/// The largest that public repositories have without charge: four vCPUs and 16 GB, on both architectures.
const FREE_VCPUS: u32 = 4;

impl Hosted {
    /// GitHub's smallest runner with at least that many processors and that much memory, for a job of so many minutes; `None`
    /// if GitHub has none.
    pub fn like(size: TaskSize, architecture: Architecture, minutes: f64) -> Option<Self> {
        let all: &[Self] = match architecture {
            Architecture::X86_64 => &X86_64,
            Architecture::Arm64 => &ARM64,
        };
        let holds = |has: u32, wanted: u32| u64::from(has) * 1024 >= u64::from(wanted);
        let fits = |each: &&Self| {
            holds(each.vcpus, size.cpu.0)
                && holds(each.memory, size.memory.0)
                && each.longest.is_none_or(|longest| minutes <= f64::from(longest))
        };
        all.iter().find(fits).copied()
    }

    /// Dollars for a job. Public repositories have the standard runners without charge.
    pub fn job(&self, minutes: f64, is_public: bool) -> f64 {
        if is_public && self.vcpus <= FREE_VCPUS { 0.0 } else { minutes.ceil() * self.minute }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::{Cpu, Memory};

    fn like(vcpus: f64, memory: u32, architecture: Architecture, minutes: f64) -> Option<f64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let cpu = Cpu((vcpus * 1024.0) as u32);
        Hosted::like(TaskSize { cpu, memory: Memory(memory * 1024) }, architecture, minutes).map(|each| each.minute)
    }

    #[test]
    fn the_runner_of_a_size_is_the_smallest_that_has_it() {
        use Architecture::{Arm64, X86_64};
        for (vcpus, memory, architecture, minutes, price) in [
            (0.25, 2, X86_64, 3.0, Some(0.002)),
            (1.0, 4, X86_64, 15.0, Some(0.002)),
            // Too long, or too much memory, for the one-core runner.
            (1.0, 4, X86_64, 15.1, Some(0.006)),
            (1.0, 8, X86_64, 3.0, Some(0.006)),
            (2.0, 16, X86_64, 3.0, Some(0.012)),
            (16.0, 120, X86_64, 3.0, Some(0.082)),
            (1.0, 4, Arm64, 3.0, Some(0.005)),
            (4.0, 16, Arm64, 3.0, Some(0.008)),
            (128.0, 16, Arm64, 3.0, None),
        ] {
            assert_eq!(like(vcpus, memory, architecture, minutes), price, "{vcpus} vCPU, {memory} GiB");
        }
    }

    #[test]
    fn a_job_is_rounded_up_to_minutes_and_free_in_public_on_a_standard_runner() {
        let is = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        is(STANDARD_X86_64.job(2.01, false), 0.018);
        is(STANDARD_X86_64.job(2.0, false), 0.012);
        is(STANDARD_X86_64.job(2.0, true), 0.0);
        is(hosted(8, 32, 0.022).job(2.0, true), 0.044);
    }
}
