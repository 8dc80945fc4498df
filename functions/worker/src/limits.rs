//! How many runners may live at once, in the fleet, in one class, and for one owner or repository in a class.
//!
//! ECS is asked once a batch, and only if a limit concerns one of its jobs. What this process has started within a minute
//! counts whether ECS lists it yet or not. Other workers' launches count once ECS lists them. So workers that look at the
//! same moment see the same free places, and each may fill them: a limit is exceeded by (concurrency - 1) x 10 runners at
//! most, while new tasks are listed within the time that a batch takes. A lock would bound that, and would be the only one
//! in jitgate: another store, for a number that need not be exact.
//!
//! The next free place is for the owner with the fewest runners, then for that owner's repository with the fewest, then for
//! the job that has waited longest. Jobs wait in the queue, in no order, and one owner's hundreds would take each place
//! before another's only job comes by. So a process remembers the jobs that it turned away, and keeps a free
//! place for one of them whose turn comes earlier. Such a job comes back within seconds. That needs no call, and each
//! process soon knows each such job, because it is handed to any of them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jitgate::classes::{RunnerClass, RunnerClasses};
use jitgate::ecs::{TaskArn, TaskView};
use jitgate::job::Job;
use jitgate::names::LaunchToken;
use time::{Duration, OffsetDateTime};

/// How long ECS may fail to list a started task. Its lists lag by seconds.
const LISTED_AFTER: Duration = Duration::seconds(60);

/// How long a job that was turned away is remembered. One whose turn is near comes back every 15 s, to any process: in
/// this time each of three has seen it in all but one of a hundred cases, and each of five in all but seven. A job that
/// was cancelled keeps a place free for as long.
const REMEMBERED_FOR: Duration = Duration::minutes(3);

/// As many jobs of a process come back sooner because their turn is near: two batches, as when capacity is short.
const NEXT: usize = 20;

/// The runner limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// `MAX_RUNNERS`
    pub fleet: Option<NonZeroU32>,
    /// With their `max_runners`, `max_per_owner` and `max_per_repository`.
    pub classes: &'a RunnerClasses,
}

impl Limits<'_> {
    /// Whether a limit applies to a class.
    pub fn concern(&self, class: &str) -> bool {
        let of_class = |class: &RunnerClass| {
            [class.max_runners, class.max_per_owner, class.max_per_repository].iter().any(Option::is_some)
        };
        self.fleet.is_some() || self.classes.named(class).is_some_and(of_class)
    }
}

/// Whose job a runner was launched for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    owner: String,
    /// `owner/name`
    repository: String,
}

impl Holder {
    /// From `owner/name`, in any case of letters.
    pub fn of(repository: &str) -> Self {
        let repository = repository.to_lowercase();
        Self { owner: repository.split('/').next().unwrap_or_default().to_owned(), repository }
    }
}

/// A launch that needs a free place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The launch.
    pub token: LaunchToken,
    /// Its job's class.
    pub class: String,
    /// Whose job it is.
    pub holder: Holder,
    /// When its job began to wait.
    pub since: OffsetDateTime,
    /// Whether it comes back if it is turned away. A warm runner does not.
    pub comes_back: bool,
}

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Whose limit it is, in words.
    pub of: String,
    /// How many runners it allows.
    pub limit: u32,
    /// Whether the job's turn is near, so that it should come back soon.
    pub is_next: bool,
}

/// How many runners there are, together and for each holder.
#[derive(Clone, Debug, Default)]
struct Counts {
    all: u32,
    owners: HashMap<String, u32>,
    repositories: HashMap<String, u32>,
}

impl Counts {
    fn add(&mut self, holder: &Holder) {
        self.all += 1;
        *self.owners.entry(holder.owner.clone()).or_default() += 1;
        *self.repositories.entry(holder.repository.clone()).or_default() += 1;
    }

