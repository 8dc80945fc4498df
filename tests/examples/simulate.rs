//! Simulates a day and bursts of jobs under GitHub's and Fargate's real quotas, and writes the results to
//! `docs/SIMULATION.md` and its plots.
//!
//! ```sh
//! make simulation
//! ```
//!
//! It is the chaos suite's engine without faults: the real handlers over HTTP, on a simulated clock. GitHub's stand-in
//! has the hourly and the secondary limit, ECS's stand-in has Fargate's vCPU quota and the rate limit of `RunTask`.
//! Calls take 20 to 600 ms, a task starts within 5 to 70 s, and a job takes 1 to 15 minutes.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jitgate_tests::chaos::{Arrival, Knobs, Verdict, run_alone, side_by_side};
use plotters::prelude::{
    BLACK, ChartBuilder, Color as _, IntoDrawingArea as _, LineSeries, PathElement, RGBColor, SVGBackend, WHITE,
};
use rand::distr::Distribution as _;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The plots' size, in pixels.
const SIZE: (u32, u32) = (900, 320);

/// Into how many equal parts of a scenario the plot divides the waits.
const PARTS: usize = 120;

/// GitHub's secondary limit is 900 points a minute, and a registration costs 5.
const PERMITTED_A_MINUTE: usize = 180;

/// Above this share of the permitted rate, a burst waits for GitHub's secondary limit.
const NEAR_THE_LIMIT: f64 = 0.8;

const BEGIN: &str = "<!-- simulation -->";
const END: &str = "<!-- /simulation -->";

const REPOSITORIES: u32 = 500;

struct Scenario {
    /// Also the name of the plot's file.
    name: &'static str,
    title: &'static str,
    arrivals: Vec<Arrival>,
    vcpus: u32,
    warm: Option<u32>,
}

/// All jobs of one matrix, at once.
fn matrix(jobs: usize) -> Vec<Arrival> {
    let mut random = StdRng::seed_from_u64(256);
    (0..jobs).map(|_| Arrival { at: within(&mut random, Duration::from_secs(4)), repository: 0 }).collect()
}

/// 500 scheduled workflows of some jobs each, at the same full hour.
fn night(jobs_of_each: usize, repository_of: fn(u32) -> u32) -> Vec<Arrival> {
    let mut random = StdRng::seed_from_u64(2);
    (0..REPOSITORIES)
        .flat_map(|workflow| {
            let at = within(&mut random, Duration::from_mins(1));
            vec![Arrival { at, repository: repository_of(workflow) }; jobs_of_each]
        })
        .collect()
}

/// A working day of an organisation: pushes of one to eight jobs, most of them within nine hours, ten matrices of 64,
/// two of 256, and each repository's nightly job.
fn day() -> Vec<Arrival> {
    const PUSHES: usize = 600;
    const BY_HOUR: [u32; 24] = [1, 1, 1, 1, 1, 1, 2, 4, 8, 10, 10, 9, 6, 8, 10, 10, 9, 7, 4, 2, 2, 1, 1, 1];
    const MATRICES: [(u64, usize); 12] = [
        (9, 64),
        (10, 64),
        (10, 256),
        (11, 64),
        (11, 64),
        (13, 64),
        (14, 64),
        (14, 64),
        (15, 256),
        (15, 64),
        (16, 64),
        (16, 64),
    ];
    let mut random = StdRng::seed_from_u64(24);
    let hours = WeightedIndex::new(BY_HOUR).expect("not all of them are zero");
    let mut arrivals = night(1, |workflow| workflow);
    for arrival in &mut arrivals {
        arrival.at += Duration::from_hours(2);
    }
    for _ in 0..PUSHES {
        let hour = u64::try_from(hours.sample(&mut random)).expect("24 hours");
        let at = Duration::from_hours(hour) + within(&mut random, Duration::from_hours(1));
        let arrival = Arrival { at, repository: random.random_range(0..REPOSITORIES) };
        arrivals.extend(std::iter::repeat_n(arrival, random.random_range(1..=8)));
    }
    for (repository, (hour, jobs)) in (0..).zip(MATRICES) {
        let at = Duration::from_hours(hour) + within(&mut random, Duration::from_hours(1));
        arrivals.extend(std::iter::repeat_n(Arrival { at, repository }, jobs));
    }
    arrivals
}

