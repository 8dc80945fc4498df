//! Stories of the worker: one runner for one job, whatever comes twice, late, or not at all.

use std::time::Duration;

use jitgate::clock::Clock;
use jitgate::ecs::{JIT_CONFIG_VARIABLE, JOB_VARIABLE, LONGEST_OVERRIDES};
use jitgate::job::{JobId, JobMessage};
use jitgate_tests::aws::{answers, ecs};
use jitgate_tests::github::{self, INSTALLATION, JobSpec, JobStatus, ORGANIZATION, Scope};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{JOB_QUEUE, SECRET_ID, VISIBILITY, World, invoke, runner_classes};
use serde_json::{Value, json};

const GENERATE: &str = "generate-jitconfig";

/// One live task, and one registration: its own.
fn assert_one_runner(world: &World) {
    let (tasks, runners) = (world.aws.ecs.live_tasks(), world.github.runners());
    assert_eq!((tasks.len(), runners.len()), (1, 1), "{runners:?}");
    assert_eq!(tasks[0].tags["jitgate:runner-id"], runners[0].id.to_string());
}

async fn work_once(world: &World, worker: &worker::Worker) -> Vec<String> {
    let event = world.source.take().expect("a batch");
    let answer = invoke(worker, event.event().clone()).await;
    world.source.settle(&event, &answer).returned
}

#[tokio::test]
async fn a_queued_job_gets_a_runner_runs_and_leaves_nothing_behind() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    assert_one_runner(&world);
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn the_task_is_what_the_class_says_and_leads_back_to_its_job() {
    let world = World::new().await;
    let job = world.github.queue_job(JobSpec::labels(["Fargate", "linux"]).with_id(JobId(4711)));
    world.deliver_queued(job).await;
    world.work().await;
    let task = world.aws.ecs.live_tasks().remove(0);
    let runner = world.github.runners().remove(0);
    assert_eq!(runner.labels, ["Fargate", "linux"], "exactly the job's labels");
    assert_eq!(runner.name, "jit-default-4711-1-1793610000");
    assert_eq!(runner.group_id, 1);
    assert_eq!(task.started_by.as_deref(), Some("jit-4711-1"));
    let environment = task.environment();
    assert_eq!(world.github.recognise(&environment[JIT_CONFIG_VARIABLE]), Some(runner.id));
    assert_eq!(JobMessage::parse(&environment[JOB_VARIABLE]).unwrap().job_id, job);
    let call = world.aws.calls().all().into_iter().find(|call| call.operation == "RunTask").expect("it was called");
    let mut request: Value = serde_json::from_str(&call.body).expect("JSON");
    for variable in request["overrides"]["containerOverrides"][0]["environment"].as_array_mut().expect("a list") {
        variable["value"] = "…".into();
    }
    for tag in request["tags"].as_array_mut().expect("a list") {
        if tag["key"] == "jitgate:runner-id" {
            tag["value"] = "…".into();
        }
    }
    insta::assert_json_snapshot!(request);
}

#[tokio::test]
async fn a_warm_job_costs_one_call_to_github_and_one_to_ecs() {
    let world = World::new().await;
    world.queue_and_deliver().await;
    world.work().await;
    world.api.calls.clear();
    world.aws.calls().clear();
    world.queue_and_deliver().await;
    assert_eq!(world.aws.calls().operations(), ["SendMessage"], "the webhook's one call");
    world.aws.calls().clear();
    world.work().await;
    assert_eq!(world.api.calls.operations(), [GENERATE]);
    assert_eq!(world.aws.calls().operations(), ["RunTask"]);
}

#[tokio::test]
async fn a_batch_is_worked_on_side_by_side_with_one_token_for_all() {
    let mut world = World::new().await;
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(world.queue_and_deliver().await);
    }
    world.work().await;
    assert_eq!(world.live_tasks(), 10);
    assert_eq!(world.github.tokens_made(), 1);
    assert_eq!(world.aws.calls().count("GetSecretValue"), 2, "once by the webhook, once by the worker");
    world.pass(Duration::from_mins(5));
    world.assert_done(&jobs);
}

