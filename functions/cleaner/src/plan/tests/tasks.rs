//! Live tasks that are of no use.

use super::*;

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
    let busy_since = Action::Note { task: seen.arn.clone(), key: tag::BUSY_SINCE, moment: Some(NOW) };
    assert_eq!(plan(busy, &[noted(Duration::hours(1))]), [busy_since], "it has a job");
    let was_busy = TaskView { busy_since: Some(NOW - Duration::hours(2)), ..noted(Duration::hours(1)) };
    assert_eq!(plan(idle(), &[was_busy]), [], "a runner has one job: it seems idle in the middle of it");
    let mut sight = Sight { runners: idle(), live: vec![noted(Duration::hours(1))], ..Sight::default() };
    sight.working.insert(born(OLD), Working { job: JobId(1), repository: "octo-org/repo".to_owned() });
    assert!(!sight.plan(NOW).iter().any(|action| matches!(action, Action::Retire { .. })), "a job says it has it");
}

#[test]
fn a_task_without_registration_is_stopped_only_if_it_stays_so() {
    let seen = task("jit-42-1", Some(7), OLD);
    let noted = |since| TaskView { gone_since: Some(NOW - since), ..seen.clone() };
    assert_eq!(plan(vec![], &[task("jit-42-1", Some(7), Duration::minutes(3))]), [], "just started");
    for seen in [task("jit-42-1", Some(7), GONE_FOR), seen.clone()] {
        assert!(matches!(plan(vec![], &[seen])[..], [Action::Note { moment: Some(_), .. }]));
    }
    assert_eq!(plan(vec![], &[noted(Duration::minutes(3))]), []);
    assert!(matches!(plan(vec![], &[noted(GONE_FOR)])[..], [Action::StopUnregistered { .. }]));
    let elsewhere = TaskView { repository: Some("other/repo".to_owned()), ..noted(OLD) };
    assert_eq!(plan(vec![], &[elsewhere]), [], "its registrations were not listed");
    let busy = vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    let note = Action::Note { task: seen.arn.clone(), key: tag::GONE_SINCE, moment: None };
    assert_eq!(plan(busy, &[noted(GONE_FOR)]), [note], "it is there again");
}

#[test]
fn a_runner_that_never_came_and_a_task_that_outlives_its_class_end() {
    let never = || vec![runner(7, &born(OLD), RunnerStatus::Offline, false)];
    assert_eq!(plan(never(), &[task("jit-42-1", Some(7), NEVER_CAME)]), []);
    assert!(matches!(
        plan(never(), &[task("jit-42-1", Some(7), NEVER_CAME + Duration::seconds(1))])[..],
        [Action::Retire { .. }]
    ));
    let busy = || vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    assert_eq!(plan(busy(), &[task("jit-42-1", Some(7), Duration::minutes(600))]), []);
    assert!(matches!(plan(busy(), &[task("jit-42-1", Some(7), Duration::minutes(601))])[..], [Action::Stop { .. }]));
    let of_no_class = |age| TaskView { class: None, ..task("jit-42-1", Some(7), age) };
    assert_eq!(plan(busy(), &[of_no_class(Duration::hours(121))]), []);
    let too_old = Duration::hours(121) + Duration::seconds(1);
    assert!(matches!(plan(busy(), &[of_no_class(too_old)])[..], [Action::Stop { .. }]));
}

#[test]
fn a_runner_is_retired_only_if_the_reason_still_holds_for_its_registration() {
    let seen = |status, busy| runner(7, &born(OLD), status, busy);
    let never_connected = seen(RunnerStatus::Offline, false);
    let (idle, busy) = (seen(RunnerStatus::Online, false), seen(RunnerStatus::Online, true));
    assert!(Useless::NeverConnected.holds(Some(&never_connected)));
    assert!(!Useless::NeverConnected.holds(Some(&idle)), "it has just connected");
    assert!(Useless::Idle.holds(Some(&idle)));
    assert!(!Useless::Idle.holds(Some(&busy)));
    for because in [Useless::NeverConnected, Useless::Idle] {
        assert!(because.holds(None), "only the task is left");
        assert!(because.words().starts_with("jitgate: "), "ECS shows it beside reasons of its own");
    }
}

/// The plan for runners of one class that have been idle for an hour, with these notes on their tasks.
fn plan_of_idle(notes: &[fn(&mut TaskView)], busy: bool) -> Vec<Action> {
    let mut sight = Sight::default();
    for (id, note) in (1..).zip(notes) {
        let mut view = task(&format!("jit-{id}-1"), Some(id), OLD);
        view.message = Some(message());
        view.idle_since = Some(NOW - Duration::HOUR);
        note(&mut view);
        sight.runners.push(runner(id, &format!("jit-default-{id}-1-1"), RunnerStatus::Online, false));
        sight.live.push(view);
    }
    if busy {
        sight.runners.push(runner(99, "jit-default-99-1-1", RunnerStatus::Online, true));
        sight.live.push(task("jit-99-1", Some(99), OLD));
    }
    sight.live_later = Some(sight.live.clone());
    sight.plan(NOW)
}

fn probes(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Probe { .. })).count()
}

#[test]
fn where_github_assigns_no_jobs_one_idle_runner_stays_as_long_as_its_job_waits() {
    let plain: fn(&mut TaskView) = |_| ();
    let probe: fn(&mut TaskView) = |task| task.probe_since = Some(NOW - Duration::HOUR);
    let used: fn(&mut TaskView) = |task| task.busy_since = Some(NOW);
    let planned = plan_of_idle(&[plain; 20], false);
    assert_eq!((planned.len(), probes(&planned)), (20, 1), "all others are retired");
    assert_eq!(probes(&plan_of_idle(&[plain, plain], false)), 0, "two are an accident");
    assert_eq!(probes(&plan_of_idle(&[plain; 20], true)), 0, "another one has a job");
    assert_eq!(probes(&plan_of_idle(&[probe], false)), 1, "it stays");
    assert_eq!(probes(&plan_of_idle(&[probe, plain, plain, plain], false)), 1, "one is enough");
    assert_eq!(probes(&plan_of_idle(&[probe, plain, plain, plain, used], false)), 0, "another one has a job");
}

#[test]
fn a_runner_that_lost_its_connection_for_ten_minutes_is_retired_and_one_that_came_back_is_not() {
    let plan = |status, busy, offline_for: Option<i64>| {
        let mut view = task("jit-42-1", Some(7), OLD);
        view.offline_since = offline_for.map(|minutes| NOW - Duration::minutes(minutes));
        let mut runners = vec![runner(7, &born(OLD), status, busy)];
        runners[0].version = Some("2.338.0".to_owned());
        Sight { runners, live: vec![view.clone()], live_later: Some(vec![view]), ..Sight::default() }.plan(NOW)
    };
    let note = |actions: &[Action]| match actions {
        [Action::Note { key: tag::OFFLINE_SINCE, moment, .. }, ..] => Some(*moment),
        _ => None,
    };
    assert_eq!(note(&plan(RunnerStatus::Offline, false, None)), Some(Some(NOW)));
    assert_eq!(plan(RunnerStatus::Offline, false, Some(9)), []);
    assert!(matches!(
        plan(RunnerStatus::Offline, false, Some(10))[..],
        [Action::Retire { because: Useless::Hangs, .. }]
    ));
    assert_eq!(note(&plan(RunnerStatus::Online, false, Some(30))), Some(None), "it came back");
    assert_eq!(note(&plan(RunnerStatus::Offline, true, Some(30))), Some(None), "it has a job");
}
