//! What the control plane costs in a month, by component, beside the runners themselves.
//!
//! A model, kept on the high side: free tiers are left out, batches are of one, and every process reads its secret as
//! often as it may. [`ASSUMPTIONS`] lists what it assumes, [`PRICES`] what AWS and others charge, and [`FREE`] the free
//! tiers.

mod comparison;
mod idle;
mod monitoring;
mod prices;

use std::fmt::Write as _;

pub use monitoring::Monitoring;
pub use prices::{FREE, PRICES};

use comparison::{AGAIN, SPOT_AT_LEAST, SPOT_AT_MOST, TRAFFIC, ZONES};
use monitoring::{ALARMS, BASIC_ALARMS, RARE, metric_hours, of_hours};
use prices::{
    ADDRESS, COMPUTE, FAIRNESS, LOG, LOG_KEPT, MEMORY, MESSAGE, REQUEST, SCHEDULE, SECRET, SECRET_CALL, VCPU,
};

/// A number with its unit and its source.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// What it counts, as the document's tables say it.
    pub name: &'static str,
    /// In `unit`.
    pub value: f64,
    /// `$ …` for a price.
    pub unit: &'static str,
    /// Where the value comes from.
    pub source: &'static str,
}

impl Quantity {
    const fn new(name: &'static str, value: f64, unit: &'static str, source: &'static str) -> Self {
        Self { name, value, unit, source }
    }
}

const FUNCTION_MEMORY: Quantity = Quantity::new("Memory of each function", 0.25, "GB", "the template");
const DELIVERIES: Quantity =
    Quantity::new("Deliveries of a job", 3.0, "", "`queued`, `in_progress`, `completed`: GitHub sends every action");
const QUEUED: Quantity =
    Quantity::new("Taking a `queued` delivery", 15.0, "ms", "one call to SQS, and the CPU time in the figures");
const OTHER: Quantity = Quantity::new("Ignoring another delivery", 2.0, "ms", "the figures, rounded up");
const LAUNCH: Quantity = Quantity::new(
    "Launching one job, alone in its batch",
    310.0,
    "ms",
    "120 ms for GitHub, 180 ms for ECS, and CPU time",
);
const STOP: Quantity = Quantity::new("Learning that a task has stopped", 2.0, "ms", "an ordinary end needs no call");
const COLD: Quantity = Quantity::new("A cold start, billed", 400.0, "ms", "secret, TLS handshakes, token; an estimate");
const COLD_SHARE: Quantity = Quantity::new("Cold starts per invocation", 0.05, "", "an estimate");
const PASSES: Quantity = Quantity::new("Passes of the cleaner", 8640.0, "a month", "every five minutes");
const PASS: Quantity = Quantity::new(
    "A pass that finds nothing",
    1000.0,
    "ms",
    "five calls in a row at 200 ms; the calls are counted below",
);
const PAGE: Quantity = Quantity::new("A page of a hundred in a pass", 150.0, "ms", "one call for each page");
const HOLD: Quantity = Quantity::new("A job runs for", 10.0, "minutes", "an example");
const RUNNER_VCPUS: Quantity = Quantity::new("A runner's vCPUs", 1.0, "", "the template's default");
const RUNNER_MEMORY: Quantity = Quantity::new("A runner's memory", 4.0, "GB", "the template's default");
const STARTING: Quantity = Quantity::new("Billed while a runner starts", 1.0, "minute", "most of it pulls the image");
const SQS_CALLS: Quantity = Quantity::new("SQS requests of a job", 3.0, "", "send, receive, delete; no batches");
const WORKERS: Quantity = Quantity::new("Worker processes at once, at most", 5.0, "", "`WorkerConcurrency`");
const IDLE_POLLS: Quantity = Quantity::new(
    "Empty receives of the event source",
    648_000.0,
    "a month",
    "five pollers, 20 seconds each; Lambda keeps five for an event source with a maximum concurrency",
);
const FUNCTION_LOGS: Quantity = Quantity::new(
    "Log lines of a job",
    6.0,
    "KB",
    "five invocations with Lambda's own lines, three of our lines, metrics",
);
const RUNNER_LOGS: Quantity =
    Quantity::new("The runner's log of a job", 2.0, "KB", "the job's own output goes to GitHub");
const PASS_LOGS: Quantity = Quantity::new("Log lines of a pass", 1.0, "KB", "Lambda's own, and a summary");
const READS_OF_A_FUNCTION: Quantity =
    Quantity::new("Reads of the secret by a worker or the cleaner, at most", 2880.0, "a month", "every 15 minutes");
