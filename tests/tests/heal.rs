//! Stories of the cleaner: what died half-way is healed, and what works is left alone.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cleaner::clean::CleanError;
use cleaner::{Cleaner, Event};
use jitgate::config::FleetConfig;
use jitgate::job::{JobId, RunnerId};
use jitgate_tests::aws::{answers, ecs};
use jitgate_tests::github::{self, EndOfLife, HookTarget, JobSpec, JobStatus, ORGANIZATION, Outcome, Scope, Secondary};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{Delivery, JOB_QUEUE, SECRET_ID, WEBHOOK_SECRET, World, runner_classes};
use serde_json::json;

const MINUTE: Duration = Duration::from_mins(1);

/// Five minutes, as the schedule has it.
const PASS: Duration = Duration::from_mins(5);

const BAD_IMAGE: &str = "CannotPullContainerError: pull image manifest has been retried 5 time(s)";

fn starts_after(world: &World, start: Duration) {
    world.aws.ecs.set_pace(ecs::Pace { start: Some(start), ..ecs::Pace::default() });
}

/// Time passes in which no runner does anything: a job that is on goes on.
fn stand_still(world: &World, time: Duration) {
    world.clock.advance(time);
    world.aws.ecs.settle();
}

/// A runner that is online without a job: its own was cancelled, and nobody told us.
async fn surplus(world: &mut World) -> RunnerId {
    starts_after(world, MINUTE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.github.cancel_job(job);
    world.pass(MINUTE);
    let runner = world.github.runners().remove(0);
    assert!(runner.online && runner.job.is_none());
    runner.id
}

/// A runner that works on its own job.
async fn at_work(world: &mut World) -> (JobId, RunnerId) {
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.run_runners();
    let runner = world.github.runners().remove(0);
    assert_eq!(runner.job, Some(job));
    (job, runner.id)
}

/// Does something at the moment a call of that operation comes in, for the first time.
fn meanwhile(faults: &jitgate_tests::wire::Faults, operation: &'static str, act: impl FnOnce() + Send + 'static) {
    let mut act = Some(act);
    faults.choose(Box::new(move |called| {
        if called == operation
            && let Some(act) = act.take()
        {
            act();
        }
        None
    }));
}

/// What is logged in the course of something.
async fn logged<T>(course: impl Future<Output = T>) -> (T, String) {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no test panics while it writes").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let outcome = course.await;
    drop(guard);
    let written = lines.0.lock().expect("no test panics while it writes");
    (outcome, String::from_utf8_lossy(&written).into_owned())
}

#[tokio::test]
async fn a_runner_without_a_job_is_retired_at_its_limit_counted_from_online() {
    let mut world = World::new().await;
    // Slow to start: not held against it.
    starts_after(&world, Duration::from_mins(15));
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.github.cancel_job(job);
    for _ in 0..3 {
        world.clean().await.unwrap();
        world.pass(PASS);
    }
    assert!(world.github.runners()[0].online);
    world.clean().await.unwrap();
    world.pass(PASS);
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 1, "noted ten minutes ago at most");
    world.pass(PASS);
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 0);
    let operations = world.api.calls.operations();
    assert_eq!(operations.iter().filter(|call| *call == "delete-runner").count(), 1);
    world.pass(MINUTE);
    world.assert_done(&[]);
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("delete-runner"), 1, "another pass changes nothing more");
}

#[tokio::test]
async fn the_idle_limit_is_the_classes_own() {
    let mut classes = runner_classes();
    classes[0]["idle_minutes"] = json!(30);
    let mut world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    surplus(&mut world).await;
    for _ in 0..6 {
        world.clean().await.unwrap();
        assert_eq!(world.live_tasks(), 1);
        world.pass(PASS);
    }
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 0);
}

#[tokio::test]
async fn a_runner_whose_busy_lags_by_a_minute_is_left_to_its_job() {
    let mut world = World::new().await;
    world.github.behave(|behaviour| behaviour.busy_lag = MINUTE);
    surplus(&mut world).await;
    world.clean().await.unwrap();
    world.pass(PASS * 2);
    // A job of which nobody has told us, seconds before the pass: `busy` does not say so yet.
    let job = world.queue_job();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.github.job(job).unwrap().status, JobStatus::InProgress);
    world.clean().await.unwrap();
    assert_eq!((world.live_tasks(), world.api_calls("delete-runner")), (1, 1), "GitHub refused");
    world.pass(PASS);
    world.assert_done(&[job]);
    assert_eq!(world.github.job(job).unwrap().conclusion.as_deref(), Some("success"));
}

