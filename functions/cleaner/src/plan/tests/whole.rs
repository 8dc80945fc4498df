//! Properties of whole plans.

use super::*;

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
        Just("another".to_owned()),
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

/// What the world is like once the actions are done.
fn after(sight: &Sight, actions: &[Action]) -> Sight {
    let mut sight = sight.clone();
    for action in actions {
        match action {
            Action::DeleteRegistration { id, name, .. } => {
                sight.runners.retain(|runner| runner.id != *id || runner.name != *name);
            }
            // A probe whose job is gone.
            Action::Retire { id, task, .. } | Action::Probe { id, task, .. } => {
                sight.runners.retain(|runner| runner.id != *id);
                sight.live.retain(|seen| seen.arn != *task);
            }
            Action::StopUnregistered { task, .. } | Action::Stop { task, .. } => {
                sight.live.retain(|seen| seen.arn != *task);
            }
            Action::Note { task, key, moment } => {
                for seen in sight.live.iter_mut().filter(|seen| seen.arn == *task) {
                    match *key {
                        tag::IDLE_SINCE => seen.idle_since = *moment,
                        tag::BUSY_SINCE => seen.busy_since = *moment,
                        tag::GONE_SINCE => seen.gone_since = *moment,
                        tag::OFFLINE_SINCE => seen.offline_since = *moment,
                        other => panic!("what is {other}?"),
                    }
                }
            }
        }
    }
    sight.live_later = Some(sight.live.clone());
    sight
}

/// As GitHub and ECS have it: ids are unique, and no two tasks run one registration.
fn any_sight() -> impl Strategy<Value = Sight> {
    let runners = proptest::collection::vec(any_runner(), 0..8);
    let live = proptest::collection::vec(any_task(), 0..8);
    let working = proptest::collection::hash_set(0..8_u64, 0..3);
    (runners, live, working).prop_map(|(mut runners, mut live, working)| {
        let (mut ids, mut arns, mut run) = (HashSet::new(), HashSet::new(), HashSet::new());
        runners.retain(|runner| ids.insert(runner.id));
        live.retain(|task| arns.insert(task.arn.clone()) && task.runner_id.is_none_or(|id| run.insert(id)));
        let job = |id| Working { job: JobId(id), repository: "octo-org/repo".to_owned() };
        let working = runners.iter().filter(|runner| working.contains(&runner.id.0));
        let working = working.map(|runner| (runner.name.clone(), job(runner.id.0))).collect();
        Sight { runners, live_later: Some(live.clone()), live, working, ..Sight::default() }
    })
}

proptest! {
    #[test]
    fn nothing_busy_young_unknown_or_without_our_prefix_is_ever_touched(sight in any_sight()) {
        for action in sight.plan(NOW) {
            let runner = |id: RunnerId| sight.runners.iter().find(|runner| runner.id == id);
            let ours = |task: &TaskArn, id: Option<RunnerId>| sight.live.iter().any(|seen| {
                seen.arn == *task && !seen.is_over && seen.runner_id.is_some() && id.is_none_or(|id| seen.runner_id == Some(id))
            });
            match action {
                Action::DeleteRegistration { name, id, .. } => {
                    let runner = runner(id).expect("one that was seen");
                    prop_assert!(name.starts_with("jit-default-") && runner.name == name);
                    prop_assert!(runner.status == RunnerStatus::Offline && !runner.busy);
                    let born_at = name.rsplit('-').next().unwrap().parse().unwrap();
                    prop_assert!(NOW - OffsetDateTime::from_unix_timestamp(born_at).unwrap() > GRACE);
                    let runs_it = |seen: &TaskView| !seen.is_over && seen.runner_id == Some(id);
                    prop_assert!(!sight.live.iter().any(runs_it));
                }
                Action::StopUnregistered { id, task, .. } => {
                    prop_assert!(runner(id).is_none() && ours(&task, Some(id)));
                }
                Action::Retire { id, task, .. } | Action::Probe { id, task, .. } => {
                    let runner = runner(id).expect("one that was seen");
                    prop_assert!(!runner.busy && runner.status != RunnerStatus::Unknown);
                    prop_assert!(ours(&task, Some(id)));
                    prop_assert!(runner.never_connected() || !sight.working.contains_key(&runner.name));
                }
                Action::Note { task, .. } => prop_assert!(ours(&task, None)),
                // Only for a lifetime, busy or not.
                Action::Stop { task, .. } => {
                    prop_assert!(ours(&task, None));
                    let seen = sight.live.iter().find(|seen| seen.arn == task).expect("one that was seen");
                    prop_assert!(NOW - seen.created_at.unwrap() > Duration::minutes(600));
                }
            }
        }
    }

    #[test]
    fn planning_again_changes_nothing_more(sight in any_sight()) {
        let done = after(&sight, &sight.plan(NOW));
        let again = done.plan(NOW);
        // A task that was stopped leaves its registration without a task: an orphan, and the only thing that is new.
        let is_consequence = |action: &Action| matches!(action, Action::DeleteRegistration { .. });
        prop_assert!(again.iter().all(is_consequence), "{again:?}");
        prop_assert_eq!(after(&done, &again).plan(NOW), []);
    }

    #[test]
    fn every_orphan_is_gone_after_at_most_two_passes(sight in any_sight()) {
        let is_orphan = |sight: &Sight, runner: &Runner| {
            let old = RunnerOrigin::parse(&NamePrefix::default(), &runner.name)
                .is_some_and(|origin| NOW - origin.born_at > GRACE);
            let launch = RunnerOrigin::parse(&NamePrefix::default(), &runner.name).map(|origin| (origin.job_id, origin.attempt));
            let lives = sight.live.iter().any(|task| !task.is_over && match task.runner_id {
                Some(id) => id == runner.id,
                None => LaunchToken::parse(&NamePrefix::default(), &task.started_by) == launch,
            });
            old && runner.status == RunnerStatus::Offline && !runner.busy && !lives
        };
        let later = NOW + Duration::minutes(5);
        let first = after(&sight, &sight.plan(NOW));
        let second = after(&first, &first.plan(later));
        prop_assert!(!second.runners.iter().any(|runner| is_orphan(&sight, runner)));
        // The same for a task whose registration is gone, from the second look that finds it so.
        let is_ghost = |task: &TaskView| {
            let id = task.runner_id;
            !task.is_over && id.is_some() && !sight.runners.iter().any(|runner| Some(runner.id) == id)
                && NOW - task.created_at.unwrap() > GRACE
        };
        prop_assert!(!second.live.iter().any(is_ghost));
    }
}
