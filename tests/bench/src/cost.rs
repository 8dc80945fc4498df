//! The monthly cost of the control plane, by component, and of the runners.
//!
//! A model that errs on the high side: no free tiers, batches of one message, and every process reads its secret as
//! often as it can. [`ASSUMPTIONS`] lists what it assumes, and [`PRICES`] AWS's prices.

use std::fmt::Write as _;

/// A number with its meaning and source.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// Its meaning.
    pub name: &'static str,
    /// The number, in the unit.
    pub value: f64,
    /// The unit.
    pub unit: &'static str,
    /// The source.
    pub source: &'static str,
}

impl Quantity {
    const fn new(name: &'static str, value: f64, unit: &'static str, source: &'static str) -> Self {
        Self { name, value, unit, source }
    }
}

/// AWS's pages of prices.
const LAMBDA_PAGE: &str = "<https://aws.amazon.com/lambda/pricing/>";
const SQS_PAGE: &str = "<https://aws.amazon.com/sqs/pricing/>";
const SECRETS_PAGE: &str = "<https://aws.amazon.com/secrets-manager/pricing/>";
const CLOUDWATCH_PAGE: &str = "<https://aws.amazon.com/cloudwatch/pricing/>";
const EVENTBRIDGE_PAGE: &str = "<https://aws.amazon.com/eventbridge/pricing/>";
const FARGATE_PAGE: &str = "<https://aws.amazon.com/fargate/pricing/>";
const VPC_PAGE: &str = "<https://aws.amazon.com/vpc/pricing/>";

const REQUEST: Quantity = Quantity::new("Lambda, requests", 0.20, "$ a million", LAMBDA_PAGE);
const COMPUTE: Quantity = Quantity::new("Lambda, x86-64", 0.000_016_666_7, "$ a GB-second", LAMBDA_PAGE);
const MESSAGE: Quantity = Quantity::new("SQS, standard queue", 0.40, "$ a million requests", SQS_PAGE);
const FAIRNESS: Quantity = Quantity::new("SQS, fair queue, on top", 0.10, "$ a million requests", SQS_PAGE);
const SECRET: Quantity = Quantity::new("Secrets Manager, a secret", 0.40, "$ a month", SECRETS_PAGE);
const SECRET_CALL: Quantity = Quantity::new("Secrets Manager, calls", 5.0, "$ a million", SECRETS_PAGE);
const LOG: Quantity = Quantity::new("CloudWatch Logs, ingestion", 0.50, "$ a GB", CLOUDWATCH_PAGE);
const LOG_KEPT: Quantity = Quantity::new("CloudWatch Logs, storage", 0.03, "$ a GB and month", CLOUDWATCH_PAGE);
const METRIC: Quantity = Quantity::new("CloudWatch, a custom metric", 0.30, "$ a month", CLOUDWATCH_PAGE);
const ALARM: Quantity = Quantity::new("CloudWatch, an alarm", 0.10, "$ a month", CLOUDWATCH_PAGE);
const DASHBOARD: Quantity = Quantity::new("CloudWatch, a dashboard", 3.00, "$ a month", CLOUDWATCH_PAGE);
const SCHEDULE: Quantity = Quantity::new("EventBridge Scheduler", 1.00, "$ a million calls", EVENTBRIDGE_PAGE);
const VCPU: Quantity = Quantity::new("Fargate, Linux on x86-64", 0.040_48, "$ a vCPU-hour", FARGATE_PAGE);
const MEMORY: Quantity = Quantity::new("Fargate, memory", 0.004_445, "$ a GB-hour", FARGATE_PAGE);
const ADDRESS: Quantity = Quantity::new("A public IPv4 address", 0.005, "$ an hour", VPC_PAGE);