    fn of_owner(&self, holder: &Holder) -> u32 {
        self.owners.get(&holder.owner).copied().unwrap_or_default()
    }

    fn of_repository(&self, holder: &Holder) -> u32 {
        self.repositories.get(&holder.repository).copied().unwrap_or_default()
    }
}

/// The runners that live, and the places that are kept.
#[derive(Clone, Debug, Default)]
pub struct Running {
    fleet: Counts,
    by_class: HashMap<String, Counts>,
    launches: HashSet<String>,
    /// How many of the runners are places kept for jobs whose turn comes earlier.
    kept: u32,
}

impl Running {
    /// Counts each launch once, with its class. A runner counts for the class of the job that it was launched for, even
    /// where a fallback class stands in.
    pub fn count<'a>(launches: impl IntoIterator<Item = (&'a str, &'a str, &'a Holder)>) -> Self {
        let mut running = Self::default();
        for (token, class, holder) in launches {
            if running.launches.insert(token.to_owned()) {
                running.add(class, holder);
            }
        }
        running
    }

    fn add(&mut self, class: &str, holder: &Holder) {
        self.fleet.add(holder);
        self.by_class.entry(class.to_owned()).or_default().add(holder);
    }

    /// Who comes first: fewer runners before more.
    fn rank(&self, holder: &Holder) -> (u32, u32) {
        (self.fleet.of_owner(holder), self.fleet.of_repository(holder))
    }

    /// The limit that holds a job back, and whose it is.
    fn reached(&self, limits: Limits<'_>, class: &str, holder: &Holder) -> Option<(Whose, u32)> {
        let counts = self.by_class.get(class);
        let count = |of: fn(&Counts, &Holder) -> u32| counts.map_or(0, |counts| of(counts, holder));
        let of_class = limits.classes.named(class);
        let limit = |of: fn(&RunnerClass) -> Option<u32>| of_class.and_then(of);
        let all = [
            (Whose::Repository, limit(|class| class.max_per_repository), count(Counts::of_repository)),
            (Whose::Owner, limit(|class| class.max_per_owner), count(Counts::of_owner)),
            (Whose::Class, limit(|class| class.max_runners), count(|counts, _| counts.all)),
            (Whose::Fleet, limits.fleet.map(NonZeroU32::get), self.fleet.all),
        ];
        all.into_iter().find_map(|(whose, limit, count)| Some((whose, limit.filter(|limit| count >= *limit)?)))
    }

    fn words(&self, (whose, limit): (Whose, u32), class: &str, holder: &Holder) -> Reached {
        let kept = if self.kept > 0 { " (with places kept for those who have fewer runners)" } else { "" };
        let of = match whose {
            Whose::Repository => format!("{} in class {class}", holder.repository),
            Whose::Owner => format!("{} in class {class}", holder.owner),
            Whose::Class => format!("class {class}{kept}"),
            Whose::Fleet => format!("the fleet{kept}"),
        };
        Reached { of, limit, is_next: false }
    }
}

#[derive(Clone, Copy)]
enum Whose {
    Repository,
    Owner,
    Class,
    Fleet,
}

/// Gives the free places, one after the other, to the job whose turn it is: of this batch, or one that was turned away
/// before, for which the place is kept. Returns, in the order of `wanted`, the limit that holds a launch back. A launch
/// whose task already lives needs no place: it is a repeat.
pub fn admit(limits: Limits<'_>, mut running: Running, waiting: &[Wanted], wanted: &[Wanted]) -> Vec<Option<Reached>> {
    let before = running.clone();
    let mut others = Others::of(&running, waiting, wanted);
    let mut open: Vec<usize> = (0..wanted.len()).collect();
    open.sort_by_key(|index| wanted[*index].since);
    let mut answers = vec![None; wanted.len()];
    loop {
        open.retain(|index| {
            let Wanted { token, class, holder, .. } = &wanted[*index];
            if running.launches.contains(token.as_str()) {
                return false;
            }
            let reached = running.reached(limits, class, holder);
            answers[*index] = reached.map(|reached| running.words(reached, class, holder));
            reached.is_none()
        });
        let Some(index) = open.iter().copied().min_by_key(|index| running.rank(&wanted[*index].holder)) else { break };
        let Wanted { token, class, holder, .. } = &wanted[index];
        let rank = running.rank(holder);
        if let Some(other) = others.take_before(rank, limits, &running) {
            running.kept += 1;
            running.add(other.class, other.holder);
        } else {
            running.launches.insert(token.as_str().to_owned());
            running.add(class, holder);
        }
    }
    mark_next(&before, waiting, wanted, &mut answers);
    answers
}

