//! What storms do for a while is made to last, until the alarm goes off that tells of it.
//!
//! An alarm goes off by what its metric would be. Lambda and EventBridge Scheduler write some of the metrics: an
//! invocation that fails or dies counts as `Errors`, an answer of 5xx or a webhook that dies as `Url5xxCount`, and a
//! schedule that does not call as no `InvocationAttemptCount`.

use std::collections::BTreeSet;
use std::time::Duration;

use jitgate_tests::aws::{answers as aws, millis};
use jitgate_tests::chaos::{Knobs, Loss};
use jitgate_tests::github::answers as github;
use jitgate_tests::wire::{Answer, Fault, Faults};
use jitgate_tests::world::{JOB_QUEUE, START, World};

/// The threshold of `jobs-wait` and `jobs-starve`.
const LONG_MILLIS: i64 = 30 * 60 * 1000;

const MINUTE: Duration = Duration::from_mins(1);

/// How often `cleaner-errors` looks, and how often it has to see an error.
const PASSES: usize = 3;

fn always(faults: &Faults, of: Loss, answer: Answer) {
    faults.choose(Box::new(move |operation| (Loss::of_call(operation) == of).then(|| Fault::Refuse(answer.clone()))));
}

/// A worker works for a day on a job that it cannot launch. Returns the alarm that goes off first.
async fn worked_on(world: &World) -> &'static str {
    for _ in 0..24 * 60 {
        world.work().await;
        if let Some(alarm) = alarm_of_queues(world) {
            return alarm;
        }
        world.clock.advance(MINUTE);
    }
    "none"
}

/// The alarm that the queues set off now.
fn alarm_of_queues(world: &World) -> Option<&'static str> {
    let now = millis(world.clock.now());
    let oldest = world.aws.sqs.messages(JOB_QUEUE).iter().map(|message| message.sent_at).min();
    if !world.dead_letters().is_empty() {
        return Some("dead-letters");
    }
    if now - oldest? > LONG_MILLIS {
        return Some("jobs-wait");
    }
    // The message is younger than its job: it was deferred, and the worker counts the job in `JobsStarving`.
    (now - millis(START) > LONG_MILLIS).then_some("jobs-starve")
}

/// The cleaner passes in vain.
async fn passed(world: &World) -> &'static str {
    for _ in 0..PASSES {
        if world.clean().await.is_ok() {
            return "none";
        }
        world.clock.advance(MINUTE * 5);
    }
    "cleaner-errors"
}

/// A job is announced in vain.
async fn announced(world: &World) -> &'static str {
    let job = world.queue_job();
    if world.deliver_queued(job).await.status_code >= 500 { "webhook-refuses" } else { "none" }
}

/// Makes the loss last, and returns the alarms that go off.
async fn alarms_of(loss: Loss) -> BTreeSet<&'static str> {
    let mut world = World::new().await;
    let faults = |world: &World, answer| always(world.aws.faults(), loss, answer);
    match loss {
        Loss::GitHub => {
            world.queue_and_deliver().await;
            always(&world.api.faults, loss, github::server_error());
            [worked_on(&world).await, passed(&world).await].into()
        }
        Loss::RunTask => {
            world.queue_and_deliver().await;
            faults(&world, aws::server_exception());
            [worked_on(&world).await].into()
        }
        Loss::Capacity => {
            world.queue_and_deliver().await;
            always(world.aws.faults(), Loss::RunTask, aws::capacity_unavailable());
            [worked_on(&world).await].into()
        }
        Loss::Tasks => {
            world = World::with(&[("MAX_RUNNERS", "9")]).await;
            world.queue_and_deliver().await;
            faults(&world, aws::server_exception());
            [worked_on(&world).await, passed(&world).await].into()
        }
        Loss::Queue => {
            faults(&world, aws::unavailable());
            [announced(&world).await].into()
        }
        Loss::Secret => {
            world.queue_and_deliver().await;
            faults(&world, aws::error(500, "InternalServiceError", "An internal error occurred."));
            world.webhook = world.new_webhook().expect("a complete environment");
            [announced(&world).await, worked_on(&world).await, passed(&world).await].into()
        }
        Loss::EarlyEnds => {
            world.queue_and_deliver().await;
            for _ in 0..100 {
                world.work().await;
                for task in world.aws.ecs.live_tasks() {
                    world.aws.ecs.exit(&task.arn, 134);
                }
                world.heal().await.expect("a pass");
                world.clock.advance(MINUTE * 10);
            }
            alarm_of_queues(&world).into_iter().collect()
        }
        Loss::Dispatch => {
            world.start_tasks_after(MINUTE);
            world.github.behave(|behaviour| behaviour.dispatches = false);
            world.queue_and_deliver().await;
            let mut alarm = None;
            for _ in 0..24 {
                world.work().await;
                world.heal().await.expect("an event that is handled");
                world.clean().await.expect("a pass");
                alarm = alarm.or(alarm_of_queues(&world));
                world.pass(MINUTE * 5);
            }
            alarm.into_iter().collect()
        }
        Loss::WorkerDies => {
            world.queue_and_deliver().await;
            for _ in 0..40 {
                // The batch is never settled: its messages return when their visibility time-out is over.
                let _ = world.source.take();
                world.clock.advance(MINUTE);
            }
            alarm_of_queues(&world).into_iter().collect()
        }
        Loss::WebhookDies => ["webhook-refuses"].into(),
        Loss::CleanerDies => ["cleaner-errors"].into(),
        Loss::NoCleaner => ["cleaner-silent"].into(),
    }
}