/// A job a minute and a matrix of twelve every half an hour, from when warm runners can be ready.
fn trickle() -> Vec<Arrival> {
    let matrices = [45, 75, 105, 135].into_iter().flat_map(|minute| [minute; 12]);
    let minutes = (30..150).chain(matrices);
    minutes.map(|minute| Arrival { at: Duration::from_mins(minute), repository: 0 }).collect()
}

/// In whole milliseconds, the clock's unit.
fn within(random: &mut StdRng, time: Duration) -> Duration {
    let most = u64::try_from(time.as_millis()).expect("short");
    Duration::from_millis(random.random_range(0..most))
}

fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "day",
            title: "A day of 500 repositories, quota of 600 vCPUs",
            arrivals: day(),
            vcpus: 600,
            warm: None,
        },
        Scenario {
            name: "day-small-quota",
            title: "The same day, quota of 60 vCPUs",
            arrivals: day(),
            vcpus: 60,
            warm: None,
        },
        Scenario {
            name: "matrix-new-account",
            title: "A matrix of 64 jobs in a new account, whose quota is 6 vCPUs",
            arrivals: matrix(64),
            vcpus: 6,
            warm: None,
        },
        Scenario {
            name: "matrix",
            title: "A matrix of 256 jobs, quota of 300 vCPUs",
            arrivals: matrix(256),
            vcpus: 300,
            warm: None,
        },
        Scenario {
            name: "night",
            title: "500 nightly workflows of three jobs each, within a minute; quota of 2,000 vCPUs",
            arrivals: night(3, |_| 0),
            vcpus: 2_000,
            warm: None,
        },
        Scenario {
            name: "warm",
            title: "A job a minute and four matrices of 12 in two hours, 6 runners kept ready",
            arrivals: trickle(),
            vcpus: 300,
            warm: Some(6),
        },
    ]
}

/// The seconds of each job until its task was launched, and until a runner took it.
struct Waits {
    until_launch: Vec<f64>,
    until_start: Vec<f64>,
}

impl Waits {
    fn of(verdict: &Verdict) -> Self {
        let seconds = |until: fn(&jitgate_tests::chaos::Wait) -> Option<time::OffsetDateTime>| {
            let waits = verdict.waits.iter();
            waits.filter_map(|wait| Some((until(wait)? - wait.queued_at).as_seconds_f64().max(0.0))).collect()
        };
        Self { until_launch: seconds(|wait| wait.launched_at), until_start: seconds(|wait| wait.started_at) }
    }
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * percent / 100]
}

/// The most launches in any minute.
fn most_in_a_minute(verdict: &Verdict) -> usize {
    let minute = time::Duration::minutes(1);
    let mut launches = verdict.launches.clone();
    launches.sort();
    let mut first = 0;
    let within = launches.iter().enumerate().map(|(last, at)| {
        while *at - launches[first] >= minute {
            first += 1;
        }
        last + 1 - first
    });
    within.max().unwrap_or(0)
}

/// What limited the launches.
#[expect(clippy::cast_precision_loss, reason = "hundreds")]
fn binding(verdict: &Verdict) -> &'static str {
    let is_near = most_in_a_minute(verdict) as f64 >= NEAR_THE_LIMIT * PERMITTED_A_MINUTE as f64;
    match (verdict.report.turned_away > 0, is_near) {
        (true, true) => "first GitHub's 900 points a minute, then Fargate's vCPUs",
        (true, false) => "Fargate's vCPUs",
        (false, true) => "GitHub's 900 points a minute",
        (false, false) => "none",
    }
}

fn row(scenario: &Scenario, verdict: &Verdict) -> String {
    let waits = Waits::of(verdict);
    let of =
        |values: &[f64]| [50, 90, 99, 100].map(|percent| format!("{:.0}", percentile(values, percent))).join(" / ");
    format!(
        "| {} | {} | {} | {} | {} | {} | {} |",
        scenario.title,
        verdict.report.jobs,
        of(&waits.until_launch),
        of(&waits.until_start),
        most_in_a_minute(verdict),
        verdict.report.turned_away,
        binding(verdict)
    )
}

