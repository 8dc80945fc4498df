//! What the sizes of a class must be: its own, and the largest that its jobs may choose.

use super::class::Sizes;
use super::json::SizesJson;
use super::size::{Cpu, Disk, Memory, Sizing, TaskSize, thousand_and_twenty_fourths};

fn cpu(sizing: Sizing, key: &str, vcpu: f64) -> Result<Cpu, String> {
    let cpu = amount(key, vcpu).map(Cpu)?;
    match sizing {
        _ if sizing.has_cpu(cpu) => Ok(cpu),
        Sizing::Fargate => Err(format!("{key} must be 0.25, 0.5, 1, 2, 4, 8 or 16 (vCPU)")),
        Sizing::Any => Err(format!("{key} must be 0.125 to 192 (vCPU)")),
    }
}

fn memory(sizing: Sizing, key: &str, gib: f64) -> Result<Memory, String> {
    let memory = amount(key, gib).map(Memory)?;
    match sizing {
        _ if sizing.has_memory(memory) => Ok(memory),
        Sizing::Fargate => Err(format!("{key} must be a memory that Fargate has, 0.5 to 120 (GiB)")),
        Sizing::Any => Err(format!("{key} must be 0.006 to 32768 (GiB)")),
    }
}

fn amount(key: &str, number: f64) -> Result<u32, String> {
    thousand_and_twenty_fourths(&number.to_string())
        .ok_or_else(|| format!("{key} must be a number below a million with at most three decimals"))
}

pub(super) fn disk(key: &str, gib: u32) -> Result<Disk, String> {
    let exactly = Disk::at_least(gib).filter(|disk| disk.0 == gib);
    exactly.ok_or_else(|| format!("{key} must be 21 to 200 (GiB); 20 come without being asked for"))
}

/// One alone might not go with the other that the task definition has.
pub(super) fn size(sizing: Sizing, vcpu: Option<f64>, gib: Option<f64>) -> Result<Option<TaskSize>, String> {
    let (vcpu, gib) = match (vcpu, gib) {
        (None, None) => return Ok(None),
        (Some(vcpu), Some(gib)) => (vcpu, gib),
        _ => return Err("cpu and memory go together: give both or none".to_owned()),
    };
    let size = TaskSize { cpu: cpu(sizing, "cpu", vcpu)?, memory: memory(sizing, "memory", gib)? };
    match sizing.at_least(size.cpu, size.memory) {
        Some(nearest) if nearest == size => Ok(Some(size)),
        Some(nearest) => Err(format!("Fargate has no {size}; the nearest upward is {nearest}")),
        None => Err(format!("Fargate has no {size}")),
    }
}

pub(super) fn sizes(
    sizing: Sizing,
    json: Option<SizesJson>,
    usual: Option<TaskSize>,
    usual_disk: Option<Disk>,
) -> Result<Sizes, String> {
    let Some(json) = json else { return Ok(Sizes::default()) };
    let sizes = Sizes {
        cpu: json.cpu.map(|vcpu| cpu(sizing, "sizes.cpu", vcpu)).transpose()?,
        memory: json.memory.map(|gib| memory(sizing, "sizes.memory", gib)).transpose()?,
        disk: json.disk.map(|gib| disk("sizes.disk", gib)).transpose()?,
        arch: json.arch.unwrap_or_default(),
        spot: json.spot.unwrap_or_default(),
        run: json.run.unwrap_or_default(),
    };
    let too_small = |key: &str| Err(format!("sizes.{key} must not be less than the class's own {key}"));
    if sizes.cpu.zip(usual).is_some_and(|(most, usual)| most < usual.cpu) {
        return too_small("cpu");
    }
    if sizes.memory.zip(usual).is_some_and(|(most, usual)| most < usual.memory) {
        return too_small("memory");
    }
    if sizes.disk.zip(usual_disk).is_some_and(|(most, usual)| most < usual) {
        return too_small("disk");
    }
    Ok(sizes)
}
