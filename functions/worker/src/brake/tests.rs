use jitgate::ecs::NEVER_CONNECTED;
use jitgate::job::Message;

use super::*;
use crate::samples::{self, NOW};

fn minutes(minutes: i64) -> Duration {
    Duration::minutes(minutes)
}

fn message(class: &str) -> Message {
    let mut message = samples::message();
    class.clone_into(&mut message.job.class);
    message
}

/// A task that stopped so long ago, at once after its start.
fn stopped(ago: Duration, stop_code: &str, exit_code: Option<i32>) -> TaskView {
    TaskView {
        is_over: true,
        created_at: Some(NOW - ago),
        stopped_at: Some(NOW - ago),
        stop_code: Some(stop_code.to_owned()),
        exit_code,
        stopped_reason: Some("no address".to_owned()),
        message: Some(message("default")),
        ..TaskView::default()
    }
}

fn failed(ago: i64) -> TaskView {
    stopped(minutes(ago), "TaskFailedToStart", None)
}

/// A task that ended as after a job.
fn ended(ago: i64) -> TaskView {
    let arn = TaskArn(format!("ended {ago} minutes ago"));
    TaskView { arn, ..stopped(minutes(ago), "EssentialContainerExited", Some(0)) }
}

/// One that was stopped because its runner had not connected for so long.
fn unreachable(ago: i64, ran: i64) -> TaskView {
    TaskView {
        started_at: Some(NOW - minutes(ago + ran)),
        stopped_reason: Some(NEVER_CONNECTED.to_owned()),
        ..stopped(minutes(ago), "UserInitiated", Some(0))
    }
}

fn running_for(seconds: i64) -> TaskView {
    let started_at = Some(NOW - Duration::seconds(seconds));
    TaskView { started_at, created_at: started_at, message: Some(message("default")), ..TaskView::default() }
}

/// A retry that was started so long ago.
fn probe(mut task: TaskView, ago: i64) -> TaskView {
    task.created_at = Some(NOW - minutes(ago));
    if let Some(message) = &mut task.message {
        message.progress.failed_starts = 1;
    }
    task
}

/// Which of four retries of the class wait.
fn waiting(tasks: &[TaskView]) -> Vec<usize> {
    waiting_at(NOW, tasks, &Answers::new(), &mut HashMap::new())
}

fn waiting_at(
    now: OffsetDateTime,
    tasks: &[TaskView],
    answers: &Answers,
    probes: &mut HashMap<String, OffsetDateTime>,
) -> Vec<usize> {
    let retry = |index: usize| {
        // The second one has waited longest.
        let since = NOW - minutes(if index == 1 { 60 } else { 30 });
        // The first one's job has had most launches.
        let attempt = Attempt(if index == 0 { 3 } else { 2 });
        Retry { index, class: "default".to_owned(), attempt, since, token: format!("jit-{index}-2") }
    };
    let mut held: Vec<_> = held_back((0..4).map(retry).collect(), tasks, answers, probes, now)
        .into_iter()
        .map(|held| held.0.index)
        .collect();
    held.sort_unstable();
    held
}

#[test]
fn a_class_whose_last_three_tasks_failed_lets_one_retry_go_and_the_oldest_job_is_the_one() {
    assert_eq!(waiting(&[failed(3), failed(2), failed(1)]), [0, 2, 3]);
    assert_eq!(waiting(&[failed(2), failed(1)]), [0_usize; 0], "two are an accident");
}

#[test]
fn one_of_the_last_three_that_did_well_is_enough() {
    let did_a_job = Answers::from([(ended(2).arn, (NOW, false)), (ended(9).arn, (NOW, false))]);
    let waiting_with = |tasks: &[TaskView]| waiting_at(NOW, tasks, &did_a_job, &mut HashMap::new());
    assert_eq!(waiting_with(&[failed(4), failed(3), ended(2), failed(1)]), [0_usize; 0]);
    assert_eq!(waiting_with(&[ended(9), failed(3), failed(2), failed(1)]), [0, 2, 3], "that was before");
    assert_eq!(waiting(&[failed(3), failed(2), failed(1), running_for(60)]), [0_usize; 0], "it is up");
    assert_eq!(waiting(&[failed(3), failed(2), failed(1), running_for(59)]), [0, 2, 3], "it may still fail");
}

