//! Runners that a class keeps ready.
//!
//! A job always gets a launch of its own, whether a runner waits for it or not: nothing about the launch changes, and no
//! job can starve. So where a warm runner takes a job, that job's own runner comes up without one, and takes the warm
//! one's place. The pool refills itself; all that is done here is to correct the number.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jitgate::classes::{Day, RunnerClass, RunnerClasses, Warm};
use jitgate::config::ConfigError;
use jitgate::ecs::{TaskArn, TaskView};
use jitgate::github::{Runner, RunnerStatus, Scope};
use jitgate::job::{Attempt, Job, JobId, Message, OwnerId, Purpose, RunId, RunnerId};
use jitgate::names::LaunchToken;
use time::{Duration, OffsetDateTime};

use super::{GONE_FOR, Places, Seen, SeenPlace, Settings};

/// A runner that is kept ready is renewed after this long: its image and its version get old, and GitHub removes
/// registrations that were never used after about a day.
pub const RENEWED_AFTER: Duration = Duration::hours(12);

/// What stands in a message in place of the id of a delivery.
const NO_DELIVERY: &str = "warm";

/// Whether each time zone that classes name is one.
pub fn check_time_zones(classes: &RunnerClasses) -> Result<(), ConfigError> {
    let zones = classes.iter().flat_map(|class| &class.warm).map(|warm| &warm.time_zone);
    match zones.into_iter().find(|zone| TimeZone::get(zone).is_err()) {
        None => Ok(()),
        Some(zone) => Err(ConfigError {
            variable: "RUNNER_CLASSES",
            found: format!("{zone:?} as a time_zone"),
            expected: "the IANA name of a time zone, such as Europe/Berlin".to_owned(),
        }),
    }
}

/// Whether an entry's days and hours include this moment.
fn is_on(now: OffsetDateTime, warm: &Warm) -> bool {
    let (Ok(zone), Ok(now)) = (TimeZone::get(&warm.time_zone), Timestamp::from_second(now.unix_timestamp())) else {
        return false;
    };
    let local = now.to_zoned_datetime(zone);
    let on = |day: Weekday| warm.days.is_empty() || warm.days.iter().any(|each| weekday(*each) == day);
    let (today, yesterday) = (local.weekday(), local.weekday().previous());
    let Some(hours) = warm.hours else { return on(today) };
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    let (from, until) = (i32::from(hours.from), i32::from(hours.until));
    if from < until {
        on(today) && (from..until).contains(&minute)
    } else {
        (on(today) && minute >= from) || (on(yesterday) && minute < until)
    }
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

/// What a class keeps ready in one place, and what there is of it.
struct Pool<'a> {
    class: &'a RunnerClass,
    place: &'a SeenPlace,
    count: usize,
    /// Free runners, the youngest first; no more than the count.
    kept: Vec<&'a TaskView>,
    /// Started to be kept, and not connected yet.
    starting: Vec<&'a TaskView>,
    /// Runners of jobs that warm ones have taken: they will be free as soon as they connect.
    coming: usize,
}

fn pools<'a>(now: OffsetDateTime, settings: Settings<'a>, seen: Seen<'a>) -> Vec<Pool<'a>> {
    let places = Places::of(seen.places);
    let mut pools = Vec::new();
    for class in settings.classes.iter() {
        let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
        for warm in class.warm.iter().filter(|warm| is_on(now, warm)) {
            if let Some(place) = place_of(warm, seen.places, &places) {
                let count = counts.entry(place).or_default();
                *count = warm.count.max(*count);
            }
        }
        pools.extend(counts.into_iter().map(|(place, count)| pool(now, class, (place, count), seen, &places)));
    }
    pools
}

fn place_of(warm: &Warm, seen: &[SeenPlace], places: &Places) -> Option<usize> {
    match &warm.place {
        Some(place) => places.by_key.get(&place.to_lowercase()).copied(),
        None => places.enterprise.or((seen.len() == 1).then_some(0)),
    }
}

