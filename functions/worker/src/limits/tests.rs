use jitgate::ecs::{TaskArn, TaskView};
use jitgate::job::{Attempt, Job, JobId};
use jitgate::names::NamePrefix;
use proptest::prelude::*;
use time::Duration;

use super::*;
use crate::remembered::{REMEMBERED_FOR, Started, Waiting};

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