#[tokio::test]
async fn a_runner_that_takes_a_job_between_look_and_deletion_stays() {
    let mut world = World::new().await;
    let runner = surplus(&mut world).await;
    world.clean().await.unwrap();
    world.pass(PASS * 2);
    let github = world.github.clone();
    meanwhile(&world.api.faults, "delete-runner", move || {
        github.queue_job(JobSpec::labels(["fargate"]));
        assert!(github.take_job(runner).unwrap().is_some());
    });
    world.clean().await.unwrap();
    assert_eq!((world.live_tasks(), world.api_calls("delete-runner")), (1, 1));
    assert!(world.github.runner(runner).unwrap().job.is_some());
}

#[tokio::test]
async fn a_task_is_stopped_only_once_its_registration_is_deleted_or_gone() {
    for (answer, is_stopped, fails) in [
        (github::answers::still_running("jit"), false, false),
        (github::answers::not_found(), true, false),
        (github::answers::server_error(), false, true),
        (github::answers::secondary_limit(Some(MINUTE)), false, false),
    ] {
        let mut world = World::new().await;
        surplus(&mut world).await;
        world.clean().await.unwrap();
        world.pass(PASS * 2);
        world.api.faults.script("delete-runner", Fault::Refuse(answer));
        assert_eq!(world.clean().await.is_err(), fails);
        assert_eq!(world.live_tasks() == 0, is_stopped);
        world.pass(PASS);
        world.clean().await.unwrap();
        assert_eq!(world.live_tasks(), 0, "the next pass makes up for it");
    }
}

#[tokio::test]
async fn a_runner_that_github_takes_for_idle_in_the_middle_of_its_job_stays() {
    let mut world = World::new().await;
    world.github.behave(|behaviour| behaviour.deletion_trusts_busy = true);
    let (job, runner) = at_work(&mut world).await;
    world.github.seem_idle(runner, true);
    for _ in 0..6 {
        stand_still(&world, PASS);
        world.clean().await.unwrap();
    }
    assert_eq!(world.live_tasks(), 1);
    world.pass(MINUTE);
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_runner_once_seen_busy_is_never_taken_for_idle_again() {
    let mut world = World::new().await;
    world.github.behave(|behaviour| behaviour.deletion_trusts_busy = true);
    let runner = surplus(&mut world).await;
    world.clean().await.unwrap();
    // Somebody else's job, in a repository that is not looked at.
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "another"));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.github.runner(runner).unwrap().job, Some(job));
    world.clean().await.unwrap();
    world.github.seem_idle(runner, true);
    for _ in 0..6 {
        stand_still(&world, PASS);
        world.clean().await.unwrap();
    }
    assert_eq!(world.live_tasks(), 1);
    world.pass(MINUTE);
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_task_whose_registration_is_gone_is_stopped_if_it_stays_so() {
    let mut world = World::new().await;
    let (job, runner) = at_work(&mut world).await;
    // Its job ends, its registration goes, and the container hangs.
    world.github.finish_job(runner, "success");
    assert!(world.github.runners().is_empty());
    world.clean().await.unwrap();
    stand_still(&world, PASS);
    world.clean().await.unwrap();
    stand_still(&world, PASS);
    assert_eq!(world.live_tasks(), 1, "noted");
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 0);
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_registration_that_a_list_skips_is_not_gone() {
    let mut world = World::new().await;
    at_work(&mut world).await;
    stand_still(&world, PASS * 2);
    for _ in 0..3 {
        let nothing = jitgate_tests::wire::json(200, &json!({ "total_count": 0, "runners": [] }));
        world.api.faults.script("list-runners", Fault::Refuse(nothing));
        world.clean().await.unwrap();
        stand_still(&world, PASS);
    }
    assert_eq!((world.live_tasks(), world.aws.calls().count("StopTask")), (1, 0));
    world.clean().await.unwrap();
    assert_eq!(world.aws.calls().count("UntagResource"), 1, "what was noted is taken back");
}

#[tokio::test]
async fn a_denied_question_about_versions_does_not_keep_registrations_from_being_cleaned() {
    let world = World::new().await;
    let name = format!("jit-default-1-1-{}", world.clock.now().unix_timestamp());
    let orphan = world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], true);
    world.clock.advance(MINUTE * 11);
    world.api.faults.script("runner-deprecations", Fault::Refuse(github::answers::forbidden()));
    world.clean().await.unwrap();
    assert!(world.github.runner(orphan).is_none());
    assert_eq!(world.api_calls("runner-deprecations"), 1);
}