fn pool<'a>(
    now: OffsetDateTime,
    class: &'a RunnerClass,
    (index, count): (usize, u32),
    seen: Seen<'a>,
    places: &Places,
) -> Pool<'a> {
    let place = &seen.places[index];
    let runners: HashMap<RunnerId, &Runner> = place.runners.iter().map(|runner| (runner.id, runner)).collect();
    let (mut free, mut starting) = (Vec::new(), Vec::new());
    let (mut starting_for_jobs, mut taken) = (0, 0);
    for task in seen.live.iter().filter(|task| !task.is_over && places.find(task) == Some(index)) {
        let (Some(id), Some(created_at), Some(message)) = (task.runner_id, task.created_at, &task.message) else {
            continue;
        };
        if message.job.class != class.name || !has_labels_of(class, &message.job.labels) {
            continue;
        }
        let is_warm = message.purpose == Purpose::Warm;
        let age = now - created_at;
        let is_busy =
            |runner: &Runner| runner.busy || task.busy_since.is_some() || seen.working.contains_key(&runner.name);
        match runners.get(&id) {
            Some(runner) if is_busy(runner) => taken += usize::from(is_warm),
            Some(runner) if runner.status == RunnerStatus::Online => free.push((age, task)),
            // It was registered after the registrations were listed, or has not connected yet.
            Some(runner) if !runner.never_connected() => {}
            None if age >= GONE_FOR => {}
            _ if is_warm => starting.push(task),
            _ => starting_for_jobs += 1,
        }
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    free.retain(|(age, _)| *age < RENEWED_AFTER);
    free.sort_by(|one, other| (one.0, &one.1.arn).cmp(&(other.0, &other.1.arn)));
    let kept = free.into_iter().take(count).map(|(_, task)| task).collect();
    Pool { class, place, count, kept, starting, coming: taken.min(starting_for_jobs) }
}

fn has_labels_of(class: &RunnerClass, labels: &[String]) -> bool {
    let all = |labels: &mut dyn Iterator<Item = &str>| labels.map(str::to_lowercase).collect::<HashSet<_>>();
    all(&mut class.labels.iter().map(jitgate::classes::LabelPattern::as_str))
        == all(&mut labels.iter().map(String::as_str))
}

/// The tasks whose runners are kept, idle as they are.
pub(super) fn kept(now: OffsetDateTime, settings: Settings<'_>, seen: Seen<'_>) -> HashSet<TaskArn> {
    pools(now, settings, seen).into_iter().flat_map(|pool| pool.kept).map(|task| task.arn.clone()).collect()
}

/// The launches that are missing. Each has a slot of its own, from which name and token are derived, so that it is the
/// same launch whoever plans it and however often.
pub fn plan_warm(now: OffsetDateTime, settings: Settings<'_>, seen: Seen<'_>) -> Vec<Message> {
    let mut attempts: HashMap<JobId, Attempt> = HashMap::new();
    for task in seen.live.iter().chain(seen.stopped) {
        if let Some((slot, attempt)) = LaunchToken::parse(settings.prefix, &task.started_by) {
            let last = attempts.entry(slot).or_insert(attempt);
            *last = attempt.max(*last);
        }
    }
    let mut launches = Vec::new();
    for pool in pools(now, settings, seen) {
        let missing = pool.count.saturating_sub(pool.kept.len() + pool.starting.len() + pool.coming);
        let taken: HashSet<JobId> = pool
            .kept
            .iter()
            .chain(&pool.starting)
            .filter_map(|task| LaunchToken::parse(settings.prefix, &task.started_by))
            .map(|(slot, _)| slot)
            .collect();
        let scope = pool.place.place.scope.to_string().to_lowercase();
        let slots = (1..=pool.count).map(|slot| JobId::of_warm(&pool.class.name, &scope, slot));
        launches.extend(slots.filter(|slot| !taken.contains(slot)).take(missing).map(|slot| {
            let attempt = attempts.get(&slot).map_or(Attempt::FIRST, |last| last.next());
            message_of(now, pool.class, pool.place, slot, attempt)
        }));
    }
    launches
}

fn message_of(now: OffsetDateTime, class: &RunnerClass, place: &SeenPlace, slot: JobId, attempt: Attempt) -> Message {
    let account = &place.place.account;
    let (owner, repository) = match &place.place.scope {
        Scope::Enterprise(slug) => (slug.clone(), String::new()),
        Scope::Organization(login) => (login.clone(), String::new()),
        Scope::Repository { owner, name } => (owner.clone(), name.clone()),
    };
    let job = Job {
        id: slot,
        run_id: RunId(0),
        run_attempt: 1,
        organization: account.is_organization.then(|| owner.clone()),
        owner,
        owner_id: OwnerId(0),
        repository,
        is_public: false,
        is_from_fork: None,
        installation_id: account.installation,
        labels: class.labels.iter().map(|label| label.as_str().to_owned()).collect(),
        class: class.name.clone(),
        created_at: now,
        html_url: None,
        delivery_id: NO_DELIVERY.to_owned(),
        queued_at: now,
    };
    Message::new(Purpose::Warm, job, attempt, now)
}

#[cfg(test)]
mod tests {
    use jitgate::github::{Account, Place};
    use jitgate::names::NamePrefix;
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::super::{Action, plan_cleanup};
    use super::*;

