//! What a month of jobs costs on jitgate's runners, and on others.

use std::fmt::Write as _;

use super::prices::{
    ADDRESS, ARM_MEMORY, ARM_VCPU, CODEBUILD_ARM, CODEBUILD_MEDIUM, CODEBUILD_SMALL, COMPUTE, GITHUB_ARM_MINUTE,
    GITHUB_CHARGE, GITHUB_MINUTE, KUBERNETES, MEMORY, MESSAGE, NAT, NAT_TRAFFIC, SECRET, TRANSITION, VCPU,
};
use super::{Bill, IDLE_POLLS, MILLION, Monitoring, PASSES, Quantity, RELAUNCHES, STARTING, dollars, thousands};

/// Jobs in a month, and how many minutes each takes.
#[derive(Clone, Copy, Debug)]
struct Month {
    jobs: f64,
    minutes: f64,
}

const MONTHS: [Month; 4] = [
    Month { jobs: 1000.0, minutes: 10.0 },
    Month { jobs: 10_000.0, minutes: 10.0 },
    Month { jobs: 100_000.0, minutes: 10.0 },
    EXAMPLE,
];

/// A month of a team that would otherwise use GitHub's 2-core runners.
const EXAMPLE: Month = Month { jobs: 5000.0, minutes: 8.0 };

/// The size of GitHub's 2-core runners.
const VCPUS: f64 = 2.0;
const MEMORY_GB: f64 = 8.0;

pub(super) const SPOT_AT_LEAST: Quantity =
    Quantity::new("Spot's discount, at least", 0.5, "", "Fargate's page, which shows the price of the day");
pub(super) const SPOT_AT_MOST: Quantity = Quantity::new("Spot's discount, at most", 0.7, "", "AWS advertises it");
pub(super) const AGAIN: Quantity = Quantity::new(
    "Jobs that Spot ends, which run again",
    0.05,
    "",
    "an estimate: the lowest band of EC2's Spot Instance Advisor ends at 5 % a month, and AWS publishes none for Fargate",
);
pub(super) const ZONES: Quantity = Quantity::new("Zones with a NAT gateway", 2.0, "", "docs/NETWORK.md's example");
pub(super) const TRAFFIC: Quantity = Quantity::new(
    "A job's traffic through a NAT gateway",
    1.0,
    "GB",
    "600 MB of image, 400 MB of dependencies: docs/NETWORK.md's example",
);

/// A way to run jitgate's runners.
#[derive(Clone, Copy, Debug)]
struct Fleet {
    name: &'static str,
    vcpu: Quantity,
    memory: Quantity,
    discount: f64,
    is_behind_nat: bool,
}

const ON_DEMAND: Fleet =
    Fleet { name: "jitgate, x86-64", vcpu: VCPU, memory: MEMORY, discount: 0.0, is_behind_nat: false };
const ARM: Fleet = Fleet { name: "jitgate, ARM64", vcpu: ARM_VCPU, memory: ARM_MEMORY, ..ON_DEMAND };
const SPOT: Fleet = Fleet { name: "jitgate, x86-64 on Spot", discount: SPOT_AT_LEAST.value, ..ON_DEMAND };
const CHEAPEST_SPOT: Fleet = Fleet { discount: SPOT_AT_MOST.value, ..SPOT };
const BEHIND_NAT: Fleet = Fleet { name: "jitgate, x86-64 behind a NAT", is_behind_nat: true, ..ON_DEMAND };

impl Fleet {
    /// Dollars for the runners of a job, its NAT traffic included.
    fn job(self, minutes: f64) -> f64 {
        let runs = if self.discount > 0.0 { 1.0 + AGAIN.value } else { 1.0 } * RELAUNCHES.value;
        let hours = runs * (minutes + STARTING.value) / 60.0;
        let task = VCPUS * self.vcpu.value + MEMORY_GB * self.memory.value;
        let (address, traffic) =
            if self.is_behind_nat { (0.0, runs * TRAFFIC.value * NAT_TRAFFIC.value) } else { (ADDRESS.value, 0.0) };
        hours * (task * (1.0 - self.discount) + address) + traffic
    }

    /// Dollars a month for the network, jobs or not.
    fn network(self) -> f64 {
        if self.is_behind_nat { ZONES.value * NAT.value } else { 0.0 }
    }

    /// Dollars for everything in the month.
    fn bill(self, month: Month) -> f64 {
        // The model's jobs have a size and a length of their own; neither changes what the control plane costs by a cent.
        month.jobs * self.job(month.minutes) + self.network() + Bill::of(month.jobs, Monitoring::Basic).control_plane()
    }