#[tokio::test]
async fn a_runner_that_never_connects_is_taken_back_and_its_job_launched_again() {
    let mut world = World::new().await;
    starts_after(&world, Duration::from_hours(9));
    let job = world.queue_and_deliver().await;
    world.work().await;
    for _ in 0..4 {
        world.clean().await.unwrap();
        world.pass(PASS);
    }
    assert_eq!(world.live_tasks(), 1);
    world.pass(MINUTE);
    world.clean().await.unwrap();
    assert_eq!((world.live_tasks(), world.github.runners().len()), (0, 0));
    starts_after(&world, Duration::ZERO);
    world.heal().await.unwrap();
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_runner_that_connects_at_last_between_look_and_deletion_stays() {
    let mut world = World::new().await;
    starts_after(&world, Duration::from_hours(9));
    world.queue_and_deliver().await;
    world.work().await;
    world.pass(MINUTE * 21);
    let (github, runner) = (world.github.clone(), world.github.runners()[0].id);
    meanwhile(&world.api.faults, "get-runner", move || github.connect(runner).unwrap());
    world.clean().await.unwrap();
    assert_eq!((world.live_tasks(), world.api_calls("delete-runner")), (1, 0));
}

#[tokio::test]
async fn a_job_whose_task_did_not_start_is_launched_again_at_once() {
    for code in [ecs::StopCode::TaskFailedToStart, ecs::StopCode::SpotInterruption] {
        let mut world = World::new().await;
        starts_after(&world, MINUTE);
        let job = world.queue_and_deliver().await;
        world.work().await;
        let task = world.aws.ecs.live_tasks().remove(0);
        world.aws.ecs.stop(&task.arn, code, "bad luck");
        world.heal().await.unwrap();
        assert_eq!(world.waiting(), 1);
        assert_eq!(world.api_calls("list-runners"), 0, "about this one job only");
        world.work_until_quiet().await;
        assert_eq!(world.aws.ecs.started_by(&format!("jit-{job}-2")).len(), 1, "the next attempt");
        // The registration of the first one is an orphan.
        world.pass(PASS * 2);
        world.clean().await.unwrap();
        world.assert_done(&[job]);
    }
}

#[tokio::test]
async fn a_runner_that_crashes_before_its_job_is_replaced() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    let task = world.aws.ecs.live_tasks().remove(0);
    world.aws.ecs.exit(&task.arn, 134);
    world.heal().await.unwrap();
    assert_eq!(world.waiting(), 1);
    world.run_runners();
    world.work_until_quiet().await;
    assert_eq!(world.github.job(job).unwrap().status, JobStatus::Completed);
}

#[tokio::test]
async fn an_ordinary_end_costs_the_event_no_call() {
    let mut world = World::new().await;
    world.queue_and_deliver().await;
    world.work().await;
    world.pass(PASS);
    world.api.calls.clear();
    world.aws.calls().clear();
    world.heal().await.unwrap();
    assert!(world.api.calls.all().is_empty() && world.aws.calls().all().is_empty());
}

#[tokio::test]
async fn when_the_event_is_lost_the_schedule_heals() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(PASS);
    world.clean().await.unwrap();
    world.work_until_quiet().await;
    world.pass(PASS * 2);
    world.clean().await.unwrap();
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_job_whose_runner_was_taken_by_one_whose_own_never_came_is_launched_again() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    starts_after(&world, MINUTE);
    let thief = world.queue_and_deliver().await;
    world.work().await;
    starts_after(&world, Duration::from_secs(30));
    let robbed = world.queue_and_deliver().await;
    world.work().await;
    world.pass(Duration::from_secs(40));
    let taken_by = world.github.job(thief).expect("it exists").runner_name.expect("the other one's runner has it");
    assert!(taken_by.contains(&format!("-{robbed}-")), "{taken_by}");
    world.pass(MINUTE);
    world.heal().await.unwrap();
    world.work_until_quiet().await;
    for job in [thief, robbed] {
        assert_eq!(world.github.job(job).expect("it exists").status, JobStatus::Completed);
    }
}

