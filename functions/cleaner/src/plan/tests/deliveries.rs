//! Deliveries that never arrived.

use super::*;

/// The failed attempts that are repeated at [`NOW`], where GitHub's log is what it is.
fn repeated(log: &[DeliveryAttempt]) -> Vec<u64> {
    repeated_at(NOW, log)
}

fn repeated_at(now: OffsetDateTime, log: &[DeliveryAttempt]) -> Vec<u64> {
    let log = Log { attempts: log.to_vec(), complete_since: now - LOOK_BACK };
    let failed = log.attempts.iter().filter(|attempt| !attempt.succeeded()).cloned().collect();
    let due = due(now, &Log { attempts: failed, ..log });
    plan_redeliveries(&due, &log).attempts
}

const NONE: [u64; 0] = [];

fn delivery(id: u64, guid: &str, ago: Duration, status_code: u16) -> DeliveryAttempt {
    let (event, action) = ("workflow_job".to_owned(), Some("queued".to_owned()));
    DeliveryAttempt {
        id,
        guid: guid.to_owned(),
        delivered_at: NOW - ago,
        redelivery: false,
        status_code,
        event,
        action,
    }
}

#[test]
fn a_delivery_is_repeated_until_one_attempt_succeeds_or_enough_have_failed() {
    let minutes = Duration::minutes;
    assert_eq!(repeated(&[delivery(1, "a", minutes(2), 503)]), [1]);
    assert_eq!(repeated(&[delivery(1, "a", Duration::seconds(30), 503)]), NONE, "give it a moment");
    let healed = [delivery(1, "a", minutes(9), 503), delivery(2, "a", minutes(5), 202)];
    assert_eq!(repeated(&healed), NONE);
    let twice = |ago| [delivery(1, "a", minutes(9), 503), delivery(2, "a", ago, 0)];
    assert_eq!(repeated(&twice(minutes(4))), NONE, "the waits grow");
    assert_eq!(repeated(&twice(minutes(5))), [2]);
    let of_a_night = |ago| {
        let began = [1000, 999, 994, 969].into_iter().enumerate();
        let attempts = began.map(|(id, ago)| delivery(u64::try_from(id).unwrap(), "a", minutes(ago), 503));
        attempts.chain([delivery(5, "a", ago, 503)]).collect::<Vec<_>>()
    };
    assert_eq!(repeated(&of_a_night(minutes(600))), NONE);
    assert_eq!(repeated(&of_a_night(minutes(640))), [5], "the last of them outlasts a night");
    let often: Vec<_> =
        (0..6).map(|id| delivery(id, "a", minutes(200 - 10 * i64::try_from(id).unwrap()), 503)).collect();
    assert_eq!(repeated(&often), NONE);
    assert_eq!(repeated(&[delivery(1, "a", LOOK_BACK, 503)]), NONE, "its job is dead by now");
    let push = DeliveryAttempt { event: "push".to_owned(), ..delivery(1, "a", minutes(5), 503) };
    assert_eq!(repeated(&[push]), NONE);
}

#[test]
fn nothing_is_repeated_of_which_a_success_may_be_missing() {
    let failures = Log { attempts: vec![delivery(1, "a", Duration::minutes(9), 503)], complete_since: NOW - LOOK_BACK };
    let due = due(NOW, &failures);
    assert_eq!(log_needed(&due), Some(NOW - Duration::minutes(9)));
    let log = |complete_since| Log { complete_since, ..failures.clone() };
    let repeated = Redeliveries { attempts: vec![1], out_of_reach: 0 };
    assert_eq!(plan_redeliveries(&due, &log(NOW - Duration::minutes(10))), repeated);
    let unknown = Redeliveries { attempts: Vec::new(), out_of_reach: 1 };
    assert_eq!(plan_redeliveries(&due, &log(NOW - Duration::minutes(8))), unknown);
    assert_eq!(log_needed(&[]), None);
}

#[test]
fn only_a_thorough_pass_goes_back_to_what_earlier_passes_must_have_repeated() {
    let log = [delivery(1, "a", Duration::hours(5), 503)];
    assert_eq!(repeated_at(NOW + Duration::minutes(7), &log), NONE);
    assert_eq!(repeated_at(NOW + Duration::HOUR, &log), [1]);
    let passes = (0..12).map(|pass| NOW + Duration::minutes(3) + PASS_INTERVAL * pass);
    assert_eq!(passes.filter(|pass| !repeated_at(*pass, &log).is_empty()).count(), 1, "one pass an hour is");
}

#[test]
fn those_that_are_due_for_longest_are_repeated_first() {
    let minutes = Duration::minutes;
    let log = [delivery(9, "a", minutes(3), 503), delivery(8, "b", minutes(50), 503), delivery(7, "c", minutes(20), 0)];
    assert_eq!(repeated(&log), [8, 7, 9]);
}