/// Jobs with the same class and the same holder that were turned away.
struct Other<'a> {
    class: &'a str,
    holder: &'a Holder,
    count: u32,
}

/// All of them, those with the fewest runners first.
struct Others<'a> {
    all: Vec<Other<'a>>,
    order: BinaryHeap<Reverse<((u32, u32), usize)>>,
}

impl<'a> Others<'a> {
    fn of(running: &Running, waiting: &'a [Wanted], wanted: &[Wanted]) -> Self {
        let here: HashSet<&str> = wanted.iter().map(|each| each.token.as_str()).collect();
        let mut counts: HashMap<(&str, &Holder), u32> = HashMap::new();
        for Wanted { token, class, holder, .. } in waiting {
            if !here.contains(token.as_str()) && !running.launches.contains(token.as_str()) {
                *counts.entry((class, holder)).or_default() += 1;
            }
        }
        let all: Vec<_> = counts.into_iter().map(|((class, holder), count)| Other { class, holder, count }).collect();
        let rank = |(index, other): (usize, &Other<'_>)| Reverse((running.rank(other.holder), index));
        Self { order: all.iter().enumerate().map(rank).collect(), all }
    }

    /// Takes one whose turn comes before that rank and that no limit holds back.
    fn take_before(&mut self, rank: (u32, u32), limits: Limits<'_>, running: &Running) -> Option<&Other<'a>> {
        while let Some(Reverse((noted, index))) = self.order.pop() {
            let other = &mut self.all[index];
            let current = running.rank(other.holder);
            if current != noted {
                self.order.push(Reverse((current, index)));
            } else if current >= rank {
                self.order.push(Reverse((current, index)));
                return None;
            } else if running.reached(limits, other.class, other.holder).is_none() {
                other.count -= 1;
                if other.count > 0 {
                    self.order.push(Reverse((current, index)));
                }
                return Some(&self.all[index]);
            }
        }
        None
    }
}

/// A job's turn is near if somebody has more runners, and few jobs that wait come before it.
fn mark_next(running: &Running, waiting: &[Wanted], wanted: &[Wanted], answers: &mut [Option<Reached>]) {
    if answers.iter().all(Option::is_none) {
        return;
    }
    let key = |job: &Wanted| (running.rank(&job.holder), job.since);
    let mut keys: Vec<_> = waiting.iter().chain(wanted).map(key).collect();
    keys.sort_unstable();
    let last = keys.into_iter().take(NEXT).next_back();
    let most = running.fleet.owners.values().copied().max().unwrap_or_default();
    let has_more = |job: &Wanted, of_repository: u32| {
        let of_owner = |name: &str| name.strip_prefix(&job.holder.owner).is_some_and(|rest| rest.starts_with('/'));
        running.fleet.repositories.iter().any(|(name, count)| *count > of_repository && of_owner(name))
    };
    for (job, answer) in wanted.iter().zip(answers) {
        let Some(reached) = answer else { continue };
        let (of_owner, of_repository) = running.rank(&job.holder);
        let is_behind = of_owner < most || has_more(job, of_repository);
        reached.is_next = is_behind && last.is_some_and(|last| key(job) <= last);
    }
}

/// The jobs that this process has turned away.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<HashMap<LaunchToken, (Wanted, OffsetDateTime)>>);

impl Waiting {
    /// Those that may still wait.
    pub(crate) fn all(&self, now: OffsetDateTime) -> Vec<Wanted> {
        let mut waiting = self.lock();
        waiting.retain(|_, (_, at)| now - *at < REMEMBERED_FOR);
        waiting.values().map(|(wanted, _)| wanted.clone()).collect()
    }

    /// Remembers the jobs of a batch that were turned away, and forgets the others.
    pub(crate) fn note(&self, wanted: &[Wanted], answers: &[Option<Reached>], now: OffsetDateTime) {
        let mut waiting = self.lock();
        for (job, answer) in wanted.iter().zip(answers) {
            if answer.is_some() && job.comes_back {
                waiting.insert(job.token.clone(), (job.clone(), now));
            } else {
                waiting.remove(&job.token);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaunchToken, (Wanted, OffsetDateTime)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks that this process has started within a minute.
#[derive(Debug, Default)]
pub(crate) struct Started(Mutex<Vec<StartedTask>>);

#[derive(Clone, Debug)]
struct StartedTask {
    arn: TaskArn,
    token: String,
    class: String,
    holder: Holder,
    at: OffsetDateTime,
}

impl Started {
    /// Notes a started task. Old ones are forgotten here too, because without limits nothing else looks at them.
    pub(crate) fn note(&self, arn: &TaskArn, token: &LaunchToken, class: &str, job: &Job, now: OffsetDateTime) {
        let (token, class, holder) = (token.as_str().to_owned(), class.to_owned(), Holder::of(&job.full_name()));
        let mut started = self.lock();
        started.retain(|task| now - task.at < LISTED_AFTER);
        started.push(StartedTask { arn: arn.clone(), token, class, holder, at: now });
    }

    /// All tasks that live: those that ECS lists, and those that it may not list yet.
    pub(crate) fn running(&self, listed: &[TaskView], now: OffsetDateTime) -> Running {
        let mut started = self.lock();
        started.retain(|task| now - task.at < LISTED_AFTER && !listed.iter().any(|seen| seen.arn == task.arn));
        let launch = |task: &TaskView| {
            let job = task.message.as_ref().map(|message| &message.job);
            let class = job.map(|job| job.class.clone()).or_else(|| task.class.clone()).unwrap_or_default();
            let repository = job.map(Job::full_name).or_else(|| task.repository.clone()).unwrap_or_default();
            (task.started_by.clone(), class, Holder::of(&repository))
        };
        let live = listed.iter().filter(|task| !task.is_over).map(launch);
        let unlisted = started.iter().map(|task| (task.token.clone(), task.class.clone(), task.holder.clone()));
        let all: Vec<_> = live.chain(unlisted).collect();
        Running::count(all.iter().map(|(token, class, holder)| (token.as_str(), class.as_str(), holder)))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<StartedTask>> {
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

    fn holder() -> Holder {
        Holder::of("octo-org/octo-repo")
    }

    fn wanted(job: u64, class: &str, seconds: i64) -> Wanted {
        let since = NOW - Duration::seconds(seconds);
        Wanted { token: token(job), class: class.to_owned(), holder: holder(), since, comes_back: true }
    }

    fn job() -> Job {
        let message = r#"{"v":1,"job_id":1,"run_id":7,"run_attempt":1,"owner":"octo-org","owner_id":3,
            "repository":"octo-repo","labels":["s"],"class":"small","created_at":"2026-11-01T11:00:00Z",
            "delivery_id":"d","attempt":1,"queued_at":1793534400,"born_at":1793534400}"#;
        jitgate::job::Message::parse(message).expect("a message").job
    }

    #[test]
    fn the_launches_that_have_waited_longest_get_the_free_places() {
        let classes = classes();
        let limits = Limits { fleet: None, classes: &classes };
        let tokens = [token(1), token(2)];
        let holder = holder();
        let running = Running::count(tokens.iter().map(|token| (token.as_str(), "small", &holder)));
        let jobs = [wanted(3, "small", 10), wanted(4, "small", 60), wanted(5, "large", 0), wanted(2, "small", 0)];
        let full = Reached { of: "class small".to_owned(), limit: 3, is_next: false };
        assert_eq!(admit(limits, running.clone(), &[], &jobs), [Some(full), None, None, None], "2 lives already");
        let limits = Limits { fleet: NonZeroU32::new(2), classes: &classes };
        let full = Reached { of: "the fleet".to_owned(), limit: 2, is_next: false };
        assert_eq!(admit(limits, running, &[], &jobs[2..3]), [Some(full)]);
    }

    /// A hundred places, all held by one owner with endless jobs, and a thousand owners with one job each. All come by in
    /// batches of ten, over and over. In each round, half of the runners end.
    #[test]
    fn a_thousand_owners_with_one_job_each_are_served_first_beside_one_with_hundreds() {
        let classes = classes();
        let limits = Limits { fleet: NonZeroU32::new(100), classes: &classes };
        let of = |owner: u64| Holder::of(&format!("owner-{owner}/hello"));
        let mut live: Vec<(LaunchToken, Holder)> = (0..100).map(|job| (token(job), of(0))).collect();
        let job = |number: u64, owner: u64| Wanted { holder: of(owner), ..wanted(number, "large", 0) };
        let mut queue: Vec<Wanted> = (100..500).map(|number| job(number, 0)).collect();
        queue.extend((1..=1000).map(|owner| job(1000 + owner, owner)));
        let waiting = Waiting::default();
        let mut rounds = 0;
        while queue.iter().any(|job| job.holder != of(0)) {
            rounds += 1;
            assert!(rounds <= 30, "{} jobs are left", queue.len());
            live.drain(..live.len() / 2);
            for batch in std::mem::take(&mut queue).chunks(10) {
                let running = Running::count(live.iter().map(|(token, holder)| (token.as_str(), "large", holder)));
                let answers = admit(limits, running, &waiting.all(NOW), batch);
                waiting.note(batch, &answers, NOW);
                for (job, answer) in batch.iter().zip(answers) {
                    match answer {
                        None => live.push((job.token.clone(), job.holder.clone())),
                        Some(_) => queue.push(job.clone()),
                    }
                }
                assert!(live.len() <= 100);
            }
        }
    }

    #[test]
    fn a_place_is_kept_for_who_has_fewer_runners_as_long_as_that_job_may_still_wait() {
        let classes = classes();
        let limits = Limits { fleet: NonZeroU32::new(3), classes: &classes };
        let (first, second) = (Holder::of("first/a"), Holder::of("Second/a"));
        let of = |number: u64, holder: &Holder| Wanted { holder: holder.clone(), ..wanted(number, "large", 9) };
        let running = |count: u64| -> Running {
            let tokens: Vec<_> = (1..=count).map(token).collect();
            Running::count(tokens.iter().map(|token| (token.as_str(), "large", &first)))
        };
        let waiting = Waiting::default();
        let turned_away = |job: Wanted, live: u64, at: OffsetDateTime| {
            let jobs = [job];
            let answers = admit(limits, running(live), &waiting.all(at), &jobs);
            waiting.note(&jobs, &answers, at);
            answers[0].clone()
        };
        assert!(turned_away(of(8, &first), 3, NOW).is_some_and(|reached| !reached.is_next));
        assert!(turned_away(of(9, &second), 3, NOW).is_some_and(|reached| reached.is_next), "its turn is near");
        let kept = turned_away(of(7, &first), 2, NOW).expect("the place is the second's");
        assert!(kept.of.contains("places kept"), "{kept:?}");
        assert_eq!(turned_away(of(7, &first), 2, NOW + REMEMBERED_FOR), None, "the second is forgotten");
        assert!(turned_away(of(9, &second), 3, NOW).is_some());
        assert_eq!(turned_away(of(9, &second), 2, NOW), None, "it takes its place");
        assert_eq!(turned_away(of(7, &first), 2, NOW), None, "and none is kept any more");
    }

    #[test]
    fn no_place_is_kept_for_a_job_that_a_cap_holds_back() {
        let classes = RunnerClasses::parse(
            r#"[{"name":"small","labels":["s"],"task_definition":"t","subnets":["n"],"max_per_owner":1,
                 "max_per_repository":1},
                {"name":"large","labels":["l"],"task_definition":"t","subnets":["n"]}]"#,
        );
        let classes = classes.expect("valid classes");
        let limits = Limits { fleet: NonZeroU32::new(4), classes: &classes };
        let (first, second) = (Holder::of("first/a"), Holder::of("second/a"));
        let tokens = [token(1), token(2), token(3)];
        let live = [(&tokens[0], "large", &first), (&tokens[1], "large", &first), (&tokens[2], "small", &second)];
        let running = Running::count(live.map(|(token, class, holder)| (token.as_str(), class, holder)));
        let capped = Wanted { holder: second, ..wanted(9, "small", 9) };
        let waiting = [capped.clone()];
        let job = Wanted { holder: first, ..wanted(7, "large", 1) };
        assert_eq!(admit(limits, running.clone(), &waiting, &[job]), [None]);
        let reached = admit(limits, running, &[], &[capped])[0].clone().expect("its cap is reached");
        assert_eq!((reached.of.as_str(), reached.limit), ("second/a in class small", 1));
    }

    #[test]
    fn what_ecs_does_not_list_yet_counts_for_a_minute() {
        let started = Started::default();
        started.note(&TaskArn("a".to_owned()), &token(1), "small", &job(), NOW);
        assert_eq!(started.running(&[], NOW + Duration::seconds(59)).fleet.all, 1);
        let listed = TaskView {
            arn: TaskArn("a".to_owned()),
            started_by: token(1).to_string(),
            class: Some("small".to_owned()),
            ..TaskView::default()
        };
        assert_eq!(started.running(std::slice::from_ref(&listed), NOW).by_class["small"].all, 1);
        let over = TaskView { is_over: true, ..listed };
        assert_eq!(started.running(&[over], NOW).fleet.all, 0);
        started.note(&TaskArn("b".to_owned()), &token(2), "small", &job(), NOW);
        assert_eq!(started.running(&[], NOW + Duration::seconds(60)).fleet.all, 0);
    }

    #[test]
    fn old_tasks_are_forgotten_where_nothing_is_limited() {
        let started = Started::default();
        for minute in 0..100 {
            started.note(&TaskArn(minute.to_string()), &token(1), "small", &job(), NOW + Duration::minutes(minute));
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
            let holder = holder();
            let before = Running::count(live.iter().map(|(token, class)| (token.as_str(), *class, &holder)));
            let jobs: Vec<_> = jobs.into_iter().map(|(job, waited)| wanted(job, class(job), waited)).collect();
            let answers = admit(limits, before.clone(), &[], &jobs);
            let admitted = jobs.iter().zip(&answers).filter(|(_, answer)| answer.is_none()).map(|(job, _)| job);
            let all: Vec<_> = live
                .iter()
                .map(|(token, class)| (token.as_str(), *class, &holder))
                .chain(admitted.map(|job| (job.token.as_str(), job.class.as_str(), &job.holder)))
                .collect();
            let after = Running::count(all);
            let count = |running: &Running| running.by_class.get("small").map_or(0, |counts| counts.all);
            prop_assert!(count(&after) <= count(&before).max(3));
            prop_assert!(fleet == 0 || after.fleet.all <= before.fleet.all.max(fleet));
            for (job, answer) in jobs.iter().zip(&answers) {
                let is_full = after.reached(limits, &job.class, &job.holder).is_some();
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
