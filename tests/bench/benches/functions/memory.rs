//! The peak memory of the functions.

use jitgate::clock::Clock;
use jitgate_bench::figures::{Figure, Samples, Target, Unit};
use jitgate_tests::fleet::Fleet;
use jitgate_tests::lambda::Function;
use jitgate_tests::world::World;
use serde_json::json;

use crate::deployment::{Programs, deliver, delivery, event, queue, source, unlimited};

/// Enough deliveries for all caches to reach their size.
const DELIVERIES: usize = 500;
const BATCHES: usize = 50;

/// The peak memory of each function after its largest work.
pub(crate) async fn peaks(programs: &Programs, runs: usize) -> Vec<Figure> {
    let (mut webhook, mut worker, mut cleaner) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        webhook.push(of_webhook(programs).await);
        worker.push(of_worker(programs).await);
        cleaner.push(of_cleaner(programs).await);
    }
    let [of_webhook, of_worker, of_cleaner] =
        ["webhook: peak memory", "worker: peak memory", "cleaner: peak memory at 10,000 registrations, 3,000 tasks"];
    vec![
        Figure::new("webhook.memory", of_webhook, Unit::Megabytes, Samples::new(webhook)).target(Target::AtMost(24.0)),
        Figure::new("worker.memory", of_worker, Unit::Megabytes, Samples::new(worker)).target(Target::AtMost(40.0)),
        Figure::new("cleaner.memory", of_cleaner, Unit::Megabytes, Samples::new(cleaner)).target(Target::AtMost(64.0)),
    ]
}

fn peak(function: &Function) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let bytes = function.peak_memory().expect("Linux tells") as f64;
    bytes / 1e6
}

async fn of_webhook(programs: &Programs) -> f64 {
    let world = unlimited().await;
    let webhook = programs.start("webhook", &world).await;
    let event = event(&delivery(&world));
    for _ in 0..DELIVERIES {
        deliver(&webhook, &event, 202).await;
    }
    peak(&webhook)
}

async fn of_worker(programs: &Programs) -> f64 {
    let world = unlimited().await;
    let worker = programs.start("worker", &world).await;
    let source = source(&world, 10);
    queue(&world, BATCHES * 10).await;
    while let Some(batch) = source.take() {
        let answer = worker.invoke(batch.event()).await;
        source.settle(&batch, &answer);
    }
    assert_eq!(world.aws.ecs.tasks().len(), BATCHES * 10);
    peak(&worker)
}

async fn of_cleaner(programs: &Programs) -> f64 {
    let world = World::unchecked_on(Clock::system(), &[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    Fleet::LARGE.populate(&world).await;
    let cleaner = programs.start("cleaner", &world).await;
    cleaner.invoke(&json!({})).await.expect("a pass without failures");
    assert_eq!(world.github.runners().len(), Fleet::LARGE.registrations - Fleet::LARGE.orphans);
    peak(&cleaner)
}
