//! What runners cost, by list prices. Everything that shows a price of a runner takes it from here.
//!
//! Fargate's are those of Linux in us-east-1, as published on "AWS Fargate Pricing" and read in June 2026. Most other regions
//! cost 10 to 30 % more; Spot's price changes. Fargate bills by the second, at least a minute, from the pull of the image until
//! the task has stopped.
//!
//! On a capacity provider, AWS bills the instances, however many tasks share one and however long one idles after its last
//! task. None of that is known here, so there is no price.

mod control_plane;
mod hosted;

pub use control_plane::{BILLS, control_plane};
pub use hosted::{GITHUB_READ, Hosted, STANDARD_ARM64, STANDARD_X86_64};

use crate::classes::{Architecture, Capacity, Disk, TaskSize};

/// When Fargate's prices were read.
pub const READ: &str = "June 2026";

/// The region that they are of.
pub const REGION: &str = "us-east-1";

/// The disk that each task has without charge, in GiB.
const FREE_DISK: u32 = 20;

/// Dollars for an hour of one vCPU on x86-64.
pub const VCPU: f64 = 0.040_48;

/// Dollars for an hour of one GiB of memory on x86-64.
pub const MEMORY: f64 = 0.004_445;

/// Dollars for an hour of one vCPU on ARM64.
pub const ARM_VCPU: f64 = 0.032_38;

/// Dollars for an hour of one GiB of memory on ARM64.
pub const ARM_MEMORY: f64 = 0.003_56;

/// Dollars for an hour of one GiB of disk beyond the free one; the same on Spot.
const DISK: f64 = 0.000_111;

/// Dollars for an hour of a public IPv4 address. Source: "Amazon VPC Pricing", read in June 2026.
pub const ADDRESS: f64 = 0.005;

/// The share of the On-Demand price that Spot costs at best: AWS advertises up to 70 % off.
const SPOT_SHARE: f64 = 0.3;

/// The shortest time that Fargate bills, in seconds.
pub const LEAST_SECONDS: f64 = 60.0;

/// Dollars for an hour of a task, by what AWS bills for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hour {
    /// Its processors.
    pub vcpu: f64,
    /// Its memory.
    pub memory: f64,
    /// Its disk beyond the free one.
    pub disk: f64,
}

impl Hour {
    /// On Fargate; an estimate on Spot.
    pub fn of(size: TaskSize, disk: Option<Disk>, architecture: Architecture, is_spot: bool) -> Self {
        let (vcpu, memory) = match architecture {
            Architecture::X86_64 => (VCPU, MEMORY),
            Architecture::Arm64 => (ARM_VCPU, ARM_MEMORY),
        };
        let share = if is_spot { SPOT_SHARE } else { 1.0 };
        Self {
            vcpu: f64::from(size.cpu.0) / 1024.0 * vcpu * share,
            memory: f64::from(size.memory.0) / 1024.0 * memory * share,
            disk: f64::from(disk.map_or(0, |disk| disk.0.saturating_sub(FREE_DISK))) * DISK,
        }
    }
}

/// Dollars a minute; an estimate on Spot, and `None` where it is not known.
pub fn per_minute(size: TaskSize, disk: Option<Disk>, architecture: Architecture, capacity: &Capacity) -> Option<f64> {
    if !capacity.is_fargate() {
        return None;
    }
    let Hour { vcpu, memory, disk } = Hour::of(size, disk, architecture, *capacity == Capacity::Spot);
    Some((vcpu + memory + disk) / 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::{Cpu, Memory};

    #[test]
    fn a_minute_costs_what_the_price_list_says() {
        let size = TaskSize { cpu: Cpu(1024), memory: Memory(4096) };
        for (disk, architecture, capacity, dollars) in [
            (None, Architecture::X86_64, Capacity::OnDemand, (0.04048 + 4.0 * 0.004_445) / 60.0),
            (None, Architecture::Arm64, Capacity::OnDemand, (0.03238 + 4.0 * 0.00356) / 60.0),
            (Some(Disk(120)), Architecture::X86_64, Capacity::OnDemand, (0.04048 + 4.0 * 0.004_445 + 0.0111) / 60.0),
            (None, Architecture::X86_64, Capacity::Spot, 0.3 * (0.04048 + 4.0 * 0.004_445) / 60.0),
        ] {
            let price = per_minute(size, disk, architecture, &capacity).expect("Fargate has a price list");
            assert!((price - dollars).abs() < 1e-9, "{price} is not {dollars}");
        }
    }
}
