//! Simulates how worker processes share GitHub's secondary limit, and prints a table of what each way to pace them comes
//! to.
//!
//! ```sh
//! cargo run --profile bench -p jitgate-tests --example pacing
//! ```
//!
//! Everything happens on a clock of its own, without a network: processes take batches of ten from a queue, a job is one
//! registration (120 ms) and one `RunTask` (180 ms), and a job that must wait comes back after whole seconds. What paces
//! them is the worker's own code, and simpler candidates beside it.

mod candidates;
mod clock;
mod github;
mod workers;

use std::fmt::Write as _;

use candidates::{Optimist, Share};
use github::{Counter, Counting, Others, Rules};
use workers::{Outcome, Pacing, Scenario, run};

/// The worker's pacer, compiled for the simulation.
#[expect(dead_code, reason = "reports, which wait for launches, are not simulated")]
#[path = "../../../shared/src/github/pace/mod.rs"]
mod pace;

/// What the pacer knows of a call.
mod call {
    /// What a write costs. Source: GitHub's "Rate limits for the REST API".
    pub(super) const WRITE_POINTS: u32 = 5;

    /// Whose limit it is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(super) enum CredentialKey {
        Installation(usize),
    }
}

/// Chance differs so often; the table shows the worst.
const SEEDS: u64 = 5;

/// The worst of several runs of each, for one, two and five processes.
fn row<P: Pacing>(title: &str, scenario: &Scenario) -> String {
    let mut row = format!("| {title} |");
    for processes in [1, 2, 5] {
        let outcomes: Vec<_> =
            (0..SEEDS).map(|seed| run::<P>(&Scenario { processes, seed, ..scenario.clone() })).collect();
        let worst = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).fold(0.0, f64::max);
        let _ = write!(
            row,
            " {:.1} s, {:.1} %, {:.2} |",
            worst(|outcome| outcome.last),
            100.0 * worst(|outcome| outcome.refused),
            worst(|outcome| outcome.deferrals)
        );
    }
    row
}

fn table<P: Pacing>(name: &str) -> String {
    let mut table =
        format!("\n## {name}\n\n| last launch, refused, deferrals a job | 1 process | 2 | 5 |\n|---|---|---|---|\n");
    let mut add = |title: &str, scenario: &Scenario| {
        let _ = writeln!(table, "{}", row::<P>(title, scenario));
    };
    for jobs in [20, 100, 160, 180, 256, 600, 1500] {
        add(&format!("{jobs} jobs"), &Scenario::burst(jobs));
    }
    add("600 jobs of 10 installations", &Scenario { installations: 10, ..Scenario::burst(600) });
    add("1500 jobs, processes live 60 s", &Scenario { life: 60.0, ..Scenario::burst(1500) });
    add("2 a second for 5 min (300 s)", &Scenario::steady(600, 2.0));
    add("4 a second for 5 min (399 s)", &Scenario::steady(1200, 4.0));
    for (title, others) in [
        ("60 writes a minute", Others { writes: 60.0, ..Others::NONE }),
        ("300 reads a minute", Others { reads: 300.0, ..Others::NONE }),
        ("150 reads, 30 writes", Others { reads: 150.0, writes: 30.0, ..Others::NONE }),
        ("100 reads at once, every minute", Others { reads: 100.0, at_once: true, ..Others::NONE }),
    ] {
        add(&format!("256 jobs, others: {title}"), &Scenario { others, ..Scenario::burst(256) });
    }
    for (title, rules) in [
        ("a bucket", Rules { counting: Counting::Bucket, ..Rules::default() }),
        ("fixed minutes", Rules { counting: Counting::FixedMinutes, ..Rules::default() }),
        ("no `retry-after`", Rules { retry_after: false, ..Rules::default() }),
        ("the counter 5 s late", Rules { counter: Counter::Late, ..Rules::default() }),
        ("the counter jumps", Rules { counter: Counter::Jumping, ..Rules::default() }),
        ("no counter", Rules { counter: Counter::Absent, ..Rules::default() }),
        ("only 80 writes a minute", Rules { points: 400.0, ..Rules::default() }),
    ] {
        add(&format!("600 jobs, {title}"), &Scenario { rules, ..Scenario::burst(600) });
    }
    table
}

#[expect(clippy::print_stdout, reason = "the table")]
fn main() {
    println!("{}", table::<Share>("each process its share"));
    println!("{}", table::<Optimist>("each process as if it were alone"));
    println!("{}", table::<pace::Pacer>("the worker's pacer"));
}