#[tokio::test]
async fn a_question_that_github_fails_to_answer_is_asked_again_at_once() {
    for operation in ["get-job", "get-run"] {
        let mut world = World::new().await;
        world.aws.ecs.fail_next_start(BAD_IMAGE);
        let job = world.queue_and_deliver().await;
        world.work().await;
        world.pass(MINUTE);
        world.api.faults.script(operation, Fault::LoseAnswer);
        world.api.faults.script(operation, Fault::Refuse(github::answers::bad_gateway()));
        world.heal().await.unwrap();
        world.work_until_quiet().await;
        assert_eq!(world.github.job(job).expect("it exists").status, JobStatus::Completed, "{operation}");
    }
}

#[tokio::test]
async fn event_and_schedule_together_and_two_cleaners_at_once_make_one_runner() {
    let mut world = World::new().await;
    starts_after(&world, MINUTE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    let task = world.aws.ecs.live_tasks().remove(0);
    world.aws.ecs.stop(&task.arn, ecs::StopCode::TaskFailedToStart, BAD_IMAGE);
    stand_still(&world, MINUTE * 3);
    let (event, one, other) = tokio::join!(world.heal(), world.clean(), world.clean());
    assert!(event.is_ok() && one.is_ok() && other.is_ok());
    assert_eq!(world.waiting(), 3);
    for _ in 0..5 {
        world.work().await;
        world.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(world.live_tasks(), 1);
    let own = &world.aws.ecs.live_tasks()[0].tags["jitgate:runner-id"];
    let of_second = world.github.runners().into_iter().filter(|runner| runner.name.contains(&format!("-{job}-2-")));
    assert_eq!(of_second.map(|runner| runner.id.to_string()).collect::<Vec<_>>(), std::slice::from_ref(own));
    world.work_until_quiet().await;
    world.pass(PASS * 2);
    let (one, other) = tokio::join!(world.clean(), world.clean());
    assert!(one.is_ok() && other.is_ok());
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_job_that_no_longer_waits_is_not_launched_again() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.github.cancel_job(job);
    world.pass(PASS);
    world.heal().await.unwrap();
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn a_job_that_no_launch_helps_is_given_up_loudly() {
    let mut world = World::new().await;
    for _ in 0..20 {
        world.aws.ecs.fail_next_start(BAD_IMAGE);
    }
    let job = world.queue_and_deliver().await;
    for _ in 0..400 {
        world.work().await;
        world.pass(Duration::from_secs(5));
        let (outcome, lines) = logged(world.heal()).await;
        outcome.unwrap();
        if !world.dead_letters().is_empty() {
            let line = lines.lines().find(|line| line.contains("job given up")).expect("said aloud");
            assert!(
                line.contains("\"ERROR\"") && line.contains(BAD_IMAGE) && line.contains(&job.to_string()),
                "{line}"
            );
            break;
        }
    }
    let reasons = world.dead_letters();
    assert_eq!(reasons, [format!("8 launches came to nothing, the last one: {BAD_IMAGE}")]);
    assert_eq!(world.aws.ecs.tasks().len(), 8);
    for _ in 0..12 {
        world.pass(PASS);
        world.clean().await.unwrap();
    }
    world.work().await;
    assert_eq!(world.aws.ecs.tasks().len(), 8, "and it stays so while ECS shows the tasks");
    assert!(world.dead_letters().len() <= 2, "once more at most, should the event have been lost");
}

#[tokio::test]
async fn a_task_older_than_its_class_allows_is_stopped() {
    let mut classes = runner_classes();
    classes[0]["lifetime_minutes"] = json!(60);
    let mut world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    let (job, _) = at_work(&mut world).await;
    stand_still(&world, MINUTE * 60);
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 1);
    stand_still(&world, MINUTE);
    world.clean().await.unwrap();
    world.pass(MINUTE);
    assert_eq!(world.live_tasks(), 0);
    assert_eq!(world.github.job(job).unwrap().conclusion.as_deref(), Some("cancelled"));
    assert_eq!(world.aws.ecs.tasks().len(), 1, "it had its runner");
}

#[tokio::test]
async fn a_queued_job_of_a_run_that_has_ended_is_left() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(MINUTE);
    world.github.close_run(world.github.job(job).unwrap().run_id);
    world.heal().await.unwrap();
    for _ in 0..12 {
        world.pass(PASS);
        world.clean().await.unwrap();
    }
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn a_job_whose_runner_was_stolen_gets_another_and_the_thief_is_named() {
    let mut world = World::new().await;
    // An older job with the same labels, in a repository that sends us nothing.
    let thief = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "no-hooks"));
    let (victim, runner) = {
        let job = world.queue_and_deliver().await;
        world.work().await;
        world.run_runners();
        (job, world.github.runners().remove(0).id)
    };
    assert_eq!(world.github.runner(runner).unwrap().job, Some(thief));
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 0, "too early to tell");
    stand_still(&world, MINUTE * 6);
    let (outcome, lines) = logged(world.clean()).await;
    outcome.unwrap();
    assert_eq!(world.waiting(), 1);
    assert!(lines.contains("its runner has another job"), "{lines}");
    stand_still(&world, PASS);
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 1, "once is enough for a while");
    world.work_until_quiet().await;
    world.assert_done(&[thief, victim]);
}