/// Prices of us-east-1. ECS's own events and API calls are free.
pub const PRICES: [Quantity; 15] = [
    REQUEST,
    COMPUTE,
    MESSAGE,
    FAIRNESS,
    SECRET,
    SECRET_CALL,
    LOG,
    LOG_KEPT,
    METRIC,
    ALARM,
    DASHBOARD,
    SCHEDULE,
    VCPU,
    MEMORY,
    ADDRESS,
];

const FUNCTION_MEMORY: Quantity = Quantity::new("Memory of each function", 0.25, "GB", "the template");
const DELIVERIES: Quantity =
    Quantity::new("Deliveries of a job", 3.0, "", "`queued`, `in_progress`, `completed`; GitHub sends all actions");
const QUEUED: Quantity =
    Quantity::new("Taking a `queued` delivery", 15.0, "ms", "one call of SQS, and what the table above says");
const OTHER: Quantity = Quantity::new("Ignoring another delivery", 2.0, "ms", "the table above, rounded up");
const LAUNCH: Quantity =
    Quantity::new("Launching one job, alone in its batch", 310.0, "ms", "120 ms of GitHub, 180 ms of ECS, and CPU");
const STOP: Quantity = Quantity::new("Hearing that a task has stopped", 2.0, "ms", "an ordinary end needs no call");
const COLD: Quantity = Quantity::new("A cold start, billed", 400.0, "ms", "secret, TLS handshakes, token; an estimate");
const COLD_SHARE: Quantity = Quantity::new("Invocations that are one", 0.05, "", "an estimate");
const PASSES: Quantity = Quantity::new("Passes of the cleaner", 8640.0, "a month", "every five minutes");
const PASS: Quantity = Quantity::new("A pass over nothing", 1500.0, "ms", "about ten calls in a row; an estimate");
const PAGE: Quantity = Quantity::new("A page of a hundred in a pass", 150.0, "ms", "one call for each page");
const HOLD: Quantity = Quantity::new("A job runs for", 10.0, "minutes", "an example");
const RUNNER_VCPUS: Quantity = Quantity::new("A runner's vCPUs", 1.0, "", "the template's default");
const RUNNER_MEMORY: Quantity = Quantity::new("A runner's memory", 4.0, "GB", "the template's default");
const STARTING: Quantity = Quantity::new("Billed while a runner starts", 1.0, "minute", "most of it is the image");
const SQS_CALLS: Quantity = Quantity::new("SQS requests of a job", 3.0, "", "send, receive, delete; no batches");
const IDLE_POLLS: Quantity =
    Quantity::new("Empty receives of the event source", 648_000.0, "a month", "five pollers, 20 seconds each");
const FUNCTION_LOGS: Quantity = Quantity::new(
    "Log lines of a job",
    5.0,
    "KB",
    "five invocations with Lambda's own lines, two lines of the functions, metrics",
);
const RUNNER_LOGS: Quantity = Quantity::new("The runner's log", 2.0, "KB", "a job's own output goes to GitHub");
const PASS_LOGS: Quantity = Quantity::new("Log lines of a pass", 1.0, "KB", "Lambda's own, a summary, metrics");
const SECRET_READS: Quantity = Quantity::new(
    "Most readings of the secret",
    25_920.0,
    "a month",
    "each process: webhook every 5 min; five workers and the cleaner every 15",
);
const METRICS: Quantity =
    Quantity::new("Metrics", 28.0, "", "all of the README's table, three of them of two functions");
const ALARMS: Quantity = Quantity::new("Alarms", 15.0, "", "the template");

/// What the model assumes.
pub const ASSUMPTIONS: [Quantity; 24] = [
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
    SECRET_READS,
    METRICS,
    ALARMS,
    RELAUNCHES,
];

const RELAUNCHES: Quantity =
    Quantity::new("Launches of a job", 1.02, "", "a few are repeated or taken back; an estimate");

/// The months for which the model is evaluated, in jobs.
pub const SIZES: [f64; 7] = [10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7];

const MILLION: f64 = 1e6;
const MINUTES_A_MONTH: f64 = 30.0 * 24.0 * 60.0;