const READS_OF_THE_WEBHOOK: Quantity =
    Quantity::new("Reads of the secret by the webhook, at most", 8640.0, "a month", "every 5 minutes");

/// What the model assumes.
pub const ASSUMPTIONS: [Quantity; 32] = [
    HOLD,
    STARTING,
    RUNNER_VCPUS,
    RUNNER_MEMORY,
    FUNCTION_MEMORY,
    DELIVERIES,
    QUEUED,
    OTHER,
    LAUNCH,
    STOP,
    COLD,
    COLD_SHARE,
    PASSES,
    PASS,
    PAGE,
    SQS_CALLS,
    IDLE_POLLS,
    FUNCTION_LOGS,
    RUNNER_LOGS,
    PASS_LOGS,
    READS_OF_THE_WEBHOOK,
    READS_OF_A_FUNCTION,
    WORKERS,
    RARE,
    BASIC_ALARMS,
    ALARMS,
    RELAUNCHES,
    SPOT_AT_LEAST,
    SPOT_AT_MOST,
    AGAIN,
    ZONES,
    TRAFFIC,
];

const RELAUNCHES: Quantity =
    Quantity::new("Launches of a job", 1.02, "", "a few are repeated or released; an estimate");

/// Jobs a month for which the model is evaluated, beside none at all.
pub const SIZES: [f64; 5] = [1e3, 1e4, 1e5, 1e6, 1e7];

const MILLION: f64 = 1e6;
const MINUTES_A_MONTH: f64 = 30.0 * 24.0 * 60.0;

/// A month's bill, in dollars.
#[derive(Clone, Copy, Debug)]
pub struct Bill {
    /// Jobs in the month.
    pub jobs: f64,
    /// Lambda: requests of all three functions.
    pub requests: f64,
    /// Lambda: GB-seconds of webhook and worker, and of the cleaner's events.
    pub compute: f64,
    /// Lambda: GB-seconds of the cleaner's passes.
    pub passes: f64,
    /// EventBridge Scheduler: calls of the cleaner.
    pub schedule: f64,
    /// SQS, empty receives included.
    pub queue: f64,
    /// Secrets Manager: the secret and its reads.
    pub secret: f64,
    /// CloudWatch Logs: ingestion, and storage for a month.
    pub logs: f64,
    /// CloudWatch: our metrics, by the hours with data.
    pub metrics: f64,
    /// CloudWatch: alarms and the dashboard.
    pub watching: f64,
    /// Fargate: the runners themselves.
    pub runners: f64,
}

impl Bill {
    /// The bill for that many jobs a month.
    pub fn of(jobs: f64, monitoring: Monitoring) -> Self {
        let launches = jobs * RELAUNCHES.value;
        let invocations = jobs * DELIVERIES.value + 2.0 * launches;
        let requests = (invocations + PASSES.value) * REQUEST.value / MILLION;
        let milliseconds = jobs * (QUEUED.value + (DELIVERIES.value - 1.0) * OTHER.value)
            + launches * (LAUNCH.value + STOP.value)
            + invocations * COLD_SHARE.value * COLD.value;
        let running = launches * (HOLD.value + STARTING.value) / MINUTES_A_MONTH;
        let stopped_within_an_hour = launches * 60.0 / MINUTES_A_MONTH;
        // A page lists a hundred registrations or tasks. ECS also lists tasks that stopped within the last hour.
        let pages = (2.0 * running + stopped_within_an_hour) / 100.0;
        let passes = PASSES.value * (PASS.value + pages * PAGE.value);
        // Only a request with a message has a group.
        let messages = launches * SQS_CALLS.value;
        let queue = (messages * (MESSAGE.value + FAIRNESS.value) + IDLE_POLLS.value * MESSAGE.value) / MILLION;
        let busiest = READS_OF_THE_WEBHOOK.value + (WORKERS.value + 1.0) * READS_OF_A_FUNCTION.value;
        let reads = busiest.min(2.0 * jobs + READS_OF_A_FUNCTION.value);
        let kilobytes = jobs * (FUNCTION_LOGS.value + RUNNER_LOGS.value) + PASSES.value * PASS_LOGS.value;
        let hours = launches * (HOLD.value + STARTING.value) / 60.0;
        Self {
            jobs,
            requests,
            compute: gb_second(milliseconds),
            passes: gb_second(passes),
            schedule: PASSES.value * SCHEDULE.value / MILLION,
            queue,
            secret: SECRET.value + reads * SECRET_CALL.value / MILLION,
            logs: kilobytes / MILLION * (LOG.value + LOG_KEPT.value),
            metrics: of_hours(metric_hours(jobs)),
            watching: monitoring.cost(),
            runners: hours * (VCPU.value * RUNNER_VCPUS.value + MEMORY.value * RUNNER_MEMORY.value + ADDRESS.value),
        }
    }