    /// From how many jobs of ten minutes a month on this costs less than GitHub's runners; absent if never.
    fn break_even(self, charge: f64) -> Option<f64> {
        let month = |jobs| Month { jobs, minutes: 10.0 };
        let costs_less =
            |jobs: &f64| self.bill(month(*jobs)) + charge * jobs * 10.0 < GITHUB_MINUTE.value * jobs * 10.0;
        // No fleet runs more than a million jobs a month on two vCPU each without looking at its own prices.
        (1_u32..1_000_000).map(f64::from).find(costs_less)
    }
}

/// Dollars for the minutes of the month on runners that are billed by the minute.
fn by_the_minute(price: Quantity, month: Month) -> f64 {
    month.jobs * month.minutes * price.value
}

/// A row of dollars, one amount for each month, or two.
fn row(name: &str, least: impl Fn(Month) -> f64, most: impl Fn(Month) -> f64) -> String {
    let cells = MONTHS.map(|month| {
        let [least, most] = [least(month), most(month)].map(f64::round);
        if (least - most).abs() < 0.5 {
            thousands(least)
        } else {
            format!("{} to {}", thousands(least), thousands(most))
        }
    });
    format!("| {name} | {} |\n", cells.join(" | "))
}

/// The Markdown table that compares months.
pub(super) fn months() -> String {
    let fleet = |fleet: Fleet| row(fleet.name, |month| fleet.bill(month), |month| fleet.bill(month));
    let minutes =
        |name, least, most| row(name, |month| by_the_minute(least, month), |month| by_the_minute(most, month));
    [
        head("| a month, in dollars", "---"),
        fleet(ON_DEMAND),
        fleet(ARM),
        row(SPOT.name, |month| CHEAPEST_SPOT.bill(month), |month| SPOT.bill(month)),
        fleet(BEHIND_NAT),
        minutes("GitHub's runners, x86-64", GITHUB_MINUTE, GITHUB_MINUTE),
        minutes("GitHub's runners, ARM64", GITHUB_ARM_MINUTE, GITHUB_ARM_MINUTE),
        minutes("CodeBuild's runners, 2 vCPU and 4 GB to 4 vCPU and 8 GB", CODEBUILD_SMALL, CODEBUILD_MEDIUM),
        minutes("CodeBuild's runners, ARM64, 2 vCPU and 4 GB", CODEBUILD_ARM, CODEBUILD_ARM),
        minutes("GitHub's postponed charge, on top of all but its own runners", GITHUB_CHARGE, GITHUB_CHARGE),
    ]
    .concat()
}

fn head(first: &str, rule: &str) -> String {
    let names = MONTHS.map(|Month { jobs, minutes }| format!("{} jobs of {minutes} min", thousands(jobs)));
    format!("{first} | {} |\n|{rule}|---|---|---|---|\n", names.join(" | "))
}

/// The README's short form of the same.
pub(super) fn short() -> String {
    let fleet = |fleet: Fleet| row(fleet.name, |month| fleet.bill(month), |month| fleet.bill(month));
    let minutes =
        |name, least, most| row(name, |month| by_the_minute(least, month), |month| by_the_minute(most, month));
    [
        head("| a month, in dollars", "---"),
        fleet(ON_DEMAND),
        row(SPOT.name, |month| CHEAPEST_SPOT.bill(month), |month| SPOT.bill(month)),
        fleet(BEHIND_NAT),
        minutes("GitHub's runners", GITHUB_MINUTE, GITHUB_MINUTE),
        minutes("CodeBuild's runners", CODEBUILD_SMALL, CODEBUILD_MEDIUM),
        minutes("GitHub's postponed charge, on top of all but its own", GITHUB_CHARGE, GITHUB_CHARGE),
    ]
    .concat()
}

/// The Markdown table of break-even points.
pub(super) fn break_even() -> String {
    let mut table = "| jobs of ten minutes a month from which it costs less than GitHub's x86-64 runners | today \
                     | with GitHub's postponed charge |\n|---|---|---|\n"
        .to_owned();
    for fleet in [ON_DEMAND, ARM, SPOT, BEHIND_NAT] {
        let cell = |charge| fleet.break_even(charge).map_or_else(|| "never".to_owned(), thousands);
        let _ = writeln!(table, "| {} | {} | {} |", fleet.name, cell(0.0), cell(GITHUB_CHARGE.value));
    }
    table
}