#[tokio::test]
async fn the_thief_is_named_where_its_repository_is_looked_at() {
    let mut world = World::with(&[("RECONCILE_REPOSITORIES", "octo-org/*")]).await;
    let thief = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "no-hooks"));
    world.queue_and_deliver().await;
    world.work().await;
    world.run_runners();
    stand_still(&world, MINUTE * 6);
    let (outcome, lines) = logged(world.clean()).await;
    outcome.unwrap();
    let line = lines.lines().find(|line| line.contains("job launched again")).expect("it is");
    assert!(line.contains(&thief.to_string()) && line.contains("octo-org/no-hooks"), "{line}");
}

#[tokio::test]
async fn a_job_whose_registration_vanished_before_it_came_gets_another_runner() {
    let mut world = World::new().await;
    starts_after(&world, Duration::from_hours(9));
    let job = world.queue_and_deliver().await;
    world.work().await;
    assert!(world.github.delete_registration(world.github.runners()[0].id));
    starts_after(&world, Duration::ZERO);
    stand_still(&world, MINUTE * 6);
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 1);
    world.work_until_quiet().await;
    world.clean().await.unwrap();
    world.pass(PASS);
    world.clean().await.unwrap();
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_job_of_which_nobody_told_us_is_found_in_the_repositories_of_recent_tasks() {
    let mut world = World::new().await;
    let told = world.queue_and_deliver().await;
    world.work().await;
    world.pass(PASS);
    let untold = world.queue_job();
    let not_ours = world.github.queue_job(JobSpec::labels(["windows"]));
    world.pass(MINUTE * 4);
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 0, "its delivery may be on its way");
    world.pass(MINUTE * 2);
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 1);
    world.pass(MINUTE);
    world.clean().await.unwrap();
    world.work_until_quiet().await;
    world.assert_done(&[told, untold]);
    assert_eq!(world.github.job(not_ours).unwrap().status, JobStatus::Queued);
}

#[tokio::test]
async fn a_job_of_which_nobody_told_us_is_found_where_the_setting_says() {
    for (setting, is_found) in
        [("", false), ("octo-org/octo-repo", true), ("octo-org/o*", true), ("*/*", true), ("octo-org/x*", false)]
    {
        let mut world = World::with(&[("RECONCILE_REPOSITORIES", setting)]).await;
        // Another job of the same run is on already: the run is not queued any more.
        let first = world.queue_job();
        let run = world.github.job(first).unwrap().run_id;
        let runner = world.github.orphan(&Scope::org(ORGANIZATION), "somebody-elses", &["fargate"], true);
        world.github.connect(runner).unwrap();
        assert!(world.github.take_job(runner).unwrap().is_some());
        let untold = world.github.queue_job(JobSpec::labels(["fargate"]).of_run(run));
        stand_still(&world, MINUTE * 6);
        world.clean().await.unwrap();
        world.work_until_quiet().await;
        let status = world.github.job(untold).unwrap().status;
        assert_eq!(status == JobStatus::Completed, is_found, "{setting:?}: {status:?}");
    }
}

#[tokio::test]
async fn jobs_that_wait_in_our_own_queue_are_not_sent_again() {
    let mut world = World::with(&[("RECONCILE_REPOSITORIES", "octo-org/octo-repo")]).await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(world.queue_and_deliver().await);
    }
    for _ in 0..12 {
        world.work().await;
        world.clean().await.unwrap();
        world.pass(PASS);
    }
    assert_eq!(world.waiting(), 10);
    // Of this one nobody has told: one more waits than messages are on the queue.
    jobs.push(world.queue_job());
    world.pass(MINUTE * 6);
    world.clean().await.unwrap();
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::default());
    world.work_until_quiet().await;
    world.assert_done(&jobs);
}

