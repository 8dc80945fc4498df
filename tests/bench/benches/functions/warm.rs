//! The cost of a further delivery and of a further job in a warm process.

use std::time::Duration;

use jitgate_bench::figures::{Figure, Samples, Target, Unit};
use jitgate_tests::lambda::Function;
use serde_json::Value;

use crate::deployment::{Programs, deliver, delivery, event, forgery, source, unlimited};

/// Deliveries per measurement.
const DELIVERIES: usize = 100;

/// Long enough for a function to ask for more work after its answer, and to wait.
const SETTLED: Duration = Duration::from_millis(3);

/// The processor time of an accepted delivery, compared with the floor.
pub(crate) async fn deliveries(programs: &Programs, runs: usize) -> Vec<Figure> {
    let world = unlimited().await;
    let webhook = programs.start("webhook", &world).await;
    let floor = programs.start("floor", &world).await;
    let events: Vec<Value> = (0..DELIVERIES).map(|_| event(&delivery(&world))).collect();
    for function in [&webhook, &floor] {
        cpu(function, &events, 202).await;
    }
    let (mut own, mut least) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        least.push(cpu(&floor, &events, 202).await);
        own.push(cpu(&webhook, &events, 202).await);
    }
    let (own, least) = (Samples::new(own), Samples::new(least));
    let ratio = own.over(&least);
    vec![
        Figure::new("webhook.warm", "webhook: CPU of a warm 12 KB delivery", Unit::CpuMicroseconds, own),
        Figure::new("floor.warm", "the floor: the same", Unit::CpuMicroseconds, least),
        Figure::new("webhook.warm.ratio", "webhook over floor, pair by pair", Unit::Ratio, ratio)
            .target(Target::AtMost(1.3)),
    ]
}

/// The processor time of refusing a forged delivery, compared with accepting a genuine one, and its calls.
pub(crate) async fn forgeries(programs: &Programs, runs: usize) -> Vec<Figure> {
    let world = unlimited().await;
    let webhook = programs.start("webhook", &world).await;
    let genuine: Vec<Value> = (0..DELIVERIES).map(|_| event(&delivery(&world))).collect();
    let forged: Vec<Value> = (0..DELIVERIES).map(|_| event(&forgery(&world))).collect();
    cpu(&webhook, &genuine, 202).await;
    cpu(&webhook, &forged, 401).await;
    let (mut accepted, mut refused, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        accepted.push(cpu(&webhook, &genuine, 202).await);
        let before = world.aws.calls().operations().len();
        refused.push(cpu(&webhook, &forged, 401).await);
        #[expect(clippy::cast_precision_loss, reason = "a few calls")]
        calls.push((world.aws.calls().operations().len() - before) as f64);
    }
    let refused = Samples::new(refused);
    let ratio = refused.over(&Samples::new(accepted));
    // Both versions of the secret are read at most once in five seconds; a hundred forgeries take less.
    let bound = Target::AtMost(2.0);
    vec![
        Figure::new("webhook.forged", "webhook: CPU of refusing a forged delivery", Unit::CpuMicroseconds, refused),
        Figure::new("webhook.forged.ratio", "forged over accepted, pair by pair", Unit::Ratio, ratio)
            .target(Target::AtMost(1.0)),
        Figure::new(
            "webhook.forged.calls",
            "upstream calls of 100 forged deliveries",
            Unit::Count,
            Samples::new(calls),
        )
        .target(bound),
    ]
}

/// Microseconds of processor time for each delivery.
async fn cpu(function: &Function, events: &[Value], status: u16) -> f64 {
    let before = settled(function).await;
    for event in events {
        deliver(function, event, status).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a hundred")]
    let deliveries = events.len() as f64;
    settled(function).await.saturating_sub(before).as_secs_f64() * 1e6 / deliveries
}

async fn settled(function: &Function) -> Duration {
    tokio::time::sleep(SETTLED).await;
    function.cpu_time().expect("Linux tells")
}

/// The upstream calls of a job in warm processes.
pub(crate) async fn calls(programs: &Programs, runs: usize) -> Vec<Figure> {
    let world = unlimited().await;
    let (webhook, worker) = (programs.start("webhook", &world).await, programs.start("worker", &world).await);
    let source = source(&world, 1);
    let (mut of_webhook, mut of_worker) = (Vec::new(), Vec::new());
    for run in 0..=runs {
        let seen = || world.aws.calls().operations().len() + world.api.calls.operations().len();
        let begun = seen();
        deliver(&webhook, &event(&delivery(&world)), 202).await;
        let delivered = seen();
        let batch = source.take().expect("a batch");
        let answer = worker.invoke(batch.event()).await;
        source.settle(&batch, &answer);
        // The first one is cold.
        if run > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a few calls")]
            of_webhook.push((delivered - begun) as f64);
            #[expect(clippy::cast_precision_loss, reason = "a few calls")]
            of_worker.push((seen() - delivered) as f64);
        }
    }
    assert_eq!(world.aws.ecs.tasks().len(), runs + 1);
    let (of_webhook, of_worker) = (Samples::new(of_webhook), Samples::new(of_worker));
    vec![
        Figure::new("webhook.calls", "webhook: upstream calls of a warm job", Unit::Count, of_webhook)
            .target(Target::AtMost(1.0)),
        Figure::new("worker.calls", "worker: upstream calls of a warm job", Unit::Count, of_worker)
            .target(Target::AtMost(2.0)),
    ]
}
