//! Jobs of a burst, while GitHub limits the installation until a moment that it names.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jitgate_bench::figures::{Figure, Samples, Target, Unit};
use jitgate_tests::github;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::World;

use crate::deployment::Programs;
use crate::storm::{ECS, GITHUB, WORKERS, limited, refused, work_through};

const JOBS: usize = 300;

/// The registration that GitHub refuses first: in the midst of the first minute's points, which are enough for 180.
const REFUSED: usize = 100;

/// How long GitHub wants to be left alone.
const PAUSE: Duration = Duration::from_secs(30);

/// The calls that were under way when GitHub refused the first one are refused too, and so are those of processes that
/// have not heard a refusal: each hears one as soon as it calls.
const HEARD: Duration = Duration::from_secs(1);

/// What GitHub saw.
#[derive(Default)]
struct Seen {
    registrations: usize,
    refused_at: Option<Instant>,
    /// Calls within [`HEARD`] of the first refusal, and later ones before the named moment.
    under_way: usize,
    too_early: usize,
}

impl Seen {
    /// Takes note of a call, and returns how long GitHub still wants to be left alone.
    fn call(&mut self, operation: &str) -> Option<Duration> {
        self.registrations += usize::from(operation == "generate-jitconfig");
        if self.registrations >= REFUSED {
            self.refused_at.get_or_insert_with(Instant::now);
        }
        let since = self.refused_at?.elapsed();
        let left = PAUSE.checked_sub(since)?;
        *(if since < HEARD { &mut self.under_way } else { &mut self.too_early }) += 1;
        Some(left)
    }
}

/// Calls before the moment that GitHub named, and how many of those after it were too many.
pub(crate) async fn limits(programs: &Programs, runs: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    for workers in [1, 2, WORKERS] {
        let (mut under_way, mut too_early, mut herd) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            let world = limited().await;
            let github = world.github.clone();
            let seen = watch(&world);
            work_through(programs, world, JOBS, workers).await;
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.push(count(seen.under_way));
            too_early.push(count(seen.too_early));
            herd.push(refused(&github));
        }
        let id = format!("limited.{workers}");
        let name = format!(
            "{JOBS} jobs, workers: {workers}, GitHub wants {} s without calls: calls until each process has heard of it",
            PAUSE.as_secs()
        );
        let early = "the same: calls after that, before the named moment";
        let part = "the same: part of the calls outside the pause that exceeded GitHub's minute";
        figures.extend([
            // One batch of each process can be under way.
            Figure::new(&id, name, Unit::Count, Samples::new(under_way)).target(Target::AtMost(count(10 * workers))),
            Figure::new(format!("{id}.early"), early, Unit::Count, Samples::new(too_early)).target(Target::AtMost(0.0)),
            Figure::new(format!("{id}.herd"), part, Unit::Ratio, Samples::new(herd)).target(Target::AtMost(0.05)),
        ]);
    }
    figures
}

/// Gives calls their latency, has GitHub refuse them during the pause, and counts those that come nevertheless.
fn watch(world: &World) -> Arc<Mutex<Seen>> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let of_calls = Arc::clone(&seen);
    world.api.faults.choose(Box::new(move |operation| {
        let left = of_calls.lock().unwrap_or_else(PoisonError::into_inner).call(operation);
        // GitHub names whole seconds.
        let limit = left.map(|left| github::answers::secondary_limit(Some(Duration::from_secs(left.as_secs() + 1))));
        Some(limit.map_or(Fault::Delay(GITHUB), Fault::Refuse))
    }));
    world.aws.faults().choose(Box::new(|operation| (operation == "RunTask").then_some(Fault::Delay(ECS))));
    seen
}

#[expect(clippy::cast_precision_loss, reason = "tens")]
fn count(count: usize) -> f64 {
    count as f64
}