#[tokio::test]
async fn looking_for_jobs_costs_a_bounded_number_of_calls() {
    let world = World::with(&[("RECONCILE_REPOSITORIES", "octo-org/*")]).await;
    world.github.limit(|limits| limits.secondary = None);
    for number in 0..300 {
        world.github.queue_job(JobSpec::labels(["windows"]).in_repository(ORGANIZATION, &format!("r{number}")));
    }
    stand_still(&world, MINUTE * 6);
    world.clean().await.unwrap();
    assert!(
        world.api_calls("list-runs") + world.api_calls("list-run-jobs") <= 200,
        "{:?}",
        world.api_calls("list-runs")
    );
    let first: Vec<_> = world.api.calls.all().into_iter().filter(|call| call.operation == "list-runs").collect();
    world.api.calls.clear();
    stand_still(&world, PASS);
    world.clean().await.unwrap();
    let second: Vec<_> = world.api.calls.all().into_iter().filter(|call| call.operation == "list-runs").collect();
    assert_ne!(first[0].target, second[0].target, "each pass begins elsewhere");
}

#[tokio::test]
async fn jobs_that_cannot_be_looked_at_do_not_keep_registrations_from_being_cleaned() {
    let mut world = World::new().await;
    world.queue_and_deliver().await;
    world.work().await;
    world.pass(PASS);
    let name = format!("jit-default-1-1-{}", world.clock.now().unix_timestamp());
    let orphan = world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
    world.clock.advance(PASS * 3);
    world.api.faults.script_times("list-runs", Fault::Refuse(github::answers::forbidden()), 9);
    assert!(matches!(world.clean().await, Err(CleanError::Incomplete(1))));
    assert!(world.github.runner(orphan).is_none());
}

/// Sends what GitHub would send now; answers how many of it.
async fn send(world: &World, is_up: bool) -> usize {
    let deliveries = world.github.take_deliveries();
    for delivery in &deliveries {
        let status = if is_up {
            world.request(&Delivery::signed(&delivery.event, &delivery.body[..])).await.status_code
        } else {
            503
        };
        world.github.delivered(delivery.id, Outcome { status, body: "x".to_owned() });
    }
    deliveries.len()
}

#[tokio::test]
async fn failed_deliveries_are_repeated_until_they_succeed() {
    let mut world = World::new().await;
    world.github.add_hook(HookTarget::App, "https://webhook.example");
    let lost = world.queue_job();
    assert_eq!(send(&world, false).await, 1);
    let heard = world.queue_job();
    assert_eq!(send(&world, true).await, 1);
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("redeliver"), 0, "give it a minute");
    world.clock.advance(MINUTE * 2);
    // Two cleaners, and the webhook is down still.
    world.clean().await.unwrap();
    assert_eq!((world.api_calls("redeliver"), send(&world, false).await), (1, 1));
    world.clock.advance(PASS);
    world.clean().await.unwrap();
    assert_eq!((world.api_calls("redeliver"), send(&world, true).await), (2, 1));
    for _ in 0..5 {
        world.clock.advance(PASS);
        world.clean().await.unwrap();
    }
    assert_eq!(world.api_calls("redeliver"), 2, "never one that has succeeded");
    world.work_until_quiet().await;
    send(&world, true).await;
    world.assert_done(&[lost, heard]);
}

/// So many deliveries have failed, a while ago.
async fn fail_deliveries(world: &World, count: usize) {
    world.github.add_hook(HookTarget::App, "https://webhook.example");
    for _ in 0..count {
        world.queue_job();
    }
    assert_eq!(send(world, false).await, count);
    world.clock.advance(MINUTE * 2);
}