#[test]
fn github_is_asked_about_an_end_as_after_a_job_only_if_it_decides() {
    let of = |tasks: &[TaskView], answers: &Answers| {
        let tasks: Vec<_> = tasks.iter().collect();
        state(&tasks, answers, NOW)
            .map(|state| matches!(state, State::HeldBack { .. }))
            .map_err(|task| task.arn.clone())
    };
    let unknown = Answers::new();
    assert_eq!(of(&[failed(4), failed(3), ended(2), failed(1)], &unknown), Err(ended(2).arn));
    assert_eq!(of(&[ended(4), failed(3), failed(2), failed(1)], &unknown), Ok(true), "that was before");
    let tasks = [failed(4), failed(3), ended(2), failed(1)];
    for waits in [true, false] {
        assert_eq!(
            of(&tasks, &Answers::from([(ended(2).arn, (NOW, waits))])),
            Ok(waits),
            "it failed if its job still waits"
        );
    }
    let did_a_job = TaskView { started_at: Some(NOW - minutes(3)), ..ended(2) };
    assert_eq!(of(&[failed(4), failed(3), did_a_job, failed(1)], &unknown), Ok(false), "it ran for a minute");
    let killed = TaskView { exit_code: Some(137), started_at: Some(NOW - minutes(90)), ..ended(2) };
    let tasks = [failed(4), failed(3), killed, failed(1)];
    assert_eq!(of(&tasks, &unknown), Err(ended(2).arn), "its runner may have been killed in its job");
    let mut warm = ended(2);
    warm.message.as_mut().expect("its message").purpose = Purpose::Warm;
    assert_eq!(of(&[failed(4), failed(3), warm, failed(1)], &unknown), Ok(true), "nobody can say");
}

#[test]
fn a_runner_that_never_connected_has_failed_and_others_have_to_outlive_it() {
    let unreachable = [unreachable(8, 21), unreachable(7, 21), unreachable(6, 20)];
    let with = |minutes: i64| waiting(&[&unreachable[..], &[running_for(minutes * 60)]].concat());
    assert_eq!(with(5), [0, 2, 3], "it may not reach GitHub either");
    assert_eq!((with(31).len(), with(32).len()), (3, 0));
}

#[test]
fn a_probe_goes_every_five_minutes() {
    let failing = [failed(3), failed(2), failed(1)];
    let with = |ago| waiting(&[&failing[..], &[probe(running_for(10), ago)]].concat());
    assert_eq!(with(4), [0, 1, 2, 3]);
    assert_eq!(with(5), [0, 2, 3]);
}

#[test]
fn no_other_probe_goes_while_ecs_may_not_list_the_last_one() {
    let (failing, mut probes) = ([failed(3), failed(2), failed(1)], HashMap::new());
    let mut at = |seconds| waiting_at(NOW + Duration::seconds(seconds), &failing, &Answers::new(), &mut probes);
    assert_eq!(at(0), [0, 2, 3]);
    assert_eq!(at(59), [0, 1, 2, 3]);
    assert_eq!(at(60), [0, 2, 3], "it was not started");
}

#[test]
fn what_was_stopped_for_other_reasons_says_nothing_about_the_class() {
    let spot = stopped(minutes(1), "SpotInterruption", None);
    let ours = stopped(minutes(1), "UserInitiated", None);
    assert_eq!(waiting(&[failed(3), failed(2), spot.clone(), ours.clone()]), [0_usize; 0]);
    assert_eq!(waiting(&[failed(4), failed(3), failed(2), spot, ours]), [0, 2, 3]);
}

#[test]
fn a_retry_whose_launch_has_a_task_already_is_not_held_back_and_is_no_probe() {
    let launched = TaskView { started_by: "jit-1-2".to_owned(), ..failed(1) };
    assert_eq!(waiting(&[failed(3), failed(2), launched]), [0, 3]);
}

#[test]
fn other_classes_do_not_count() {
    let mut tasks = [failed(3), failed(2), failed(1)];
    tasks[0].message = Some(message("other"));
    assert_eq!(waiting(&tasks), [0_usize; 0]);
}

#[test]
fn while_an_idle_runner_shows_that_github_assigns_nothing_all_retries_wait() {
    let idle = TaskView { probe_since: Some(NOW), ..running_for(3600) };
    assert_eq!(waiting(std::slice::from_ref(&idle)), [0, 1, 2, 3]);
    let for_an_hour = TaskView { probe_since: Some(NOW - minutes(60)), ..idle.clone() };
    assert_eq!(waiting(std::slice::from_ref(&for_an_hour)), [0, 2, 3], "GitHub may have forgotten it");
    assert_eq!(waiting(&[for_an_hour.clone(), probe(running_for(10), 59)]), [0, 1, 2, 3]);
    let did_a_job = |ago| TaskView { started_at: Some(NOW - minutes(ago + 2)), ..ended(ago) };
    assert_eq!(waiting(&[for_an_hour.clone(), did_a_job(1)]), [0_usize; 0], "GitHub gives jobs to others");
    assert_eq!(waiting(&[for_an_hour, did_a_job(61)]).len(), 3, "that was before");
    assert_eq!(waiting(&[TaskView { busy_since: Some(NOW), ..idle.clone() }]), [0_usize; 0], "it has a job");
    assert_eq!(waiting(&[TaskView { is_over: true, ..idle }]), [0_usize; 0], "it is gone");
}
