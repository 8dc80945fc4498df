use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;

use super::*;

const START: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);
const KEY: CredentialKey = CredentialKey::Token;
const WRITE: Cost = Cost { points: WRITE_POINTS, needed: WRITE_POINTS };
const RESET: i64 = 1_793_000_000;

/// GitHub's count of calls, as an answer has it.
fn headers(used: i64, reset: i64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-ratelimit-used", used.into());
    headers.insert("x-ratelimit-reset", reset.into());
    headers
}

/// GitHub with one installation, as its counter has it. Every call is answered at once.
#[derive(Default)]
struct GitHub {
    used: Cell<i64>,
}

impl GitHub {
    fn call(&self, pacer: &Pacer, has_waited: bool, now: OffsetDateTime) -> Result<(), OffsetDateTime> {
        let admitted = pacer.admit(KEY, WRITE, has_waited, || now).now_or_never().expect("nothing is under way");
        admitted.map(|permit| {
            self.used.set(self.used.get() + 1);
            pacer.answered(KEY, &headers(self.used.get(), RESET), now);
            drop(permit);
        })
    }

    fn others_call(&self, calls: i64) {
        self.used.set(self.used.get() + calls);
    }

    /// Calls until the pacer says no: how often, and when to come back.
    fn call_on(&self, pacer: &Pacer, now: OffsetDateTime) -> (usize, Duration) {
        let mut calls = 0;
        loop {
            match self.call(pacer, false, now) {
                Ok(()) => calls += 1,
                Err(moment) => return (calls, moment - now),
            }
        }
    }
}

#[test]
fn after_a_quiet_minute_all_but_the_reserve_is_spent_at_once() {
    let (github, pacer) = (GitHub::default(), Pacer::new(900));
    assert_eq!(github.call_on(&pacer, START), (171, WINDOW));
    assert_eq!(github.call(&pacer, true, START + WINDOW - Duration::SECOND), Err(START + WINDOW));
    assert_eq!(github.call_on(&pacer, START + WINDOW), (171, WINDOW));
}

#[test]
fn pacing_can_be_switched_off() {
    let (github, pacer) = (GitHub::default(), Pacer::new(0));
    assert!((0..2000).all(|_| github.call(&pacer, false, START).is_ok()));
}

#[test]
fn one_process_never_exceeds_the_limit_in_any_minute() {
    let mut random = 12345_u64;
    let mut below = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    for limit in [12, 60, 90, 300, 900] {
        let (github, pacer) = (GitHub::default(), Pacer::new(limit));
        let (mut now, mut calls) = (START, Vec::new());
        for _ in 0..200 {
            now += Duration::milliseconds(i64::try_from(below(20_000)).unwrap());
            let burst = below(u64::from(limit) / 4);
            calls.extend((0..burst).take_while(|_| github.call(&pacer, true, now).is_ok()).map(|_| now));
            let spent = calls.iter().filter(|call| now - **call < Duration::MINUTE).count() * 5;
            assert!(spent <= limit as usize, "{spent} of {limit} points");
        }
        assert!(calls.len() > 200 / 9 * limit as usize / 8, "{} calls at {limit} points", calls.len());
    }
}

#[test]
fn two_processes_share_the_minute() {
    let (github, pacers) = (GitHub::default(), [Pacer::new(900), Pacer::new(900)]);
    for round in 0..4 {
        let now = START + WINDOW * round;
        let calls = (0..400).filter(|call| github.call(&pacers[call % 2], true, now).is_ok()).count();
        // Of the first round neither has heard the other's call before its own first answer.
        assert!((170..=172).contains(&calls), "{calls} calls");
    }
}

#[test]
fn all_who_come_back_at_their_moments_get_their_turn() {
    for limit in [1, 60, 900] {
        let (github, pacer) = (GitHub::default(), Pacer::new(limit));
        let mut waiting = vec![(START, false); 300];
        let mut rounds = 0;
        while !waiting.is_empty() {
            waiting.sort_unstable();
            let (moment, has_waited) = waiting.remove(0);
            rounds += 1;
            if let Err(again) = github.call(&pacer, has_waited, moment) {
                assert!(again > moment, "{limit} points a minute");
                waiting.push((again, true));
            }
        }
        assert!(rounds <= 750, "{limit} points a minute: {rounds} rounds");
    }
}