#[tokio::test]
async fn one_poison_record_does_not_hurt_its_neighbours() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    for poison in ["", "no JSON", "{}", r#"{"v":99,"job_id":1}"#, "[]"] {
        world.aws.sqs.put(JOB_QUEUE, poison);
    }
    let other = world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.live_tasks(), 2);
    let reasons = world.dead_letters();
    assert_eq!(reasons.len(), 5);
    assert!(reasons.iter().all(|reason| reason.contains("job message")), "{reasons:?}");
    world.pass(Duration::from_mins(5));
    assert_eq!(world.waiting(), 0);
    assert_eq!(world.github.job(job).unwrap().status, JobStatus::Completed);
    assert_eq!(world.github.job(other).unwrap().status, JobStatus::Completed);
}

#[tokio::test]
async fn without_a_known_dead_letter_queue_a_poison_record_returns_alone() {
    let world = World::with(&[("DEAD_LETTER_QUEUE_URL", "")]).await;
    world.aws.sqs.put(JOB_QUEUE, "no JSON");
    world.queue_and_deliver().await;
    let poison = world.aws.sqs.messages(JOB_QUEUE)[0].id.clone();
    assert_eq!(work_once(&world, &world.worker).await, [poison]);
    assert_eq!(world.live_tasks(), 1);
}

#[tokio::test]
async fn overrides_that_are_too_long_fail_with_their_size_and_leave_no_registration() {
    let world = World::with(&[("RUNNER_CLASSES", &class_with("container", json!("c".repeat(4000))))]).await;
    world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.aws.calls().count("RunTask"), 0);
    let reason = world.dead_letters().remove(0);
    assert!(reason.contains(&LONGEST_OVERRIDES.to_string()), "{reason}");
    let size: usize = reason.split_whitespace().find_map(|word| word.parse().ok()).expect("a number");
    assert!((8193..10_000).contains(&size), "{reason}");
    assert!(world.github.runners().is_empty());
}

fn class_with(key: &str, value: Value) -> String {
    let mut classes = runner_classes();
    classes[0][key] = value;
    classes.to_string()
}

#[tokio::test]
async fn a_refused_launch_takes_its_registration_back_and_is_given_up_with_ecs_words() {
    for refusal in [
        answers::invalid_parameter("The subnet ID 'subnet-1' does not exist"),
        answers::client_exception("TaskDefinition not found."),
        answers::failure("MISSING"),
    ] {
        let world = World::new().await;
        world.queue_and_deliver().await;
        world.aws.faults().script("RunTask", Fault::Refuse(refusal));
        world.work().await;
        assert!(world.github.runners().is_empty());
        assert_eq!((world.waiting(), world.live_tasks()), (0, 0));
        let reason = world.dead_letters().remove(0);
        assert!(reason.starts_with("ECS refuses: "), "{reason}");
    }
}

#[tokio::test]
async fn no_capacity_is_not_an_error_and_costs_no_retries() {
    for refusal in [
        answers::failure("RESOURCE:FARGATE"),
        answers::failure(answers::CAPACITY_UNAVAILABLE),
        answers::capacity_unavailable(),
        answers::throttling(),
        answers::invalid_parameter("Error retrieving subnet information: (ErrorCode: RequestLimitExceeded, ...)"),
        answers::client_exception(answers::VCPU_QUOTA),
        answers::client_exception(answers::TASK_QUOTA),
        answers::failure("A REASON NOBODY KNOWS"),
        answers::error(400, "BrandNewException", "never seen before"),
        answers::server_exception(),
        answers::unavailable(),
    ] {
        let mut world = World::new().await;
        let job = world.queue_and_deliver().await;
        world.aws.faults().script_times("RunTask", Fault::Refuse(refusal), 6);
        world.work().await;
        assert!(world.github.runners().is_empty(), "the registration waits for nobody");
        assert_eq!(world.waiting(), 1);
        world.work_until_quiet().await;
        world.assert_done(&[job]);
    }
}

