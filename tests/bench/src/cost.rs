//! What the control plane costs in a month, by component, beside the runners themselves.
//!
//! A model, kept on the high side: free tiers are left out, batches are of one, and every process reads its secret as
//! often as it may. [`ASSUMPTIONS`] lists what it assumes, and [`PRICES`] what AWS and others charge.

use std::fmt::Write as _;

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

/// Beside each price stands the vendor's own page, which decides.
const LAMBDA_PAGE: &str = "<https://aws.amazon.com/lambda/pricing/>";
const SQS_PAGE: &str = "<https://aws.amazon.com/sqs/pricing/>";
const SECRETS_PAGE: &str = "<https://aws.amazon.com/secrets-manager/pricing/>";
const CLOUDWATCH_PAGE: &str = "<https://aws.amazon.com/cloudwatch/pricing/>";
const EVENTBRIDGE_PAGE: &str = "<https://aws.amazon.com/eventbridge/pricing/>";
const FARGATE_PAGE: &str = "<https://aws.amazon.com/fargate/pricing/>";
const VPC_PAGE: &str = "<https://aws.amazon.com/vpc/pricing/>";
const CODEBUILD_PAGE: &str = "<https://aws.amazon.com/codebuild/pricing/>";
const GITHUB_PAGE: &str = "<https://docs.github.com/en/billing/reference/actions-runner-pricing>";

const REQUEST: Quantity = Quantity::new("Lambda, requests", 0.20, "$ a million", LAMBDA_PAGE);
const COMPUTE: Quantity = Quantity::new("Lambda, x86-64", 0.000_016_666_7, "$ a GB-second", LAMBDA_PAGE);
const MESSAGE: Quantity = Quantity::new("SQS, standard queue", 0.40, "$ a million requests", SQS_PAGE);
const FAIRNESS: Quantity = Quantity::new("SQS, fair queue, on top", 0.10, "$ a million requests", SQS_PAGE);
const SECRET: Quantity = Quantity::new("Secrets Manager, a secret", 0.40, "$ a month", SECRETS_PAGE);
const SECRET_CALL: Quantity = Quantity::new("Secrets Manager, calls", 5.0, "$ a million", SECRETS_PAGE);
const LOG: Quantity = Quantity::new("CloudWatch Logs, taking in", 0.50, "$ a GB", CLOUDWATCH_PAGE);
const LOG_KEPT: Quantity = Quantity::new("CloudWatch Logs, keeping", 0.03, "$ a GB and month", CLOUDWATCH_PAGE);
const METRIC: Quantity = Quantity::new("CloudWatch, a metric of ours", 0.30, "$ a month", CLOUDWATCH_PAGE);
const ALARM: Quantity = Quantity::new("CloudWatch, an alarm", 0.10, "$ a month", CLOUDWATCH_PAGE);
const DASHBOARD: Quantity = Quantity::new("CloudWatch, a dashboard", 3.00, "$ a month", CLOUDWATCH_PAGE);
const SCHEDULE: Quantity = Quantity::new("EventBridge Scheduler", 1.00, "$ a million calls", EVENTBRIDGE_PAGE);
const VCPU: Quantity = Quantity::new("Fargate, Linux on x86-64", 0.040_48, "$ a vCPU-hour", FARGATE_PAGE);
const MEMORY: Quantity = Quantity::new("Fargate, memory", 0.004_445, "$ a GB-hour", FARGATE_PAGE);
const ADDRESS: Quantity = Quantity::new("A public IPv4 address", 0.005, "$ an hour", VPC_PAGE);
const GITHUB_MINUTE: Quantity =
    Quantity::new("GitHub-hosted runner, Linux: 2 vCPU, 8 GB", 0.006, "$ a minute", GITHUB_PAGE);
const CODEBUILD_SMALL: Quantity =
    Quantity::new("CodeBuild, `general1.small`: 2 vCPU, 4 GB", 0.005, "$ a minute", CODEBUILD_PAGE);
const CODEBUILD_MEDIUM: Quantity =
    Quantity::new("CodeBuild, `general1.medium`: 4 vCPU, 8 GB", 0.01, "$ a minute", CODEBUILD_PAGE);