#[test]
fn jobs_are_told_moments_minutes_ahead_if_need_be() {
    let (github, pacer) = (GitHub::default(), Pacer::new(900));
    for call in 0..171 {
        github.call(&pacer, false, START + Duration::milliseconds(10 * call)).unwrap();
    }
    let now = START + Duration::seconds(2);
    let told: Vec<_> = (0..400).map(|_| github.call(&pacer, false, now).unwrap_err() - START - WINDOW).collect();
    assert_eq!((told[0], told[100]), (Duration::ZERO, Duration::SECOND));
    assert_eq!((told[171], told[399]), (WINDOW, WINDOW * 2 + Duration::milliseconds(570)));
}

#[test]
fn who_has_waited_goes_before_newcomers() {
    let (github, pacer) = (GitHub::default(), Pacer::new(60));
    let at = |second| START + Duration::seconds(second);
    assert!((0..11).all(|second| github.call(&pacer, false, at(second)).is_ok()));
    let told = [0, 1, 2].map(|_| github.call(&pacer, false, at(20)).unwrap_err());
    assert_eq!(told, [at(61), at(62), at(63)]);
    assert_eq!(github.call(&pacer, false, at(61)), Err(at(63)), "two others were told before");
    assert_eq!(github.call(&pacer, true, at(61)), Ok(()));
    assert_eq!(github.call(&pacer, true, at(61)), Err(at(62)), "the next, not the last");
}

#[tokio::test]
async fn calls_under_way_become_fewer_as_less_is_left() {
    let pacer = Pacer::new(900);
    let mut context = Context::from_waker(Waker::noop());
    let mut most = Vec::new();
    let mut used = 0;
    for _ in 0..4 {
        let mut permits = Vec::new();
        while let Poll::Ready(permit) = pin!(pacer.admit(KEY, WRITE, false, || START)).poll(&mut context) {
            permits.push(permit.unwrap());
        }
        most.push(permits.len());
        for permit in permits {
            used += 1;
            pacer.answered(KEY, &headers(used, RESET), START);
            drop(permit);
        }
    }
    assert_eq!(most, [1, 21, 18, 16], "one before the first answer, then a seventh of what is left");
    let permit = pacer.admit(KEY, WRITE, false, || START).await.unwrap();
    let others: Vec<_> = (0..15).map(|_| pacer.spend(KEY, WRITE_POINTS, START)).collect();
    let mut waits = pin!(pacer.admit(KEY, WRITE, false, || START));
    assert!(waits.as_mut().poll(&mut context).is_pending());
    drop((permit, others));
    assert!(waits.as_mut().poll(&mut context).is_ready());
}

#[test]
fn what_others_spent_while_nothing_was_heard_is_spread_over_that_time() {
    let (github, pacer) = (GitHub::default(), Pacer::new(900));
    github.call(&pacer, false, START).unwrap();
    github.others_call(120);
    let now = START + WINDOW * 2;
    github.call(&pacer, false, now).unwrap();
    // Half of them are older than a minute.
    let (calls, _) = github.call_on(&pacer, now);
    assert_eq!(calls, 171 - 1 - 60);
}

#[test]
fn the_counter_may_jump_stand_still_or_begin_anew() {
    let others_after = |answers: &[(i64, i64)]| {
        let mut minute = Minute::default();
        for (used, reset) in answers {
            minute.under_way = 1;
            minute.count(Some((*used, *reset)), START);
        }
        minute.points(|_| true)
    };
    assert_eq!(others_after(&[(7, RESET), (8, RESET), (9, RESET)]), 0, "own calls");
    assert_eq!(others_after(&[(7, RESET), (18, RESET + 1), (19, RESET)]), 50, "a reset that differs by a second");
    assert_eq!(others_after(&[(7, RESET), (18, RESET), (9, RESET), (20, RESET)]), 50, "an answer that is overtaken");
    assert_eq!(others_after(&[(4000, RESET), (1, RESET + 3600), (2, RESET + 3600)]), 0, "a new hour");
    assert_eq!(others_after(&[(7, RESET), (7, RESET), (7, RESET)]), 0, "a counter that is late");
    assert!(others_after(&[(0, RESET), (i64::MAX, RESET)]) >= 900, "whatever it says");
}

