//! Matching, tested against a second definition: one that enumerates everything and shares no code with the first.

#![expect(clippy::float_cmp, reason = "all sizes are multiples of a quarter")]

use std::collections::BTreeSet;

use jitgate::classes::{Asked, RunnerClasses};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A class, for the second definition, and as JSON for the first.
#[expect(clippy::struct_excessive_bools, reason = "as in the configuration")]
#[derive(Clone, Debug)]
struct Class {
    labels: Vec<&'static str>,
    ignored: Vec<&'static str>,
    self_hosted: bool,
    runs_on: bool,
    repositories: Option<&'static str>,
    arm: bool,
    x86: bool,
    usual: Option<(f64, f64)>,
    cpu: Option<f64>,
    memory: Option<f64>,
    disk: Option<u32>,
    arch: bool,
    spot: bool,
    run: bool,
}

/// What a job gets: its class, vCPU and GiB, GiB of disk, architecture, Spot.
type Gets = (usize, Option<(f64, f64)>, Option<u32>, Option<&'static str>, Option<bool>);

impl Class {
    fn json(&self, name: usize) -> Value {
        let mut definitions = json!({});
        for (there, architecture) in [(self.x86, "x86_64"), (self.arm, "arm64")] {
            if there {
                definitions[architecture] = "t".into();
            }
        }
        json!({
            "name": name.to_string(), "labels": self.labels, "task_definition": definitions, "subnets": ["s"],
            "ignored_labels": self.ignored, "self_hosted": self.self_hosted,
            "compatible": if self.runs_on { vec!["runs-on"] } else { Vec::new() },
            "repositories": self.repositories.map(|glob| [glob]),
            "cpu": self.usual.map(|usual| usual.0), "memory": self.usual.map(|usual| usual.1),
            "sizes": {
                "cpu": self.cpu, "memory": self.memory, "disk": self.disk,
                "arch": self.arch, "spot": self.spot, "run": self.run,
            },
        })
    }
}

/// All sizes of Fargate, as its table lists them.
fn sizes() -> Vec<(f64, f64)> {
    let steps = |from: u32, to: u32, step: usize| (from..=to).step_by(step).map(f64::from).collect::<Vec<_>>();
    let rows = [
        (0.25, vec![0.5, 1.0, 2.0]),
        (0.5, steps(1, 4, 1)),
        (1.0, steps(2, 8, 1)),
        (2.0, steps(4, 16, 1)),
        (4.0, steps(8, 30, 1)),
        (8.0, steps(16, 60, 4)),
        (16.0, steps(32, 120, 8)),
    ];
    rows.into_iter().flat_map(|(cpu, memories)| memories.into_iter().map(move |memory| (cpu, memory))).collect()
}

fn least(sizes: impl Iterator<Item = (f64, f64)>, by: impl Fn(&(f64, f64)) -> (f64, f64)) -> Option<(f64, f64)> {
    sizes.min_by(|one, other| by(one).partial_cmp(&by(other)).expect("numbers"))
}

/// Matches a pattern letter by letter; a star takes nothing, or one more letter.
fn stands_for(pattern: &[u8], label: &[u8]) -> bool {
    match (pattern.first(), label.first()) {
        (Some(b'*'), _) if stands_for(&pattern[1..], label) => true,
        (Some(b'*'), Some(letter)) => *letter != b'/' && stands_for(pattern, &label[1..]),
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other) && stands_for(&pattern[1..], &label[1..]),
        (None, None) => true,
        _ => false,
    }
}

fn any_stands_for(patterns: &[&str], label: &str) -> bool {
    patterns.iter().any(|pattern| stands_for(pattern.as_bytes(), label.as_bytes()))
}

/// The values that the pieces of labels ask for, by kind.
#[derive(Default)]
struct Said {
    meant: bool,
    cpu: BTreeSet<String>,
    memory: BTreeSet<String>,
    disk: BTreeSet<String>,
    arch: BTreeSet<String>,
    spot: BTreeSet<String>,
    run: BTreeSet<String>,
}

