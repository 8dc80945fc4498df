use jitgate::job::Attempt;
use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
const SETTLED: Aftermath = Aftermath { unsettled: false, asked: false };

/// A message that has waited twice for temporary failures.
fn waited() -> Progress {
    Progress {
        deferrals: 4,
        backoff: 2,
        doubts: 1,
        ask_first: true,
        seen_idle_at: Some(NOW),
        ..Progress::new(Attempt(3), NOW - Duration::minutes(1))
    }
}

fn limited(seconds: i64) -> LaunchError {
    GitHubError::RateLimited { until: NOW + Duration::seconds(seconds) }.into()
}

fn paced() -> LaunchError {
    GitHubError::Paced { until: NOW + Duration::seconds(7) }.into()
}

fn denied() -> LaunchError {
    GitHubError::Denied { until: NOW + Duration::minutes(5), reason: "no".to_owned() }.into()
}

fn run_denied() -> LaunchError {
    RunError::Denied { reason: "role".to_owned() }.into()
}

fn ecs_denied() -> LaunchError {
    EcsError::Denied { call: "ListTasks", reason: "role".to_owned() }.into()
}

fn silent() -> LaunchError {
    RunError::Silent { reason: "no answer".to_owned() }.into()
}

fn unsure() -> LaunchError {
    LaunchError::Unsure { task: "t".to_owned() }
}

fn limit_reached(waited: Duration) -> LaunchError {
    LaunchError::LimitReached { of: "the fleet".to_owned(), limit: 3, waited }
}

fn next(error: &LaunchError, aftermath: Aftermath) -> Progress {
    judge(error, &waited(), aftermath, NOW, 0.5).next
}

#[test]
fn each_deferral_counts_and_names_its_moment() {
    let hidden = GitHubError::NotFound { message: "no".to_owned() }.into();
    let to_be_mended = [denied(), hidden, run_denied(), ecs_denied()];
    let others = [limited(30), paced(), silent(), unsure(), limit_reached(Duration::ZERO)];
    for error in to_be_mended.into_iter().chain(others) {
        let Judgement { verdict, next, .. } = judge(&error, &waited(), SETTLED, NOW, 0.5);
        let Verdict::Defer { until } = verdict else { panic!("{error}") };
        assert!(until > NOW, "{error}");
        assert_eq!((next.deferrals, next.not_before, next.born_at), (5, Some(until), until), "{error}");
        assert_eq!((next.attempt, next.seen_idle_at), (Attempt(3), Some(NOW)), "{error}");
    }
}

#[test]
fn a_job_comes_back_a_little_after_the_moment_that_is_named() {
    let later = Some(NOW + Duration::minutes(5) + Duration::seconds(4));
    assert_eq!(next(&limited(300), SETTLED).not_before, later);
    assert_eq!(next(&denied(), SETTLED).not_before, later);
}

#[test]
fn an_unsettled_message_keeps_its_name_and_a_settled_one_gets_a_new_one() {
    let unsettled = next(&silent(), Aftermath { unsettled: true, asked: false });
    assert_eq!((unsettled.unsettled, unsettled.born_at), (true, waited().born_at));
    let settled = judge(&silent(), &Progress { unsettled: true, ..waited() }, SETTLED, NOW, 0.5).next;
    assert!(!settled.unsettled);
    assert!(settled.born_at > NOW);
}

#[test]
fn a_temporary_failure_lengthens_the_next_delay_and_any_other_starts_it_over() {
    let after = |error: &LaunchError| (next(error, SETTLED).backoff, next(error, SETTLED).ask_first);
    assert_eq!(after(&silent()), (3, true));
    assert_eq!(after(&unsure()), (3, true));
    assert_eq!(after(&denied()), (0, true));
    assert_eq!(after(&limit_reached(Duration::ZERO)), (0, true));
    // 4 s more are added to GitHub's moment.
    assert_eq!(after(&limited(115)), (2, true), "too short for the job to have ended");
    assert_eq!(after(&limited(116)), (0, true));
    assert_eq!(after(&paced()), (2, true), "it was not asked about");
    let fresh = Progress::new(Attempt::FIRST, NOW);
    assert!(!judge(&limited(30), &fresh, SETTLED, NOW, 0.5).next.ask_first);
}