/// What Spot takes off the price of vCPUs and memory, at least and at most: 70 % is what AWS advertises, and the price
/// that it publishes moves between the two.
const SPOT_DISCOUNTS: [f64; 2] = [0.5, 0.7];

/// Prices of us-east-1. ECS's own events and API calls are free.
pub const PRICES: [Quantity; 18] = [
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
    GITHUB_MINUTE,
    CODEBUILD_SMALL,
    CODEBUILD_MEDIUM,
];

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
const PASS: Quantity =
    Quantity::new("A pass that finds nothing", 1500.0, "ms", "about ten calls in a row; an estimate");
const PAGE: Quantity = Quantity::new("A page of a hundred in a pass", 150.0, "ms", "one call for each page");
const HOLD: Quantity = Quantity::new("A job runs for", 10.0, "minutes", "an example");
const RUNNER_VCPUS: Quantity = Quantity::new("A runner's vCPUs", 1.0, "", "the template's default");
const RUNNER_MEMORY: Quantity = Quantity::new("A runner's memory", 4.0, "GB", "the template's default");
const STARTING: Quantity = Quantity::new("Billed while a runner starts", 1.0, "minute", "most of it pulls the image");
const SQS_CALLS: Quantity = Quantity::new("SQS requests of a job", 3.0, "", "send, receive, delete; no batches");
const IDLE_POLLS: Quantity =
    Quantity::new("Empty receives of the event source", 648_000.0, "a month", "five pollers, 20 seconds each");
const FUNCTION_LOGS: Quantity = Quantity::new(
    "Log lines of a job",
    6.0,
    "KB",
    "five invocations with Lambda's own lines, three of our lines, metrics",
);
const RUNNER_LOGS: Quantity =
    Quantity::new("The runner's log of a job", 2.0, "KB", "the job's own output goes to GitHub");
const PASS_LOGS: Quantity = Quantity::new("Log lines of a pass", 1.0, "KB", "Lambda's own, a summary, metrics");
const SECRET_READS: Quantity = Quantity::new(
    "Reads of the secret, at most",
    25_920.0,
    "a month",
    "the webhook every 5 minutes; five workers and the cleaner every 15",
);
const METRICS: Quantity =
    Quantity::new("Metrics", 31.0, "", "docs/CONFIGURATION.md lists them; two functions write three of them");
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
    Quantity::new("Launches of a job", 1.02, "", "a few are repeated or released; an estimate");

/// Jobs a month for which the model is evaluated.
pub const SIZES: [f64; 7] = [10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7];

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
    /// SQS, empty receives included.
    pub queue: f64,
    /// Secrets Manager: the secret and its reads.
    pub secret: f64,
    /// CloudWatch Logs: ingestion, and storage for a month.
    pub logs: f64,
    /// CloudWatch: metrics, alarms, the dashboard; and EventBridge Scheduler's fraction of a cent.
    pub watching: f64,
    /// Fargate: the runners themselves.
    pub runners: f64,
}