#[tokio::test]
async fn once_github_limits_redeliveries_the_rest_is_left_to_the_next_pass() {
    let world = World::new().await;
    fail_deliveries(&world, 30).await;
    world.github.limit(|limits| limits.secondary = Some(Secondary { points: 60, ..Secondary::default() }));
    let (outcome, lines) = logged(world.clean()).await;
    outcome.unwrap();
    assert!((1..30).contains(&world.api_calls("redeliver")), "{}", world.api_calls("redeliver"));
    assert_eq!(world.github.meters()["app"].refused, 1);
    assert!(!lines.contains(r#""level":"ERROR""#), "{lines}");
    let mut repeated = send(&world, true).await;
    for _ in 0..5 {
        world.clock.advance(PASS);
        world.clean().await.unwrap();
        repeated += send(&world, true).await;
    }
    assert_eq!(repeated, 30);
}

#[tokio::test]
async fn a_pass_repeats_a_hundred_deliveries_at_most() {
    let world = World::new().await;
    fail_deliveries(&world, 130).await;
    world.clean().await.unwrap();
    assert_eq!((world.api_calls("redeliver"), send(&world, true).await), (100, 100));
    world.clock.advance(PASS);
    world.clean().await.unwrap();
    assert_eq!((world.api_calls("redeliver"), send(&world, true).await), (130, 30));
}

#[tokio::test]
async fn a_delivery_that_never_succeeds_is_repeated_a_few_times_only() {
    let world = World::new().await;
    world.github.add_hook(HookTarget::App, "https://webhook.example");
    world.queue_job();
    send(&world, false).await;
    for _ in 0..6 * 10 {
        world.clock.advance(MINUTE * 24);
        world.clean().await.unwrap();
        send(&world, false).await;
    }
    assert_eq!(world.api_calls("redeliver"), 5);
}

#[tokio::test]
async fn an_organisations_hook_is_looked_after_with_a_token_that_may() {
    const URL: &str = "https://webhook.example/";
    let world = World::with(&[("WEBHOOK_URL", URL)]).await;
    world.github.add_personal_token("ghp_standin", &["admin:org", "admin:org_hook", "repo"]);
    let secret = json!({ "token": "ghp_standin", "webhook_secret": WEBHOOK_SECRET });
    world.aws.secrets.put(SECRET_ID, &secret.to_string());
    world.github.add_hook(HookTarget::Scope(Scope::org(ORGANIZATION)), URL.trim_end_matches('/'));
    world.github.add_hook(HookTarget::Scope(Scope::org(ORGANIZATION)), "https://somebody-elses.example");
    world.queue_job();
    assert_eq!(send(&world, false).await, 2);
    world.clock.advance(MINUTE * 2);
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("redeliver"), 1, "not somebody else's: {:?}", world.api.calls.operations());
    assert_eq!(send(&world, true).await, 1);
    world.clock.advance(PASS);
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("redeliver"), 1);
}

#[tokio::test]
async fn with_a_token_and_repository_scope_the_repositories_of_tasks_are_cleaned() {
    let mut world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    world.github.add_personal_token("ghp_standin", &["admin:org", "repo"]);
    let secret = json!({ "token": "ghp_standin", "webhook_secret": WEBHOOK_SECRET });
    world.aws.secrets.put(SECRET_ID, &secret.to_string());
    world.queue_and_deliver().await;
    world.work().await;
    let name = format!("jit-default-1-1-{}", world.clock.now().unix_timestamp());
    let orphan = world.github.orphan(&Scope::repo(ORGANIZATION, "octo-repo"), &name, &["fargate"], false);
    world.pass(PASS * 3);
    world.clean().await.unwrap();
    assert!(world.github.runner(orphan).is_none());
}

