//! `docs/runner-classes.schema.json` and the parser accept and refuse the same classes.

use std::path::Path;
use std::sync::LazyLock;

use jitgate::classes::RunnerClasses;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runner-classes.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("it is there")).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
});

/// Words of errors that only the parser can find; see the schema's description.
const BEYOND_A_SCHEMA: [&str; 15] = [
    "used twice",
    "must be the name of another class",
    "Fargate has no",
    "must be a memory that Fargate has",
    "must not be less than the class's own",
    "characters in all",
    "which task_definition has none for",
    "between two * or {name}",
    "write a named part as {name}",
    "means must use {",
    "names no part of the label",
    "is malformed",
    "must be the last one",
    "at most three decimals",
    "cpu and memory need the class's own",
];

/// An error that only one of the two finds, apart from what only the parser can find.
fn disagreement(classes: &Value) -> Option<String> {
    let parsed = RunnerClasses::parse(&classes.to_string());
    match (SCHEMA.validate(classes), parsed) {
        (Ok(()), Ok(_)) | (Err(_), Err(_)) => None,
        (Ok(()), Err(error)) if BEYOND_A_SCHEMA.iter().any(|words| error.contains(words)) => None,
        (Ok(()), Err(error)) => Some(format!("only the parser refuses {classes}: {error}")),
        (Err(error), Ok(_)) => Some(format!("only the schema refuses {classes}: {error}")),
    }
}

fn full() -> Value {
    json!([
        {
            "name": "full", "labels": ["fargate", "ci-*"], "runner_group": "Large", "architecture": "arm64",
            "task_definition": { "x86_64": "runner", "arm64": "runner-arm64" }, "container": "main",
            "cpu": 0.5, "memory": 2, "disk": 50,
            "sizes": { "cpu": 16, "memory": 120, "disk": 200, "arch": true, "spot": true, "run": false },
            "subnets": ["subnet-1"], "security_groups": ["sg-1"], "assign_public_ip": true,
            "capacity": ["spot", "on-demand"], "fallback": ["least"], "max_runners": 10, "max_per_owner": 5,
            "max_per_repository": 2, "idle_minutes": 5,
            "lifetime_minutes": 60, "environment": { "HTTPS_PROXY": "http://proxy.example" },
            "tags": { "cost centre": "4711" }, "repositories": ["octo-org/*"], "public_repositories": false,
            "fork_pull_requests": false, "self_hosted": true, "compatible": ["runs-on", "depot"],
            "ignored_labels": ["image=*"], "requires": ["linux"], "excluded_labels": ["*-arm"],
            "translate": [
                { "label": "big-{cpu}-*", "means": ["cpu={cpu}", "memory=64"], "drops": "the image" },
                { "label": "gpu*", "means": "refused: no GPU on Fargate" },
                { "label": "ours", "means": "label" },
            ],
        },
        {
            "name": "least", "labels": ["linux"], "runner_group_id": 7, "task_definition": "runner:3",
            "job_started": "date", "job_completed": "date\n",
            "subnets": ["subnet-1"],
        },
        {
            "name": "docker", "labels": ["docker"], "task_definition": "runner-docker", "subnets": ["subnet-1"],
            "capacity": [{ "provider": "instances" }], "cpu": 3, "memory": 5.5, "sizes": { "cpu": 7, "memory": 300 },
            "start_minutes": 30, "task_role": "arn:aws:iam::123456789012:role/jobs",
            "execution_role": "arn:aws-cn:iam::123456789012:role/path/start",
        },
        {
            "name": "warm", "labels": ["ready"], "task_definition": "runner", "subnets": ["subnet-1"],
            "warm": [{
                "count": 2, "for": "octo-org", "days": ["mon", "fri"], "hours": "07:30-18", "time_zone": "Europe/Berlin",
            }],
        },
    ])
}

#[test]
fn the_schema_knows_every_key_of_the_parser_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runner-classes.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let error = RunnerClasses::parse(r#"[{"no such key":1}]"#).expect_err("an unknown key");
    let mut known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    known.sort_unstable();
    let mut named: Vec<&String> = schema["$defs"]["class"]["properties"].as_object().unwrap().keys().collect();
    named.sort_unstable();
    assert_eq!(named, known);
}

#[test]
fn both_take_what_the_docs_show() {
    let page =
        |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap();
    let labels = page("docs/LABELS.md");
    let lists: Vec<Value> = labels
        .split("```json\n[")
        .skip(1)
        .map(|rest| serde_json::from_str(&format!("[{}", rest.split("```").next().expect("an end"))).expect("JSON"))
        .collect();
    assert_eq!(lists.len(), 2);
    for classes in lists.into_iter().chain([full(), jitgate_tests::world::runner_classes()]) {
        assert!(RunnerClasses::parse(&classes.to_string()).is_ok(), "{classes}");
        assert!(SCHEMA.is_valid(&classes), "{classes}");
    }
}