#[tokio::test]
async fn many_jobs_that_wait_for_capacity_do_not_use_up_githubs_budget() {
    let mut world = World::new().await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    let mut jobs = Vec::new();
    for _ in 0..100 {
        jobs.push(world.queue_and_deliver().await);
    }
    for _ in 0..60 {
        world.work().await;
        world.clock.advance(Duration::from_secs(10));
    }
    let (registrations, looks) = (world.api_calls(GENERATE), world.api_calls("get-job"));
    assert!(registrations < 30, "{registrations} in ten minutes, {} if every job tried by itself", 100 * 6);
    assert!(looks < registrations, "one of them is asked about for all: {looks}");
    assert!(world.github.runners().is_empty());
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::tasks(1000));
    for _ in 0..120 {
        world.work().await;
        world.pass(Duration::from_secs(10));
    }
    world.pass(Duration::from_mins(5));
    // The worker follows ten swaps of runners in a row. The cleaner finds a job that is left without one after more.
    world.clean().await.unwrap();
    world.work_until_quiet().await;
    world.assert_done(&jobs);
}

#[tokio::test]
async fn a_job_whose_runner_another_one_took_gets_the_others() {
    let mut world = World::new().await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    let waits = world.queue_and_deliver().await;
    world.work().await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::tasks(100));
    let robbed = world.queue_and_deliver().await;
    world.worker = world.new_worker().unwrap();
    world.work().await;
    world.pass(Duration::from_secs(1));
    assert_eq!(world.github.job(waits).unwrap().status, JobStatus::InProgress, "on the runner made for the other");
    assert_eq!(world.github.job(robbed).unwrap().status, JobStatus::Queued);
    world.work_until_quiet().await;
    world.assert_done(&[waits, robbed]);
}

#[tokio::test]
async fn a_job_that_ended_while_it_waited_for_capacity_is_dropped() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    world.work().await;
    world.github.cancel_job(job);
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::tasks(100));
    world.work_until_quiet().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 0, 0));
}

#[tokio::test]
async fn a_job_waits_for_capacity_as_long_as_github_lets_it_and_then_is_dropped() {
    let mut world = World::new().await;
    world.queue_and_deliver().await;
    world.aws.faults().script_times("RunTask", Fault::Refuse(answers::failure("RESOURCE:FARGATE")), 10_000);
    let mut rounds = 0;
    while world.waiting() > 0 {
        world.work().await;
        world.clock.advance(Duration::from_mins(1));
        rounds += 1;
        assert!(rounds < 25 * 60, "it waits for ever");
    }
    assert!(rounds > 24 * 60 - 10, "dropped after {rounds} minutes");
    assert_eq!(world.dead_letters(), Vec::<String>::new());
    let tries = world.aws.calls().count("RunTask");
    assert!((250..400).contains(&tries), "{tries} tries in a day");
    world.pass(Duration::from_secs(1));
}

#[tokio::test]
async fn the_same_message_twice_makes_one_runner() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    let body = world.aws.sqs.messages(JOB_QUEUE)[0].body.clone();
    world.aws.sqs.put(JOB_QUEUE, &body);
    world.work().await;
    assert_one_runner(&world);
    world.aws.sqs.put(JOB_QUEUE, &body);
    world.work().await;
    assert_one_runner(&world);
    world.pass(Duration::from_mins(5));
    world.aws.sqs.put(JOB_QUEUE, &body);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn two_deliveries_for_one_job_make_one_runner() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.clock.advance(Duration::from_secs(3));
    world.deliver_queued(job).await;
    world.work().await;
    assert_one_runner(&world);
    world.clock.advance(Duration::from_secs(3));
    world.deliver_queued(job).await;
    world.work().await;
    assert_one_runner(&world);
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_late_second_queued_gets_a_runner_when_the_first_one_is_gone() {
    let mut world = World::new().await;
    world.aws.ecs.set_pace(ecs::Pace { start: None, ..ecs::Pace::default() });
    let job = world.queue_and_deliver().await;
    world.work().await;
    let first = world.aws.ecs.live_tasks().remove(0);
    world.aws.ecs.stop(&first.arn, ecs::StopCode::UserInitiated, "reaped while the environment waited for approval");
    let registration = world.github.runners().remove(0).id;
    assert!(world.github.delete_registration(registration));
    world.aws.ecs.set_pace(ecs::Pace::default());
    world.clock.advance(Duration::from_mins(50));
    world.deliver_queued(job).await;
    world.work().await;
    assert_one_runner(&world);
    assert!(world.github.runners()[0].name.contains(&format!("-{job}-2-")), "the second attempt");
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_runner_that_died_before_its_job_is_replaced_when_the_job_is_told_again() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start("CannotPullContainerError: pull image manifest has been retried 5 time(s)");
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(Duration::from_mins(1));
    assert_eq!((world.live_tasks(), world.github.runners().len()), (0, 1), "a registration that nobody will use");
    world.deliver_queued(job).await;
    world.work_until_quiet().await;
    assert_eq!(world.github.job(job).unwrap().status, JobStatus::Completed);
    assert_eq!(world.live_tasks(), 0);
}