impl Class {
    /// Whether the class has this label or piece; if so, notes the value that it asks for.
    fn has(&self, piece: &str, said: &mut Said) -> bool {
        let lowercase = piece.to_lowercase();
        let written_out = self.labels.iter().any(|label| !label.contains('*') && label.to_lowercase() == lowercase);
        let value = |key: &str| lowercase.strip_prefix(key).map(str::to_owned);
        // Of the other system's labels that are drawn here, it makes these its own.
        if self.runs_on && !written_out {
            if let Some(run) = value("runs-on=").filter(|run| !run.is_empty()) {
                said.run.insert(run);
                said.meant = true;
                return true;
            }
            if let Some(memory) = value("ram=").filter(|memory| !memory.is_empty()) {
                said.memory.insert(memory);
                said.meant = true;
                return self.memory.is_some();
            }
            if ["image=", "family=", "gpu"].iter().any(|key| lowercase.starts_with(key)) {
                return false;
            }
        }
        let rules = [
            (self.cpu.is_some(), value("cpu="), &mut said.cpu),
            (self.disk.is_some(), value("disk="), &mut said.disk),
            (self.arch, value("arch="), &mut said.arch),
            (self.spot, value("spot="), &mut said.spot),
            (self.run, value("run="), &mut said.run),
            (self.memory.is_some(), value("memory="), &mut said.memory),
        ];
        let mut is_size = false;
        for (permitted, value, values) in rules {
            if let Some(value) = value
                && permitted
                && !written_out
            {
                values.insert(value);
                is_size = true;
            }
        }
        let is_own = written_out
            || is_size
            || any_stands_for(&self.labels, piece)
            || (self.self_hosted && lowercase == "self-hosted");
        said.meant |= is_own;
        is_own || any_stands_for(&self.ignored, piece)
    }

    /// Whether a label may begin a combined one.
    fn begins(&self, piece: &str) -> bool {
        let mut said = Said::default();
        self.has(piece, &mut said) && said.meant && said.is_silent()
    }