#[test]
fn both_refuse_the_same_mistakes() {
    for (key, value) in [
        ("name", json!("a b")),
        ("name", json!("")),
        ("name", json!("n".repeat(25))),
        ("labels", json!([])),
        ("labels", json!([" a"])),
        ("labels", json!(["a,b"])),
        ("labels", json!(["x".repeat(257)])),
        ("labels", json!(vec!["x"; 101])),
        ("runner_group", json!(" a")),
        ("runner_group", json!("g".repeat(129))),
        ("runner_group_id", json!(3)),
        ("task_definition", json!({})),
        ("task_definition", json!({ "arm64": null })),
        ("task_definition", json!({ "riscv": "a" })),
        ("task_definition", json!("")),
        ("architecture", json!("ARM64")),
        ("cpu", json!(3)),
        ("cpu", json!("1")),
        ("cpu", json!(null)),
        ("memory", json!(0)),
        ("memory", json!(null)),
        ("disk", json!(20)),
        ("disk", json!(201)),
        ("disk", json!(50.5)),
        ("sizes", json!([])),
        ("sizes", json!({ "gpu": 1 })),
        ("sizes", json!({ "spot": 1 })),
        ("subnets", json!(vec!["s"; 17])),
        ("security_groups", json!([""])),
        ("capacity", json!([])),
        ("capacity", json!([{ "provider": "FARGATE" }])),
        ("capacity", json!([{ "provider": "a b" }])),
        ("capacity", json!([{ "provider": "p" }])),
        ("capacity", json!(["spot", { "provider": "p" }])),
        ("capacity", json!([{ "spot": null }])),
        ("capacity", json!(["reserved"])),
        ("start_minutes", json!(1)),
        ("task_role", json!("jobs")),
        ("task_role", json!("arn:aws:iam::123456789012:role/*")),
        ("execution_role", json!("arn:aws:iam::123456789012:user/a")),
        ("max_runners", json!(0)),
        ("max_runners", json!(4_294_967_296_u64)),
        ("max_per_owner", json!(0)),
        ("max_per_repository", json!(1.5)),
        ("idle_minutes", json!(1441)),
        ("lifetime_minutes", json!(-1)),
        ("environment", json!({ "1A": "x" })),
        ("environment", json!({ "jitgate_job": "x" })),
        ("environment", json!({ "ACTIONS_RUNNER_INPUT_URL": "x" })),
        ("environment", json!({ "A": 1 })),
        ("environment", json!({ "A": "\u{0}" })),
        ("tags", json!({ "Aws:x": "y" })),
        ("tags", json!({ "jitgate:class": "y" })),
        ("tags", json!({ "a?": "y" })),
        ("tags", json!({ "a": "y".repeat(257) })),
        ("repositories", json!([])),
        ("job_started", json!(" \n")),
        ("job_completed", json!(["date"])),
        ("repositories", json!(["octo-org"])),
        ("compatible", json!(["other"])),
        ("requires", json!([""])),
        ("excluded_labels", json!(["a,b"])),
        ("translate", json!([{ "label": "a" }])),
        ("translate", json!([{ "label": "a", "means": ["gpu=1"] }])),
        ("translate", json!([{ "label": "a", "means": "nothing" }])),
        ("translate", json!([{ "label": "a-*", "means": ["cpu=2"] }])),
        ("translate", json!([{ "label": "a", "means": "refused: no GPU", "drops": "the GPU" }])),
        ("translate", json!([{ "label": "a", "means": [], "drops": "" }])),
        ("ignored_labels", json!([""])),
        ("warmth", json!(1)),
    ] {
        let mut classes = full();
        classes[0][key] = value;
        assert!(RunnerClasses::parse(&classes.to_string()).is_err(), "the parser accepts {}", classes[0][key]);
        assert!(!SCHEMA.is_valid(&classes), "the schema accepts {key}: {}", classes[0][key]);
    }
}

/// Any value, to replace a valid one.
fn any_value() -> impl Strategy<Value = Value> {
    let word = proptest::sample::select(
        &[
            "",
            " ",
            "a",
            "a b",
            "a,b",
            "*",
            "linux",
            "x86_64",
            "arm64",
            "on-demand",
            "spot",
            "runs-on",
            "octo-org/*",
            "ecs-p",
            "a-{b}",
            "cpu=2",
            "cpu={cpu}",
            "label",
            "refused: so",
            "least",
            "full",
            "ü",
            "JITGATE_JOB",
            "aws:x",
            "a/b/c",
            "\n",
        ][..],
    )
    .prop_map(Value::from);
    let number = proptest::sample::select(&[-1_i64, 0, 1, 2, 3, 4, 8, 16, 20, 21, 120, 121, 200, 201, 1440, 1441][..]);
    let fraction = proptest::sample::select(&[0.25, 0.5, 0.75, 1.5, 8.5, 120.5][..]).prop_map(Value::from);
    let leaf = prop_oneof![
        3 => word,
        2 => number.prop_map(Value::from),
        1 => fraction,
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let key = proptest::sample::select(
            &["x86_64", "arm64", "cpu", "memory", "disk", "arch", "provider", "A", "team"][..],
        );
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..3)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>()),
        ]
    })
}

/// Replaces or removes a value somewhere in the classes.
fn mutate(place: &mut Value, way: &[usize], change: Option<Value>) {
    match (place, way.split_first()) {
        (Value::Array(items), Some((step, rest))) if !items.is_empty() => {
            let index = step % items.len();
            if rest.is_empty() && change.is_none() {
                items.remove(index);
            } else {
                mutate(&mut items[index], rest, change);
            }
        }
        (Value::Object(fields), Some((step, rest))) if !fields.is_empty() => {
            let key = fields.keys().nth(step % fields.len()).expect("there are so many").clone();
            if rest.is_empty() && change.is_none() {
                fields.remove(&key);
            } else {
                mutate(&mut fields[&key], rest, change);
            }
        }
        (place, _) => *place = change.unwrap_or_default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8000) })]

    #[test]
    fn both_say_the_same_of_any_change(
        changes in proptest::collection::vec(
            (proptest::collection::vec(0..64_usize, 1..5), proptest::option::weighted(0.85, any_value())),
            1..4,
        ),
    ) {
        let mut classes = full();
        for (way, change) in changes {
            mutate(&mut classes, &way, change);
        }
        prop_assert_eq!(disagreement(&classes), None);
    }
}