#[tokio::test]
async fn a_busy_runner_lives_on_when_github_once_does_not_show_it() {
    let mut world = World::new().await;
    let thief = world.queue_job();
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.run_runners();
    let runner = world.github.runners().remove(0);
    assert_eq!(runner.job, Some(thief));
    world.clock.advance(Duration::from_secs(61));
    world.deliver_queued(job).await;
    world.api.faults.script("get-runner", Fault::Refuse(github::answers::not_found()));
    world.work().await;
    assert_one_runner(&world);
    assert_eq!(world.github.runners()[0].id, runner.id);
    world.pass(Duration::from_mins(5));
    let thief = world.github.job(thief).unwrap();
    assert_eq!((thief.times_taken, thief.conclusion.as_deref()), (1, Some("success")));
    for _ in 0..4 {
        world.clean().await.unwrap();
        world.work_until_quiet().await;
    }
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_lost_answer_of_github_leaves_no_second_registration() {
    for fault in [Fault::LoseAnswer, Fault::Misreport(github::answers::server_error()), Fault::Drop] {
        for times in [1, 3] {
            let mut world = World::new().await;
            let job = world.queue_and_deliver().await;
            world.api.faults.script_times(GENERATE, fault.clone(), times);
            work_until_quiet_but_running(&mut world).await;
            assert_one_runner(&world);
            world.pass(Duration::from_mins(5));
            world.assert_done(&[job]);
        }
    }
}

/// Works until nothing waits, without letting runners go to work.
async fn work_until_quiet_but_running(world: &mut World) {
    for _ in 0..50 {
        world.work().await;
        if world.waiting() == 0 {
            return;
        }
        world.clock.advance(Duration::from_secs(5));
    }
    panic!("something still waits");
}

#[tokio::test]
async fn a_lost_answer_of_ecs_leaves_no_second_task() {
    for fault in [Fault::LoseAnswer, Fault::Misreport(answers::server_exception()), Fault::Drop] {
        let mut world = World::new().await;
        let job = world.queue_and_deliver().await;
        world.aws.faults().script("RunTask", fault);
        world.aws.ecs.set_pace(ecs::Pace { start: Some(Duration::from_mins(2)), ..ecs::Pace::default() });
        work_until_quiet_but_running(&mut world).await;
        assert_one_runner(&world);
        world.pass(Duration::from_mins(10));
        world.assert_done(&[job]);
    }
}

#[tokio::test]
async fn a_worker_that_dies_after_registering_leaves_nothing_once_another_takes_over() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    // The process dies: its message is neither deleted nor answered for.
    world.aws.faults().script("RunTask", Fault::Drop);
    let batch = world.source.take().expect("a batch");
    let _ = invoke(&world.worker, batch.event().clone()).await;
    assert_eq!((world.live_tasks(), world.github.runners().len()), (0, 1));
    world.aws.sqs.purge(JOB_QUEUE);
    world.aws.sqs.put(JOB_QUEUE, batch.event()["Records"][0]["body"].as_str().expect("a body"));
    world.worker = world.new_worker().unwrap();
    world.work().await;
    assert_one_runner(&world);
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_limit_defers_the_whole_installation_without_another_call() {
    let mut world = World::new().await;
    let first = world.queue_and_deliver().await;
    world.work().await;
    let mut jobs = vec![first];
    for _ in 0..10 {
        jobs.push(world.queue_and_deliver().await);
    }
    world.api.calls.clear();
    let limit = github::answers::secondary_limit(Some(Duration::from_secs(90)));
    world.api.faults.script_times(GENERATE, Fault::Refuse(limit), 10);
    let before = world.clock.now();
    world.work().await;
    let heard = world.api_calls(GENERATE);
    assert!(heard <= 10, "only calls already under way");
    world.clock.advance(Duration::from_secs(80));
    world.work().await;
    assert_eq!(world.api_calls(GENERATE), heard, "nothing is called during the pause");
    assert_eq!(world.waiting(), 10);
    world.api.faults.clear();
    world.work_until_quiet().await;
    assert!(world.clock.now() - before > time::Duration::seconds(90));
    world.assert_done(&jobs);
}

#[tokio::test]
async fn a_spent_hour_defers_until_it_is_over() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    let reset = world.clock.now() + Duration::from_mins(40);
    world.api.faults.script(GENERATE, Fault::Refuse(github::answers::primary_limit(reset)));
    world.work().await;
    for _ in 0..39 {
        world.clock.advance(Duration::from_mins(1));
        world.work().await;
    }
    assert_eq!(world.api_calls(GENERATE), 1);
    world.clock.advance(Duration::from_mins(2));
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_denied_credential_stops_calls_and_the_jobs_wait_until_it_is_mended() {
    let mut world = World::new().await;
    world.github.grant(INSTALLATION, &[("metadata", "read"), ("actions", "read")]);
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(world.queue_and_deliver().await);
    }
    world.work().await;
    let calls = world.api.calls.all().len();
    assert!(calls <= 2, "{:?}", world.api.calls.operations());
    world.clock.advance(Duration::from_mins(4));
    world.work().await;
    assert_eq!(world.api.calls.all().len(), calls, "left alone for a while");
    assert_eq!((world.waiting(), world.dead_letters().len()), (10, 0), "the messages are not burnt");
    world.github.grant(INSTALLATION, &github::PERMISSIONS);
    world.clock.advance(Duration::from_mins(2));
    world.work_until_quiet().await;
    world.assert_done(&jobs);
}

