//! A registration that no task will use is deleted; no other is.

use std::time::Duration;

use cleaner::{CleanError, Cleaner, Event};
use jitgate::clock::Clock;
use jitgate::config::FleetConfig;
use jitgate_tests::aws::{answers, ecs};
use jitgate_tests::github::{self, JobSpec, ORGANIZATION, Scope};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{JOB_QUEUE, World};

use crate::{GRACE, MINUTE, PASS, is_there};

#[tokio::test]
async fn an_orphan_is_deleted_after_the_grace_and_not_before() {
    let world = World::new().await;
    let orphan = world.orphan(&Scope::org(ORGANIZATION), 1);
    world.clock.advance(GRACE);
    world.clean().await.unwrap();
    assert!(is_there(&world, orphan));
    world.clock.advance(Duration::from_secs(1));
    world.clean().await.unwrap();
    assert!(!is_there(&world, orphan));
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("delete-runner"), 1, "a second pass deletes nothing");
}

#[tokio::test]
async fn a_registration_that_is_live_busy_or_foreign_stays() {
    let mut world = World::new().await;
    let scope = Scope::org(ORGANIZATION);
    let foreign = world.github.orphan(&scope, "build-box-1", &["fargate"], true);
    let birth = world.clock.now().unix_timestamp();
    let another_fleet = world.github.orphan(&scope, &format!("jiteu-default-1-1-{birth}"), &["fargate"], true);
    world.start_tasks_after(Duration::from_hours(1));
    world.queue_and_deliver().await;
    world.work().await;
    let starting = world.github.runners().into_iter().find(|runner| runner.name.starts_with("jit-")).expect("one").id;
    let online = world.orphan(&scope, 2);
    world.github.connect(online).unwrap();
    // It loses its connection while it works: it is offline, but busy.
    world.github.behave(|behaviour| behaviour.lost_job_after = Duration::from_hours(2));
    let busy = world.orphan(&scope, 3);
    world.queue_job();
    world.github.connect(busy).unwrap();
    world.github.take_job(busy).unwrap().expect("a job");
    world.github.kill(busy);
    world.clock.advance(GRACE + Duration::from_mins(1));
    world.clean().await.unwrap();
    for runner in [foreign, another_fleet, starting, online, busy] {
        assert!(is_there(&world, runner));
    }
    world.pass(Duration::from_secs(1));
    assert_eq!(world.api_calls("delete-runner"), 0);
}

