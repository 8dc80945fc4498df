//! Labels of other systems, on any class: what a class cannot serve, it never takes.

use std::path::Path;

use jitgate::classes::{Architecture, Asked, RunnerClasses, systems};
use proptest::prelude::*;
use serde_json::json;

/// The documented sets of labels, each with its system, from the tables of `docs/LABELS.md`.
fn documented() -> Vec<(&'static str, Vec<String>)> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/LABELS.md")).expect("a page");
    let mut sets = Vec::new();
    for system in systems() {
        let (_, table) = page.split_once(&format!("<!-- system {system} -->")).expect("a table");
        let (table, _) = table.split_once("<!-- /system -->").expect("its end");
        for row in table.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `runs-on` |")) {
            let cell = row.split('|').nth(1).expect("a cell");
            sets.push((system, cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()));
        }
    }
    sets
}

/// What a set of labels needs, by the words in it and by nothing else.
#[derive(Debug, PartialEq)]
enum Needs {
    /// A GPU, Windows, macOS, a pool, or more than Fargate has.
    Impossible,
    Arm,
    X86,
    /// It does not say.
    Linux,
}

fn needs(labels: &[String]) -> Needs {
    let all = labels.join(" ").to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| all.contains(word));
    let accelerated =
        ["gpu", "family=g4", "family=g5", "family=p3", "accelerator", "instance-type:p5", "instance-type:g"];
    let elsewhere =
        ["windows", "macos", "osx", "servercore", "mac-", "fleet:", "pool=", "profile-", "custom-", "amazon "];
    let large = ["-32vcpu", "-32x", "-64", "arm-32", "04-32", "2xlarge fleet", ":xlarge", ":2xlarge", "cpu=64"];
    if has(&accelerated) || has(&elsewhere) || (has(&large) && !all.contains("x64")) || all.contains("x64-32x") {
        Needs::Impossible
    } else if has(&["arm", "c7g", "m7g", "amazon-web-services"]) {
        Needs::Arm
    } else if has(&[
        "x64",
        "amd64",
        "image:linux",
        "image:ubuntu",
        "image:al2",
        "depot-",
        "blacksmith-",
        "m7i",
        "intel",
        "c5.",
        "c5n.",
        "c7a",
        "type:t3.",
    ]) {
        Needs::X86
    } else {
        Needs::Linux
    }
}

