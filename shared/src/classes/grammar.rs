//! The grammar of labels: what a label, or a piece of a combined one, means to a class.

use super::class::{Dialect, RunnerClass};
use super::misfit::Objection;

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

/// A size label's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Cpu,
    Memory,
    Disk,
    Arch,
    Spot,
    Run,
    RunsOn,
}

/// What a label, or a piece of a combined one, is to a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    /// One of the class's labels.
    Own,
    /// One that has no effect.
    Ignored,
    /// A size label that the class permits, with its value.
    Choice(Key, &'a str),
}

impl RunnerClass {
    /// A label is a combined one if its first piece is one of the class's labels and the whole is not. `RunsOn` also
    /// separates pieces by commas.
    pub(super) fn pieces<'a>(&self, label: &'a str) -> Vec<&'a str> {
        let is_whole = self.labels.iter().chain(&self.ignored_labels).any(|pattern| pattern.matches(label));
        let separators: &[char] = match label.split('/').next().map(|first| self.role(first)) {
            Some(Ok(Role::Choice(Key::RunsOn, _))) => &['/', ','],
            Some(Ok(Role::Own)) if !is_whole => &['/'],
            _ => &[],
        };
        label.split(separators).collect()
    }

    /// A label that the class lists literally takes precedence over a size label, and a size label over a pattern that
    /// it happens to match.
    pub(super) fn role<'a>(&self, piece: &'a str) -> Result<Role<'a>, Objection> {
        let is_own =
            |literal: bool| self.labels.iter().any(|label| label.is_literal() == literal && label.matches(piece));
        if is_own(true) {
            return Ok(Role::Own);
        }
        let choice = self.choice(piece);
        if let Some((key, value)) = choice
            && self.permits(key)
        {
            return Ok(Role::Choice(key, value));
        }
        if is_own(false) || (self.self_hosted && piece.eq_ignore_ascii_case("self-hosted")) {
            return Ok(Role::Own);
        }
        if self.ignored_labels.iter().any(|ignored| ignored.matches(piece)) {
            return Ok(Role::Ignored);
        }
        Err(match choice {
            Some(_) => Objection::NotPermitted { label: piece.to_owned(), permitted: self.permitted() },
            None if is_foreign(piece) => Objection::Foreign(piece.to_owned()),
            None => Objection::Unknown(piece.to_owned()),
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
}

fn is_foreign(piece: &str) -> bool {
    let key = piece.split(['=', ':']).next().unwrap_or_default().to_ascii_lowercase();
    FOREIGN_KEYS.contains(&key.as_str()) && (piece.len() > key.len() || key == "gpu")
}
