//! The cost of a pass over a large fleet, in calls and in memory.
//!
//! `cargo build --release -p cleaner`, then
//! `CLEANER=$PWD/target/release/cleaner cargo test -p jitgate-tests --test size -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jitgate::clock::Clock;
use jitgate_tests::fleet::Fleet;
use jitgate_tests::lambda::{Function, FunctionSettings, Program};
use jitgate_tests::world::World;
use serde_json::json;

/// In MiB. The function has 256.
const MOST_MEMORY: u64 = 64;

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures")]
#[ignore = "a benchmark: build the cleaner in release first"]
async fn ten_thousand_registrations_and_three_thousand_tasks() {
    let program = match std::env::var("CLEANER") {
        Ok(path) => Program::other("cleaner", std::path::absolute(path).unwrap(), &[]),
        Err(_) => Program::function("cleaner"),
    };
    let world = World::on(Clock::system(), &[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    let fleet = Fleet::LARGE;
    fleet.populate(&world).await;
    world.api.calls.clear();
    world.aws.calls().clear();
    let settings = FunctionSettings { timeout: Duration::from_mins(5), memory: 256 };
    let cleaner = Function::start_with(program, world.variables(), settings).await;
    let begun = Instant::now();
    cleaner.invoke(&json!({})).await.unwrap();
    let took = begun.elapsed();
    let memory = cleaner.peak_memory().expect("Linux tells");
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for operation in world.api.calls.operations().into_iter().chain(world.aws.calls().operations()) {
        *calls.entry(operation).or_default() += 1;
    }
    println!("{took:?}, {} MiB at its peak, {calls:?}", memory / 1024 / 1024);
    assert_eq!(world.github.runners().len(), fleet.registrations - fleet.orphans);
    assert_eq!(calls["list-runners"], fleet.registrations / 100);
    assert_eq!(calls["delete-runner"], fleet.orphans);
    assert_eq!((calls["ListTasks"], calls["DescribeTasks"]), (fleet.tasks / 100 + 1, fleet.tasks / 100));
    assert!(memory < MOST_MEMORY * 1024 * 1024, "{memory} bytes");
}
