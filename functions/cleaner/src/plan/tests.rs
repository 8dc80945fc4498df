use jitgate::ecs::{TaskArn, tag};
use jitgate::github::{Account, Delivery, JobState, RunnerStatus};
use jitgate::job::{Attempt, JobMessage};
use proptest::prelude::*;
use time::Duration;

use super::*;

const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

fn classes() -> RunnerClasses {
    RunnerClasses::parse(
        r#"[{"name":"default","labels":["l"],"task_definition":"t","subnets":["s"],"lifetime_minutes":600}]"#,
    )
    .unwrap()
}

fn runner(id: u64, name: &str, status: RunnerStatus, busy: bool) -> Runner {
    let version = (status == RunnerStatus::Online || busy).then(|| "2.338.0".to_owned());
    Runner { id: RunnerId(id), name: name.to_owned(), status, busy, version }
}

fn born(ago: Duration) -> String {
    format!("jit-default-42-1-{}", (NOW - ago).unix_timestamp())
}

fn task(started_by: &str, runner_id: Option<u64>, age: Duration) -> TaskView {
    TaskView {
        arn: TaskArn(format!("arn:{started_by}")),
        started_by: started_by.to_owned(),
        runner_id: runner_id.map(RunnerId),
        created_at: Some(NOW - age),
        repository: Some("octo-org/repo".to_owned()),
        class: Some("default".to_owned()),
        ..TaskView::default()
    }
}

fn place(runners: Vec<Runner>) -> SeenPlace {
    let account = Account { login: "Octo-Org".to_owned(), is_organization: true, repository: None, installation: None };
    SeenPlace { place: Place { account, scope: Scope::Organization("Octo-Org".to_owned()) }, runners }
}

fn plan(runners: Vec<Runner>, live: &[TaskView]) -> Vec<Action> {
    let (prefix, classes, places) = (NamePrefix::default(), classes(), [place(runners)]);
    let settings = Settings { prefix: &prefix, classes: &classes };
    plan_cleanup(NOW, settings, Seen { places: &places, live, stopped: &[] })
}

fn repeated(log: &[Delivery]) -> Vec<u64> {
    plan_redeliveries(NOW, log)
}

const NONE: [u64; 0] = [];

const OLD: Duration = Duration::hours(2);

#[test]
fn an_old_offline_registration_without_a_live_task_is_deleted() {
    let orphan = || runner(7, &born(GRACE + Duration::seconds(1)), RunnerStatus::Offline, false);
    let is_deleted = |live: &[TaskView]| {
        plan(vec![orphan()], live).iter().any(|action| matches!(action, Action::DeleteRegistration { .. }))
    };
    let over = TaskView { is_over: true, ..task("jit-42-1", Some(7), OLD) };
    assert!(is_deleted(&[]));
    assert!(is_deleted(&[over]));
    assert!(is_deleted(&[task("jit-42-1", Some(8), OLD)]), "that task runs another registration");
    assert!(is_deleted(&[task("jit-42-2", None, OLD)]));
    assert!(!is_deleted(&[task("jit-42-1", Some(7), Duration::ZERO)]));
    assert!(!is_deleted(&[task("jit-42-1", None, Duration::ZERO)]));
}

#[test]
fn nothing_young_busy_unknown_or_foreign_is_touched() {
    let old = born(OLD);
    for kept in [
        runner(7, &born(GRACE), RunnerStatus::Offline, false),
        runner(7, &born(-GRACE), RunnerStatus::Offline, false),
        runner(7, &old, RunnerStatus::Online, false),
        runner(7, &old, RunnerStatus::Unknown, false),
        runner(7, &old, RunnerStatus::Offline, true),
        runner(7, "jit-default-42-1", RunnerStatus::Offline, false),
        runner(7, "build-box", RunnerStatus::Offline, false),
        runner(7, &old.replace("jit-", "jitter-"), RunnerStatus::Offline, false),
    ] {
        assert_eq!(plan(vec![kept.clone()], &[]), [], "{kept:?}");
    }
}

#[test]
fn an_idle_runner_is_noted_first_and_retired_when_it_still_is_at_a_later_look() {
    let idle = || vec![runner(7, &born(OLD), RunnerStatus::Online, false)];
    let seen = task("jit-42-1", Some(7), OLD);
    let noted = |since| TaskView { idle_since: Some(NOW - since), ..seen.clone() };
    let note = |moment| Action::Note { task: seen.arn.clone(), key: tag::IDLE_SINCE, moment };
    assert_eq!(plan(idle(), std::slice::from_ref(&seen)), [note(Some(NOW))]);
    assert_eq!(plan(idle(), &[noted(Duration::minutes(9))]), []);
    assert!(matches!(plan(idle(), &[noted(Duration::minutes(10))])[..], [Action::Retire { .. }]));
    let busy = vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    assert_eq!(plan(busy, &[noted(Duration::hours(1))]), [note(None)], "it has a job again");
}