    fn gets(&self, index: usize, repository: &str, labels: &[String]) -> Option<Gets> {
        if self.repositories.is_some_and(|glob| !repository.starts_with(glob.trim_end_matches('*'))) {
            return None;
        }
        let mut said = Said::default();
        for label in labels {
            let is_theirs = self.runs_on && label.to_lowercase().starts_with("runs-on=");
            let whole = !label.contains('/')
                || any_stands_for(&self.labels, label)
                || any_stands_for(&self.ignored, label)
                || !self.begins(label.split('/').next()?);
            let pieces: Vec<&str> = match (is_theirs, whole) {
                (true, _) => label.split(['/', ',']).collect(),
                (false, true) => vec![label],
                (false, false) => label.split('/').collect(),
            };
            if !pieces.into_iter().all(|piece| self.has(piece, &mut said)) {
                return None;
            }
        }
        if !said.meant {
            return None;
        }
        let is_bound = |values: &BTreeSet<String>| {
            values.len() < 2 && values.iter().all(|value| !value.is_empty() && !value.contains('/'))
        };
        if !is_bound(&said.run) {
            return None;
        }
        let cpu = one(&said.cpu, amount).ok()?;
        let memory = one(&said.memory, amount).ok()?;
        let size = match (cpu, memory) {
            (None, None) => None,
            (cpu, memory) => Some(self.size(cpu, memory)?),
        };
        let disk = match one(&said.disk, |value| value.parse::<u32>().ok().filter(|disk| *disk > 0)).ok()? {
            None => None,
            Some(asked) => Some((21..=200.min(self.disk?)).find(|disk| *disk >= asked)?),
        };
        let architecture = one(&said.arch, |value| match value {
            "x86_64" | "x64" | "amd64" => self.x86.then_some("x86_64"),
            "arm64" | "aarch64" => self.arm.then_some("arm64"),
            _ => None,
        })
        .ok()?;
        let spot = one(&said.spot, |value| match value {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
        .ok()?;
        Some((index, size, disk, architecture, spot))
    }

    fn size(&self, cpu: Option<f64>, memory: Option<f64>) -> Option<(f64, f64)> {
        let all = || sizes().into_iter();
        let size = match (cpu, memory) {
            (Some(cpu), Some(memory)) => least(all().filter(|size| size.0 >= cpu && size.1 >= memory), |size| *size),
            (Some(cpu), None) => {
                let exact = all().map(|size| size.0).filter(|each| *each >= cpu).fold(f64::INFINITY, f64::min);
                let usual = self.usual.map_or(0.0, |usual| usual.1);
                let choices = || all().filter(|size| size.0 == exact);
                least(choices().filter(|size| size.1 >= usual), |size| *size)
                    .or_else(|| least(choices(), |size| (-size.1, 0.0)))
            }
            (None, memory) => {
                let memory = memory?;
                let range = |cpu: f64| all().filter(move |size| size.0 == cpu).map(|size| size.1);
                let holds = |cpu: f64| range(cpu).any(|most| most >= memory) && range(cpu).any(|few| few <= memory);
                // Below the smallest size, the smallest size.
                let holding: Vec<f64> = all().map(|size| size.0).filter(|cpu| holds(*cpu)).collect();
                let holding = if holding.is_empty() && memory < 1.0 { vec![0.25] } else { holding };
                let usual = self.usual.map_or(0.0, |usual| usual.0);
                let cpu = least(holding.into_iter().map(|cpu| (cpu, 0.0)), |size| ((size.0 - usual).abs(), 0.0))?.0;
                least(all().filter(|size| size.0 == cpu && size.1 >= memory), |size| *size)
            }
        }?;
        let within = |most: Option<f64>, value: f64| most.is_none_or(|most| value <= most);
        (within(self.cpu, size.0) && within(self.memory, size.1)).then_some(size)
    }
}

impl Said {
    /// Whether nothing is asked for but a class.
    fn is_silent(&self) -> bool {
        [&self.cpu, &self.memory, &self.disk, &self.arch, &self.spot, &self.run].iter().all(|values| values.is_empty())
    }
}

/// A malformed value, or contradicting ones.
struct Nonsense;

/// `None` if nothing is asked for.
fn one<T: PartialEq>(values: &BTreeSet<String>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Nonsense> {
    let mut parsed = values.iter().map(|value| parse(value)).collect::<Option<Vec<T>>>().ok_or(Nonsense)?;
    parsed.dedup();
    if parsed.len() > 1 { Err(Nonsense) } else { Ok(parsed.pop()) }
}

fn amount(value: &str) -> Option<f64> {
    let is_number = value.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    value.parse().ok().filter(|amount| is_number && value.split('.').count() < 3 && *amount > 0.0)
}

fn some_of(words: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(proptest::sample::select(words), 0..=most)
}

fn any_class() -> impl Strategy<Value = Class> {
    let maybe = |numbers: &'static [f64]| proptest::option::of(proptest::sample::select(numbers));
    let words = (
        proptest::sample::select(&["fargate", "linux", "ci-*", "*", "cpu=2", "a/b", "fargate*"][..]),
        some_of(&["linux", "gpu", "run=*", "Fargate"], 2),
        some_of(&["image=*", "gpu", "family=*", "cpu=*", "*/*"], 2),
        proptest::option::weighted(0.2, Just("octo-org/secret-*")),
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let sizes = (
        proptest::option::of(proptest::sample::select(sizes())),
        maybe(&[0.25, 1.0, 4.0, 16.0]),
        maybe(&[0.5, 2.0, 8.0, 30.0, 120.0]),
        proptest::option::of(proptest::sample::select(&[21, 50, 200][..])),
        0..3_u8,
    );
    (words, flags, sizes).prop_map(|(words, flags, (usual, cpu, memory, disk, architectures))| {
        let mut labels = vec![words.0];
        labels.extend(words.1);
        // A maximum below the class's own size is refused, which another test covers.
        let fits =
            |most: &Option<f64>, usual: Option<f64>| most.is_none_or(|most| usual.is_none_or(|usual| usual <= most));
        let usual = usual.filter(|usual| fits(&cpu, Some(usual.0)) && fits(&memory, Some(usual.1)));
        Class {
            labels,
            ignored: words.2,
            repositories: words.3,
            self_hosted: flags.0,
            runs_on: flags.1,
            arch: flags.2,
            spot: flags.3,
            run: flags.4,
            x86: architectures != 1,
            arm: architectures != 0,
            usual,
            cpu,
            memory,
            disk,
        }
    })
}

fn any_piece() -> impl Strategy<Value = String> {
    let number = proptest::sample::select(
        &[
            "0.25", "0.3", "1", "2", "2.0", "3", "4", "5", "9", "16", "17", "31", "61", "64", "121", "0", "x", "",
            "-1", "1e1", "50", "201",
        ][..],
    );
    let sized = (proptest::sample::select(&["cpu", "memory", "ram", "disk", "CPU", "Memory"][..]), number)
        .prop_map(|(key, value)| format!("{key}={value}"));
    let word = proptest::sample::select(
        &[
            "fargate",
            "FARGATE",
            "linux",
            "ci-7",
            "fargate-2",
            "self-hosted",
            "gpu",
            "image=u24",
            "family=x9",
            "arch=arm64",
            "arch=x64",
            "arch=x86_64",
            "arch=riscv",
            "spot=true",
            "spot=FALSE",
            "spot=maybe",
            "run=1-2",
            "run=1-3",
            "run=",
            "runs-on=77",
            "runs-on=78",
            "a",
            "b",
            "macos",
            "",
        ][..],
    );
    prop_oneof![3 => word.prop_map(str::to_owned), 2 => sized]
}

fn any_label() -> impl Strategy<Value = String> {
    let combined = (
        proptest::sample::select(
            &["fargate", "linux", "runs-on=77", "ci-1", "a", "self-hosted", "cpu=2", "gpu", "run=1"][..],
        ),
        proptest::collection::vec(any_piece(), 1..4),
    )
        .prop_map(|(first, rest)| format!("{first}/{}", rest.join("/")));
    let with_commas =
        proptest::collection::vec(any_piece(), 1..4).prop_map(|rest| format!("runs-on=77,{}", rest.join(",")));
    prop_oneof![6 => any_piece(), 2 => combined, 1 => with_commas]
}

fn gets_by_code(classes: &RunnerClasses, repository: &str, labels: &[String]) -> Option<Gets> {
    let (owner, name) = repository.split_once('/').expect("owner/name");
    let fit = classes.fit(&Asked { owner, repository: name, labels }).ok()?;
    let in_units = |units: u32| f64::from(units) / 1024.0;
    let architecture = fit.demand.architecture.map(|each| if each.to_string() == "arm64" { "arm64" } else { "x86_64" });
    Some((
        fit.class.name.parse().expect("a number"),
        fit.demand.size.map(|size| (in_units(size.cpu.0), in_units(size.memory.0))),
        fit.demand.disk.map(|disk| disk.0),
        architecture,
        fit.demand.spot,
    ))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6000) })]

