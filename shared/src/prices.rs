//! What a minute of a runner costs, by Fargate's list prices.
//!
//! Linux in us-east-1, as published on "AWS Fargate Pricing" and read in June 2026. Most other regions cost 10 to 30 %
//! more; Spot's price changes. Fargate bills by the second, at least a minute, from the pull of the image on.
//!
//! On a capacity provider, AWS bills the instances, however many tasks share one and however long one idles after its last
//! task. None of that is known here, so there is no price.

use crate::classes::{Architecture, Capacity, Disk, TaskSize};

/// When the prices below were read.
pub const READ: &str = "June 2026";

/// The disk that each task has without charge, in GiB.
const FREE_DISK: u32 = 20;

/// Dollars for an hour of one vCPU, and of one GiB of memory.
const fn rates(architecture: Architecture) -> (f64, f64) {
    match architecture {
        Architecture::X86_64 => (0.040_48, 0.004_445),
        Architecture::Arm64 => (0.032_38, 0.003_56),
    }
}

/// Dollars for an hour of one GiB of disk beyond the free one; the same on Spot.
const DISK_RATE: f64 = 0.000_111;

/// The share of the On-Demand price that Spot costs at best: AWS advertises up to 70 % off.
const SPOT_SHARE: f64 = 0.3;

/// Dollars a minute; an estimate on Spot, and `None` where it is not known.
pub fn per_minute(size: TaskSize, disk: Option<Disk>, architecture: Architecture, capacity: &Capacity) -> Option<f64> {
    let (cpu_rate, memory_rate) = rates(architecture);
    let compute = f64::from(size.cpu.0) / 1024.0 * cpu_rate + f64::from(size.memory.0) / 1024.0 * memory_rate;
    let share = match capacity {
        Capacity::OnDemand => 1.0,
        Capacity::Spot => SPOT_SHARE,
        Capacity::Provider(_) => return None,
    };
    let disk = f64::from(disk.map_or(0, |disk| disk.0.saturating_sub(FREE_DISK))) * DISK_RATE;
    Some((compute * share + disk) / 60.0)
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
