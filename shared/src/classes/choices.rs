//! What a job's size labels choose: each label's value, parsed, and no two that contradict each other.

use super::key::Key;
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

    pub(super) fn take(&mut self, key: Key, value: &str, label: &'a str) -> Result<(), Objection> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen<'a>(labels: &[(Key, &'a str)]) -> Result<Choices<'a>, Objection> {
        let mut choices = Choices::default();
        for (key, label) in labels {
            let (_, value) = label.split_once('=').expect("key=value");
            choices.take(*key, value, label)?;
        }
        Ok(choices)
    }

    fn is_malformed(key: Key, label: &str) -> bool {
        matches!(chosen(&[(key, label)]), Err(Objection::Malformed { .. }))
    }

    #[test]
    fn amounts_are_positive_numbers_with_up_to_three_decimals_and_the_disk_is_a_whole_one() {
        let choices = chosen(&[(Key::Cpu, "cpu=0.25"), (Key::Memory, "memory=8"), (Key::Disk, "disk=50")]);
        let choices = choices.expect("well formed");
        assert_eq!(choices.cpu, Some(("cpu=0.25", Cpu(256))));
        assert_eq!(choices.memory, Some(("memory=8", Memory(8192))));
        assert_eq!(choices.disk, Some(("disk=50", 50)));
        for label in ["cpu=", "cpu=0", "cpu=0.0", "cpu=-1", "cpu=1.0001", "cpu=two"] {
            assert!(is_malformed(Key::Cpu, label) && is_malformed(Key::Memory, label), "{label}");
        }
        for label in ["disk=", "disk=0", "disk=+5", "disk=1.5", "disk=0000050"] {
            assert!(is_malformed(Key::Disk, label), "{label}");
        }
    }

    #[test]
    fn architecture_and_spot_are_told_in_words() {
        let choices = chosen(&[(Key::Arch, "arch=aarch64"), (Key::Spot, "spot=False")]).expect("well formed");
        assert_eq!(choices.architecture, Some(("arch=aarch64", Architecture::Arm64)));
        assert_eq!(choices.spot, Some(("spot=False", false)));
        assert!(is_malformed(Key::Arch, "arch=riscv") && is_malformed(Key::Spot, "spot=yes"));
    }

    #[test]
    fn a_run_binds_the_runner_to_it() {
        let is_bound = |labels: &[(Key, &'static str)]| chosen(labels).is_ok_and(|choices| choices.is_bound());
        assert!(is_bound(&[(Key::Run, "run=7-0")]));
        assert!(!is_bound(&[(Key::Cpu, "cpu=1")]));
        assert!(is_malformed(Key::Run, "run=") && is_malformed(Key::Run, "run=a/b"));
    }

    #[test]
    fn labels_with_different_values_for_one_key_contradict_each_other_and_with_the_same_value_do_not() {
        let contradict = |key, one: &'static str, other: &'static str| {
            let expected = Objection::Contradictory { one: one.to_owned(), other: other.to_owned() };
            chosen(&[(key, one), (key, other)]).err() == Some(expected)
        };
        assert!(contradict(Key::Cpu, "cpu=2", "cpu=4"));
        assert!(contradict(Key::Run, "run=a", "run=b"));
        assert!(chosen(&[(Key::Cpu, "cpu=2"), (Key::Cpu, "CPU=2.0")]).is_ok());
        assert!(chosen(&[(Key::Run, "run=a"), (Key::Run, "run=A")]).is_ok(), "GitHub ignores case");
    }
}
