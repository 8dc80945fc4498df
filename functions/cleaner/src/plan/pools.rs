//! The warm runners that each class keeps in each place.

use std::collections::{BTreeMap, HashSet};

use jitgate::classes::{LabelPattern, RunnerClass, RunnerClasses};
use jitgate::github::{Place, RunnerStatus};
use jitgate::job::Purpose;
use time::{Duration, OffsetDateTime};

use super::interval::GONE_FOR;
use super::links::{Links, Task};
use super::schedule::is_on;

/// A warm runner of this age is replaced: its image and its version get old, and GitHub removes registrations that were
/// never used after about a day.
pub const RENEWED_AFTER: Duration = Duration::hours(12);

/// What a class keeps ready in one place, and which of these runners exist.
pub(super) struct Pool<'a> {
    pub(super) class: &'a RunnerClass,
    pub(super) place: &'a Place,
    pub(super) count: usize,
    /// Free runners, the youngest first, `count` at most.
    pub(super) kept: Vec<Task<'a>>,
    /// Started as warm runners, and not connected yet.
    pub(super) starting: Vec<Task<'a>>,
    /// Runners of jobs that warm runners have taken: they will be free as soon as they connect.
    pub(super) coming: usize,
}

/// The pools that are due now.
pub(super) fn pools<'a>(
    now: OffsetDateTime,
    classes: &'a RunnerClasses,
    links: &Links<'a>,
    live: &[Task<'a>],
) -> Vec<Pool<'a>> {
    let mut pools = Vec::new();
    for class in classes.iter() {
        let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
        for warm in class.warm.iter().filter(|warm| is_on(now, warm)) {
            if let Some(place) = links.place_named(warm.place.as_deref()) {
                let count = counts.entry(place).or_default();
                *count = warm.count.max(*count);
            }
        }
        pools.extend(counts.into_iter().map(|(at, count)| pool(now, class, (at, count), links, live)));
    }
    pools
}

fn pool<'a>(
    now: OffsetDateTime,
    class: &'a RunnerClass,
    (at, count): (usize, u32),
    links: &Links<'a>,
    live: &[Task<'a>],
) -> Pool<'a> {
    let (mut free, mut starting) = (Vec::new(), Vec::new());
    let (mut starting_for_jobs, mut taken) = (0, 0);
    for task in live.iter().copied().filter(|task| task.place == Some(at)) {
        let (Some(_), Some(created_at), Some(message)) =
            (task.view.runner_id, task.view.created_at, &task.view.message)
        else {
            continue;
        };
        if message.job.class != class.name || !has_labels_of(class, &message.job.labels) {
            continue;
        }
        let is_warm = message.purpose == Purpose::Warm;
        let age = now - created_at;
        match task.runner {
            Some(_) if task.is_busy() || task.view.busy_since.is_some() => taken += usize::from(is_warm),
            Some(runner) if runner.status == RunnerStatus::Online => free.push((age, task)),
            Some(runner) if !runner.never_connected() => {}
            None if age >= GONE_FOR => {}
            // Not connected yet, or registered after the registrations were listed.
            _ if is_warm => starting.push(task),
            _ => starting_for_jobs += 1,
        }
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    free.retain(|(age, _)| *age < RENEWED_AFTER);
    free.sort_by(|one, other| (one.0, &one.1.view.arn).cmp(&(other.0, &other.1.view.arn)));
    let kept = free.into_iter().take(count).map(|(_, task)| task).collect();
    let place = &links.seen.places[at].place;
    Pool { class, place, count, kept, starting, coming: taken.min(starting_for_jobs) }
}

fn has_labels_of(class: &RunnerClass, labels: &[String]) -> bool {
    let all = |labels: &mut dyn Iterator<Item = &str>| labels.map(str::to_lowercase).collect::<HashSet<_>>();
    all(&mut class.labels.iter().map(LabelPattern::as_str)) == all(&mut labels.iter().map(String::as_str))
}