#[tokio::test]
async fn what_somebody_must_mend_in_aws_keeps_the_jobs_waiting() {
    for (call, answer) in [
        ("RunTask", answers::access_denied("RunTask")),
        ("RunTask", answers::invalid_parameter("TaskDefinition is inactive")),
        ("RunTask", answers::client_exception("TaskDefinition is inactive")),
        ("GetSecretValue", answers::access_denied("GetSecretValue")),
        ("GetSecretValue", answers::error(400, "ResourceNotFoundException", "no such secret")),
    ] {
        let mut world = World::new().await;
        let job = world.queue_and_deliver().await;
        world.aws.faults().script(call, Fault::Refuse(answer));
        world.work().await;
        assert_eq!((world.waiting(), world.dead_letters().len(), world.github.runners().len()), (1, 0, 0), "{call}");
        world.clock.advance(Duration::from_mins(4));
        world.work().await;
        assert_eq!(world.live_tasks(), 0, "{call}: left alone for a while");
        world.clock.advance(Duration::from_mins(2));
        world.work_until_quiet().await;
        world.assert_done(&[job]);
    }
}

#[tokio::test]
async fn a_role_that_may_not_list_tasks_keeps_a_job_waiting_whose_name_is_taken() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.api.faults.script(GENERATE, Fault::LoseAnswer);
    world.aws.faults().script("ListTasks", Fault::Refuse(answers::access_denied("ListTasks")));
    world.work().await;
    world.clock.advance(Duration::from_mins(4));
    world.work().await;
    assert_eq!((world.waiting(), world.live_tasks(), world.dead_letters().len()), (1, 0, 0), "left alone for a while");
    world.clock.advance(Duration::from_mins(2));
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_full_runner_group_defers_like_missing_capacity() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    let full = github::answers::validation_failed(&["The runner group has reached its maximum number of runners"]);
    world.api.faults.script_times(GENERATE, Fault::Refuse(full), 3);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_token_that_github_no_longer_takes_is_renewed_once() {
    let mut world = World::new().await;
    let mut jobs = vec![world.queue_and_deliver().await];
    world.work().await;
    world.github.revoke_tokens();
    for _ in 0..4 {
        jobs.push(world.queue_and_deliver().await);
    }
    world.work().await;
    assert_eq!(world.live_tasks(), 5);
    assert_eq!(world.github.tokens_made(), 2, "one more for all four");
    world.pass(Duration::from_mins(5));
    world.assert_done(&jobs);
}

