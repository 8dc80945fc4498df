//! Launches of warm runners.
//!
//! A job always gets a launch of its own, whether a warm runner waits for it or not: nothing about its launch changes, and
//! no job starves. Where a warm runner takes a job, the job's own runner comes up without one and takes the warm runner's
//! place. So the pool refills itself, and a pass only corrects the number.

use std::collections::HashSet;

use jitgate::classes::RunnerClass;
use jitgate::github::{Place, Scope};
use jitgate::job::{Attempt, Job, JobId, Message, OwnerId, Purpose, RunId};
use time::OffsetDateTime;

use super::world::World;

/// Stands in a message in place of a delivery's id.
const NO_DELIVERY: &str = "warm";

/// The launches that are missing, as of `now`. Each has a slot, from which name and token are derived, so that however many
/// passes ask for it, and however often, it is the same launch.
pub fn plan_warm(now: OffsetDateTime, world: &World<'_>) -> Vec<Message> {
    let mut launches = Vec::new();
    for pool in &world.pools {
        let missing = pool.count.saturating_sub(pool.kept.len() + pool.starting.len() + pool.coming);
        let taken = pool.kept.iter().chain(&pool.starting).filter_map(|task| task.launch);
        let taken: HashSet<JobId> = taken.map(|(slot, _)| slot).collect();
        let scope = pool.place.scope.to_string().to_lowercase();
        let slots = (1..=pool.count).map(|slot| JobId::of_warm(&pool.class.name, &scope, slot));
        launches.extend(slots.filter(|slot| !taken.contains(slot)).take(missing).map(|slot| {
            let last = world.latest.get(&slot).and_then(|task| task.launch);
            let attempt = last.map_or(Attempt::FIRST, |(_, last)| last.next());
            message_of(now, pool.class, pool.place, slot, attempt)
        }));
    }
    launches
}

fn message_of(now: OffsetDateTime, class: &RunnerClass, place: &Place, slot: JobId, attempt: Attempt) -> Message {
    let account = &place.account;
    let (owner, repository) = match &place.scope {
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
        workflow: None,
        commit: None,
        delivery_id: NO_DELIVERY.to_owned(),
        queued_at: now,
    };
    Message::new(Purpose::Warm, job, attempt, now)
}

#[cfg(test)]
mod tests {
    use jitgate::classes::RunnerClasses;
    use jitgate::ecs::{TaskArn, TaskView};
    use jitgate::github::{Account, Runner, RunnerStatus};
    use jitgate::job::RunnerId;
    use jitgate::names::{LaunchToken, NamePrefix};
    use proptest::prelude::*;
    use time::Duration;
    use time::macros::datetime;

    use super::super::{Action, RENEWED_AFTER, Seen, SeenPlace, Settings, plan_cleanup};
    use super::*;

    /// A Monday.
    const NOW: OffsetDateTime = datetime!(2026-11-02 09:00 UTC);

    fn classes(warm: &str) -> RunnerClasses {
        RunnerClasses::parse(&format!(
            r#"[{{"name":"default","labels":["l","M"],"task_definition":"t","subnets":["s"],"warm":{warm}}}]"#
        ))
        .expect("valid classes")
    }