/// Another control plane, without its runners.
struct Peer {
    name: &'static str,
    /// Dollars of a month without jobs.
    idle: f64,
    /// Dollars for a thousand jobs; absent if it is not known, or part of the minute's price.
    thousand: Option<f64>,
    what: &'static str,
}

/// A pass of terraform-aws-github-runner's scale-down, in GB-seconds: two seconds at 512 MB; an estimate.
const SCALE_DOWN: f64 = 1.0;
/// The compute of a thousand jobs of terraform-aws-github-runner, in GB-seconds, measured on one machine.
const SCALE_UP: f64 = 500.0;
/// The secrets of cdk-github-runners: webhook, GitHub, private key, setup. Source: its `src/secrets.ts`.
const SECRETS: f64 = 4.0;
/// The state transitions of a job of cdk-github-runners; an estimate, low.
const TRANSITIONS: f64 = 5.0;

fn peers_of() -> [Peer; 6] {
    let polls = IDLE_POLLS.value * MESSAGE.value / MILLION;
    let idle = Bill::of(0.0, Monitoring::Basic).control_plane();
    [
        Peer {
            name: "jitgate, `basic`",
            idle,
            thousand: Some((Bill::of(MILLION, Monitoring::Basic).control_plane() - idle) / 1000.0),
            what: "alarms included; a thousand of a million jobs",
        },
        Peer { name: "CodeBuild's runners", idle: 0.0, thousand: None, what: "part of the price of a minute" },
        Peer {
            name: "terraform-aws-github-runner",
            idle: polls + PASSES.value * SCALE_DOWN * COMPUTE.value,
            thousand: Some(SCALE_UP * COMPUTE.value),
            what: "an empty queue and scale-down every five minutes; no alarms; compute alone",
        },
        Peer {
            name: "cdk-github-runners",
            idle: polls + SECRETS * SECRET.value,
            thousand: Some(1000.0 * TRANSITIONS * TRANSITION.value / MILLION),
            what: "four secrets and a queue; five state transitions of a job, without its six to eight invocations",
        },
        Peer {
            name: "RunsOn",
            idle: 1.5,
            thousand: None,
            what: "its README's own figure, without a licence for commercial use",
        },
        Peer {
            name: "actions-runner-controller on EKS",
            idle: KUBERNETES.value,
            thousand: None,
            what: "the cluster, without the node that the controller runs on",
        },
    ]
}

/// The Markdown table of control planes.
pub(super) fn peers() -> String {
    let mut table =
        "| control plane, in dollars | idle, a month | 1,000 jobs | what of |\n|---|---|---|---|\n".to_owned();
    for Peer { name, idle, thousand, what } in peers_of() {
        let thousand = thousand.map(dollars).unwrap_or_default();
        let _ = writeln!(table, "| {name} | {} | {thousand} | {what} |", dollars(idle));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::tests::is;
    use super::*;

    #[test]
    fn the_example_is_the_sum_of_its_parts() {
        // By hand: 5,100 launches of nine minutes.
        let control_plane = Bill::of(5000.0, Monitoring::Basic).control_plane();
        let hour = 2.0 * 0.040_48 + 8.0 * 0.004_445;
        assert!(is(ON_DEMAND.bill(EXAMPLE), 765.0 * (hour + 0.005) + control_plane));
        assert!(is(SPOT.bill(EXAMPLE), 765.0 * 1.05 * (hour * 0.5 + 0.005) + control_plane));
        assert!(is(BEHIND_NAT.bill(EXAMPLE), 765.0 * hour + 5100.0 * 0.045 + 73.0 + control_plane));
    }

    #[test]
    fn a_nat_can_cost_more_than_it_saves() {
        let month = MONTHS[2];
        assert!(BEHIND_NAT.bill(month) > by_the_minute(GITHUB_MINUTE, month));
        assert_eq!(BEHIND_NAT.break_even(0.0), None);
        let saves = |minutes: &f64| BEHIND_NAT.job(*minutes) < GITHUB_MINUTE.value * minutes;
        let shortest = (1_u32..60).map(f64::from).find(saves);
        assert_eq!(shortest, Some(12.0), "docs/PERFORMANCE.md says twelve minutes");
        let [on_demand, charged] = [0.0, GITHUB_CHARGE.value].map(|charge| ON_DEMAND.break_even(charge).unwrap());
        assert!(on_demand < charged && charged < 1000.0, "{on_demand}, {charged}");
    }
}