#[tokio::test]
async fn each_loss_that_a_storm_knows_sets_off_an_alarm_of_basic_monitoring() {
    let mut told = BTreeSet::new();
    for loss in Knobs::storm(1).losses() {
        let alarms = alarms_of(loss).await;
        let basic = basic_alarms();
        assert!(!alarms.is_empty() && alarms.iter().all(|alarm| basic.contains(*alarm)), "{loss:?}: {alarms:?}");
        told.extend(alarms);
    }
    // No storm uses up the account's concurrency or switches the worker's event source off.
    let others: Vec<_> = basic_alarms().into_iter().filter(|alarm| !told.contains(alarm.as_str())).collect();
    assert_eq!(others, ["jobs-wait", "webhook-throttles"], "each other alarm tells of something: {told:?}");
}

#[tokio::test]
async fn a_queue_without_workers_sets_off_an_alarm() {
    let world = World::new().await;
    world.queue_and_deliver().await;
    world.clock.advance(MINUTE * 31);
    assert_eq!(alarm_of_queues(&world), Some("jobs-wait"));
}

fn file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the template's alarms with a condition.
fn alarms(condition: &str) -> BTreeSet<String> {
    let template = file("template.yaml");
    let resources = template.split("    Type: AWS::CloudWatch::Alarm\n").skip(1);
    let of_condition = resources.filter(|resource| resource.starts_with(&format!("    Condition: {condition}\n")));
    of_condition
        .map(|resource| {
            let (_, name) = resource.split_once("AlarmName: !Sub ${AWS::StackName}-").expect("its name");
            name.lines().next().expect("a line").to_owned()
        })
        .collect()
}

fn basic_alarms() -> BTreeSet<String> {
    alarms("HasMonitoring")
}

#[test]
fn both_deployments_and_the_document_agree_on_the_basic_alarms() {
    let basic = basic_alarms();
    let module = file("infra/terraform/monitoring.tf");
    let in_module: BTreeSet<_> = module
        .lines()
        .zip(module.lines().skip(1))
        .filter(|(_, next)| next.split_whitespace().eq(["basic", "=", "true"]))
        .map(|(line, _)| line.trim().trim_end_matches(" = {").to_owned())
        .collect();
    assert_eq!(in_module, basic);
    let page = file("docs/OPERATIONS.md");
    let (_, tables) = page.split_once("These alarms tell of lost jobs").expect("the first table");
    let (first, rest) = tables.split_once("Only `full` has these").expect("the second table");
    let (second, _) = rest.split_once("**Several deployments").expect("its end");
    let named = |table: &str| -> BTreeSet<String> {
        let rows = table.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
        rows.flat_map(|names| names.split(',')).map(|name| name.trim_matches([' ', '`']).to_owned()).collect()
    };
    assert_eq!((named(first), named(second)), (basic, alarms("HasFullMonitoring")));
}

#[test]
fn only_one_basic_alarm_watches_a_metric_of_our_own() {
    let template = file("template.yaml");
    let basic = template.split("    Type: AWS::CloudWatch::Alarm\n    Condition: HasMonitoring\n").skip(1);
    let ours = basic.filter(|resource| {
        resource.split("OKActions").next().is_some_and(|alarm| alarm.contains("Namespace: jitgate\n"))
    });
    let names: Vec<_> = ours.filter_map(|alarm| alarm.split_once("MetricName: ")?.1.lines().next()).collect();
    assert_eq!(names, ["JobsStarving"]);
}
