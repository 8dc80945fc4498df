//! How many runners may live at once, in the fleet and in one class.
//!
//! ECS is asked once a batch, and only if a limit concerns one of its jobs. What this process has started within a minute
//! counts whether ECS lists it yet or not. Other workers' launches count once ECS lists them. So workers that look at the
//! same moment see the same free places, and each may fill them: a limit is exceeded by (concurrency - 1) x 10 runners at
//! most, while new tasks are listed within the time that a batch takes. A lock would bound that, and would be the only one
//! in jitgate: another store, for a number that need not be exact.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use jitgate::classes::RunnerClasses;
use jitgate::ecs::{TaskArn, TaskView};
use jitgate::names::LaunchToken;
use time::{Duration, OffsetDateTime};

/// How long ECS may fail to list a started task. Its lists lag by seconds.
const LISTED_AFTER: Duration = Duration::seconds(60);

/// The runner limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// `MAX_RUNNERS`
    pub fleet: Option<NonZeroU32>,
    /// With their `max_runners`.
    pub classes: &'a RunnerClasses,
}

impl Limits<'_> {
    /// Whether a limit applies to a class.
    pub fn concern(&self, class: &str) -> bool {
        self.fleet.is_some() || self.of_class(class).is_some()
    }

    fn of_class(&self, class: &str) -> Option<u32> {
        self.classes.named(class)?.max_runners
    }
}

/// A launch that needs a free place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The launch.
    pub token: LaunchToken,
    /// Its job's class.
    pub class: String,
    /// When its job began to wait.
    pub since: OffsetDateTime,
}

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Whose limit it is, in words.
    pub of: String,
    /// How many runners it allows.
    pub limit: u32,
}

/// The runners that live.
#[derive(Clone, Debug, Default)]
pub struct Running {
    all: u32,
    by_class: HashMap<String, u32>,
    launches: HashSet<String>,
}

impl Running {
    /// Counts each launch once. A runner counts for the class of the job that it was launched for, even where a fallback
    /// class stands in.
    pub fn count<'a>(launches: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut running = Self::default();
        for (token, class) in launches {
            if running.launches.insert(token.to_owned()) {
                running.add(class);
            }
        }
        running
    }

    fn add(&mut self, class: &str) {
        self.all += 1;
        *self.by_class.entry(class.to_owned()).or_default() += 1;
    }

    fn reached(&self, limits: Limits<'_>, class: &str) -> Option<Reached> {
        let of_class = self.by_class.get(class).copied().unwrap_or_default();
        if let Some(limit) = limits.of_class(class).filter(|limit| of_class >= *limit) {
            return Some(Reached { of: format!("class {class}"), limit });
        }
        let limit = limits.fleet.map(NonZeroU32::get).filter(|limit| self.all >= *limit)?;
        Some(Reached { of: "the fleet".to_owned(), limit })
    }
}

/// Gives the free places to the launches that have waited longest. Returns, in the order of `wanted`, the limit that holds a
/// launch back. A launch whose task already lives needs no place: it is a repeat.
pub fn admit(limits: Limits<'_>, mut running: Running, wanted: &[Wanted]) -> Vec<Option<Reached>> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|index| wanted[*index].since);
    let mut answers = vec![None; wanted.len()];
    for index in order {
        let Wanted { token, class, .. } = &wanted[index];
        if running.launches.contains(token.as_str()) {
            continue;
        }
        answers[index] = running.reached(limits, class);
        if answers[index].is_none() {
            running.launches.insert(token.as_str().to_owned());
            running.add(class);
        }
    }
    answers
}

/// The tasks that this process has started within a minute.
#[derive(Debug, Default)]
pub(crate) struct Started(Mutex<Vec<StartedTask>>);

#[derive(Clone, Debug)]
struct StartedTask {
    arn: TaskArn,
    token: String,
    class: String,
    at: OffsetDateTime,
}

impl Started {
    /// Notes a started task. Old ones are forgotten here too, because without limits nothing else looks at them.
    pub(crate) fn note(&self, arn: &TaskArn, token: &LaunchToken, class: &str, now: OffsetDateTime) {
        let (token, class) = (token.as_str().to_owned(), class.to_owned());
        let mut started = self.lock();
        started.retain(|task| now - task.at < LISTED_AFTER);
        started.push(StartedTask { arn: arn.clone(), token, class, at: now });
    }

    /// All tasks that live: those that ECS lists, and those that it may not list yet.
    pub(crate) fn running(&self, listed: &[TaskView], now: OffsetDateTime) -> Running {
        let mut started = self.lock();
        started.retain(|task| now - task.at < LISTED_AFTER && !listed.iter().any(|seen| seen.arn == task.arn));
        let of_job = |task: &'_ TaskView| task.message.as_ref().map(|message| message.job.class.clone());
        let live = listed
            .iter()
            .filter(|task| !task.is_over)
            .map(|task| (task.started_by.clone(), of_job(task).or_else(|| task.class.clone()).unwrap_or_default()));
        let all: Vec<_> = live.chain(started.iter().map(|task| (task.token.clone(), task.class.clone()))).collect();
        Running::count(all.iter().map(|(token, class)| (token.as_str(), class.as_str())))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<StartedTask>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jitgate::job::{Attempt, JobId};
    use jitgate::names::NamePrefix;
    use proptest::prelude::*;

    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

    fn classes() -> RunnerClasses {
        RunnerClasses::parse(
            r#"[{"name":"small","labels":["s"],"task_definition":"t","subnets":["n"],"max_runners":3},
                {"name":"large","labels":["l"],"task_definition":"t","subnets":["n"]}]"#,
        )
        .expect("valid classes")
    }