#[tokio::test]
async fn one_token_an_hour_is_enough() {
    let mut world = World::new().await;
    for _ in 0..50 {
        world.queue_and_deliver().await;
        world.work().await;
        world.pass(Duration::from_mins(1));
    }
    assert_eq!(world.github.tokens_made(), 1);
    for _ in 0..20 {
        world.queue_and_deliver().await;
        world.work().await;
        world.pass(Duration::from_mins(1));
    }
    assert_eq!(world.github.tokens_made(), 2);
}

/// On the system's clock: the answers' time-outs are real.
#[tokio::test]
async fn a_service_that_does_not_answer_is_waited_for_once_by_a_whole_batch() {
    const SILENCE: Fault = Fault::Delay(Duration::from_mins(2));
    for call in ["access-token", "list-runner-groups"] {
        let mut classes = runner_classes();
        classes[0]["runner_group_id"] = Value::Null;
        classes[0]["runner_group"] = json!("builders");
        let world = World::on(Clock::system(), &[("RUNNER_CLASSES", &classes.to_string())]).await;
        world.github.add_runner_group(&Scope::org(ORGANIZATION), "builders", None);
        for _ in 0..10 {
            world.queue_and_deliver().await;
        }
        // Whoever asked again would be answered.
        world.api.faults.script(call, SILENCE);
        let worker = world.new_worker().unwrap();
        assert_eq!(work_once(&world, &worker).await, Vec::<String>::new());
        assert_eq!((world.waiting(), world.live_tasks()), (10, 0), "{call}");
    }
}

#[tokio::test]
async fn what_is_not_done_when_the_invocation_ends_returns_and_nothing_else_does() {
    let world = World::on(Clock::system(), &[]).await;
    for _ in 0..3 {
        world.queue_and_deliver().await;
    }
    world.aws.faults().script("RunTask", Fault::Delay(Duration::from_secs(5)));
    let worker = world.new_worker().unwrap();
    let batch = world.source.take().expect("a batch");
    let event = serde_json::from_value(batch.event().clone()).unwrap();
    let answer = worker.handle_within(event, Some(Duration::from_secs(4))).await;
    let answer = serde_json::to_value(answer).unwrap();
    let returned = answer["batchItemFailures"].as_array().unwrap();
    assert_eq!(returned.len(), 1, "{answer}");
}

#[tokio::test]
async fn an_installation_is_looked_up_where_the_delivery_names_none_or_a_wrong_one() {
    let mut world = World::new().await;
    let nameless = world.queue_job();
    let event = world.github.event(nameless, "queued").without_installation();
    assert_eq!(world.deliver(&event).await.status_code, 202);
    world.work().await;
    assert_eq!(world.live_tasks(), 1);
    let misnamed = world.queue_job();
    let event = world.github.event(misnamed, "queued").installation(jitgate::job::InstallationId(99));
    world.worker = world.new_worker().unwrap();
    assert_eq!(world.deliver(&event).await.status_code, 202);
    world.work().await;
    assert_eq!(world.live_tasks(), 2);
    assert_eq!(world.api_calls("get-installation"), 2, "{:?}", world.api.calls.operations());
    world.pass(Duration::from_mins(5));
    world.assert_done(&[nameless, misnamed]);
}

#[tokio::test]
async fn a_personal_access_token_works_in_place_of_an_app() {
    let mut world = World::new().await;
    world.github.add_personal_token("ghp_standin", &["admin:org", "repo"]);
    let secret = json!({ "token": "ghp_standin", "webhook_secret": jitgate_tests::world::WEBHOOK_SECRET });
    world.aws.secrets.put(SECRET_ID, &secret.to_string());
    let job = world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.github.tokens_made(), 0);
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn runners_of_a_personal_account_or_of_repository_scope_join_the_repository() {
    let mut world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.github.runners()[0].scope, Scope::repo(ORGANIZATION, "octo-repo"));
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);

    let mut world = World::with(&[("RUNNER_SCOPE", "repo")]).await;
    world.github.add_user("octocat");
    world.github.install_app("octocat");
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository("octocat", "hello"));
    world.deliver_queued(job).await;
    world.work().await;
    assert_eq!(world.github.runners()[0].scope, Scope::repo("octocat", "hello"));
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn what_github_will_always_refuse_is_given_up_with_its_words() {
    let world = World::new().await;
    world.queue_and_deliver().await;
    let refusal = github::answers::validation_failed(&["Labels is invalid"]);
    world.api.faults.script(GENERATE, Fault::Refuse(refusal));
    world.work().await;
    let reasons = world.dead_letters();
    assert_eq!(reasons.len(), 1, "{:?}", world.api.calls.all());
    assert!(reasons[0].starts_with("GitHub refuses (422): "), "{reasons:?}");
}