#[test]
fn a_job_that_was_just_asked_about_is_not_asked_about_when_its_turn_comes() {
    let asked = next(&paced(), Aftermath { unsettled: false, asked: true });
    assert_eq!((asked.backoff, asked.ask_first), (0, false));
}

#[test]
fn doubts_count_in_a_row() {
    assert_eq!(next(&unsure(), SETTLED).doubts, 2);
    assert_eq!(next(&silent(), SETTLED).doubts, 0);
}

#[test]
fn the_thirtieth_refusal_in_a_row_gives_a_job_up() {
    let refused = LaunchError::from(GitHubError::Refused { status: 422, message: "no".to_owned() });
    let mut progress = waited();
    for refusals in 1..30 {
        let judged = judge(&refused, &progress, SETTLED, NOW, 0.5);
        assert!(matches!(judged.verdict, Verdict::Defer { .. }));
        assert_eq!(judged.next.refusals, refusals);
        progress = judged.next;
    }
    assert_eq!(judge(&silent(), &progress, SETTLED, NOW, 0.5).next.refusals, 0, "any other failure ends the row");
    assert_eq!(judge(&refused, &progress, SETTLED, NOW, 0.5).verdict, Verdict::GiveUp);
}

#[test]
fn what_a_person_must_correct_and_what_a_limit_holds_back_are_counted_apart() {
    let cause = |error: &LaunchError| judge(error, &waited(), SETTLED, NOW, 0.5).cause;
    assert_eq!(cause(&denied()), Cause::Person);
    assert_eq!(cause(&run_denied()), Cause::Person);
    assert_eq!(cause(&ecs_denied()), Cause::Person);
    assert_eq!(cause(&limit_reached(Duration::ZERO)), Cause::Limit);
    assert_eq!(cause(&silent()), Cause::Other);
    assert_eq!(cause(&paced()), Cause::Other);
}

#[test]
fn what_is_given_up_says_whether_anything_is_left() {
    let error = LaunchError::Run(RunError::TooLarge { characters: 9000 });
    for unsettled in [false, true] {
        let judged = judge(&error, &waited(), Aftermath { unsettled, asked: false }, NOW, 0.5);
        assert_eq!(judged.verdict, Verdict::GiveUp);
        assert_eq!(judged.next, Progress { unsettled, ..waited() });
    }
}

#[test]
fn the_other_moves_change_only_what_they_say() {
    let now = NOW + Duration::seconds(1);
    assert_eq!(received_again(&waited()), Progress { unsettled: true, ..waited() });
    assert_eq!(renamed(&waited(), now), Progress { born_at: now, ..waited() });
    let later = Some(now + SETTLING_DELAY);
    let expected = Progress { backoff: 3, ask_first: true, not_before: later, unsettled: true, ..waited() };
    assert_eq!(launched_unsettled(&Progress { ask_first: false, ..waited() }, now), expected);
    let expected = Progress { deferrals: 5, not_before: Some(now), seen_idle_at: None, ..waited() };
    assert_eq!(to_look_again(&waited(), now, None), expected);
}

#[test]
fn delays_grow_to_their_bounds() {
    let seconds = |backoff| growing_delay(backoff).whole_seconds();
    assert_eq!([0, 1, 2, 5, 16, 17, u32::MAX].map(seconds), [10, 20, 40, 300, 300, 300, 300]);
    let limit = |minutes| limit_delay(Duration::minutes(minutes)).whole_seconds();
    assert_eq!([-1, 0, 10, 20, 30, 600].map(limit), [60, 60, 45, 30, 15, 15]);
}

proptest! {
    #[test]
    fn chance_spreads_a_delay_between_three_and_five_quarters(chance in 0.0..1.0_f64, backoff in 0..40_u32) {
        let progress = Progress { backoff, ..waited() };
        let Verdict::Defer { until } = judge(&silent(), &progress, SETTLED, NOW, chance).verdict else {
            return Err(TestCaseError::fail("given up"));
        };
        let delay = growing_delay(backoff);
        prop_assert!(until - NOW >= delay * 0.75 && until - NOW <= delay * 1.25);
    }
}