    fn token(job: u64) -> LaunchToken {
        LaunchToken::derive(&NamePrefix::default(), JobId(job), Attempt::FIRST)
    }

    fn wanted(job: u64, class: &str, seconds: i64) -> Wanted {
        Wanted { token: token(job), class: class.to_owned(), since: NOW - Duration::seconds(seconds) }
    }

    #[test]
    fn the_launches_that_have_waited_longest_get_the_free_places() {
        let classes = classes();
        let limits = Limits { fleet: None, classes: &classes };
        let tokens = [token(1), token(2)];
        let running = Running::count(tokens.iter().map(|token| (token.as_str(), "small")));
        let jobs = [wanted(3, "small", 10), wanted(4, "small", 60), wanted(5, "large", 0), wanted(2, "small", 0)];
        let full = Reached { of: "class small".to_owned(), limit: 3 };
        assert_eq!(admit(limits, running.clone(), &jobs), [Some(full), None, None, None], "2 lives already");
        let limits = Limits { fleet: NonZeroU32::new(2), classes: &classes };
        let full = Reached { of: "the fleet".to_owned(), limit: 2 };
        assert_eq!(admit(limits, running, &jobs[2..3]), [Some(full)]);
    }

    #[test]
    fn what_ecs_does_not_list_yet_counts_for_a_minute() {
        let started = Started::default();
        started.note(&TaskArn("a".to_owned()), &token(1), "small", NOW);
        assert_eq!(started.running(&[], NOW + Duration::seconds(59)).all, 1);
        let listed = TaskView {
            arn: TaskArn("a".to_owned()),
            started_by: token(1).to_string(),
            class: Some("small".to_owned()),
            ..TaskView::default()
        };
        assert_eq!(started.running(std::slice::from_ref(&listed), NOW).by_class["small"], 1);
        let over = TaskView { is_over: true, ..listed };
        assert_eq!(started.running(&[over], NOW).all, 0);
        started.note(&TaskArn("b".to_owned()), &token(2), "small", NOW);
        assert_eq!(started.running(&[], NOW + Duration::seconds(60)).all, 0);
    }

    #[test]
    fn old_tasks_are_forgotten_where_nothing_is_limited() {
        let started = Started::default();
        for minute in 0..100 {
            started.note(&TaskArn(minute.to_string()), &token(1), "small", NOW + Duration::minutes(minute));
        }
        assert_eq!(started.lock().len(), 1);
    }

    proptest! {
        #[test]
        fn no_limit_is_exceeded_and_no_place_stays_free(
            live in proptest::collection::vec(0..40_u64, 0..12),
            jobs in proptest::collection::vec((0..40_u64, 0..100_i64), 0..12),
            fleet in 0..10_u32,
        ) {
            let classes = classes();
            let class = |job: u64| if job.is_multiple_of(2) { "small" } else { "large" };
            let limits = Limits { fleet: NonZeroU32::new(fleet), classes: &classes };
            let live: Vec<_> = live.into_iter().map(|job| (token(job), class(job))).collect();
            let before = Running::count(live.iter().map(|(token, class)| (token.as_str(), *class)));
            let jobs: Vec<_> = jobs.into_iter().map(|(job, waited)| wanted(job, class(job), waited)).collect();
            let answers = admit(limits, before.clone(), &jobs);
            let admitted = jobs.iter().zip(&answers).filter(|(_, answer)| answer.is_none()).map(|(job, _)| job);
            let all: Vec<_> = live
                .iter()
                .map(|(token, class)| (token.as_str(), *class))
                .chain(admitted.map(|job| (job.token.as_str(), job.class.as_str())))
                .collect();
            let after = Running::count(all);
            let count = |running: &Running| running.by_class.get("small").copied().unwrap_or_default();
            prop_assert!(count(&after) <= count(&before).max(3));
            prop_assert!(fleet == 0 || after.all <= before.all.max(fleet));
            for (job, answer) in jobs.iter().zip(&answers) {
                let is_full = after.reached(limits, &job.class).is_some();
                prop_assert!(answer.is_none() || is_full, "{job:?} was held back although a place was free");
                // No later launch has the place of one that was held back.
                let later = |other: &Wanted| other.class == job.class && other.since > job.since;
                let is_new = |other: &Wanted| !before.launches.contains(other.token.as_str());
                let overtaken = jobs.iter().zip(&answers).any(|(other, answer)| {
                    answer.is_none() && later(other) && is_new(other) && other.token != job.token
                        && !jobs.iter().any(|twin| twin.token == other.token && twin.since <= job.since)
                });
                prop_assert!(answer.is_none() || !overtaken);
            }
        }
    }
}