    /// Everything except the runners.
    pub fn control_plane(&self) -> f64 {
        self.requests
            + self.compute
            + self.passes
            + self.schedule
            + self.queue
            + self.secret
            + self.logs
            + self.metrics
            + self.watching
    }

    fn row(&self) -> String {
        let whole = self.control_plane();
        let full = Self::of(self.jobs, Monitoring::Full).control_plane();
        let cells = [
            self.requests + self.compute + self.passes + self.schedule,
            self.queue,
            self.secret,
            self.logs,
            self.metrics,
            self.watching,
            whole,
        ];
        let cells: Vec<String> = cells.into_iter().map(dollars).collect();
        let thousand = if self.jobs > 0.0 { dollars(whole / self.jobs * 1000.0) } else { String::new() };
        let share =
            if self.jobs > 0.0 { format!("{:.1} %", whole / (whole + self.runners) * 100.0) } else { String::new() };
        format!(
            "| {} | {} | {thousand} | {} | {} | {share} |",
            thousands(self.jobs),
            cells.join(" | "),
            dollars(full),
            dollars(self.runners)
        )
    }
}

/// Dollars for milliseconds of a function.
fn gb_second(milliseconds: f64) -> f64 {
    milliseconds / 1000.0 * FUNCTION_MEMORY.value * COMPUTE.value
}

