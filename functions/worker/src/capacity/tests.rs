use jitgate::classes::{Demand, Fit, RunnerClasses};
use proptest::prelude::*;

use super::*;

const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

fn kinds(kind: &str) -> Vec<String> {
    vec![kind.to_owned()]
}

fn turn<'a>(shortages: &'a Shortages, kind: &str, now: OffsetDateTime) -> Option<Turn<'a>> {
    (shortages.ask(&kinds(kind), now, || 0.0) == Answer::Go).then(|| Turn { shortages, kinds: kinds(kind) })
}

fn stand_still(shortages: &Shortages, kind: &str, now: OffsetDateTime) {
    while !shortages.is_at_standstill(kind) {
        shortages.missing(kind, "none", now);
    }
}

fn classes() -> RunnerClasses {
    RunnerClasses::parse(r#"[{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"]}]"#).expect("a class")
}

fn placements(classes: &RunnerClasses) -> Vec<Placement<'_>> {
    let class = classes.named("a").expect("the class");
    classes.placements(&Fit { class, demand: Demand::default() })
}

#[test]
fn fifteen_failures_in_a_row_are_a_standstill_and_fourteen_are_not() {
    let shortages = Shortages::default();
    for _ in 0..14 {
        shortages.missing("a", "none", NOW);
        assert!(!shortages.is_at_standstill("a"));
    }
    shortages.missing("a", "none", NOW);
    assert!(shortages.is_at_standstill("a"));
    assert!(!shortages.is_worth_trying("a", NOW));
    assert!(shortages.is_worth_trying("b", NOW), "another kind is not concerned");
    assert!(turn(&shortages, "b", NOW).is_some());
    assert_eq!(
        shortages.ask(&["a".to_owned(), "b".to_owned()], NOW, || 0.0),
        Answer::Go,
        "one of them may have capacity"
    );
}

#[test]
fn in_a_standstill_one_launch_tries_after_each_pause_and_all_processes_do_so_together() {
    for begun in [0, 3, 9] {
        let shortages = Shortages::default();
        let begun = NOW + Duration::seconds(begun);
        stand_still(&shortages, "a", begun);
        let mut moments = Vec::new();
        for second in 0..200 {
            let now = begun + Duration::seconds(second);
            if turn(&shortages, "a", now).is_some() && shortages.is_worth_trying("a", now) {
                assert!(!shortages.is_worth_trying("a", now), "one is enough");
                shortages.missing("a", "none", now);
                moments.push((now - NOW).whole_seconds());
            }
        }
        assert_eq!(moments, [10, 20, 30, 60, 120, 180]);
    }
}

#[tokio::test]
async fn jobs_in_a_standstill_are_told_a_moment_after_the_next_try() {
    let (shortages, clock, classes) = (Shortages::default(), Clock::manual(NOW), classes());
    let placements = placements(&classes);
    stand_still(&shortages, &placements[0].kind(), NOW);
    for told in 0..100 {
        let Err(LaunchError::Standstill { until, .. }) = shortages.turn(&placements, &clock).await else { panic!() };
        let waits = (until - NOW).as_seconds_f64();
        let (least, most) = if told < 20 { (10.0, 10.0) } else { (60.0, 70.0) };
        assert!((least..=most).contains(&waits), "{told}: {waits}");
    }
}

#[test]
fn after_a_standstill_each_success_lets_one_more_launch_try() {
    let shortages = Shortages::default();
    stand_still(&shortages, "a", NOW);
    let now = NOW + Duration::minutes(1);
    let try_all = || -> Vec<_> { std::iter::from_fn(|| turn(&shortages, "a", now)).take(20).collect() };
    for allowed in [1, 2, 4, 8, 10] {
        let turns = try_all();
        assert_eq!(turns.len(), allowed);
        for _ in turns {
            assert!(shortages.is_worth_trying("a", now));
            shortages.found("a");
        }
    }
    stand_still(&shortages, "a", now);
    shortages.found("a");
    for _ in 0..5 {
        assert!(!shortages.is_at_standstill("a"));
        shortages.missing("a", "none", now);
    }
    assert!(shortages.is_at_standstill("a"), "after a shortage fewer failures make the next");
}

#[test]
fn a_launch_waits_while_others_try_and_a_turn_that_came_to_nothing_is_the_next_ones() {
    let shortages = Shortages::default();
    stand_still(&shortages, "a", NOW);
    let now = NOW + Duration::minutes(1);
    let first = turn(&shortages, "a", now);
    assert!(first.is_some());
    assert_eq!(shortages.ask(&kinds("a"), now, || 0.0), Answer::Wait);
    drop(first);
    assert!(turn(&shortages, "a", now).is_some());
}

#[tokio::test]
async fn who_waits_is_woken_by_the_end_of_a_try() {
    let (shortages, clock, classes) = (Shortages::default(), Clock::manual(NOW), classes());
    let placements = placements(&classes);
    let turns: Vec<_> = futures::future::join_all((0..10).map(|_| shortages.turn(&placements, &clock))).await;
    let (eleventh, ()) = tokio::join!(shortages.turn(&placements, &clock), async { drop(turns) });
    assert!(eleventh.is_ok());
}

proptest! {
    #[test]
    fn only_an_uninterrupted_run_of_failures_is_a_standstill(answers in proptest::collection::vec(any::<bool>(), 0..200)) {
        let shortages = Shortages::default();
        let mut failures = 0;
        for (number, has_capacity) in (0..).zip(answers) {
            let now = NOW + Duration::milliseconds(300 * number);
            if has_capacity {
                failures = 0;
                shortages.found("a");
                prop_assert!(!shortages.is_at_standstill("a"));
            } else {
                failures += 1;
                shortages.missing("a", "none", now);
                prop_assert!(failures < 15 || shortages.is_at_standstill("a"));
            }
            let turns: Vec<_> = std::iter::from_fn(|| turn(&shortages, "a", now)).take(20).collect();
            prop_assert!(turns.len() <= 10);
            prop_assert!(!turns.is_empty() || shortages.is_at_standstill("a"));
        }
    }
}