#[tokio::test]
async fn a_runner_group_that_is_not_there_keeps_its_own_jobs_waiting_and_nobody_elses() {
    let mut classes = runner_classes();
    classes[0]["runner_group_id"] = 999.into();
    let mut other = runner_classes()[0].clone();
    (other["name"], other["labels"]) = ("other".into(), json!(["other"]));
    classes.as_array_mut().expect("a list").push(other);
    let world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    world.queue_and_deliver().await;
    let other = world.github.queue_job(JobSpec::labels(["other"]));
    world.deliver_queued(other).await;
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.dead_letters().len()), (1, 1, 0));
}

#[tokio::test]
async fn when_the_queue_does_not_take_a_deferral_the_record_itself_returns() {
    let world = World::new().await;
    world.queue_and_deliver().await;
    world.aws.faults().script("RunTask", Fault::Refuse(answers::throttling()));
    world.aws.faults().script("SendMessage", Fault::Refuse(answers::unavailable()));
    assert_eq!(work_once(&world, &world.worker).await.len(), 1);
    assert!(world.github.runners().is_empty());
}

#[tokio::test]
async fn without_spot_capacity_the_class_goes_to_on_demand_and_then_to_its_fallback() {
    let mut classes = runner_classes();
    classes[0]["capacity"] = json!(["spot", "on-demand"]);
    classes[0]["fallback"] = json!(["elsewhere"]);
    let mut elsewhere = runner_classes()[0].clone();
    (elsewhere["name"], elsewhere["labels"]) = ("elsewhere".into(), json!(["elsewhere"]));
    elsewhere["subnets"] = json!(["subnet-2"]);
    classes.as_array_mut().expect("a list").push(elsewhere);
    let world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.aws.ecs.live_tasks()[0].provider, ecs::Provider::Spot);
    world.aws.ecs.set_limit(ecs::Provider::Spot, ecs::Limit::exhausted());
    world.queue_and_deliver().await;
    world.work().await;
    assert_eq!(world.aws.ecs.live_tasks()[1].provider, ecs::Provider::OnDemand);
    for _ in 0..2 {
        world.aws.faults().script("RunTask", Fault::Refuse(answers::failure(answers::CAPACITY_UNAVAILABLE)));
    }
    world.queue_and_deliver().await;
    world.work().await;
    let task = &world.aws.ecs.live_tasks()[2];
    assert!(task.network.to_string().contains("subnet-2"), "{}", task.network);
    assert_eq!(world.github.runners().len(), 3, "one registration for each, however many choices were tried");
}

#[tokio::test]
async fn a_message_that_comes_again_keeps_its_name_until_nothing_is_left_under_it() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    // Registered, nothing started, nothing said: the process might as well have died.
    world.aws.faults().script("RunTask", Fault::Drop);
    world.aws.faults().script("SendMessage", Fault::Drop);
    assert_eq!(work_once(&world, &world.worker).await.len(), 1);
    assert_eq!((world.live_tasks(), world.github.runners().len()), (0, 1));
    world.clock.advance(VISIBILITY);
    let limit = github::answers::secondary_limit(Some(Duration::from_secs(30)));
    world.api.faults.script(GENERATE, Fault::Refuse(limit));
    world.work().await;
    assert_eq!(world.live_tasks(), 0);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_registration_that_github_makes_after_we_gave_up_waiting_is_taken_back() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.api.faults.script(GENERATE, Fault::Drop);
    world.aws.faults().script("RunTask", Fault::Refuse(answers::throttling()));
    world.work().await;
    assert_eq!((world.waiting(), world.github.runners().len()), (1, 0), "the repeat's registration is taken back");
    let registered = world.github.timeline().into_iter().find(|event| event.event == "registered").expect("the repeat");
    let name = registered.detail.rsplit(' ').next().expect("its name is last").to_owned();
    world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_its_message_is_hidden_gets_no_runner() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.aws.faults().script("RunTask", Fault::Refuse(answers::throttling()));
    world.aws.faults().script("SendMessage", Fault::Refuse(answers::unavailable()));
    assert_eq!(work_once(&world, &world.worker).await.len(), 1);
    world.github.cancel_job(job);
    assert_eq!(world.deliver(&world.github.event(job, "completed")).await.status_code, 202);
    for _ in 0..20 {
        world.work().await;
        world.pass(Duration::from_secs(30));
    }
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 0, 0));
}

