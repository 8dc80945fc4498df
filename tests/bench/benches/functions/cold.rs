//! The cost of a new process.

use std::time::{Duration, Instant};

use jitgate_bench::figures::{Figure, Samples, Target, Unit};
use jitgate_tests::aws::sqs::mapping::EventSource;
use jitgate_tests::lambda::Function;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::World;

use crate::deployment::{Programs, deliver, delivery, event, queue, source, unlimited};

/// The delay of an upstream call in the run that counts calls: far longer than everything else together.
const ROUND_TRIP: Duration = Duration::from_millis(200);

/// Secret, token, JIT config and `RunTask` depend on each other; two more are permitted.
const MOST_ROUND_TRIPS: f64 = 4.0 + 2.0;

/// The time from the start of the process to its first answer, compared with the floor.
pub(crate) async fn webhook(programs: &Programs, runs: usize) -> Vec<Figure> {
    let world = unlimited().await;
    let webhook = programs.start("webhook", &world).await;
    let floor = programs.start("floor", &world).await;
    let (mut own, mut least) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        least.push(first_answer(&floor, &world).await);
        own.push(first_answer(&webhook, &world).await);
    }
    let (own, least) = (Samples::new(own), Samples::new(least));
    let ratio = own.over(&least);
    vec![
        Figure::new("webhook.cold", "webhook: process start to first answered delivery", Unit::Milliseconds, own),
        Figure::new("floor.cold", "the floor: the same", Unit::Milliseconds, least),
        Figure::new("webhook.cold.ratio", "webhook over floor, pair by pair", Unit::Ratio, ratio)
            .target(Target::AtMost(1.5)),
    ]
}

async fn first_answer(function: &Function, world: &World) -> f64 {
    let event = event(&delivery(world));
    function.kill().await;
    let begun = Instant::now();
    deliver(function, &event, 202).await;
    begun.elapsed().as_secs_f64() * 1000.0
}

/// How many upstream calls of a new worker are sequential: the time of a batch with slow calls, minus the time with
/// instant ones, divided by the delay.
pub(crate) async fn worker(programs: &Programs, runs: usize) -> Vec<Figure> {
    let world = unlimited().await;
    let (worker, source) = (programs.start("worker", &world).await, source(&world, 1));
    let (mut trips, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let instant = first_batch(&worker, &world, &source).await;
        for faults in [&*world.api.faults, world.aws.faults()] {
            faults.choose(Box::new(|operation| (operation != "SendMessage").then_some(Fault::Delay(ROUND_TRIP))));
        }
        let slow = first_batch(&worker, &world, &source).await;
        for faults in [&*world.api.faults, world.aws.faults()] {
            faults.clear();
        }
        starts.push(instant * 1000.0);
        trips.push((slow - instant) / ROUND_TRIP.as_secs_f64());
    }
    let name = "worker: upstream round trips in a row, from process start to the answer of `RunTask`";
    let trips = Figure::new("worker.cold.round_trips", name, Unit::Count, Samples::new(trips));
    let start = "worker: the same with calls that are answered at once";
    vec![
        trips.target(Target::AtMost(MOST_ROUND_TRIPS)),
        Figure::new("worker.cold", start, Unit::Milliseconds, Samples::new(starts)),
    ]
}

async fn first_batch(worker: &Function, world: &World, source: &EventSource) -> f64 {
    queue(world, 1).await;
    worker.kill().await;
    let tasks = world.aws.ecs.tasks().len();
    let batch = source.take().expect("a batch");
    let begun = Instant::now();
    let answer = worker.invoke(batch.event()).await;
    let took = begun.elapsed().as_secs_f64();
    source.settle(&batch, &answer);
    assert_eq!(world.aws.ecs.tasks().len(), tasks + 1);
    took
}