/// Plots the waits of the jobs in each part of the scenario: the 50th, 90th and 100th percentile.
#[expect(clippy::cast_precision_loss, reason = "minutes of some hours")]
fn draw(scenario: &Scenario, verdict: &Verdict, folder: &Path) -> Result<(), Box<dyn Error>> {
    let first = verdict.waits.first().ok_or("no job came")?.queued_at;
    let minutes = |at: time::OffsetDateTime| (at - first).as_seconds_f64() / 60.0;
    let jobs: Vec<_> = verdict
        .waits
        .iter()
        .filter_map(|wait| Some((minutes(wait.queued_at), (wait.launched_at? - wait.queued_at).as_seconds_f64())))
        .collect();
    let end = jobs.iter().map(|(at, _)| *at).fold(0.0, f64::max).max(0.05) * 1.001;
    let most = jobs.iter().map(|(_, wait)| *wait).fold(1.0, f64::max) * 1.05;
    let part = end / PARTS as f64;
    let lines = [(50, "half of the jobs", RGBColor(31, 119, 180)), (90, "nine of ten", RGBColor(255, 127, 14))];
    let lines = lines.into_iter().chain([(100, "all", RGBColor(150, 150, 150))]);

    let path = folder.join(format!("{}.svg", scenario.name));
    let area = SVGBackend::new(&path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(scenario.title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(35)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0.0..most)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_desc("minutes since the first job")
        .y_desc("seconds from queued to launched")
        .draw()?;
    for (percent, label, colour) in lines {
        let points = (0..PARTS).filter_map(|number| {
            let from = number as f64 * part;
            let waits: Vec<_> =
                jobs.iter().filter(|(at, _)| (from..from + part).contains(at)).map(|(_, wait)| *wait).collect();
            (!waits.is_empty()).then(|| (from + part / 2.0, percentile(&waits, percent)))
        });
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}

fn simulate(scenario: &Scenario) -> Result<Verdict, String> {
    let knobs = Knobs {
        workers: Some(5),
        work: 60..=900,
        cleaner: true,
        arrivals: scenario.arrivals.clone(),
        vcpus: Some(scenario.vcpus),
        warm: scenario.warm,
        ..Knobs::calm(scenario.arrivals.len())
    };
    let began = Instant::now();
    let verdict = run_alone(1, &knobs);
    if !verdict.complaints.is_empty() {
        return Err(format!("{}: {}", scenario.name, verdict.complaints.join("\n")));
    }
    eprintln!("{}\n{} s\n{}", row(scenario, &verdict), began.elapsed().as_secs(), verdict.report);
    Ok(verdict)
}

fn main() -> Result<(), Box<dyn Error>> {
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    let mut scenarios = scenarios();
    scenarios.retain(|scenario| wanted.is_empty() || wanted.iter().any(|name| name == scenario.name));
    let mut table = String::from(
        "| | jobs | s until launched: 50 / 90 / 99 / 100 % | s until started: 50 / 90 / 99 / 100 % | most launches a minute \
         | refused by ECS | what they waited for |\n|---|---|---|---|---|---|---|\n",
    );
    for (scenario, verdict) in scenarios.iter().zip(side_by_side(&scenarios, simulate)) {
        let verdict = verdict?;
        writeln!(table, "{}", row(scenario, &verdict))?;
        draw(scenario, &verdict, &docs.join("simulation"))?;
    }
    if wanted.is_empty() {
        let page = docs.join("SIMULATION.md");
        let text = fs::read_to_string(&page)?;
        let (before, rest) = text.split_once(BEGIN).ok_or("the page has lost its mark")?;
        let (_, after) = rest.split_once(END).ok_or("the page has lost its mark")?;
        fs::write(&page, format!("{before}{BEGIN}\n{table}{END}{after}"))?;
    }
    Ok(())
}
