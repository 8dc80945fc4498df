//! What a job's size labels choose: each label's value, parsed, and no two that contradict each other.

use super::grammar::{Key, Role};
use super::misfit::Objection;
use super::size::{Architecture, Cpu, Memory, thousand_and_twenty_fourths};

/// What a job's labels choose, each with the label that says so.
#[derive(Default)]
pub(super) struct Choices<'a> {
    pub(super) cpu: Option<(&'a str, Cpu)>,
    pub(super) memory: Option<(&'a str, Memory)>,
    pub(super) disk: Option<(&'a str, u32)>,
    pub(super) architecture: Option<(&'a str, Architecture)>,
    pub(super) spot: Option<(&'a str, bool)>,
    run: Option<(&'a str, String)>,
}

impl<'a> Choices<'a> {
    /// Whether a label binds the runner to one run.
    pub(super) fn is_bound(&self) -> bool {
        self.run.is_some()
    }

    pub(super) fn take(&mut self, role: Role<'_>, label: &'a str) -> Result<(), Objection> {
        let Role::Choice(key, value) = role else { return Ok(()) };
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
        }
    }
}

/// In lower case: GitHub ignores the case of labels, so the same run in another case is the same run.
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
) -> Result<T, Objection> {
    parse(value).ok_or_else(|| Objection::Malformed {
        label: label.to_owned(),
        expected: if value.contains('/') {
            "a combined label begins with one of the class's labels, and no value has a / in it"
        } else {
            expected
        },
    })
}

fn set<'a, T: PartialEq>(slot: &mut Option<(&'a str, T)>, label: &'a str, value: T) -> Result<(), Objection> {
    match slot {
        Some((one, before)) if *before != value => {
            Err(Objection::Contradictory { one: (*one).to_owned(), other: label.to_owned() })
        }
        _ => {
            *slot = Some((label, value));
            Ok(())
        }
    }
}