#[tokio::test]
async fn a_registration_under_an_old_name_is_not_taken_from_a_launch_that_goes_on() {
    let mut world = World::new().await;
    world.aws.ecs.set_pace(ecs::Pace { start: Some(MINUTE), appear: Duration::from_secs(30), ..ecs::Pace::default() });
    let job = world.queue_and_deliver().await;
    let body = world.aws.sqs.messages(JOB_QUEUE)[0].body.clone();
    world.aws.sqs.purge(JOB_QUEUE);
    // A try long ago was not settled, so its name is kept.
    stand_still(&world, Duration::from_mins(20));
    let unsettled = body.replacen("\"attempt\":1", "\"attempt\":1,\"unsettled\":true", 1);
    assert_ne!(unsettled, body);
    world.aws.sqs.put(JOB_QUEUE, &unsettled);
    world.work().await;
    assert_eq!((world.aws.ecs.tasks().len(), world.github.runners().len()), (1, 1));
    // Its task is not listed yet; between the two looks it comes to be.
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
async fn an_end_of_the_runners_version_is_warned_of() {
    let day = time::Duration::days(1);
    for (offered, end_in_days, floor, is_warned) in [
        (true, Some(5), "", true),
        (true, Some(20), "", false),
        (true, None, "9.9.9", false),
        (false, Some(5), "2.336.0", true),
        (false, Some(5), "2.335.0", false),
        (false, None, "", false),
    ] {
        let mut world = World::with(&[("RUNNER_VERSION_FLOOR", floor)]).await;
        let registration = end_in_days.map(|days| world.clock.now() + day * days);
        world.github.behave(|behaviour| {
            behaviour.deprecations_offered = offered;
            behaviour.end_of_life =
                [("2.336.0".to_owned(), EndOfLife { registration, runtime: None })].into_iter().collect();
        });
        at_work(&mut world).await;
        let (outcome, lines) = logged(world.clean()).await;
        outcome.unwrap();
        assert_eq!(lines.contains("raise the image"), is_warned, "{offered} {end_in_days:?} {floor}: {lines}");
        assert_eq!(world.api_calls("runner-deprecations"), 1);
    }
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let mut world = World::with(&[("DRY_RUN", "true")]).await;
    world.github.add_hook(HookTarget::App, "https://webhook.example");
    surplus(&mut world).await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    starts_after(&world, Duration::ZERO);
    world.queue_and_deliver().await;
    world.work().await;
    send(&world, false).await;
    let name = format!("jit-default-1-1-{}", world.clock.now().unix_timestamp());
    world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
    stand_still(&world, MINUTE * 14);
    world.api.calls.clear();
    world.aws.calls().clear();
    let (outcome, lines) = logged(world.clean()).await;
    outcome.unwrap();
    world.heal().await.unwrap();
    let changes = world.api.calls.all().into_iter().filter(|call| !call.target.starts_with("GET"));
    let changes: Vec<_> = changes.filter(|call| call.operation != "access-token").collect();
    assert!(changes.is_empty(), "{changes:?}");
    let reads = ["ListTasks", "DescribeTasks", "GetSecretValue"];
    let operations = world.aws.calls().operations();
    assert!(operations.iter().all(|operation| reads.contains(&operation.as_str())), "{operations:?}");
    for said in ["would be done", "DeleteRegistration", "Note", "Relaunch", "would be delivered again"] {
        assert!(lines.contains(said), "{said}: {lines}");
    }
}

#[tokio::test]
async fn a_pass_whose_time_runs_out_leaves_the_rest_to_the_next() {
    let world = World::with(&[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    for number in 0..40 {
        let name = format!("jit-default-{number}-1-{}", world.clock.now().unix_timestamp());
        world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
    }
    world.clock.advance(MINUTE * 11);
    let config = FleetConfig::from_environment(&world.environment()).unwrap();
    let cleaner = Cleaner::new(&world.aws.sdk_config(), config, world.clock.clone());
    let until = world.clock.now() + time::Duration::seconds(100);
    // Each deletion takes five seconds.
    let clock = world.clock.clone();
    world.api.faults.choose(Box::new(move |operation| {
        if operation == "delete-runner" {
            clock.advance(Duration::from_secs(5));
        }
        None
    }));
    cleaner.handle_until(&Event::Schedule, Some(until)).await.unwrap();
    let left = world.github.runners().len();
    assert!((5..30).contains(&left), "{left} left");
    assert!(world.clock.now() < until);
    world.api.faults.clear();
    world.clean().await.unwrap();
    assert!(world.github.runners().is_empty());
}

#[tokio::test]
async fn deletions_wait_for_their_turn_behind_launches() {
    let mut world = World::new().await;
    for number in 0..200 {
        let name = format!("jit-default-{number}-1-{}", world.clock.now().unix_timestamp());
        world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
    }
    world.clock.advance(MINUTE * 11);
    world.clean().await.unwrap();
    let left = world.github.runners().len();
    assert!((20..100).contains(&left), "{left} left");
    // There is room for two batches of launches at once.
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

#[tokio::test]
async fn without_the_list_of_accounts_the_rest_is_done() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(PASS);
    world.api.faults.script("list-installations", Fault::Refuse(github::answers::unavailable()));
    assert!(matches!(world.clean().await, Err(CleanError::Incomplete(1))));
    assert_eq!(world.waiting(), 1);
    world.work_until_quiet().await;
    assert_eq!(world.github.job(job).unwrap().status, JobStatus::Completed);
}

#[tokio::test]
async fn a_stop_that_fails_shows_and_is_made_good_by_the_next_pass() {
    let mut world = World::new().await;
    surplus(&mut world).await;
    world.clean().await.unwrap();
    world.pass(PASS * 2);
    world.aws.faults().script("StopTask", Fault::Refuse(answers::server_exception()));
    assert!(matches!(world.clean().await, Err(CleanError::Incomplete(1))));
    assert!(world.github.runners().is_empty(), "the registration went first");
    // The runner ends by itself, or is a ghost: then the two looks at the missing registration follow.
    for _ in 0..2 {
        stand_still(&world, PASS);
        world.clean().await.unwrap();
    }
    assert_eq!(world.live_tasks(), 0);
}
