//! Jobs about which a pass asks.

use super::*;

#[test]
fn a_stop_before_the_job_is_asked_about_at_its_moments_and_under_the_next_attempt() {
    let after =
        |attempt, minutes| asked(vec![], &[], &[over(attempt, "TaskFailedToStart", Duration::minutes(minutes))]);
    let asked_after = |minutes| after(3, minutes);
    assert_eq!(asked_after(1), [], "the event has its time");
    assert_eq!(asked_after(3)[0].message.progress.attempt, Attempt(4));
    let causes = |minutes| asked_after(minutes).into_iter().map(|question| question.cause).collect::<Vec<_>>();
    assert_eq!((causes(3), causes(13)), (vec![Cause::FailedStart], vec![Cause::FailedStart]));
    assert_eq!((causes(9), causes(54)), (vec![Cause::StillWaiting], vec![Cause::FailedStart]), "never out of sight");
    assert_eq!(causes(56), [], "until ECS forgets it");
    let on_queue = |messages| {
        let sight = Sight { stopped: vec![over(3, "TaskFailedToStart", Duration::minutes(9))], ..Sight::default() };
        sight.questions_beside(NOW, messages).len()
    };
    assert_eq!((on_queue(0), on_queue(1)), (1, 0), "its message may be on the queue");
    let failed = || over(3, "TaskFailedToStart", Duration::minutes(3));
    let before = TaskView { message: Some(message()), ..task("jit-42-3", Some(9), Duration::minutes(6)) };
    assert_eq!(asked(vec![], &[before], &[failed()])[0].cause, Cause::FailedStart, "it stopped between the two lists");
    let later = task("jit-42-4", Some(9), Duration::minutes(1));
    assert_eq!(asked(vec![], &[later], &[failed()]), [], "it lives again");
}

#[test]
fn a_runner_that_ended_by_itself_did_a_job_unless_its_registration_is_left() {
    let causes = |runners: Vec<Runner>, minutes| {
        let ended = over(1, "EssentialContainerExited", Duration::minutes(minutes));
        let asked = asked(runners, &[], &[ended]);
        asked.into_iter().map(|question| question.cause).collect::<Vec<_>>()
    };
    assert_eq!((causes(vec![], 3), causes(vec![], 13)), (vec![Cause::Stopped], vec![]), "perhaps another one");
    let left = || vec![runner(7, &born(OLD), RunnerStatus::Offline, false)];
    assert_eq!((causes(left(), 3), causes(left(), 13)), (vec![Cause::FailedStart], vec![Cause::FailedStart]));
    let of_a_later_launch = runner(7, &born(OLD).replace("-42-1-", "-42-2-"), RunnerStatus::Offline, false);
    assert_eq!(causes(vec![of_a_later_launch], 13), []);
}

#[test]
fn a_live_task_is_asked_about_if_its_registration_is_gone_from_a_place_that_was_listed() {
    let live = TaskView { message: Some(message()), ..task("jit-42-1", Some(7), Duration::minutes(6)) };
    let found = asked(vec![], std::slice::from_ref(&live), &[]);
    assert_eq!(found.iter().map(|question| question.cause).collect::<Vec<_>>(), [Cause::Unregistered]);
    let elsewhere = TaskView { repository: Some("other/repo".to_owned()), ..live.clone() };
    assert_eq!(asked(vec![], &[elsewhere], &[]), []);
    let untagged = TaskView { runner_id: None, ..live };
    assert_eq!(asked(vec![], &[untagged], &[]), []);
}

#[test]
fn a_runner_that_is_busy_is_asked_about_since_its_job_may_be_another() {
    let busy = || vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    let live =
        |minutes| [TaskView { message: Some(message()), ..task("jit-42-1", Some(7), Duration::minutes(minutes)) }];
    assert_eq!(asked(busy(), &live(6), &[]).len(), 1);
    assert_eq!(asked(busy(), &live(15), &[]), []);
    let idle = vec![runner(7, &born(OLD), RunnerStatus::Online, false)];
    assert_eq!(asked(idle, &live(6), &[]), []);
}

#[test]
fn a_job_that_github_lists_is_asked_about_unless_its_task_is_on_its_way() {
    let waiting = |minutes| {
        let created_at = NOW - Duration::minutes(minutes);
        let mut message = message();
        message.job.created_at = created_at;
        vec![message]
    };
    let asked = |minutes, live: &[TaskView], stopped: &[TaskView]| {
        let (live, stopped) = (live.to_vec(), stopped.to_vec());
        Sight { waiting: waiting(minutes), live, stopped, ..Sight::default() }.questions(NOW)
    };
    assert_eq!(asked(4, &[], &[]), [], "its delivery may be on its way");
    for minutes in (5..90).step_by(5).chain((240..300).step_by(5)).chain((960..1020).step_by(5)) {
        let found = asked(minutes, &[], &[]);
        assert_eq!((found[0].cause, found[0].message.progress.attempt), (Cause::Untold, Attempt(1)), "{minutes}");
    }
    assert_eq!(asked(120, &[], &[]), [], "it may have been given up");
    assert_eq!(asked(6, &[task("jit-42-1", Some(7), Duration::ZERO)], &[]), []);
    let ended = over(2, "EssentialContainerExited", Duration::minutes(21));
    let again = asked(90, &[], &[ended]);
    assert_eq!((again[0].cause, again[0].message.progress.attempt), (Cause::FailedStart, Attempt(3)));
}

#[test]
fn jobs_whose_messages_may_be_on_the_queue_get_no_second_one() {
    let question = |cause| Question { message: message(), cause, stopped_reason: None, swapped: None, left: None };
    let asked = [Cause::Untold, Cause::Stopped, Cause::StillWaiting].map(question).to_vec();
    let waiting = vec![message(); 2];
    let sight = Sight { waiting, ..Sight::default() };
    let causes = |on_queue| {
        let left = sight.with(NOW, |world| without_queued(asked.clone(), world, on_queue));
        left.iter().map(|each| each.cause).collect::<Vec<_>>()
    };
    assert_eq!(causes(1), [Cause::Untold, Cause::Stopped, Cause::StillWaiting], "one at least is lost");
    assert_eq!(causes(2), [Cause::Stopped]);
}
