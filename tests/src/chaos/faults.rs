//! The faults of calls, and their odds.

use std::time::Duration;

use time::OffsetDateTime;

use super::loss::Loss;
use super::plan::Chance;
use crate::aws::answers as aws;
use crate::github::answers as github;
use crate::wire::Answer;

/// A fault of one call.
pub(super) enum Mishap {
    /// It gets this answer, and nothing is done.
    Refuse(Answer),
    /// The connection is closed, and nothing is done.
    Drop,
    /// It is done, but the answer is lost.
    LoseAnswer,
    /// It is done, but gets this answer.
    Misreport(Answer),
    /// It takes longer, by this much there and back.
    Slow(Duration, Duration),
    /// It is done only after the caller gave up waiting.
    Late,
}

/// Chooses a fault for a call of this operation, with a name by which it is counted.
pub(super) fn choose(operation: &str, chance: &mut Chance, now: OffsetDateTime) -> (&'static str, Mishap) {
    match Loss::of_call(operation) {
        Loss::RunTask => run_task(chance),
        Loss::Tasks => ecs(chance),
        Loss::Queue => send_message(chance),
        Loss::Secret => get_secret_value(chance),
        _ => github_api(chance, now),
    }
}

/// Chooses one of the four faults that the benchmark injects, each for this share of the calls that can meet it.
pub(super) fn of_four(operation: &str, share: f64, chance: &mut Chance) -> Option<(&'static str, Mishap)> {
    let [first, second] = match Loss::of_call(operation) {
        Loss::RunTask => [
            ("RunTask: ThrottlingException", aws::throttling()),
            ("RunTask: capacity error", aws::capacity_unavailable()),
        ],
        Loss::Tasks | Loss::Queue | Loss::Secret => return None,
        _ => [
            ("GitHub: 502", github::bad_gateway()),
            ("GitHub: 403 limit with retry-after", github::secondary_limit(Some(Duration::from_secs(1)))),
        ],
    };
    let (name, answer) = [first, second].into_iter().find(|_| chance.happens(share))?;
    Some((name, Mishap::Refuse(answer)))
}