/// A month's bill, in dollars.
#[derive(Clone, Copy, Debug)]
pub struct Bill {
    /// Jobs of the month.
    pub jobs: f64,
    /// Lambda: requests of all three functions.
    pub requests: f64,
    /// Lambda: GB-seconds of webhook and worker, and of the cleaner's events.
    pub compute: f64,
    /// Lambda: GB-seconds of the cleaner's passes.
    pub passes: f64,
    /// SQS, the empty receives included.
    pub queue: f64,
    /// Secrets Manager: the secret and its readings.
    pub secret: f64,
    /// CloudWatch Logs: ingestion, and storage for a month.
    pub logs: f64,
    /// CloudWatch: metrics, alarms and the dashboard; with EventBridge Scheduler's fraction of a cent.
    pub watching: f64,
    /// Fargate: the runners themselves.
    pub runners: f64,
}

impl Bill {
    /// The bill for so many jobs a month.
    pub fn of(jobs: f64) -> Self {
        let launches = jobs * RELAUNCHES.value;
        let invocations = jobs * DELIVERIES.value + 2.0 * launches;
        let requests = (invocations + PASSES.value) * REQUEST.value / MILLION;
        let milliseconds = jobs * (QUEUED.value + (DELIVERIES.value - 1.0) * OTHER.value)
            + launches * (LAUNCH.value + STOP.value)
            + invocations * COLD_SHARE.value * COLD.value;
        let running = launches * (HOLD.value + STARTING.value) / MINUTES_A_MONTH;
        let stopped_within_an_hour = launches * 60.0 / MINUTES_A_MONTH;
        // A registration and a task are each a hundredth of a page; tasks include those that have just stopped.
        let pages = (2.0 * running + stopped_within_an_hour) / 100.0;
        let passes = PASSES.value * (PASS.value + pages * PAGE.value);
        let gb_second = |milliseconds: f64| milliseconds / 1000.0 * FUNCTION_MEMORY.value * COMPUTE.value;
        let queue = (launches * SQS_CALLS.value + IDLE_POLLS.value) * (MESSAGE.value + FAIRNESS.value) / MILLION;
        let readings = SECRET_READS.value.min(2.0 * jobs + PASSES.value / 3.0);
        let kilobytes = jobs * (FUNCTION_LOGS.value + RUNNER_LOGS.value) + PASSES.value * PASS_LOGS.value;
        let hours = launches * (HOLD.value + STARTING.value) / 60.0;
        Self {
            jobs,
            requests,
            compute: gb_second(milliseconds),
            passes: gb_second(passes),
            queue,
            secret: SECRET.value + readings * SECRET_CALL.value / MILLION,
            logs: kilobytes / MILLION * (LOG.value + LOG_KEPT.value),
            watching: METRICS.value * METRIC.value
                + ALARMS.value * ALARM.value
                + DASHBOARD.value
                + PASSES.value * SCHEDULE.value / MILLION,
            runners: hours * (VCPU.value * RUNNER_VCPUS.value + MEMORY.value * RUNNER_MEMORY.value + ADDRESS.value),
        }
    }

    /// The sum of the control plane.
    pub fn control_plane(&self) -> f64 {
        self.requests + self.compute + self.passes + self.queue + self.secret + self.logs + self.watching
    }

    fn row(&self) -> String {
        let whole = self.control_plane();
        let cells = [
            self.requests,
            self.compute,
            self.passes,
            self.queue,
            self.secret,
            self.logs,
            self.watching,
            whole,
            whole / self.jobs * 1000.0,
            self.runners,
        ];
        let cells: Vec<String> = cells.into_iter().map(dollars).collect();
        let share = whole / self.runners * 100.0;
        let share = if share >= 10.0 { format!("{} %", thousands(share)) } else { format!("{share:.1} %") };
        format!("| {} | {} | {share} |", thousands(self.jobs), cells.join(" | "))
    }
}

