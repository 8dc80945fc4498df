//! Alarms, the dashboard, and the hours in which metrics get data.

use super::prices::{ALARM, DASHBOARD, METRIC};
use super::{Quantity, RELAUNCHES};

/// The values of the template's parameter `Monitoring`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitoring {
    /// Nothing but the metrics.
    Off,
    /// The alarms that tell of lost jobs.
    Basic,
    /// All alarms, and the dashboard.
    Full,
}

impl Monitoring {
    /// How many alarms there are. Each has one metric.
    pub fn alarms(self) -> f64 {
        match self {
            Self::Off => 0.0,
            Self::Basic => BASIC_ALARMS.value,
            Self::Full => ALARMS.value,
        }
    }

    /// How many dashboards there are.
    pub fn dashboards(self) -> f64 {
        if self == Self::Full { 1.0 } else { 0.0 }
    }

    /// Dollars a month.
    pub(super) fn cost(self) -> f64 {
        self.alarms() * ALARM.value + self.dashboards() * DASHBOARD.value
    }
}

pub(super) const BASIC_ALARMS: Quantity = Quantity::new("Alarms, `basic`", 7.0, "", "the template");
pub(super) const ALARMS: Quantity = Quantity::new("Alarms, `full`", 15.0, "", "the template");

/// The share of jobs that write a metric which each job writes.
const EACH: f64 = 1.0;
/// The share of jobs that write a metric of something that happens now and then: a launch is repeated or released.
const SOME: f64 = RELAUNCHES.value - 1.0;
pub(super) const RARE: Quantity =
    Quantity::new("Jobs that write a metric of something rare", 0.001, "", "an estimate for each such metric");

/// Our metrics by function, each with the share of jobs that write it.
pub(super) const METRICS: [(&str, &str, f64); 32] = [
    ("webhook", "JobsRefused", RARE.value),
    ("worker", "JobsLaunched", EACH),
    ("worker", "QueueToLaunch", EACH),
    ("worker", "GitHubBudgetRemaining", EACH),
    ("worker", "JobsDeferred", SOME),
    ("worker", "JobWaited", SOME),
    ("worker", "TasksReleased", SOME),
    ("worker", "JobsOverLimit", RARE.value),
    ("worker", "JobsDenied", RARE.value),
    ("worker", "JobsStarving", RARE.value),
    ("worker", "WarmRunnersLaunched", RARE.value),
    ("worker", "JobsGivenUp", RARE.value),
    ("worker", "JobsExpired", RARE.value),
    ("worker", "JobsRefused", RARE.value),
    ("worker", "MessagesReturned", RARE.value),
    ("cleaner", "StartWait", EACH),
    ("cleaner", "ImagePull", EACH),
    ("cleaner", "StartRest", EACH),
    // In each pass that sees a task.
    ("cleaner", "GitHubBudgetRemaining", EACH),
    ("cleaner", "RegistrationsDeleted", SOME),
    ("cleaner", "TasksStopped", SOME),
    ("cleaner", "JobsRelaunched", SOME),
    ("cleaner", "JobsStolen", SOME),
    ("cleaner", "RunnersLeftBusy", SOME),
    ("cleaner", "JobsFound", RARE.value),
    ("cleaner", "JobsGivenUp", RARE.value),
    ("cleaner", "JobsStuck", RARE.value),
    ("cleaner", "DeliveriesRepeated", RARE.value),
    ("cleaner", "RunnerVersionsEnding", RARE.value),
    ("cleaner", "RunnersUnassigned", RARE.value),
    ("cleaner", "StepsFailed", RARE.value),
    ("cleaner", "StepsLeft", RARE.value),
];

/// The hours of the month in which metrics get data, added up over all metrics. The jobs are spread over the whole
/// month at random, which gives the most hours: an hour has none with the probability e^-(jobs an hour).
pub(super) fn metric_hours(jobs: f64) -> f64 {
    let hours = |share: f64| HOURS_A_MONTH * (1.0 - (-jobs * share / HOURS_A_MONTH).exp());
    METRICS.iter().map(|(_, _, share)| hours(*share)).sum()
}

/// Dollars for that many hours.
pub(super) fn of_hours(hours: f64) -> f64 {
    hours / HOURS_A_MONTH * METRIC.value
}

const HOURS_A_MONTH: f64 = 30.0 * 24.0;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{file, is};
    use super::*;

    #[test]
    fn the_alarms_are_the_templates() {
        let template = file("template.yaml");
        for (condition, count) in [("HasMonitoring", BASIC_ALARMS.value), ("HasFullMonitoring", 8.0)] {
            let found =
                template.matches(&format!("Type: AWS::CloudWatch::Alarm\n    Condition: {condition}\n")).count();
            assert!(is(f64::from(u32::try_from(found).unwrap()), count), "{condition}: {found}");
        }
        assert_eq!(template.matches("Type: AWS::CloudWatch::Alarm").count(), 15);
        assert!(is(ALARMS.value, 15.0));
        assert!(!template.contains("Metrics:\n"), "an alarm on several metrics costs as many alarms");
    }

    #[test]
    fn the_metrics_are_those_that_the_document_lists() {
        let page = file("docs/CONFIGURATION.md");
        let (_, metrics) = page.split_once("| metric | what it counts |").expect("the table of metrics");
        let (metrics, _) = metrics.split_once("\n\n").expect("the table's end");
        let names = metrics.lines().skip(2).filter_map(|row| row.split('|').nth(1));
        let listed: BTreeSet<_> =
            names.flat_map(|names| names.split(',')).map(|name| name.trim_matches([' ', '`'])).collect();
        let modelled: BTreeSet<_> = METRICS.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(modelled, listed);
    }

    #[test]
    fn a_metric_costs_by_the_hours_with_data() {
        assert!(is(metric_hours(0.0) + 1.0, 1.0), "nothing is written while nothing happens");
        let hours = metric_hours(1.0);
        assert!((6.9..8.0).contains(&hours), "one job writes seven metrics, for an hour: {hours}");
        assert!(is(metric_hours(1e12), 32.0 * 720.0), "never more than each hour");
        assert!(is(of_hours(720.0), 0.30));
    }
}