#[tokio::test]
async fn a_registration_under_an_old_name_is_not_taken_from_a_launch_under_way() {
    let mut world = World::new().await;
    world.aws.ecs.set_pace(ecs::Pace { start: Some(MINUTE), appear: Duration::from_secs(30), ..ecs::Pace::default() });
    let job = world.queue_and_deliver().await;
    let body = world.aws.sqs.messages(JOB_QUEUE)[0].body.clone();
    world.aws.sqs.purge(JOB_QUEUE);
    // An earlier try left the message unsettled, so the next keeps its name.
    world.stand_still(Duration::from_mins(20));
    let unsettled = body.replacen("\"attempt\":1", "\"attempt\":1,\"unsettled\":true", 1);
    assert_ne!(unsettled, body);
    world.aws.sqs.put(JOB_QUEUE, &unsettled);
    world.work().await;
    assert_eq!((world.aws.ecs.tasks().len(), world.github.runners().len()), (1, 1));
    // ECS does not list its task yet; it starts between the cleaner's two lists.
    let clock = world.clock.clone();
    let mut lists = 0;
    world.aws.faults().choose(Box::new(move |operation| {
        lists += usize::from(operation == "ListTasks");
        if operation == "ListTasks" && lists == 3 {
            clock.advance(Duration::from_secs(45));
        }
        None
    }));
    world.clean().await.unwrap();
    assert_eq!(world.github.runners().len(), 1, "it is about to be used");
    world.aws.faults().clear();
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_refused_or_late_deletion_is_no_failure_and_a_failed_one_is_reported_after_the_others() {
    for (answer, left, fails) in [
        (github::answers::still_running("jit"), 1, false),
        // It may only mean that the token is new, so the call is made again.
        (github::answers::not_found(), 0, false),
        (github::answers::error(400, "nobody knows why"), 1, true),
    ] {
        // Without pacing: while the clock stands still, the pacer earns no points for a deletion.
        let mut world = World::with(&[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
        if fails {
            world.let_github_talk_nonsense();
        }
        for job in 0..3 {
            world.orphan(&Scope::org(ORGANIZATION), job);
        }
        world.clock.advance(GRACE * 2);
        world.api.faults.script("delete-runner", Fault::Refuse(answer));
        let outcome = world.clean().await;
        assert_eq!(world.github.runners().len(), left, "the others are deleted");
        match (fails, outcome) {
            (true, Err(CleanError::Incomplete(1))) | (false, Ok(())) => {}
            (_, outcome) => panic!("{outcome:?}"),
        }
    }
}

#[tokio::test]
async fn without_the_list_of_tasks_nothing_is_deleted() {
    for operation in ["ListTasks", "DescribeTasks"] {
        let world = World::new().await;
        world.queue_and_deliver().await;
        world.work().await;
        let orphan = world.orphan(&Scope::org(ORGANIZATION), 1);
        world.clock.advance(GRACE * 2);
        world.aws.faults().script_times(operation, Fault::Refuse(answers::server_exception()), 5);
        assert!(matches!(world.clean().await, Err(CleanError::Tasks(_))), "{operation}");
        assert!(is_there(&world, orphan));
    }
}

#[tokio::test]
async fn lists_of_any_length_are_read_a_hundred_at_a_time() {
    // Without pacing: while the clock stands still, the pacer earns no points for so many deletions.
    let world = World::with(&[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    for job in 0..250 {
        world.orphan(&Scope::org(ORGANIZATION), job);
    }
    for _ in 0..15 {
        for _ in 0..10 {
            let job = world.github.queue_job(JobSpec::labels(["fargate"]));
            world.deliver_queued(job).await;
        }
    }
    world.github.limit(|limits| limits.secondary = None);
    while world.live_tasks() < 150 {
        world.work().await;
        world.clock.advance(Duration::from_secs(5));
    }
    world.clock.advance(GRACE + Duration::from_mins(1));
    world.api.calls.clear();
    world.aws.calls().clear();
    world.clean().await.unwrap();
    assert_eq!(world.github.runners().len(), 150, "those with a task");
    assert_eq!(world.api_calls("list-runners"), 4);
    assert_eq!(world.aws.calls().count("ListTasks"), 5, "two pages of live tasks, twice, and one of stopped tasks");
    assert_eq!(world.aws.calls().count("DescribeTasks"), 4);
    assert_eq!(world.api_calls("delete-runner"), 250);
}

/// On the system's clock, since the pauses between deletions matter here.
#[tokio::test]
async fn deletions_that_must_wait_for_their_turn_all_get_it() {
    let world = World::on(Clock::system(), &[]).await;
    let born = world.clock.now() - GRACE * 2;
    for number in 0..16 {
        let name = format!("jit-default-{number}-1-{}", born.unix_timestamp());
        let orphan = world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
        world.github.connect(orphan).unwrap();
        world.github.kill(orphan);
    }
    let config = FleetConfig::from_environment(&world.environment()).unwrap();
    let cleaner = Cleaner::new(&world.aws.sdk_config(), config, world.clock.clone());
    let until = world.clock.now() + time::Duration::minutes(1);
    cleaner.handle_until(&Event::Schedule, Some(until)).await.unwrap();
    assert_eq!(world.github.runners().len(), 0, "left");
}

#[tokio::test]
async fn deletions_wait_for_their_turn_behind_launches() {
    let mut world = World::new().await;
    for number in 0..200 {
        world.orphan(&Scope::org(ORGANIZATION), number);
    }
    world.clock.advance(MINUTE * 11);
    world.clean().await.unwrap();
    let left = world.github.runners().len();
    assert!((20..100).contains(&left), "{left} left");
    // Two batches of launches fit at once.
    for _ in 0..20 {
        world.queue_and_deliver().await;
    }
    world.work().await;
    assert_eq!(world.aws.ecs.tasks().len(), 20);
    world.pass(MINUTE * 5);
    let mut passes = 0;
    while !world.github.runners().is_empty() {
        world.clean().await.unwrap();
        world.clock.advance(PASS);
        passes += 1;
        assert!(passes < 20);
    }
    let meter = &world.github.meters()["installation 77"];
    assert_eq!(meter.refused, 0);
}

/// Runners from before March 2026 end with 0 when GitHub turns them away. Only the registration tells such an end from that after a
/// job.
#[tokio::test]
async fn a_pass_that_cannot_list_stopped_tasks_deletes_no_registration() {
    let mut world = World::new().await;
    world.github.behave(|behaviour| (behaviour.turns_runners_away, behaviour.runners_say_why) = (true, false));
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(MINUTE * 12);
    world.github.behave(|behaviour| behaviour.turns_runners_away = false);
    // No task lives, so none but stopped ones are described.
    let refuse = |operation: &str| (operation == "DescribeTasks").then(|| Fault::Refuse(answers::throttling()));
    world.aws.faults().choose(Box::new(refuse));
    world.clean().await.expect_err("a step failed");
    assert_eq!(world.github.runners().len(), 1, "it tells the next pass that nobody has seen to the job");
    world.aws.faults().clear();
    world.clean().await.expect("a pass");
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}
