//! The pure functions on every path, alone: `cargo bench -p jitgate-bench --bench decisions`.

use std::hint::black_box;

use cleaner::plan::{Seen, SeenPlace, Settings, World, plan_cleanup};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jitgate::classes::{Asked, RunnerClasses, systems};
use jitgate::config::WebhookConfig;
use jitgate::ecs::{TaskArn, TaskView};
use jitgate::github::{Account, Place, Runner, RunnerStatus, Scope};
use jitgate::job::RunnerId;
use jitgate::names::NamePrefix;
use jitgate_tests::payloads::{WorkflowJobEvent, sign};
use jitgate_tests::world::{WEBHOOK_SECRET, runner_classes};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use webhook::delivery;
use webhook::signature::Signature;

const NOW: OffsetDateTime = time::macros::datetime!(2026-11-02 09:00 UTC);

const REGISTRATIONS: u64 = 10_000;
const TASKS: u64 = 3_000;

fn classes() -> RunnerClasses {
    RunnerClasses::parse(&runner_classes().to_string()).expect("the tests' own classes")
}

fn deliveries(criterion: &mut Criterion) {
    let event = WorkflowJobEvent::queued().labels(["fargate", "linux"]).with("/repository/description", json!(""));
    let missing = (12 * 1024_usize).saturating_sub(event.bytes().len());
    let body = event.with("/repository/description", json!("~".repeat(missing))).bytes();
    let signature = sign(WEBHOOK_SECRET, &body);
    let (classes, queue) = (runner_classes().to_string(), "https://sqs.eu-central-1.amazonaws.com/1/jobs");
    let variables = [("JOB_QUEUE_URL", queue), ("GITHUB_SECRET_ID", "jitgate/github"), ("RUNNER_CLASSES", &classes)];
    let config = WebhookConfig::from_environment(&variables.into_iter().collect()).expect("a complete environment");
    let mut group = criterion.benchmark_group("delivery of 12 KB");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("verify", |bencher| {
        bencher.iter(|| {
            let signature = Signature::parse(black_box(&signature)).expect("well formed");
            assert!(signature.is_of(WEBHOOK_SECRET.as_bytes(), black_box(&body)));
        });
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| delivery::read("workflow_job", "id", black_box(&body), &config, NOW));
    });
    group.finish();
}

fn fitting(criterion: &mut Criterion) {
    let classes: Vec<_> = (0..50)
        .map(|number| {
            json!({
                "name": format!("class-{number}"), "labels": ["linux", format!("size-{number}")],
                "task_definition": "runner", "subnets": ["subnet-1"],
            })
        })
        .collect();
    let classes = RunnerClasses::parse(&json!(classes).to_string()).expect("fifty classes");
    let [first, last, none] = ["size-0", "size-49", "size-50"].map(|size| ["linux".to_owned(), size.to_owned()]);
    let mut group = criterion.benchmark_group("labels among 50 classes");
    for (name, labels) in [("first", first), ("last", last), ("none", none)] {
        group.bench_function(name, |bencher| {
            let asked = Asked { owner: "octo-org", repository: "octo-repo", labels: &labels };
            bencher.iter(|| classes.fit(black_box(&asked)).is_ok());
        });
    }
    group.finish();
}

fn translating(criterion: &mut Criterion) {
    let class = json!([{
        "name": "all", "labels": ["fargate"], "task_definition": { "x86_64": "runner", "arm64": "runner-arm64" },
        "subnets": ["subnet-1"], "compatible": systems().collect::<Vec<_>>(),
        "sizes": { "cpu": 16, "memory": 120, "disk": 200, "arch": true, "spot": true, "run": true },
    }]);
    let classes = RunnerClasses::parse(&class.to_string()).expect("one class");
    let mut group = criterion.benchmark_group("labels of all other systems");
    for (name, label) in [
        ("one value", "blacksmith-8vcpu-ubuntu-2404-arm"),
        ("combined", "runs-on=7/cpu=4/ram=16/family=m7a/image=ubuntu24-full-x64"),
        ("own", "fargate"),
        ("none", "ubuntu-latest"),
    ] {
        let labels = [label.to_owned()];
        group.bench_function(name, |bencher| {
            let asked = Asked { owner: "octo-org", repository: "octo-repo", labels: &labels };
            bencher.iter(|| classes.fit(black_box(&asked)).is_ok());
        });
    }
    group.bench_function("reading", |bencher| {
        let class = class.to_string();
        bencher.iter(|| RunnerClasses::parse(black_box(&class)).is_ok());
    });
    group.finish();
}

fn planning(criterion: &mut Criterion) {
    let born_at = (NOW - Duration::minutes(30)).unix_timestamp();
    let runners = (0..REGISTRATIONS).map(|id| Runner {
        id: RunnerId(id),
        name: format!("jit-default-{id}-1-{born_at}"),
        status: RunnerStatus::Online,
        busy: id % 2 == 0,
        version: Some("2.338.0".to_owned()),
    });
    let tasks = (0..TASKS).map(|id| TaskView {
        arn: TaskArn(format!("arn:{id}")),
        started_by: format!("jit-{id}-1"),
        runner_id: Some(RunnerId(id)),
        runner_name: Some(format!("jit-default-{id}-1-{born_at}")),
        created_at: Some(NOW - Duration::minutes(30)),
        repository: Some("octo-org/octo-repo".to_owned()),
        class: Some("default".to_owned()),
        ..TaskView::default()
    });
    let account = Account { login: "octo-org".to_owned(), is_organization: true, repository: None, installation: None };
    let place = Place { account, scope: Scope::Organization("octo-org".to_owned()) };
    let places = vec![SeenPlace { place, runners: runners.collect(), after_tasks: false, is_served: true }];
    let seen = Seen { places, live: tasks.collect(), ..Seen::default() };
    let (classes, prefix) = (classes(), NamePrefix::default());
    criterion.bench_function("plan of 10,000 registrations and 3,000 tasks", |bencher| {
        bencher.iter(|| {
            let mut world = World::of(NOW, Settings { prefix: &prefix, classes: &classes }, black_box(&seen));
            world.look_again(&seen.live);
            plan_cleanup(&world)
        });
    });
}

criterion_group!(decisions, deliveries, fitting, translating, planning);
criterion_main!(decisions);