    /// A Monday.
    const NOW: OffsetDateTime = datetime!(2026-11-02 09:00 UTC);

    fn classes(warm: &str) -> RunnerClasses {
        RunnerClasses::parse(&format!(
            r#"[{{"name":"default","labels":["l","M"],"task_definition":"t","subnets":["s"],"warm":{warm}}}]"#
        ))
        .expect("valid classes")
    }

    fn place(runners: Vec<Runner>) -> [SeenPlace; 1] {
        let account =
            Account { login: "Octo-Org".to_owned(), is_organization: true, repository: None, installation: None };
        let place = Place { account, scope: Scope::Organization("Octo-Org".to_owned()) };
        [SeenPlace { place, runners, after_tasks: false }]
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Runs {
        Starting,
        Free,
        Busy,
    }

    /// A task that lives, what it was started for, and since when.
    #[derive(Clone, Copy, Debug)]
    struct Live {
        slot: Option<usize>,
        runs: Runs,
        minutes: i64,
    }

    #[derive(Clone, Default)]
    struct World {
        live: Vec<TaskView>,
        runners: Vec<Runner>,
    }

    impl World {
        fn of(all: &[Live], classes: &RunnerClasses) -> Self {
            let mut world = Self::default();
            for (number, live) in all.iter().enumerate() {
                let now = NOW - Duration::minutes(live.minutes);
                let class = classes.named("default").expect("it is there");
                let scope = "organization octo-org";
                let mut message = message_of(now, class, &place(Vec::new())[0], JobId(0), Attempt::FIRST);
                message.job.id = match live.slot {
                    Some(slot) => JobId::of_warm("default", scope, slot),
                    None => JobId(u64::try_from(number).expect("few")),
                };
                message.progress.attempt = Attempt(u16::try_from(number + 1).expect("few"));
                message.purpose = if live.slot.is_some() { Purpose::Warm } else { Purpose::Launch };
                world.start(&message, live.runs);
            }
            world
        }

        fn start(&mut self, message: &Message, runs: Runs) {
            let token = LaunchToken::derive(&NamePrefix::default(), message.job.id, message.progress.attempt);
            let id = RunnerId(u64::try_from(self.runners.len()).expect("few"));
            let created_at = Some(message.job.created_at);
            self.runners.push(Runner {
                id,
                name: format!("jit-default-{}-{}-1", message.job.id, message.progress.attempt),
                status: if runs == Runs::Starting { RunnerStatus::Offline } else { RunnerStatus::Online },
                busy: runs == Runs::Busy,
                version: (runs != Runs::Starting).then(|| "2.338.0".to_owned()),
            });
            self.live.push(TaskView {
                arn: TaskArn(format!("arn:{token}")),
                started_by: token.to_string(),
                created_at,
                runner_id: Some(id),
                repository: Some("octo-org/".to_owned()),
                class: Some("default".to_owned()),
                idle_since: created_at.filter(|_| runs == Runs::Free),
                message: Some(message.clone()),
                ..TaskView::default()
            });
        }

        fn with<T>(&self, classes: &RunnerClasses, look: impl FnOnce(Settings<'_>, Seen<'_>) -> T) -> T {
            let (prefix, places, working) = (NamePrefix::default(), place(self.runners.clone()), HashMap::new());
            let seen = Seen {
                places: &places,
                live: &self.live,
                live_later: Some(&self.live),
                stopped: &[],
                working: &working,
                waiting: &[],
            };
            look(Settings { prefix: &prefix, classes }, seen)
        }

        fn missing(&self, classes: &RunnerClasses) -> Vec<Message> {
            self.with(classes, |settings, seen| plan_warm(NOW, settings, seen))
        }
    }

    #[test]
    fn a_schedule_is_told_in_its_own_time_zone() {
        let at = |warm: &str, now| is_on(now, &classes(warm).named("default").expect("it is there").warm[0]);
        let berlin = r#"[{"count":1,"days":["mon"],"hours":"08-18","time_zone":"Europe/Berlin"}]"#;
        for (now, on) in [
            (datetime!(2026-11-02 06:59 UTC), false),
            (datetime!(2026-11-02 07:00 UTC), true),
            (datetime!(2026-11-02 16:59 UTC), true),
            (datetime!(2026-11-02 17:00 UTC), false),
            (datetime!(2026-11-03 09:00 UTC), false),
            // An hour earlier by UTC, since it is summer there.
            (datetime!(2026-07-06 06:00 UTC), true),
            (datetime!(2026-07-06 16:00 UTC), false),
        ] {
            assert_eq!(at(berlin, now), on, "{now}");
        }
        let night = r#"[{"count":1,"days":["mon"],"hours":"22-06"}]"#;
        for (now, on) in [
            (datetime!(2026-11-02 05:00 UTC), false),
            (datetime!(2026-11-02 23:00 UTC), true),
            (datetime!(2026-11-03 05:00 UTC), true),
            (datetime!(2026-11-03 23:00 UTC), false),
        ] {
            assert_eq!(at(night, now), on, "{now}");
        }
        assert!(at(r#"[{"count":1}]"#, NOW));
    }

    #[test]
    fn an_unknown_time_zone_stops_the_function_at_its_start() {
        let zone = |zone: &str| check_time_zones(&classes(&format!(r#"[{{"count":1,"time_zone":"{zone}"}}]"#)));
        assert_eq!(zone("Europe/Berlin"), Ok(()));
        let error = zone("Europe/Atlantis").expect_err("no such zone");
        assert!(error.to_string().contains("Europe/Atlantis"), "{error}");
    }

    #[test]
    fn what_is_missing_is_launched_and_the_job_of_a_taken_one_makes_up_for_it() {
        let classes = classes(r#"[{"count":2,"for":"octo-org"}]"#);
        let missing = |all: &[Live]| World::of(all, &classes).missing(&classes).len();
        let live = |slot, runs, minutes| Live { slot, runs, minutes };
        assert_eq!(missing(&[]), 2);
        assert_eq!(missing(&[live(Some(1), Runs::Free, 5), live(Some(2), Runs::Starting, 0)]), 0);
        assert_eq!(missing(&[live(Some(1), Runs::Free, 5), live(None, Runs::Free, 5)]), 0, "a job's has become warm");
        assert_eq!(missing(&[live(Some(1), Runs::Free, 5), live(Some(2), Runs::Busy, 5)]), 1);
        let taken = [live(Some(1), Runs::Free, 5), live(Some(2), Runs::Busy, 5), live(None, Runs::Starting, 0)];
        assert_eq!(missing(&taken), 0, "the job's own comes up");
        assert_eq!(missing(&[live(None, Runs::Starting, 0), live(None, Runs::Busy, 0)]), 2, "those have their jobs");
        assert_eq!(missing(&[live(Some(1), Runs::Free, 13 * 60), live(Some(2), Runs::Free, 5)]), 1, "one is old");
    }

    fn any_live() -> impl Strategy<Value = Vec<Live>> {
        let runs = prop_oneof![Just(Runs::Starting), Just(Runs::Free), Just(Runs::Busy)];
        let live = (proptest::option::of(1..5_usize), runs, 0..900_i64);
        proptest::collection::vec(live.prop_map(|(slot, runs, minutes)| Live { slot, runs, minutes }), 0..10)
    }

    proptest! {
        #[test]
        fn after_a_pass_nothing_is_missing_and_no_more_than_the_count_is_kept_idle(all in any_live(), count in 1..5_u32) {
            let classes = classes(&format!(r#"[{{"count":{count}}}]"#));
            let mut world = World::of(&all, &classes);
            let launches = world.missing(&classes);
            prop_assert!(launches.len() <= usize::try_from(count).expect("small"));
            let tokens: HashSet<_> =
                launches.iter().map(|each| LaunchToken::of(&NamePrefix::default(), each)).collect();
            prop_assert_eq!(tokens.len(), launches.len(), "each is a launch of its own");
            prop_assert!(!world.live.iter().any(|task| tokens.iter().any(|token| task.started_by == token.as_str())));
            prop_assert_eq!(&launches, &world.missing(&classes), "whoever plans it plans the same");
            for launch in &launches {
                world.start(launch, Runs::Starting);
            }
            prop_assert_eq!(world.missing(&classes), []);
            let actions = world.with(&classes, |settings, seen| plan_cleanup(NOW, settings, seen));
            let is_retired = |task: &TaskView| {
                actions.iter().any(|action| matches!(action, Action::Retire { task: retired, .. } if *retired == task.arn))
            };
            let of = |runner: &Runner| world.live.iter().find(|task| task.runner_id == Some(runner.id)).expect("its task");
            let idle_for_long = |task: &TaskView| task.idle_since.is_some_and(|since| NOW - since >= Duration::minutes(10));
            let mut kept = 0;
            for runner in &world.runners {
                let task = of(runner);
                prop_assert!(!runner.busy || !is_retired(task), "never a busy one");
                if idle_for_long(task) && !is_retired(task) {
                    kept += 1;
                    prop_assert!(NOW - task.created_at.expect("it has one") < RENEWED_AFTER);
                }
            }
            prop_assert!(kept <= count);
        }
    }
}
