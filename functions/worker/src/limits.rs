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

use jitgate::classes::{RunnerClass, RunnerClasses};
use jitgate::names::LaunchToken;
use time::OffsetDateTime;

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

#[cfg(test)]
mod tests;