#[tokio::test]
async fn a_delivery_that_comes_late_after_the_job_was_cancelled_starts_nothing() {
    let world = World::new().await;
    let job = world.queue_job();
    world.clock.advance(Duration::from_mins(5));
    world.github.cancel_job(job);
    let event = world.github.event(job, "queued");
    assert_eq!(world.deliver(&event).await.status_code, 202);
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 0, 0));
}

#[tokio::test]
async fn a_registration_under_a_later_name_is_found_when_the_first_name_is_free_again() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    let mut message = JobMessage::parse(&world.aws.sqs.messages(JOB_QUEUE)[0].body).unwrap();
    world.work().await;
    // A repeat took the next name, and lost sight of what became of it.
    let name = format!("{}b", world.github.runners()[0].name);
    world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
    world.pass(Duration::from_mins(5));
    assert_eq!(world.github.runners().len(), 1, "the job is done, and its own name free");
    message.unsettled = true;
    world.aws.sqs.put(JOB_QUEUE, &message.to_body());
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_launch_under_a_name_that_is_free_again_takes_back_what_an_earlier_try_left_under_the_next() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    let mut message = JobMessage::parse(&world.aws.sqs.messages(JOB_QUEUE)[0].body).unwrap();
    // A repeat of the message had the first name, and took it back when there was no capacity.
    let second = format!("jit-default-{job}-1-{}b", message.born_at.unix_timestamp());
    world.github.orphan(&Scope::org(ORGANIZATION), &second, &["fargate"], false);
    message.unsettled = true;
    world.aws.sqs.purge(JOB_QUEUE);
    world.aws.sqs.put(JOB_QUEUE, &message.to_body());
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn what_a_launch_leaves_is_not_forgotten_when_the_next_one_follows_at_once() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start("CannotPullContainerError: pull image manifest has been retried 5 time(s)");
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(Duration::from_mins(1));
    let of_dead_task = world.github.runners().remove(0).id;
    world.deliver_queued(job).await;
    world.api.faults.script_times("delete-runner", Fault::Refuse(github::answers::unavailable()), 3);
    world.work().await;
    assert_eq!(world.live_tasks(), 1, "the second launch");
    world.work_until_quiet().await;
    assert_eq!(world.github.job(job).unwrap().status, JobStatus::Completed);
    let left: Vec<_> = world.github.runners().into_iter().map(|runner| runner.id).collect();
    assert_eq!(left, [of_dead_task], "that one is the cleaner's");
}

#[tokio::test]
async fn a_name_that_was_taken_anew_is_not_spared_for_the_task_that_once_had_it() {
    let mut world = World::new().await;
    world.aws.ecs.set_pace(ecs::Pace { start: Some(Duration::from_mins(2)), ..ecs::Pace::default() });
    let job = world.queue_and_deliver().await;
    let body = world.aws.sqs.messages(JOB_QUEUE)[0].body.clone();
    world.aws.faults().script("RunTask", Fault::Misreport(answers::server_exception()));
    world.work().await;
    assert_eq!((world.live_tasks(), world.github.runners().len()), (1, 0), "started, but its registration is gone");
    world.aws.sqs.put(JOB_QUEUE, &body);
    world.api.faults.script(GENERATE, Fault::LoseAnswer);
    world.work().await;
    world.work_until_quiet().await;
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}