    fn place() -> Place {
        let account =
            Account { login: "Octo-Org".to_owned(), is_organization: true, repository: None, installation: None };
        Place { account, scope: Scope::Organization("Octo-Org".to_owned()) }
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
    struct Fleet {
        live: Vec<TaskView>,
        runners: Vec<Runner>,
    }

    impl Fleet {
        fn of(all: &[Live], classes: &RunnerClasses) -> Self {
            let mut fleet = Self::default();
            for (number, live) in all.iter().enumerate() {
                let now = NOW - Duration::minutes(live.minutes);
                let class = classes.named("default").expect("it is there");
                let scope = "organization octo-org";
                let mut message = message_of(now, class, &place(), JobId(0), Attempt::FIRST);
                message.job.id = match live.slot {
                    Some(slot) => JobId::of_warm("default", scope, slot),
                    None => JobId(u64::try_from(number).expect("few")),
                };
                message.progress.attempt = Attempt(u16::try_from(number + 1).expect("few"));
                message.purpose = if live.slot.is_some() { Purpose::Warm } else { Purpose::Launch };
                fleet.start(&message, live.runs);
            }
            fleet
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

        fn with<T>(&self, classes: &RunnerClasses, look: impl FnOnce(&World<'_>) -> T) -> T {
            let places =
                vec![SeenPlace { place: place(), runners: self.runners.clone(), after_tasks: false, is_served: true }];
            let seen = Seen { places, live: self.live.clone(), ..Seen::default() };
            let prefix = NamePrefix::default();
            let mut world = World::of(NOW, Settings { prefix: &prefix, classes }, &seen);
            world.look_again(&self.live);
            look(&world)
        }

        fn missing(&self, classes: &RunnerClasses) -> Vec<Message> {
            self.with(classes, |world| plan_warm(NOW, world))
        }
    }

    #[test]
    fn what_is_missing_is_launched_and_the_job_of_a_taken_one_makes_up_for_it() {
        let classes = classes(r#"[{"count":2,"for":"octo-org"}]"#);
        let missing = |all: &[Live]| Fleet::of(all, &classes).missing(&classes).len();
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

    #[test]
    fn only_a_runner_of_the_class_with_all_its_labels_takes_the_place_of_a_warm_one() {
        let classes = classes(r#"[{"count":1}]"#);
        let missing = |change: fn(&mut Job)| {
            let mut fleet = Fleet::of(&[Live { slot: None, runs: Runs::Free, minutes: 5 }], &classes);
            change(&mut fleet.live[0].message.as_mut().expect("it has one").job);
            fleet.missing(&classes).len()
        };
        assert_eq!(missing(|_| {}), 0);
        assert_eq!(missing(|job| job.labels = vec!["m".to_owned(), "L".to_owned()]), 0, "in any order and case");
        assert_eq!(missing(|job| job.labels.truncate(1)), 1);
        assert_eq!(missing(|job| job.labels.push("disk=50".to_owned())), 1);
        assert_eq!(missing(|job| job.class = "other".to_owned()), 1);
    }

    #[test]
    fn a_runner_that_was_lost_or_is_too_old_is_replaced_and_one_that_was_just_registered_is_awaited() {
        let classes = classes(r#"[{"count":1}]"#);
        let fleet = |runs, minutes| Fleet::of(&[Live { slot: Some(1), runs, minutes }], &classes);
        let missing = |fleet: &Fleet| fleet.missing(&classes).len();
        assert_eq!(missing(&fleet(Runs::Free, 12 * 60 - 1)), 0);
        assert_eq!(missing(&fleet(Runs::Free, 12 * 60)), 1);
        let mut disconnected = fleet(Runs::Free, 5);
        disconnected.runners[0].status = RunnerStatus::Offline;
        assert_eq!(missing(&disconnected), 1);
        let unregistered = |minutes| Fleet { runners: vec![], ..fleet(Runs::Starting, minutes) };
        assert_eq!(missing(&unregistered(3)), 0, "GitHub's list is older");
        assert_eq!(missing(&unregistered(4)), 1, "its registration is gone");
    }

    #[test]
    fn an_entry_without_a_place_is_for_the_enterprise_or_else_for_the_only_place() {
        let launched = |warm: &str, scopes: &[Scope]| {
            let place = |scope: &Scope| Place { scope: scope.clone(), ..place() };
            let places = scopes.iter().map(|scope| SeenPlace {
                place: place(scope),
                runners: vec![],
                after_tasks: false,
                is_served: true,
            });
            let (seen, prefix, classes) =
                (Seen { places: places.collect(), ..Seen::default() }, NamePrefix::default(), classes(warm));
            let world = World::of(NOW, Settings { prefix: &prefix, classes: &classes }, &seen);
            plan_warm(NOW, &world).into_iter().map(|launch| launch.job.full_name()).collect::<Vec<_>>()
        };
        let organization = |login: &str| Scope::Organization(login.to_owned());
        let repository = Scope::Repository { owner: "one".to_owned(), name: "tool".to_owned() };
        let enterprise = Scope::Enterprise("acme".to_owned());
        let (anywhere, of_other) = (r#"[{"count":1}]"#, r#"[{"count":1,"for":"Other"}]"#);
        let two = [organization("one"), organization("other")];
        assert_eq!(launched(anywhere, &two[..1]), ["one/"]);
        assert_eq!(launched(anywhere, &two), [""; 0], "which one is not said");
        assert_eq!(launched(anywhere, &[organization("one"), enterprise]), ["acme/"]);
        assert_eq!(launched(of_other, &two), ["other/"]);
        assert_eq!(launched(of_other, &two[..1]), [""; 0]);
        assert_eq!(launched(r#"[{"count":1,"for":"One/Tool"}]"#, &[repository]), ["one/tool"]);
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
            let mut fleet = Fleet::of(&all, &classes);
            let launches = fleet.missing(&classes);
            prop_assert!(launches.len() <= usize::try_from(count).expect("small"));
            let tokens: HashSet<_> =
                launches.iter().map(|each| LaunchToken::of(&NamePrefix::default(), each)).collect();
            prop_assert_eq!(tokens.len(), launches.len(), "each is a launch of its own");
            prop_assert!(!fleet.live.iter().any(|task| tokens.iter().any(|token| task.started_by == token.as_str())));
            prop_assert_eq!(&launches, &fleet.missing(&classes), "the same plan each time");
            for launch in &launches {
                fleet.start(launch, Runs::Starting);
            }
            prop_assert_eq!(fleet.missing(&classes), []);
            let actions = fleet.with(&classes, plan_cleanup);
            let is_retired = |task: &TaskView| {
                actions.iter().any(|action| matches!(action, Action::Retire { task: retired, .. } | Action::Probe { task: retired, .. } if *retired == task.arn))
            };
            let of = |runner: &Runner| fleet.live.iter().find(|task| task.runner_id == Some(runner.id)).expect("its task");
            let idle_for_long = |task: &TaskView| task.idle_since.is_some_and(|since| NOW - since >= Duration::minutes(10));
            let mut kept = 0;
            for runner in &fleet.runners {
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