#[test]
fn a_task_without_registration_is_stopped_only_if_it_stays_so() {
    let seen = task("jit-42-1", Some(7), OLD);
    let noted = |since| TaskView { gone_since: Some(NOW - since), ..seen.clone() };
    assert_eq!(plan(vec![], &[task("jit-42-1", Some(7), Duration::minutes(3))]), [], "just started");
    assert!(matches!(plan(vec![], std::slice::from_ref(&seen))[..], [Action::Note { moment: Some(_), .. }]));
    assert_eq!(plan(vec![], &[noted(Duration::minutes(3))]), []);
    assert!(matches!(plan(vec![], &[noted(GONE_FOR)])[..], [Action::Stop { .. }]));
    let elsewhere = TaskView { repository: Some("other/repo".to_owned()), ..noted(OLD) };
    assert_eq!(plan(vec![], &[elsewhere]), [], "its registrations were not listed");
}

#[test]
fn a_runner_that_never_came_and_a_task_that_outlives_its_class_end() {
    let never = vec![runner(7, &born(OLD), RunnerStatus::Offline, false)];
    assert!(matches!(
        plan(never, &[task("jit-42-1", Some(7), NEVER_CAME + Duration::seconds(1))])[..],
        [Action::Retire { .. }]
    ));
    let busy = || vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    assert_eq!(plan(busy(), &[task("jit-42-1", Some(7), Duration::minutes(600))]), []);
    assert!(matches!(plan(busy(), &[task("jit-42-1", Some(7), Duration::minutes(601))])[..], [Action::Stop { .. }]));
}

fn message() -> JobMessage {
    JobMessage::parse(
        r#"{"v":1,"job_id":42,"run_id":5,"run_attempt":1,"owner":"octo-org","owner_id":9,"repository":"repo",
            "organization":"octo-org","labels":["l"],"class":"default","created_at":"2026-11-01T11:00:00Z",
            "delivery_id":"d","attempt":1,"queued_at":1,"born_at":1}"#,
    )
    .unwrap()
}

fn asked(runners: Vec<Runner>, live: &[TaskView], stopped: &[TaskView]) -> Vec<Question> {
    let (prefix, classes, places) = (NamePrefix::default(), classes(), [place(runners)]);
    questions(NOW, Settings { prefix: &prefix, classes: &classes }, Seen { places: &places, live, stopped })
}

fn over(attempt: u16, code: &str, ago: Duration) -> TaskView {
    TaskView {
        is_over: true,
        stop_code: Some(code.to_owned()),
        stopped_at: Some(NOW - ago),
        message: Some(message()),
        ..task(&format!("jit-42-{attempt}"), None, OLD)
    }
}

