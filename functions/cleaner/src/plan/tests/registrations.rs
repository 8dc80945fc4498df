//! Registrations that no task uses.

use super::*;

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
    let elsewhere = TaskView { repository: Some("other/repo".to_owned()), ..task("jit-43-1", Some(7), OLD) };
    assert!(!is_deleted(&[elsewhere]), "its place was not listed, and may be this one");
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
fn a_runner_that_never_connected_is_an_orphan_only_at_a_second_look() {
    let orphan = runner(7, &born(OLD), RunnerStatus::Offline, false);
    let mut sight = Sight { runners: vec![orphan.clone()], ..Sight::default() };
    assert_eq!(sight.plan(NOW), []);
    assert!(sight.with(NOW, needs_second_look));
    sight.live_later = Some(vec![task("jit-42-1", Some(7), Duration::ZERO)]);
    assert_eq!(sight.plan(NOW), [], "its task was not listed yet");
    sight.live_later = Some(vec![]);
    assert_eq!(sight.plan(NOW).len(), 1);
    let was_there = Runner { version: Some("2.338.0".to_owned()), ..orphan };
    let sight = Sight { runners: vec![was_there.clone()], ..Sight::default() };
    assert_eq!(sight.plan(NOW).len(), 1, "its task was listed long ago");
    assert!(!sight.with(NOW, needs_second_look));
    let places = vec![SeenPlace { after_tasks: true, ..place(vec![was_there]) }];
    look(NOW, &Seen { places, ..Seen::default() }, |world| {
        assert_eq!(plan_cleanup(&world), [], "its task may have started after the tasks were listed");
        assert!(needs_second_look(&world));
    });
}

#[test]
fn no_registration_is_deleted_while_the_stopped_tasks_are_unknown() {
    let runners = vec![runner(7, &born(OLD), RunnerStatus::Offline, false)];
    let deletes = |lacks_stopped| {
        let (runners, live_later) = (runners.clone(), Some(Vec::new()));
        let sight = Sight { runners, live_later, lacks_stopped, ..Sight::default() };
        sight.plan(NOW).iter().any(|action| matches!(action, Action::DeleteRegistration { .. }))
    };
    assert!(deletes(false) && !deletes(true));
}
