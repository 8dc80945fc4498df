//! GitHub, AWS or jitgate refuses: the job waits if that can pass or an operator can fix it, and is given up otherwise.

use std::time::Duration;

use jitgate::ecs::LONGEST_OVERRIDES;
use jitgate_tests::aws::answers;
use jitgate_tests::github::{self, JobSpec, JobStatus};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{JOB_QUEUE, START, World, runner_classes};
use serde_json::{Value, json};

use crate::{GENERATE, class_with};

#[tokio::test]
async fn one_poison_message_does_not_hurt_its_neighbours() {
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
async fn no_call_is_made_about_a_name_that_github_cannot_have_given() {
    for (scope, field, name) in [
        ("org", "organization", ".."),
        ("org", "organization", "x\ny"),
        ("repo", "owner", ".."),
        ("repo", "repository", ""),
        ("repo", "repository", "x\ny"),
        ("repo", "repository", "x/../../y"),
    ] {
        for purpose in ["launch", "release"] {
            let world = World::with(&[("RUNNER_SCOPE", scope)]).await;
            world.queue_and_deliver().await;
            let queued = world.aws.sqs.messages(JOB_QUEUE)[0].body.clone();
            world.work().await;
            let mut message: Value = serde_json::from_str(&queued).expect("JSON");
            (message[field], message["purpose"]) = (json!(name), json!(purpose));
            message["attempt"] = json!(2);
            world.api.calls.clear();
            world.aws.sqs.put(JOB_QUEUE, &message.to_string());
            world.work().await;
            assert_eq!(world.api_calls(GENERATE), 0, "{scope} {field} {name:?}");
            if purpose == "launch" {
                let reasons = world.dead_letters();
                assert!(reasons[0].contains("no name that GitHub gives"), "{scope} {field} {name:?}: {reasons:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_delivery_of_months_ago_whose_job_is_gone_starts_nothing() {
    let mut world = World::new().await;
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).queued_at(START - time::Duration::days(90)));
    world.deliver_queued(job).await;
    let gone = github::answers::not_found();
    world.api.faults.choose(Box::new(move |called| (called == "get-job").then(|| Fault::Refuse(gone.clone()))));
    // Within its first minute, a new token's 404 may only mean that GitHub does not know the token everywhere.
    world.work_until_quiet().await;
    assert_eq!(world.api_calls(GENERATE), 0);
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 0, 0));
    assert_eq!(world.dead_letters(), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_was_approved_after_days_gets_its_runner() {
    let mut world = World::new().await;
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).waiting());
    world.pass(Duration::from_hours(48));
    world.github.queue_again(job);
    world.deliver_queued(job).await;
    world.work().await;
    assert_eq!(world.live_tasks(), 1);
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn without_a_dead_letter_queue_only_the_poison_message_returns() {
    let world = World::with(&[("DEAD_LETTER_QUEUE_URL", "")]).await;
    world.aws.sqs.put(JOB_QUEUE, "no JSON");
    world.queue_and_deliver().await;
    let poison = world.aws.sqs.messages(JOB_QUEUE)[0].id.clone();
    assert_eq!(world.work_one_batch(&world.worker).await, [poison]);
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

#[tokio::test]
async fn a_refused_launch_takes_its_registration_back_and_is_given_up_with_ecs_words() {
    for refusal in [
        answers::client_exception("No Fargate configuration exists for given values."),
        answers::invalid_parameter("Container Overrides length must be at most 8192"),
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

/// One answer that nobody understands is no "no": not to a look at a job, and not to a registration.
#[tokio::test]
async fn what_github_refuses_for_an_unknown_reason_is_tried_again_and_given_up_if_that_lasts() {
    let spam = || github::answers::error(422, "Validation failed, or the endpoint has been spammed.");
    for operation in [GENERATE, "get-job", "access-token"] {
        for answer in [spam(), github::answers::error(400, "Problems parsing JSON"), github::answers::error(418, "")] {
            let mut world = World::new().await;
            world.let_github_talk_nonsense();
            let job = world.queue_and_deliver().await;
            // A job that was asked about before.
            if operation == "get-job" {
                world.aws.faults().script("RunTask", Fault::Refuse(answers::throttling()));
                world.aws.faults().script("RunTask", Fault::Refuse(answers::throttling()));
                world.aws.faults().script("RunTask", Fault::Refuse(answers::throttling()));
            }
            world.api.faults.script(operation, Fault::Refuse(answer));
            for _ in 0..60 {
                world.work().await;
                world.pass(Duration::from_secs(1));
            }
            assert_eq!(world.dead_letters(), Vec::<String>::new(), "{operation}");
            world.work_until_quiet().await;
            world.assert_done(&[job]);
        }
    }
    let world = World::new().await;
    world.queue_and_deliver().await;
    world.api.faults.script_times(GENERATE, Fault::Refuse(spam()), 1000);
    for _ in 0..240 {
        world.work().await;
        world.clock.advance(Duration::from_mins(1));
    }
    let reasons = world.dead_letters();
    assert_eq!((reasons.len(), world.waiting(), world.aws.calls().count("RunTask")), (1, 0, 0));
    assert!(reasons[0].contains("spammed"), "{reasons:?}");
    assert_eq!(world.api_calls(GENERATE), 30);
}

/// GitHub leaves fields out, of a job that is asked about before it is launched.
#[tokio::test]
async fn a_look_at_a_job_needs_nothing_but_what_it_decides() {
    for look in
        [json!({}), json!({ "status": null }), json!({ "id": 1, "status": "queued" }), json!({ "status": "new word" })]
    {
        let mut world = World::new().await;
        world.let_github_talk_nonsense();
        let job = world.queue_and_deliver().await;
        world.aws.faults().script_times("RunTask", Fault::Refuse(answers::throttling()), 3);
        world.work().await;
        world.api.faults.script_times("get-job", Fault::Refuse(github::answers::ok(&look)), 1000);
        for _ in 0..60 {
            world.work().await;
            world.pass(Duration::from_secs(5));
        }
        world.api.faults.clear();
        world.assert_done(&[job]);
    }
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
    assert!(heard <= 10, "only calls that were already under way");
    world.clock.advance(Duration::from_secs(80));
    world.work().await;
    assert_eq!(world.api_calls(GENERATE), heard, "no call during the pause");
    assert_eq!(world.waiting(), 10);
    world.api.faults.clear();
    world.work_until_quiet().await;
    assert!(world.clock.now() - before > time::Duration::seconds(90));
    world.assert_done(&jobs);
}

#[tokio::test]
async fn a_spent_hourly_limit_defers_until_its_reset() {
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
async fn what_an_operator_must_fix_in_aws_keeps_the_jobs_waiting() {
    let mut refusals = vec![
        ("RunTask", answers::access_denied("RunTask")),
        ("RunTask", answers::failure("MISSING")),
        ("RunTask", answers::failure("INACTIVE")),
        ("GetSecretValue", answers::access_denied("GetSecretValue")),
        ("GetSecretValue", answers::error(400, "ResourceNotFoundException", "no such secret")),
    ];
    refusals.extend(answers::MENDABLE.map(|(code, message)| ("RunTask", answers::error(400, code, message))));
    for (call, answer) in refusals {
        let words = String::from_utf8_lossy(answer.body()).into_owned();
        let mut world = World::new().await;
        let job = world.queue_and_deliver().await;
        world.aws.faults().script(call, Fault::Refuse(answer));
        world.work().await;
        assert_eq!((world.waiting(), world.dead_letters().len(), world.github.runners().len()), (1, 0, 0), "{words}");
        world.clock.advance(Duration::from_mins(4));
        world.work().await;
        assert_eq!(world.live_tasks(), 0, "{words}: no try for a while");
        world.clock.advance(Duration::from_mins(2));
        world.work_until_quiet().await;
        world.assert_done(&[job]);
    }
}

#[tokio::test]
async fn a_missing_runner_group_keeps_only_its_own_jobs_waiting() {
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
async fn when_the_queue_refuses_a_deferral_the_message_itself_returns() {
    let world = World::new().await;
    world.queue_and_deliver().await;
    world.aws.faults().script_times("RunTask", Fault::Refuse(answers::throttling()), 2);
    world.aws.faults().script("SendMessage", Fault::Refuse(answers::unavailable()));
    assert_eq!(world.work_one_batch(&world.worker).await.len(), 1);
    assert!(world.github.runners().is_empty());
}