impl Bill {
    /// The bill for that many jobs a month.
    pub fn of(jobs: f64) -> Self {
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

    /// Everything except the runners.
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

/// With more digits the smaller the amount is.
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

/// All tables of the document, by the name of their place in it.
pub fn tables() -> [(&'static str, String); 4] {
    [
        ("example", example()),
        ("bills", bills()),
        ("assumptions", quantities(&ASSUMPTIONS)),
        ("prices", quantities(&PRICES)),
    ]
}

/// A month of a team that would otherwise use GitHub's 2-core runners, on runners of the same size.
const EXAMPLE_JOBS: f64 = 5000.0;
const EXAMPLE_MINUTES: f64 = 8.0;
const EXAMPLE_VCPUS: f64 = 2.0;
const EXAMPLE_MEMORY_GB: f64 = 8.0;

/// The example's bill in dollars, if Fargate charges this share of its On-Demand price.
fn example_bill(share: f64) -> f64 {
    let (hourly, hours) = example_rate();
    // Its control plane is that of jobs of the model's length: the cleaner's passes differ by a hundredth of a cent.
    hours * (hourly * share + ADDRESS.value) + Bill::of(EXAMPLE_JOBS).control_plane()
}

/// Dollars for an hour of the example's runner without its address, and the hours billed.
fn example_rate() -> (f64, f64) {
    let hourly = VCPU.value * EXAMPLE_VCPUS + MEMORY.value * EXAMPLE_MEMORY_GB;
    (hourly, EXAMPLE_JOBS * RELAUNCHES.value * (EXAMPLE_MINUTES + STARTING.value) / 60.0)
}

/// The Markdown table that compares the example's cost with what others charge for it.
fn example() -> String {
    let (hourly, hours) = example_rate();
    let minutes = EXAMPLE_JOBS * EXAMPLE_MINUTES;
    let [dearest, cheapest] = SPOT_DISCOUNTS.map(|discount| example_bill(1.0 - discount));
    let [small, medium] = [CODEBUILD_SMALL, CODEBUILD_MEDIUM].map(|minute| minutes * minute.value);
    format!(
        "| runners | $ a month | how |\n|---|---|---|\n\
         | jitgate, On-Demand | **{:.0}** | {hours:.0} hours × ${:.5}, and ${:.2} for the control plane |\n\
         | jitgate, Spot | **{cheapest:.0} to {dearest:.0}** | {:.0} to {:.0} % off ${hourly:.5} of these ${:.5} an hour |\n\
         | GitHub-hosted, 2 vCPU and 8 GB | {:.0} | {} minutes × ${} |\n\
         | CodeBuild, 2 vCPU and 4 GB to 4 vCPU and 8 GB | {small:.0} to {medium:.0} | {} minutes × ${} to ${} |\n",
        example_bill(1.0),
        hourly + ADDRESS.value,
        Bill::of(EXAMPLE_JOBS).control_plane(),
        SPOT_DISCOUNTS[0] * 100.0,
        SPOT_DISCOUNTS[1] * 100.0,
        hourly + ADDRESS.value,
        minutes * GITHUB_MINUTE.value,
        thousands(minutes),
        GITHUB_MINUTE.value,
        thousands(minutes),
        CODEBUILD_SMALL.value,
        CODEBUILD_MEDIUM.value,
    )
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
    fn what_the_template_and_the_document_of_metrics_say_is_what_is_counted() {
        let template = file("template.yaml");
        let alarms = template.matches("Type: AWS::CloudWatch::Alarm").count();
        assert!(is(ALARMS.value, f64::from(u32::try_from(alarms).unwrap())), "{alarms} alarms");
        assert!(template.contains("MemorySize: 256\n"), "a quarter of a GB");
        let page = file("docs/CONFIGURATION.md");
        let (_, metrics) = page.split_once("| metric | what it counts |").expect("the table of metrics");
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
            assert!(more.control_plane() / more.jobs < less.control_plane() / less.jobs, "cheaper by the job");
        }
    }

    #[test]
    fn a_thousand_jobs_cost_what_their_parts_do() {
        // By hand: 1,020 launches, 5,040 invocations, 252 of them cold.
        let compute = (19_000.0 + 1020.0 * 312.0 + 252.0 * 400.0) / 1000.0 * 0.25 * 0.000_016_666_7;
        let bill = Bill::of(1000.0);
        assert!(is(bill.compute, compute), "{}", bill.compute);
        assert!(is(bill.requests, (5040.0 + 8640.0) * 0.20 / 1e6), "{}", bill.requests);
        assert!(is(bill.runners, 187.0 * (0.040_48 + 4.0 * 0.004_445 + 0.005)), "{}", bill.runners);
    }

    #[test]
    fn the_example_costs_what_the_readme_says() {
        // By hand: 5,100 launches of nine minutes.
        let control_plane = Bill::of(5000.0).control_plane();
        let on_demand = 765.0 * (2.0 * 0.040_48 + 8.0 * 0.004_445 + 0.005) + control_plane;
        assert!(is(example_bill(1.0), on_demand), "{}", example_bill(1.0));
        let [most, least] = SPOT_DISCOUNTS.map(|discount| example_bill(1.0 - discount));
        let readme = file("README.md");
        for words in
            [format!("cost about ${on_demand:.0}, or ${least:.0} to {most:.0} on Spot"), "cost $240".to_owned()]
        {
            assert!(readme.contains(&words), "{words}");
        }
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [thousands(10.0), thousands(1e7), dollars(0.012_34), dollars(12.345)],
            ["10", "10,000,000", "0.0123", "12.35"]
        );
    }
}