#[test]
fn a_stop_before_the_job_is_asked_about_at_its_moments_and_under_the_next_attempt() {
    let asked_after = |minutes| asked(vec![], &[], &[over(3, "TaskFailedToStart", Duration::minutes(minutes))]);
    assert_eq!(asked_after(1), [], "the event has its time");
    assert_eq!(asked_after(3)[0].message.attempt, Attempt(4));
    assert_eq!(asked_after(9), [], "once is enough for a while");
    assert_eq!(asked_after(13).len(), 1);
    let later = task("jit-42-4", Some(9), Duration::minutes(1));
    assert_eq!(asked(vec![], &[later], &[over(3, "TaskFailedToStart", Duration::minutes(3))]), [], "it lives again");
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
fn only_a_job_that_waits_in_a_run_that_goes_on_is_launched_again_and_not_for_ever() {
    let question = |attempt| Question {
        message: JobMessage { attempt: Attempt(attempt), ..message() },
        reason: "",
        stopped_reason: None,
    };
    assert_eq!(plan_repair(&question(2), Some(JobState::Queued), false), Repair::Relaunch);
    assert_eq!(plan_repair(&question(2), Some(JobState::Queued), true), Repair::LeaveStuck);
    assert_eq!(plan_repair(&question(MOST_ATTEMPTS + 1), Some(JobState::Queued), false), Repair::GiveUp);
    for state in [None, Some(JobState::InProgress), Some(JobState::Completed), Some(JobState::Waiting)] {
        assert_eq!(plan_repair(&question(2), state, false), Repair::None);
    }
}

fn delivery(id: u64, guid: &str, ago: Duration, status_code: u16) -> Delivery {
    let (event, action) = ("workflow_job".to_owned(), Some("queued".to_owned()));
    Delivery { id, guid: guid.to_owned(), delivered_at: NOW - ago, status_code, event, action }
}

#[test]
fn a_delivery_is_repeated_until_one_attempt_succeeds_or_enough_have_failed() {
    let minutes = Duration::minutes;
    assert_eq!(repeated(&[delivery(1, "a", minutes(2), 503)]), [1]);
    assert_eq!(repeated(&[delivery(1, "a", Duration::seconds(30), 503)]), NONE, "give it a moment");
    let healed = [delivery(1, "a", minutes(9), 503), delivery(2, "a", minutes(5), 202)];
    assert_eq!(repeated(&healed), NONE);
    let twice = |ago| [delivery(1, "a", minutes(9), 503), delivery(2, "a", ago, 0)];
    assert_eq!(repeated(&twice(minutes(1))), NONE, "the waits grow");
    assert_eq!(repeated(&twice(minutes(3))), [2]);
    let often: Vec<_> =
        (0..6).map(|id| delivery(id, "a", minutes(200 - 10 * i64::try_from(id).unwrap()), 503)).collect();
    assert_eq!(repeated(&often), NONE);
    assert_eq!(repeated(&[delivery(1, "a", LOOK_BACK, 503)]), NONE, "its job is dead by now");
    let push = Delivery { event: "push".to_owned(), ..delivery(1, "a", minutes(5), 503) };
    assert_eq!(repeated(&[push]), NONE);
}

fn any_runner() -> impl Strategy<Value = Runner> {
    let status = prop_oneof![Just(RunnerStatus::Online), Just(RunnerStatus::Offline), Just(RunnerStatus::Unknown)];
    let name = prop_oneof![
        (0..6_u64, 1..4_u16, -20..400_i64).prop_map(|(job, attempt, minutes)| {
            format!("jit-default-{job}-{attempt}-{}", (NOW - Duration::minutes(minutes)).unix_timestamp())
        }),
        Just("build-box".to_owned()),
        Just("jitter-default-1-1-1".to_owned()),
    ];
    (0..8_u64, name, status, any::<bool>()).prop_map(|(id, name, status, busy)| runner(id, &name, status, busy))
}

fn any_task() -> impl Strategy<Value = TaskView> {
    let note = || proptest::option::of((0..60_i64).prop_map(|minutes| NOW - Duration::minutes(minutes)));
    let started_by = prop_oneof![
        (0..6_u64, 1..4_u16).prop_map(|(job, attempt)| format!("jit-{job}-{attempt}")),
        Just("somebody".to_owned()),
    ];
    (started_by, proptest::option::of(0..8_u64), 0..700_i64, any::<bool>(), note(), note()).prop_map(
        |(started_by, id, minutes, is_over, idle_since, gone_since)| TaskView {
            is_over,
            idle_since,
            gone_since,
            ..task(&started_by, id, Duration::minutes(minutes))
        },
    )
}

proptest! {
    #[test]
    fn nothing_busy_or_without_our_prefix_is_ever_touched(
        runners in proptest::collection::vec(any_runner(), 0..8),
        live in proptest::collection::vec(any_task(), 0..8),
    ) {
        for action in plan(runners.clone(), &live) {
            let busy_or_foreign = |id: RunnerId| {
                runners.iter().filter(|runner| runner.id == id).all(|runner| runner.busy || !runner.name.starts_with("jit-"))
            };
            match action {
                Action::DeleteRegistration { name, id, .. } => {
                    prop_assert!(name.starts_with("jit-default-"));
                    prop_assert!(!busy_or_foreign(id));
                }
                Action::Retire { id, task, .. } => {
                    prop_assert!(runners.iter().any(|runner| runner.id == id && !runner.busy));
                    prop_assert!(live.iter().any(|seen| seen.arn == task && !seen.is_over && seen.runner_id == Some(id)));
                }
                Action::Note { task, .. } | Action::Stop { task, .. } => {
                    prop_assert!(live.iter().any(|seen| seen.arn == task && !seen.is_over));
                }
            }
        }
    }

    #[test]
    fn every_orphan_is_gone_after_one_pass_and_planning_again_changes_nothing_more(
        runners in proptest::collection::vec(any_runner(), 0..8),
        live in proptest::collection::vec(any_task(), 0..8),
    ) {
        let mut left = runners.clone();
        for action in plan(runners, &live) {
            if let Action::DeleteRegistration { id, name, .. } = action {
                left.retain(|runner| runner.id != id || runner.name != name);
            }
        }
        let again = plan(left, &live);
        let deletions = again.iter().filter(|action| matches!(action, Action::DeleteRegistration { .. })).count();
        prop_assert_eq!(deletions, 0);
    }
}