#[test]
fn without_a_counter_another_process_is_taken_to_spend_as_much() {
    let pacer = Pacer::new(900);
    let calls = (0..).take_while(|_| {
        let admitted = pacer.admit(KEY, WRITE, false, || START).now_or_never().expect("nothing is under way");
        pacer.answered(KEY, &HeaderMap::new(), START);
        admitted.is_ok()
    });
    assert_eq!(calls.count(), 86);
}

#[test]
fn a_refusal_means_that_the_minute_is_spent() {
    let (github, pacer) = (GitHub::default(), Pacer::new(900));
    github.call(&pacer, false, START).unwrap();
    let until = START + Duration::seconds(20);
    pacer.refused(KEY, until, START);
    // A tenth of the limit, of which one call was made, whatever others have spent. Until then, the client makes no call.
    let (calls, pause) = github.call_on(&pacer, until);
    assert_eq!(calls, 17);
    assert!(
        (Duration::ZERO..Duration::seconds(30)).contains(&pause),
        "a minute after a refusal more is kept in reserve: {pause}"
    );
    // The rest comes back little by little.
    let (calls, _) = github.call_on(&pacer, START + Duration::seconds(50));
    assert!((30..80).contains(&calls), "{calls}");
}

#[test]
fn who_reads_much_does_not_stop_the_workers() {
    let (github, pacer) = (GitHub::default(), Pacer::new(900));
    let mut calls = 0;
    for second in 0..120 {
        github.others_call(10);
        calls += i64::from(github.call(&pacer, true, START + Duration::seconds(second)).is_ok());
    }
    // 300 points a minute are left, which are 60 calls.
    assert!((90..=120).contains(&calls), "{calls}");
}

#[test]
fn what_must_be_left_for_others_is_left() {
    let pacer = Pacer::new(900);
    let deletion = Cost { points: WRITE_POINTS, needed: 21 * WRITE_POINTS };
    let mut admitted = 0;
    while let Ok(permit) = pacer.admit(KEY, deletion, false, || START).now_or_never().expect("one at a time") {
        admitted += 1;
        drop(permit);
    }
    assert_eq!(admitted, 151);
    let github = GitHub::default();
    assert!((0..20).all(|_| github.call(&pacer, true, START).is_ok()));
}

#[test]
fn a_spare_call_is_made_only_while_launches_leave_half_of_the_minute() {
    let (github, pacer) = (GitHub::default(), Pacer::new(900));
    let spare = |now| pacer.admit_spare(KEY, WRITE_POINTS, now).map(drop);
    while pacer.minutes.lock().entry(KEY).or_default().points(|_| true) < 445 {
        assert_eq!(spare(START), Ok(()));
        github.call(&pacer, false, START).expect("half of the minute is left");
    }
    assert_eq!(spare(START), Err(START + WINDOW), "launches go first");
    assert_eq!(github.call(&pacer, false, START), Ok(()));
    assert_eq!(spare(START + WINDOW), Ok(()));
}

#[test]
fn no_spare_call_is_made_while_a_job_waits_for_its_turn_or_after_a_refusal() {
    let (github, pacer) = (GitHub::default(), Pacer::new(900));
    github.call_on(&pacer, START);
    // Half of the minute is back, and a job was told a later moment.
    let later = START + WINDOW;
    pacer.minutes.lock().entry(KEY).or_default().told.push((later + Duration::SECOND, false));
    assert!(pacer.admit_spare(KEY, WRITE_POINTS, later).is_err());
    assert!(pacer.admit_spare(KEY, WRITE_POINTS, later + Duration::SECOND).is_ok());
    pacer.refused(KEY, later + WINDOW, later + Duration::SECOND);
    assert!(pacer.admit_spare(KEY, WRITE_POINTS, later + Duration::seconds(2)).is_err());
}

#[test]
fn no_spare_call_is_made_near_the_end_of_the_hour_s_calls() {
    let pacer = Pacer::new(900);
    let end = START + Duration::minutes(20);
    let mut few = headers(4100, end.unix_timestamp());
    few.insert("x-ratelimit-remaining", 900.into());
    pacer.answered(KEY, &few, START);
    let later = START + Duration::minutes(5);
    assert!(pacer.admit_spare(KEY, WRITE_POINTS, later).is_err());
    assert!(pacer.admit_spare(KEY, WRITE_POINTS, end).is_ok(), "a new hour has begun");
}
