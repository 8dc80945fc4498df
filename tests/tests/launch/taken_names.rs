//! An earlier try of the launch left a registration under the launch's name, or under a spare name.

use std::time::Duration;

use jitgate::job::Message;
use jitgate_tests::aws::answers;
use jitgate_tests::github::{self, JobStatus, ORGANIZATION, Scope};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{JOB_QUEUE, VISIBILITY, World};

use crate::GENERATE;

#[tokio::test]
async fn a_returned_message_keeps_its_name_until_nothing_is_left_under_it() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    // Registered, but no task started and no message sent, as if the process had died.
    world.aws.faults().script("RunTask", Fault::Drop);
    world.aws.faults().script("SendMessage", Fault::Drop);
    assert_eq!(world.work_one_batch(&world.worker).await.len(), 1);
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
    world.aws.faults().script_times("RunTask", Fault::Refuse(answers::throttling()), 2);
    world.work().await;
    assert_eq!((world.waiting(), world.github.runners().len()), (1, 0), "the second try's registration is deleted");
    let registered =
        world.github.timeline().into_iter().find(|event| event.event == "registered").expect("the second try");
    let name = registered.detail.rsplit(' ').next().expect("its name is last").to_owned();
    world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_registration_under_a_later_name_is_found_when_the_first_name_is_free_again() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    let mut message = Message::parse(&world.aws.sqs.messages(JOB_QUEUE)[0].body).unwrap();
    world.work().await;
    // Another try used the spare name, and lost the answer.
    let name = format!("{}b", world.github.runners()[0].name);
    world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], false);
    world.pass(Duration::from_mins(5));
    assert_eq!(world.github.runners().len(), 1, "the job is done, and its first name free");
    message.progress.unsettled = true;
    world.aws.sqs.put(JOB_QUEUE, &message.to_body());
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_launch_under_a_name_that_is_free_again_takes_back_what_an_earlier_try_left_under_the_next() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    let mut message = Message::parse(&world.aws.sqs.messages(JOB_QUEUE)[0].body).unwrap();
    // Another try had the first name, and deleted its registration when there was no capacity.
    let second = format!("jit-default-{job}-1-{}b", message.progress.born_at.unix_timestamp());
    world.github.orphan(&Scope::org(ORGANIZATION), &second, &["fargate"], false);
    message.progress.unsettled = true;
    world.aws.sqs.purge(JOB_QUEUE);
    world.aws.sqs.put(JOB_QUEUE, &message.to_body());
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

/// Three free names in a row end the search, so none may become free while a later one is taken.
#[tokio::test]
async fn what_a_failure_leaves_under_a_later_name_is_found_by_the_next_try() {
    for (operation, calls_before, answer) in [
        ("list-runners", 3, github::answers::unavailable()),
        ("delete-runner", 0, github::answers::unavailable()),
        ("delete-runner", 0, github::answers::still_running("jit")),
    ] {
        let mut world = World::new().await;
        let job = world.queue_and_deliver().await;
        let mut message = Message::parse(&world.aws.sqs.messages(JOB_QUEUE)[0].body).unwrap();
        world.aws.sqs.purge(JOB_QUEUE);
        let name = |spare| format!("jit-default-{job}-1-{}{spare}", message.progress.born_at.unix_timestamp());
        let orphans = ["", "b", "d"].map(name);
        for name in &orphans {
            world.github.orphan(&Scope::org(ORGANIZATION), name, &["fargate"], false);
        }
        world.github.cancel_job(job);
        message.progress.unsettled = true;
        world.aws.sqs.put(JOB_QUEUE, &message.to_body());
        let mut seen = 0;
        world.api.faults.choose(Box::new(move |called| {
            seen += u32::from(called == operation);
            // A failure that passes is repeated twice.
            let fails = called == operation && (calls_before + 1..calls_before + 4).contains(&seen);
            fails.then(|| Fault::Refuse(answer.clone()))
        }));
        world.work_until_quiet().await;
        world.assert_done(&[]);
    }
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
    assert_eq!(left, [of_dead_task], "that one is left to the cleaner");
}

#[tokio::test]
async fn a_name_taken_again_is_not_spared_for_the_task_that_once_had_it() {
    let mut world = World::new().await;
    world.start_tasks_after(Duration::from_mins(2));
    let job = world.queue_and_deliver().await;
    let body = world.aws.sqs.messages(JOB_QUEUE)[0].body.clone();
    world.aws.faults().script_times("RunTask", Fault::Misreport(answers::server_exception()), 2);
    world.work().await;
    assert_eq!((world.live_tasks(), world.github.runners().len()), (1, 0), "started, but its registration is gone");
    world.aws.sqs.put(JOB_QUEUE, &body);
    world.api.faults.script(GENERATE, Fault::LoseAnswer);
    world.work().await;
    world.work_until_quiet().await;
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_role_that_may_not_list_tasks_keeps_a_job_with_a_taken_name_waiting() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.api.faults.script(GENERATE, Fault::LoseAnswer);
    world.aws.faults().script("ListTasks", Fault::Refuse(answers::access_denied("ListTasks")));
    world.work().await;
    world.clock.advance(Duration::from_mins(4));
    world.work().await;
    assert_eq!((world.waiting(), world.live_tasks(), world.dead_letters().len()), (1, 0, 0), "no try for a while");
    world.clock.advance(Duration::from_mins(2));
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}