    #[test]
    fn both_definitions_give_each_job_the_same(
        classes in proptest::collection::vec(any_class(), 1..4),
        labels in proptest::collection::vec(any_label(), 1..5),
        repository in proptest::sample::select(&["octo-org/octo-repo", "octo-org/secret-tools"][..]),
    ) {
        let json = classes.iter().enumerate().map(|(index, class)| class.json(index)).collect::<Value>();
        let parsed = RunnerClasses::parse(&json.to_string()).expect("valid classes");
        let expected = classes.iter().enumerate().find_map(|(index, class)| class.gets(index, repository, &labels));
        prop_assert_eq!(gets_by_code(&parsed, repository, &labels), expected);
    }

    #[test]
    fn whatever_a_job_asks_for_it_never_gets_less_nor_more_than_its_class_permits(
        class in any_class(),
        labels in proptest::collection::vec(any_label(), 0..4),
    ) {
        let class = Class { labels: vec!["fargate"], repositories: None, ignored: Vec::new(), ..class };
        let json = Value::from(vec![class.json(0)]).to_string();
        let parsed = RunnerClasses::parse(&json).expect("valid classes");
        let labels: Vec<String> = std::iter::once("fargate".to_owned()).chain(labels).collect();
        if let Ok(fit) = parsed.fit(&Asked { owner: "o", repository: "r", labels: &labels }) {
            for placement in parsed.placements(&fit) {
                if let Some(size) = placement.size {
                    let size = (f64::from(size.cpu.0) / 1024.0, f64::from(size.memory.0) / 1024.0);
                    prop_assert!(sizes().contains(&size), "Fargate has no {:?}", size);
                    prop_assert!(class.cpu.is_none_or(|most| size.0 <= most || class.usual == Some(size)));
                    prop_assert!(class.memory.is_none_or(|most| size.1 <= most || class.usual == Some(size)));
                }
                prop_assert!(placement.disk.is_none_or(|disk| (21..=200).contains(&disk.0)));
            }
        }
    }
}

/// The test above proves nothing if the cases are all of one kind.
#[test]
fn the_cases_drawn_are_of_all_kinds() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut fits, mut sized, mut refused, mut combined) = (0, 0, 0, 0);
    for _ in 0..3000 {
        let class = any_class().new_tree(&mut runner).unwrap().current();
        let labels = proptest::collection::vec(any_label(), 1..5).new_tree(&mut runner).unwrap().current();
        match class.gets(0, "octo-org/octo-repo", &labels) {
            Some((_, size, ..)) => {
                fits += 1;
                sized += usize::from(size.is_some());
                combined += usize::from(labels.iter().any(|label| label.contains('/')));
            }
            None => refused += 1,
        }
    }
    assert!(fits > 100 && sized > 20 && combined > 20 && refused > 100, "{fits} {sized} {combined} {refused}");
}
