//! What is to be cleaned up, as a pure function of what was seen.

use jitgate::ecs::TaskView;
use jitgate::github::{Runner, RunnerStatus};
use jitgate::job::RunnerId;
use jitgate::names::{LaunchToken, NamePrefix, RunnerOrigin};
use time::{Duration, OffsetDateTime};

/// A registration younger than this is left alone, whatever else is seen. It outlasts every window in which a launch
/// is half done (registered, its task not started or not listed yet) and the minute or so in which a task starts.
pub const GRACE: Duration = Duration::minutes(10);

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Delete a registration that no runner will use any more.
    DeleteRegistration {
        /// Its id.
        id: RunnerId,
        /// Its name.
        name: String,
    },
}

/// Plans the clean-up of one scope. `runners` must have been listed before `tasks`: then every registration seen had
/// its task, if it got one within the grace, in time to be listed.
pub fn plan_cleanup(now: OffsetDateTime, prefix: &NamePrefix, runners: &[Runner], tasks: &[TaskView]) -> Vec<Action> {
    runners
        .iter()
        .filter(|runner| runner.status == RunnerStatus::Offline && !runner.busy)
        .filter(|runner| {
            RunnerOrigin::parse(prefix, &runner.name)
                .is_some_and(|origin| now - origin.born_at > GRACE && !has_live_task(prefix, runner, origin, tasks))
        })
        .map(|runner| Action::DeleteRegistration { id: runner.id, name: runner.name.clone() })
        .collect()
}

/// A task that does not say which registration it runs counts for every registration of its launch.
fn has_live_task(prefix: &NamePrefix, runner: &Runner, origin: RunnerOrigin, tasks: &[TaskView]) -> bool {
    tasks.iter().filter(|task| !task.is_over).any(|task| match task.runner_id {
        Some(id) => id == runner.id,
        None => LaunchToken::parse(prefix, &task.started_by) == Some((origin.job_id, origin.attempt)),
    })
}

#[cfg(test)]
mod tests {
    use jitgate::ecs::TaskArn;

    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

    fn runner(name: &str, status: RunnerStatus, busy: bool) -> Runner {
        Runner { id: RunnerId(7), name: name.to_owned(), status, busy, version: None }
    }

    fn born(ago: Duration) -> String {
        format!("jit-default-42-1-{}", (NOW - ago).unix_timestamp())
    }

    fn task(started_by: &str, runner_id: Option<u64>, is_over: bool) -> TaskView {
        TaskView {
            arn: TaskArn("arn".to_owned()),
            is_over,
            started_by: started_by.to_owned(),
            created_at: None,
            runner_id: runner_id.map(RunnerId),
            runner_name: None,
            repository: None,
            stopped_reason: None,
        }
    }

    fn is_deleted(runner: &Runner, tasks: &[TaskView]) -> bool {
        !plan_cleanup(NOW, &NamePrefix::default(), std::slice::from_ref(runner), tasks).is_empty()
    }

    #[test]
    fn an_old_offline_registration_without_a_live_task_is_deleted() {
        let orphan = runner(&born(GRACE + Duration::seconds(1)), RunnerStatus::Offline, false);
        assert!(is_deleted(&orphan, &[]));
        assert!(is_deleted(&orphan, &[task("jit-42-1", Some(7), true)]));
        assert!(is_deleted(&orphan, &[task("jit-42-1", Some(8), false)]), "that task runs another registration");
        assert!(is_deleted(&orphan, &[task("jit-42-2", None, false)]));
        assert!(is_deleted(&runner(&format!("{}b", orphan.name), RunnerStatus::Offline, false), &[]), "a spare name");
    }

    #[test]
    fn nothing_young_busy_online_unknown_foreign_or_alive_is_touched() {
        let old = born(Duration::days(1));
        for kept in [
            runner(&born(GRACE), RunnerStatus::Offline, false),
            runner(&born(-GRACE), RunnerStatus::Offline, false),
            runner(&old, RunnerStatus::Online, false),
            runner(&old, RunnerStatus::Unknown, false),
            runner(&old, RunnerStatus::Offline, true),
            runner("jit-default-42-1", RunnerStatus::Offline, false),
            runner("build-box", RunnerStatus::Offline, false),
            runner(&old.replace("jit-", "jitter-"), RunnerStatus::Offline, false),
        ] {
            assert!(!is_deleted(&kept, &[]), "{kept:?}");
        }
        let orphan = runner(&old, RunnerStatus::Offline, false);
        assert!(!is_deleted(&orphan, &[task("jit-42-1", Some(7), false)]));
        assert!(!is_deleted(&orphan, &[task("jit-42-1", None, false)]));
    }
}