fn any_class(system: &'static str) -> impl Strategy<Value = serde_json::Value> {
    let some =
        |words: &'static [&'static str], most| proptest::collection::vec(proptest::sample::select(words), 0..=most);
    let others = proptest::sample::subsequence(systems().collect::<Vec<_>>(), 0..=7);
    let patterns =
        some(&["*", "image=*", "family=*", "*arm*", "gpu*", "*-*", "*:*", "self-hosted", "linux", "windows*", "x*"], 4);
    let labels = some(&["*", "fargate", "codebuild-*", "warp-*", "*x*", "runs-on*", "self-hosted"], 2);
    let definition = proptest::sample::select(&[(true, false), (false, true), (true, true)][..]);
    let sizes = (any::<bool>(), any::<bool>(), any::<bool>());
    (others, patterns, labels, definition, sizes, any::<bool>(), any::<bool>()).prop_map(
        move |(mut compatible, ignored, mut labels, (x86, arm), (arch, spot, sized), self_hosted, usually_arm)| {
            compatible.push(system);
            labels.push("codebuild-web-*");
            let mut definitions = json!({});
            for (there, architecture) in [(x86, "x86_64"), (arm, "arm64")] {
                if there {
                    definitions[architecture] = "t".into();
                }
            }
            let usual = if x86 && arm { Some(if usually_arm { "arm64" } else { "x86_64" }) } else { None };
            let some_sizes = json!({ "arch": arch });
            let all_sizes = json!({ "cpu": 16, "memory": 120, "disk": 200, "arch": arch, "spot": spot });
            json!([{
                "name": "any", "labels": labels, "task_definition": definitions, "architecture": usual, "subnets": ["s"],
                "compatible": compatible, "ignored_labels": ignored, "self_hosted": self_hosted,
                "sizes": if sized { all_sizes } else { some_sizes },
            }])
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn a_class_never_takes_what_it_cannot_serve(
        (set, class) in proptest::sample::select(documented())
            .prop_flat_map(|(system, labels)| (Just(labels), any_class(system))),
    ) {
        let classes = RunnerClasses::parse(&class.to_string()).expect("valid classes");
        if let Ok(fit) = classes.fit(&Asked { owner: "o", repository: "r", labels: &set }) {
            let needs = needs(&set);
            prop_assert_ne!(&needs, &Needs::Impossible, "{:?} is taken by {}", set, class);
            for placement in classes.placements(&fit) {
                let wanted = match needs {
                    Needs::Arm => Architecture::Arm64,
                    Needs::X86 => Architecture::X86_64,
                    _ => placement.architecture,
                };
                prop_assert_eq!(placement.architecture, wanted, "{:?} by {}", set, class);
            }
        }
    }
}

/// The patterns of all tables, each with its system.
fn patterns() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for system in systems() {
        let path = format!("{}/../shared/src/classes/compatible/{system}.json", env!("CARGO_MANIFEST_DIR"));
        let table = std::fs::read_to_string(path).expect("a table");
        let table: serde_json::Value = serde_json::from_str(&table).expect("JSON");
        for rule in table["translate"].as_array().expect("rules") {
            let label = rule["label"].as_str().expect("a label");
            all.extend(label.contains('*').then(|| (system, label.to_owned())));
        }
    }
    all
}

/// A label that a pattern matches: a number for each named part, `text` for each `*`.
fn filled(pattern: &str, text: &str) -> String {
    let mut pieces = pattern.split(['{', '}']);
    let mut label = pieces.next().unwrap_or_default().to_owned();
    while let Some(_name) = pieces.next() {
        label.push('4');
        label.push_str(pieces.next().unwrap_or_default());
    }
    label.replace('*', text)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    /// Where two labels get the same runner, what tells them apart was dropped.
    #[test]
    fn whatever_a_translation_drops_it_names(
        (system, pattern) in proptest::sample::select(patterns()), one in "[a-z0-9.]{1,6}", other in "[a-z0-9.]{1,6}",
    ) {
        let class = json!([{
            "name": "any", "labels": ["fargate"], "task_definition": { "x86_64": "t", "arm64": "t" }, "subnets": ["s"],
            "compatible": [system],
            "sizes": { "cpu": 16, "memory": 120, "disk": 200, "arch": true, "spot": true, "run": true },
        }]);
        let classes = RunnerClasses::parse(&class.to_string()).expect("valid classes");
        let sets = [&one, &other].map(|text| vec!["fargate".to_owned(), filled(&pattern, text)]);
        let asked = |labels| Asked { owner: "o", repository: "r", labels };
        if let (Ok(first), Ok(second)) = (classes.fit(&asked(&sets[0])), classes.fit(&asked(&sets[1])))
            && one != other
            && first.demand == second.demand
        {
            for set in &sets {
                let left_out = first.class.left_out(&asked(set));
                prop_assert!(left_out.iter().any(|(label, _)| set[1].contains(label.as_str())), "{system}: {set:?}");
            }
        }
    }
}

/// The property proves nothing if all sets are of one kind.
#[test]
fn the_documented_sets_are_of_all_kinds() {
    let sets = documented();
    for (kind, least) in [(Needs::Impossible, 40), (Needs::Arm, 20), (Needs::X86, 40), (Needs::Linux, 5)] {
        let count = sets.iter().filter(|(_, labels)| needs(labels) == kind).count();
        assert!(count >= least, "{kind:?}: {count} of {}", sets.len());
    }
}
