//! What a question is about, and what follows from its answer.

use super::*;

#[test]
fn only_a_job_that_waits_in_a_run_that_goes_on_is_launched_again_and_not_for_ever() {
    let after = |attempt, cause| Question {
        message: message().for_launch(Attempt(attempt), NOW),
        cause,
        stopped_reason: None,
        swapped: None,
        left: None,
    };
    let question = |attempt| after(attempt, Cause::FailedStart);
    let launches = |attempt| plan_repair(&question(attempt), Some(JobState::Queued), false);
    assert_eq!((launches(MOST_LAUNCHES), launches(MOST_LAUNCHES + 1)), (Repair::Relaunch, Repair::GiveUp));
    assert_eq!(plan_repair(&question(2), Some(JobState::Queued), false), Repair::Relaunch);
    assert_eq!(plan_repair(&question(2), Some(JobState::Queued), true), Repair::LeaveStuck);
    for state in [None, Some(JobState::InProgress), Some(JobState::Completed), Some(JobState::Waiting)] {
        assert_eq!(plan_repair(&question(2), state, false), Repair::None);
    }
}

#[test]
fn a_task_raises_a_question_about_its_own_job_alone() {
    let raised = |change: fn(&mut Message)| {
        let mut message = message();
        change(&mut message);
        let failed = over(1, "TaskFailedToStart", Duration::minutes(3));
        asked(vec![], &[], &[TaskView { message: Some(message), ..failed }]).len()
    };
    assert_eq!(raised(|_| {}), 1);
    assert_eq!(raised(|message| message.job.id = JobId(43)), 0, "the message is not of the task's launch");
    assert_eq!(raised(|message| message.purpose = Purpose::Warm), 0, "a warm runner has no job");
}