/// With more digits the smaller the amount is.
fn dollars(amount: f64) -> String {
    match amount {
        100.0.. => thousands(amount.round()),
        0.995.. => format!("{amount:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{amount:.4}"),
    }
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// All tables of docs/PERFORMANCE.md, by the name of their place in it.
pub fn tables() -> [(&'static str, String); 9] {
    [
        ("comparison", comparison::months()),
        ("break-even", comparison::break_even()),
        ("peers", comparison::peers()),
        ("idle", idle::month()),
        ("day", idle::day()),
        ("bills", bills()),
        ("assumptions", quantities(&ASSUMPTIONS)),
        ("prices", quantities(&PRICES)),
        ("free", quantities(&FREE)),
    ]
}

/// The table of README.md, by the name of its place in it.
pub fn readme_tables() -> [(&'static str, String); 1] {
    [("comparison", comparison::short())]
}

/// The Markdown table of bills.
fn bills() -> String {
    let mut table =
        "| jobs a month | Lambda, its schedule | SQS | Secrets Manager | logs | metrics | alarms | **control plane, `basic`** \
                     | **per 1,000 jobs** | control plane, `full` | runners on Fargate | share of both |\n\
                     |---|---|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for jobs in [0.0].into_iter().chain(SIZES) {
        let _ = writeln!(table, "{}", Bill::of(jobs, Monitoring::Basic).row());
    }
    table
}

/// The Markdown table of prices or assumptions.
fn quantities(quantities: &[Quantity]) -> String {
    let mut table = "| what | how much | from |\n|---|---|---|\n".to_owned();
    for Quantity { name, value, unit, source } in quantities {
        let value = if *value >= 1000.0 { thousands(*value) } else { value.to_string() };
        let amount = match unit.strip_prefix("$ ") {
            Some(unit) => format!("${value} {unit}"),
            None => format!("{value} {unit}"),
        };
        let _ = writeln!(table, "| {name} | {} | {source} |", amount.trim_end());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::prices::{ALARM, DASHBOARD, FREE_ALARMS, FREE_DASHBOARDS};
    use super::*;

    pub(super) fn file(path: &str) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(super) fn is(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= expected.abs() * 1e-9
    }

    #[test]
    fn the_documents_tables_are_what_is_computed() {
        for (path, tables) in [("docs/PERFORMANCE.md", tables().to_vec()), ("README.md", readme_tables().to_vec())] {
            let document = file(path);
            for (name, table) in tables {
                let is_there = document.contains(&format!("<!-- {name} -->\n{table}<!-- /{name} -->"));
                assert!(is_there, "{path}, {name}: `make bench` writes\n{table}");
            }
        }
    }

    #[test]
    fn the_templates_defaults_are_the_models() {
        let template = file("template.yaml");
        assert!(template.contains("MemorySize: 256\n"), "a quarter of a GB");
        assert!(
            template.contains(&format!("  WorkerConcurrency:\n    Type: Number\n    Default: {}\n", WORKERS.value))
        );
        assert!(template.contains("  Monitoring:\n    Type: String\n    Default: basic\n"));
        let module = file("infra/terraform/variables.tf");
        let default = |name: &str| module.split_once(&format!("variable \"{name}\" {{\n")).expect("it is there").1;
        assert!(
            default("worker_concurrency")
                .starts_with(&format!("  type        = number\n  default     = {}\n", WORKERS.value))
        );
        assert!(default("monitoring").starts_with("  type        = string\n  default     = \"basic\"\n"));
    }

    #[test]
    fn the_targets_are_met() {
        let [off, basic, full] =
            [Monitoring::Off, Monitoring::Basic, Monitoring::Full].map(|level| Bill::of(0.0, level).control_plane());
        assert!(off < basic && basic <= 1.5, "{basic}");
        assert!(full <= 6.0, "{full}");
        let thousand = Bill::of(MILLION, Monitoring::Basic).control_plane() / 1000.0;
        assert!(thousand <= 0.02, "{thousand}");
    }

    #[test]
    fn the_bills_that_jitgate_cost_goes_by_are_the_models() {
        for (jobs, dollars) in jitgate::prices::BILLS {
            let model = Bill::of(jobs, Monitoring::Basic).control_plane();
            assert_eq!(format!("{dollars:.2}"), format!("{model:.2}"), "{jobs} jobs: correct `BILLS`");
        }
        assert_eq!(jitgate::prices::BILLS.map(|(jobs, _)| jobs)[1..], SIZES);
    }

    #[test]
    fn the_documents_say_what_an_idle_fleet_costs() {
        let [basic, full] = [Monitoring::Basic, Monitoring::Full].map(|level| Bill::of(0.0, level).control_plane());
        let secret = Bill::of(0.0, Monitoring::Off).secret;
        let free = secret
            + (ALARMS.value - FREE_ALARMS.value) * ALARM.value
            + (1.0 - FREE_DASHBOARDS.value).max(0.0) * DASHBOARD.value;
        let [seven, all] = [Monitoring::Basic, Monitoring::Full].map(Monitoring::cost);
        for (document, words) in [
            ("README.md", format!("An idle fleet costs [${basic:.2} a month](docs/PERFORMANCE.md#an-idle-fleet)")),
            ("CHANGELOG.md", format!("An idle fleet costs ${basic:.2} a month.")),
            ("docs/PERFORMANCE.md", format!("An idle fleet costs ${basic:.2} a month with `basic`")),
            ("docs/PERFORMANCE.md", format!("${full:.2} with `full`")),
            ("docs/PERFORMANCE.md", format!("`basic` costs ${secret:.2} and `full` ${free:.2}")),
            ("docs/CONFIGURATION.md", format!("the 7 that tell of lost jobs | no | ${seven:.2} |")),
            ("docs/CONFIGURATION.md", format!("all 15 | yes | ${all:.2} |")),
        ] {
            assert!(file(document).replace('\n', " ").contains(&words), "{document}: {words}");
        }
    }

    #[test]
    fn a_bill_grows_with_its_jobs_from_what_idleness_costs() {
        let idle = Bill::of(0.0, Monitoring::Basic);
        assert!(is(idle.runners, 0.0) && is(idle.metrics, 0.0) && idle.control_plane() > 1.0, "{idle:?}");
        for pair in SIZES.windows(2) {
            let (less, more) = (Bill::of(pair[0], Monitoring::Basic), Bill::of(pair[1], Monitoring::Basic));
            assert!(more.control_plane() > less.control_plane());
            assert!(more.control_plane() / more.jobs < less.control_plane() / less.jobs, "cheaper by the job");
        }
    }

    #[test]
    fn a_thousand_jobs_cost_what_their_parts_do() {
        // By hand: 1,020 launches, 5,040 invocations, 252 of them cold.
        let compute = (19_000.0 + 1020.0 * 312.0 + 252.0 * 400.0) / 1000.0 * 0.25 * 0.000_016_666_7;
        let bill = Bill::of(1000.0, Monitoring::Full);
        assert!(is(bill.compute, compute), "{}", bill.compute);
        assert!(is(bill.requests, (5040.0 + 8640.0) * 0.20 / 1e6), "{}", bill.requests);
        assert!(is(bill.queue, (3060.0 * 0.50 + 648_000.0 * 0.40) / 1e6), "{}", bill.queue);
        assert!(is(bill.watching, 15.0 * 0.10 + 3.0), "{}", bill.watching);
        assert!(is(bill.runners, 187.0 * (0.040_48 + 4.0 * 0.004_445 + 0.005)), "{}", bill.runners);
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [thousands(10.0), thousands(1e7), dollars(0.012_34), dollars(12.345), dollars(0.0)],
            ["10", "10,000,000", "0.0123", "12.35", "0"]
        );
    }
}