/// Formats dollars with three significant digits, or with cents if that is more.
fn dollars(amount: f64) -> String {
    match amount {
        100.0.. => thousands(amount.round()),
        1.0.. => format!("{amount:.2}"),
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

/// All tables of the document, by the name of their place.
pub fn tables() -> [(&'static str, String); 3] {
    [("bills", bills()), ("assumptions", quantities(&ASSUMPTIONS)), ("prices", quantities(&PRICES))]
}

/// The Markdown table of bills.
fn bills() -> String {
    let mut table =
        "| jobs a month | Lambda requests | Lambda: webhook, worker | Lambda: passes | SQS | Secrets Manager | Logs \
                     | metrics, alarms | **control plane** | **per 1,000 jobs** | runners on Fargate | share |\n\
                     |---|---|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for jobs in SIZES {
        let _ = writeln!(table, "{}", Bill::of(jobs).row());
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
    use super::*;

    fn file(path: &str) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn is(found: f64, expected: f64) -> bool {
        (found - expected).abs() < expected * 1e-9
    }

    #[test]
    fn the_documents_tables_are_what_is_computed() {
        let document = file("docs/PERFORMANCE.md");
        for (name, table) in tables() {
            let is_there = document.contains(&format!("<!-- {name} -->\n{table}<!-- /{name} -->"));
            assert!(is_there, "{name}: `make bench` writes\n{table}");
        }
    }

    #[test]
    fn what_the_template_and_the_readme_say_is_what_is_counted() {
        let template = file("template.yaml");
        let alarms = template.matches("Type: AWS::CloudWatch::Alarm").count();
        assert!(is(ALARMS.value, f64::from(u32::try_from(alarms).unwrap())), "{alarms} alarms");
        assert!(template.contains("MemorySize: 256\n"), "a quarter of a GB");
        let readme = file("README.md");
        let (_, metrics) = readme.split_once("| metric | what it counts |").expect("the table of metrics");
        let (metrics, _) = metrics.split_once("\n\n").expect("the table's end");
        let names = metrics.lines().skip(2).filter_map(|row| row.split('|').nth(1));
        let count = names.map(|names| names.split(',').count()).sum::<usize>();
        // Written by two functions: `GitHubBudgetRemaining`, `JobsGivenUp` and `JobsRefused`.
        assert!(is(METRICS.value, f64::from(u32::try_from(count + 3).unwrap())), "{count} metrics");
    }

    #[test]
    fn a_bill_grows_with_its_jobs_from_what_idleness_costs() {
        let idle = Bill::of(0.0);
        assert!(
            is(idle.runners + 1.0, 1.0) && idle.control_plane() > 10.0,
            "alarms, metrics and passes cost when idle"
        );
        for pair in SIZES.windows(2) {
            let (less, more) = (Bill::of(pair[0]), Bill::of(pair[1]));
            assert!(more.control_plane() > less.control_plane());
            assert!(
                more.control_plane() / more.jobs < less.control_plane() / less.jobs,
                "a job costs less in a larger month"
            );
        }
    }

    #[test]
    fn a_thousand_jobs_cost_what_their_parts_do() {
        // Calculated by hand: 1,020 launches, 5,040 invocations, 252 of them cold.
        let compute = (19_000.0 + 1020.0 * 312.0 + 252.0 * 400.0) / 1000.0 * 0.25 * 0.000_016_666_7;
        let bill = Bill::of(1000.0);
        assert!(is(bill.compute, compute), "{}", bill.compute);
        assert!(is(bill.requests, (5040.0 + 8640.0) * 0.20 / 1e6), "{}", bill.requests);
        assert!(is(bill.runners, 187.0 * (0.040_48 + 4.0 * 0.004_445 + 0.005)), "{}", bill.runners);
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [thousands(10.0), thousands(1e7), dollars(0.012_34), dollars(12.345)],
            ["10", "10,000,000", "0.0123", "12.35"]
        );
    }
}