type Choice = (u32, &'static str, fn(&mut Chance, OffsetDateTime) -> Mishap);

fn draw(choices: &[Choice], chance: &mut Chance, now: OffsetDateTime) -> (&'static str, Mishap) {
    let total: u32 = choices.iter().map(|(weight, ..)| weight).sum();
    let mut left = chance.below(total.into());
    for (weight, name, make) in choices {
        if left < u64::from(*weight) {
            return (name, make(chance, now));
        }
        left -= u64::from(*weight);
    }
    unreachable!("the weights' sum is above what was drawn")
}

fn slow(chance: &mut Chance) -> Mishap {
    // Callers give up after six seconds.
    let (there, back) = (chance.below(2_500), chance.below(2_500));
    Mishap::Slow(Duration::from_millis(there), Duration::from_millis(back))
}

fn soon(chance: &mut Chance, most: u64) -> Duration {
    Duration::from_secs(chance.between(1, most))
}

fn github_api(chance: &mut Chance, now: OffsetDateTime) -> (&'static str, Mishap) {
    const CHOICES: [Choice; 15] = [
        (3, "GitHub: 403 limit with retry-after", |chance, _| {
            Mishap::Refuse(github::secondary_limit(Some(soon(chance, 90))))
        }),
        (1, "GitHub: 403 limit without retry-after", |_, _| Mishap::Refuse(github::secondary_limit(None))),
        (2, "GitHub: 429 with retry-after", |chance, _| {
            Mishap::Refuse(github::secondary_limit_as(429, Some(soon(chance, 90))))
        }),
        (1, "GitHub: 429 without retry-after", |_, _| Mishap::Refuse(github::secondary_limit_as(429, None))),
        (1, "GitHub: hour spent", |chance, now| Mishap::Refuse(github::primary_limit(now + soon(chance, 600)))),
        (6, "GitHub: 401", |_, _| Mishap::Refuse(github::bad_credentials())),
        (1, "GitHub: 403 denied", |_, _| Mishap::Refuse(github::forbidden())),
        (8, "GitHub: 500", |_, _| Mishap::Refuse(github::server_error())),
        (6, "GitHub: 502", |_, _| Mishap::Refuse(github::bad_gateway())),
        (6, "GitHub: 503", |_, _| Mishap::Refuse(github::unavailable())),
        (12, "GitHub: dropped", |_, _| Mishap::Drop),
        (16, "GitHub: answer lost", |_, _| Mishap::LoseAnswer),
        (12, "GitHub: done, says 500", |_, _| Mishap::Misreport(github::server_error())),
        (10, "GitHub: slow", |chance, _| slow(chance)),
        (5, "GitHub: done after the time-out", |_, _| Mishap::Late),
    ];
    draw(&CHOICES, chance, now)
}

fn run_task(chance: &mut Chance) -> (&'static str, Mishap) {
    const CHOICES: [Choice; 12] = [
        (8, "RunTask: ServerException", |_, _| Mishap::Refuse(aws::server_exception())),
        (8, "RunTask: ThrottlingException", |_, _| Mishap::Refuse(aws::throttling())),
        (8, "RunTask: failures RESOURCE", |_, _| Mishap::Refuse(aws::failure("RESOURCE:FARGATE"))),
        (6, "RunTask: failures capacity", |_, _| Mishap::Refuse(aws::failure(aws::CAPACITY_UNAVAILABLE))),
        (6, "RunTask: capacity error", |_, _| Mishap::Refuse(aws::capacity_unavailable())),
        (4, "RunTask: vCPU quota", |_, _| Mishap::Refuse(aws::client_exception(aws::VCPU_QUOTA))),
        (6, "RunTask: 503", |_, _| Mishap::Refuse(aws::unavailable())),
        (10, "RunTask: dropped", |_, _| Mishap::Drop),
        (16, "RunTask: answer lost", |_, _| Mishap::LoseAnswer),
        (10, "RunTask: done, says 500", |_, _| Mishap::Misreport(aws::server_exception())),
        (10, "RunTask: slow", |chance, _| slow(chance)),
        (6, "RunTask: done after the time-out", |_, _| Mishap::Late),
    ];
    draw(&CHOICES, chance, OffsetDateTime::UNIX_EPOCH)
}

fn ecs(chance: &mut Chance) -> (&'static str, Mishap) {
    const CHOICES: [Choice; 5] = [
        (10, "ECS: ServerException", |_, _| Mishap::Refuse(aws::server_exception())),
        (10, "ECS: ThrottlingException", |_, _| Mishap::Refuse(aws::throttling())),
        (10, "ECS: dropped", |_, _| Mishap::Drop),
        (10, "ECS: answer lost", |_, _| Mishap::LoseAnswer),
        (10, "ECS: slow", |chance, _| slow(chance)),
    ];
    draw(&CHOICES, chance, OffsetDateTime::UNIX_EPOCH)
}

fn send_message(chance: &mut Chance) -> (&'static str, Mishap) {
    const CHOICES: [Choice; 6] = [
        (10, "SQS: 503", |_, _| Mishap::Refuse(aws::unavailable())),
        (10, "SQS: throttled", |_, _| Mishap::Refuse(aws::sqs_error("RequestThrottled", None, "Slow down."))),
        (10, "SQS: dropped", |_, _| Mishap::Drop),
        (12, "SQS: answer lost", |_, _| Mishap::LoseAnswer),
        (10, "SQS: slow", |chance, _| slow(chance)),
        (5, "SQS: done after the time-out", |_, _| Mishap::Late),
    ];
    draw(&CHOICES, chance, OffsetDateTime::UNIX_EPOCH)
}

fn get_secret_value(chance: &mut Chance) -> (&'static str, Mishap) {
    const CHOICES: [Choice; 4] = [
        (10, "Secrets Manager: 500", |_, _| {
            Mishap::Refuse(aws::error(500, "InternalServiceError", "An internal error occurred."))
        }),
        (10, "Secrets Manager: throttled", |_, _| Mishap::Refuse(aws::throttling())),
        (10, "Secrets Manager: dropped", |_, _| Mishap::Drop),
        (10, "Secrets Manager: slow", |chance, _| slow(chance)),
    ];
    draw(&CHOICES, chance, OffsetDateTime::UNIX_EPOCH)
}
