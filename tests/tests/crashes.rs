//! The worker dies right before and right after each of its calls, on every path of a launch. Wherever it dies: after
//! its message returned, the job ran once, on one task, and nothing is left.

use std::time::Duration;

use jitgate::job::JobId;
use jitgate_tests::aws::{answers, ecs};
use jitgate_tests::chaos::gateway::Gateway;
use jitgate_tests::chaos::tripwire::{Side, Tripwire};
use jitgate_tests::github::{self, JobStatus};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{VISIBILITY, World, invoke, runner_classes};
use serde_json::json;

const GENERATE: &str = "generate-jitconfig";

/// How an invocation ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Died,
    /// It ended by itself, after these calls.
    Finished(Vec<String>),
}

/// A case: a world in which the next batch has one message, and what must hold in the end.
struct Case {
    world: World,
    job: JobId,
    /// Faults of the invocation that dies; later invocations meet none.
    faults: Vec<(&'static str, Fault)>,
    /// How many tasks the job may have in total.
    tasks: std::ops::RangeInclusive<usize>,
    ends: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Done,
    GivenUp,
    Cancelled,
}

impl Case {
    fn new(world: World, job: JobId) -> Self {
        Self { world, job, faults: Vec::new(), tasks: 1..=1, ends: Ends::Done }
    }
}

/// Handles the next batch in a new process.
async fn invoke_with(world: &World, tripwire: &std::sync::Arc<Tripwire>) -> End {
    let gateway = Gateway::open(world, |service| tripwire.before(service)).await;
    let worker = gateway.worker(world);
    let batch = world.source.take().expect("a batch");
    tokio::select! {
        () = tripwire.tripped() => End::Died,
        answer = invoke(&worker, batch.event().clone()) => {
            world.source.settle(&batch, &answer);
            End::Finished(tripwire.calls())
        }
    }
}

/// The calls of a new worker on the ordinary path.
const ORDINARY: [&str; 4] = ["GetSecretValue", "access-token", GENERATE, "RunTask"];

/// The worker of the next batch dies after this call of the ordinary path, and its message returns.
async fn die_after(world: &World, operation: &str) {
    let call = ORDINARY.iter().position(|call| *call == operation).expect("a call of the ordinary path") + 1;
    let tripwire = Tripwire::at(call, Side::After);
    assert_eq!(Box::pin(invoke_with(world, &tripwire)).await, End::Died);
    assert_eq!(tripwire.calls(), ORDINARY[..call]);
    world.clock.advance(VISIBILITY);
}

/// Kills the invocation at each point in turn, until it ends by itself. Returns the calls of that invocation.
async fn die_everywhere(name: &str, case: impl AsyncFn() -> Case) -> Vec<String> {
    for call in 1.. {
        for side in [Side::Before, Side::After] {
            let Case { mut world, job, faults, tasks, ends } = Box::pin(case()).await;
            let tripwire = Tripwire::at(call, side);
            for (operation, fault) in faults {
                tripwire.faults.script(operation, fault);
            }
            let end = Box::pin(invoke_with(&world, &tripwire)).await;
            let point = format!("{name}: died {side:?} call {call} of {:?}", tripwire.calls());
            Box::pin(recover(&mut world)).await;
            assert_ended(&world, job, &tasks, ends, &point);
            if let End::Finished(calls) = end {
                return calls;
            }
        }
    }
    unreachable!("an invocation ends")
}

/// The message returns to a new process, without further faults.
async fn recover(world: &mut World) {
    world.worker = world.new_worker().expect("a complete environment");
    for _ in 0..60 {
        world.work().await;
        world.pass(Duration::from_secs(30));
        if world.waiting() == 0 && world.live_tasks() == 0 {
            break;
        }
    }
    world.pass(Duration::from_mins(2));
}

fn assert_ended(world: &World, job: JobId, tasks: &std::ops::RangeInclusive<usize>, ends: Ends, point: &str) {
    let there = world.github.job(job).expect("it exists");
    let is_well = match ends {
        Ends::Done => (there.status, there.times_taken) == (JobStatus::Completed, 1),
        Ends::GivenUp => there.status == JobStatus::Queued,
        Ends::Cancelled => (there.status, there.times_taken) == (JobStatus::Completed, 0),
    };
    assert!(is_well, "{point}: the job is {:?}, taken {} times", there.status, there.times_taken);
    let started = world.aws.ecs.tasks().len();
    assert!(tasks.contains(&started), "{point}: {started} tasks, {tasks:?} expected");
    assert_eq!((world.live_tasks(), world.waiting()), (0, 0), "{point}: live tasks and messages");
    assert!(world.github.runners().is_empty(), "{point}: {:?}", world.github.runners());
    let letters = world.dead_letters().len();
    assert!(if ends == Ends::GivenUp { letters > 0 } else { letters == 0 }, "{point}: {letters} dead letters");
}

/// How long tasks take to start: they have not started, or have long ended, when the message returns.
const STARTS: [Duration; 2] = [Duration::from_mins(8), Duration::from_secs(1)];

async fn world(start: Duration) -> World {
    world_with(start, &[]).await
}

async fn world_with(start: Duration, changes: &[(&str, &str)]) -> World {
    let world = World::with(changes).await;
    world.start_tasks_after(start);
    world
}

#[tokio::test]
async fn on_the_ordinary_path() {
    for start in STARTS {
        let calls = die_everywhere("ordinary", async || {
            let world = world(start).await;
            let job = world.queue_and_deliver().await;
            Case::new(world, job)
        });
        assert_eq!(calls.await, ORDINARY);
    }
}

#[tokio::test]
async fn when_the_name_is_taken_by_an_earlier_try() {
    for start in STARTS {
        let calls = die_everywhere("name taken", async || {
            let world = world(start).await;
            let job = world.queue_and_deliver().await;
            die_after(&world, GENERATE).await;
            Case::new(world, job)
        });
        let calls = calls.await;
        // Then it looks for the spare names that the earlier try may have taken, and deletes what it has found.
        let mut then = calls.iter().skip_while(|call| *call != "RunTask").skip(1);
        assert_eq!(then.find(|call| *call != "list-runners").map(String::as_str), Some("delete-runner"), "{calls:?}");
    }
}

#[tokio::test]
async fn when_the_task_was_started_by_an_earlier_try() {
    for start in STARTS {
        let calls = die_everywhere("task started", async || {
            let world = world(start).await;
            let job = world.queue_and_deliver().await;
            die_after(&world, "RunTask").await;
            Case::new(world, job)
        });
        calls.await;
    }
}

#[tokio::test]
async fn when_a_second_delivery_meets_the_task_of_the_first() {
    let calls = die_everywhere("conflict", async || {
        let world = world(STARTS[0]).await;
        let job = world.queue_and_deliver().await;
        world.work().await;
        world.clock.advance(Duration::from_secs(3));
        world.deliver_queued(job).await;
        Case::new(world, job)
    });
    let calls = calls.await;
    assert!(
        calls.ends_with(&["RunTask", "delete-runner", "DescribeTasks", "get-runner"].map(str::to_owned)),
        "{calls:?}"
    );
}

#[tokio::test]
async fn when_a_late_second_delivery_meets_a_task_that_has_stopped() {
    for start in STARTS {
        let calls = die_everywhere("stopped", async || {
            let world = World::new().await;
            world.aws.ecs.set_pace(ecs::Pace { start: None, ..ecs::Pace::default() });
            let job = world.queue_and_deliver().await;
            world.work().await;
            let first = world.aws.ecs.live_tasks().remove(0);
            world.aws.ecs.stop(&first.arn, ecs::StopCode::UserInitiated, "reaped");
            assert!(world.github.delete_registration(world.github.runners()[0].id));
            world.start_tasks_after(start);
            world.clock.advance(Duration::from_mins(20));
            world.deliver_queued(job).await;
            Case { tasks: 2..=2, ..Case::new(world, job) }
        });
        let calls = calls.await;
        assert!(calls.ends_with(&["DescribeTasks", "get-job", "SendMessage"].map(str::to_owned)), "{calls:?}");
    }
}

#[tokio::test]
async fn when_the_registration_of_the_living_task_is_gone() {
    for start in STARTS {
        let calls = die_everywhere("registration gone", async || {
            let world = World::new().await;
            world.aws.ecs.set_pace(ecs::Pace { start: None, ..ecs::Pace::default() });
            let job = world.queue_and_deliver().await;
            world.work().await;
            assert!(world.github.delete_registration(world.github.runners()[0].id));
            world.start_tasks_after(start);
            world.clock.advance(Duration::from_mins(2));
            // With an App the new process would have a new token, and take nothing for gone yet.
            world.use_personal_token(&["admin:org", "repo"]);
            world.deliver_queued(job).await;
            Case { tasks: 2..=2, ..Case::new(world, job) }
        });
        assert!(calls.await.contains(&"StopTask".to_owned()));
    }
}

#[tokio::test]
async fn on_the_way_to_a_deferral() {
    for (operation, fault, times, sends) in [
        // The worker repeats the call once.
        ("RunTask", Fault::Refuse(answers::throttling()), 2, true),
        ("RunTask", Fault::LoseAnswer, 1, true),
        ("RunTask", Fault::Misreport(answers::server_exception()), 2, true),
        (GENERATE, Fault::Refuse(github::answers::secondary_limit(Some(Duration::from_secs(20)))), 1, true),
        (GENERATE, Fault::Misreport(github::answers::server_error()), 1, false),
        (GENERATE, Fault::LoseAnswer, 1, false),
    ] {
        for start in STARTS {
            let name = format!("{operation} {fault:?}");
            let calls = die_everywhere(&name, async || {
                let world = world(start).await;
                let job = world.queue_and_deliver().await;
                // After a 500 the registration is deleted, so a task that was started nevertheless cannot take the job.
                let tasks = if matches!(fault, Fault::Misreport(_)) { 1..=2 } else { 1..=1 };
                Case { faults: vec![(operation, fault.clone()); times], tasks, ..Case::new(world, job) }
            });
            assert_eq!(calls.await.contains(&"SendMessage".to_owned()), sends, "{name}");
        }
    }
}

#[tokio::test]
async fn on_the_way_to_the_next_capacity() {
    let mut classes = runner_classes();
    classes[0]["capacity"] = json!(["spot", "on-demand"]);
    for start in STARTS {
        let calls = die_everywhere("next capacity", async || {
            let world = world_with(start, &[("RUNNER_CLASSES", &classes.to_string())]).await;
            let job = world.queue_and_deliver().await;
            world.aws.ecs.set_limit(ecs::Provider::Spot, ecs::Limit::exhausted());
            Case::new(world, job)
        });
        assert!(calls.await.ends_with(&["RunTask", "RunTask"].map(str::to_owned)));
        let none = answers::failure(answers::CAPACITY_UNAVAILABLE);
        let calls = die_everywhere("no capacity", async || {
            let world = world_with(start, &[("RUNNER_CLASSES", &classes.to_string())]).await;
            let job = world.queue_and_deliver().await;
            // Both placements, three times.
            Case { faults: vec![("RunTask", Fault::Refuse(none.clone())); 6], ..Case::new(world, job) }
        });
        let calls = calls.await;
        assert!(
            calls.ends_with(&["RunTask", "RunTask", "delete-runner", "SendMessage"].map(str::to_owned)),
            "{calls:?}"
        );
    }
}

#[tokio::test]
async fn on_the_way_to_giving_up() {
    let calls = die_everywhere("giving up", async || {
        let world = world(STARTS[1]).await;
        // Fargate has no such size.
        world.aws.ecs.add_task_definition(ecs::TaskDefinition { memory: 1, ..ecs::TaskDefinition::new("runner") });
        let job = world.queue_and_deliver().await;
        Case { tasks: 0..=0, ends: Ends::GivenUp, ..Case::new(world, job) }
    });
    let calls = calls.await;
    assert!(calls.ends_with(&["RunTask", "delete-runner", "SendMessage"].map(str::to_owned)), "{calls:?}");
}

#[tokio::test]
async fn on_the_way_to_a_release() {
    let calls = die_everywhere("release", async || {
        let world = world(STARTS[0]).await;
        let job = world.queue_and_deliver().await;
        world.work().await;
        world.github.cancel_job(job);
        world.deliver(&world.github.event(job, "completed")).await;
        Case { ends: Ends::Cancelled, ..Case::new(world, job) }
    });
    assert!(calls.await.contains(&"StopTask".to_owned()));
}
