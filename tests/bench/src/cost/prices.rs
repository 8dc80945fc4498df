//! Prices, as published, and what is free of charge.

use jitgate::prices;

use super::Quantity;

/// Beside each price stands the vendor's own page, which decides.
const LAMBDA_PAGE: &str = "<https://aws.amazon.com/lambda/pricing/>";
const SQS_PAGE: &str = "<https://aws.amazon.com/sqs/pricing/>";
const SECRETS_PAGE: &str = "<https://aws.amazon.com/secrets-manager/pricing/>";
const CLOUDWATCH_PAGE: &str = "<https://aws.amazon.com/cloudwatch/pricing/>";
const EVENTBRIDGE_PAGE: &str = "<https://aws.amazon.com/eventbridge/pricing/>";
const FARGATE_PAGE: &str = "<https://aws.amazon.com/fargate/pricing/>";
const VPC_PAGE: &str = "<https://aws.amazon.com/vpc/pricing/>";
const CODEBUILD_PAGE: &str = "<https://aws.amazon.com/codebuild/pricing/>";
const EKS_PAGE: &str = "<https://aws.amazon.com/eks/pricing/>";
const STEPS_PAGE: &str = "<https://aws.amazon.com/step-functions/pricing/>";
const GITHUB_PAGE: &str = "<https://docs.github.com/en/billing/reference/actions-runner-pricing>";
const GITHUB_CHANGES_PAGE: &str = "<https://github.com/resources/insights/2026-pricing-changes-for-github-actions>";

pub(super) const REQUEST: Quantity = Quantity::new("Lambda, requests", 0.20, "$ a million", LAMBDA_PAGE);
pub(super) const COMPUTE: Quantity = Quantity::new("Lambda, x86-64", 0.000_016_666_7, "$ a GB-second", LAMBDA_PAGE);
pub(super) const MESSAGE: Quantity = Quantity::new("SQS, standard queue", 0.40, "$ a million requests", SQS_PAGE);
pub(super) const FAIRNESS: Quantity =
    Quantity::new("SQS, on top for a message with a group", 0.10, "$ a million requests", SQS_PAGE);
pub(super) const SECRET: Quantity = Quantity::new("Secrets Manager, a secret", 0.40, "$ a month", SECRETS_PAGE);
pub(super) const SECRET_CALL: Quantity = Quantity::new("Secrets Manager, calls", 5.0, "$ a million", SECRETS_PAGE);
pub(super) const LOG: Quantity = Quantity::new("CloudWatch Logs, taking in", 0.50, "$ a GB", CLOUDWATCH_PAGE);
pub(super) const LOG_KEPT: Quantity =
    Quantity::new("CloudWatch Logs, keeping", 0.03, "$ a GB and month", CLOUDWATCH_PAGE);
pub(super) const METRIC: Quantity =
    Quantity::new("CloudWatch, a metric of ours, by the hour with data", 0.30, "$ a month", CLOUDWATCH_PAGE);
pub(super) const ALARM: Quantity =
    Quantity::new("CloudWatch, each metric of an alarm", 0.10, "$ a month", CLOUDWATCH_PAGE);
pub(super) const DASHBOARD: Quantity = Quantity::new("CloudWatch, a dashboard", 3.00, "$ a month", CLOUDWATCH_PAGE);
pub(super) const SCHEDULE: Quantity =
    Quantity::new("EventBridge Scheduler", 1.00, "$ a million calls", EVENTBRIDGE_PAGE);
pub(super) const VCPU: Quantity =
    Quantity::new("Fargate, Linux on x86-64", prices::VCPU, "$ a vCPU-hour", FARGATE_PAGE);
pub(super) const MEMORY: Quantity = Quantity::new("Fargate, its memory", prices::MEMORY, "$ a GB-hour", FARGATE_PAGE);
pub(super) const ARM_VCPU: Quantity =
    Quantity::new("Fargate, Linux on ARM64", prices::ARM_VCPU, "$ a vCPU-hour", FARGATE_PAGE);
pub(super) const ARM_MEMORY: Quantity =
    Quantity::new("Fargate, its memory", prices::ARM_MEMORY, "$ a GB-hour", FARGATE_PAGE);
pub(super) const ADDRESS: Quantity = Quantity::new("A public IPv4 address", prices::ADDRESS, "$ an hour", VPC_PAGE);
pub(super) const NAT: Quantity =
    Quantity::new("A NAT gateway and its address, in one zone", 36.50, "$ a month", VPC_PAGE);
pub(super) const NAT_TRAFFIC: Quantity = Quantity::new("A NAT gateway's traffic", 0.045, "$ a GB", VPC_PAGE);
pub(super) const GITHUB_MINUTE: Quantity = Quantity::new(
    "GitHub-hosted, Linux on x86-64: 2 vCPU, 8 GB",
    prices::STANDARD_X86_64.minute,
    "$ a minute",
    GITHUB_PAGE,
);
pub(super) const GITHUB_ARM_MINUTE: Quantity =
    Quantity::new("GitHub-hosted, Linux on ARM64: 2 vCPU", prices::STANDARD_ARM64.minute, "$ a minute", GITHUB_PAGE);
pub(super) const GITHUB_CHARGE: Quantity = Quantity::new(
    "GitHub, self-hosted runners: announced in December 2025, postponed in the same month",
    0.002,
    "$ a minute",
    GITHUB_CHANGES_PAGE,
);
pub(super) const CODEBUILD_ARM: Quantity =
    Quantity::new("CodeBuild, `arm1.small`: 2 vCPU, 4 GB", 0.0034, "$ a minute", CODEBUILD_PAGE);
pub(super) const CODEBUILD_SMALL: Quantity =
    Quantity::new("CodeBuild, `general1.small`: 2 vCPU, 4 GB", 0.005, "$ a minute", CODEBUILD_PAGE);
pub(super) const CODEBUILD_MEDIUM: Quantity =
    Quantity::new("CodeBuild, `general1.medium`: 4 vCPU, 8 GB", 0.01, "$ a minute", CODEBUILD_PAGE);
pub(super) const KUBERNETES: Quantity = Quantity::new("EKS, a cluster", 73.0, "$ a month", EKS_PAGE);
pub(super) const TRANSITION: Quantity =
    Quantity::new("Step Functions, state transitions", 25.0, "$ a million", STEPS_PAGE);

/// Prices of us-east-1. ECS's own events and API calls are free.
pub const PRICES: [Quantity; 27] = [
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
    ARM_VCPU,
    ARM_MEMORY,
    ADDRESS,
    NAT,
    NAT_TRAFFIC,
    GITHUB_MINUTE,
    GITHUB_ARM_MINUTE,
    GITHUB_CHARGE,
    CODEBUILD_ARM,
    CODEBUILD_SMALL,
    CODEBUILD_MEDIUM,
    KUBERNETES,
    TRANSITION,
];

pub(super) const FREE_REQUESTS: Quantity = Quantity::new("Lambda, requests", 1e6, "a month", LAMBDA_PAGE);
pub(super) const FREE_COMPUTE: Quantity =
    Quantity::new("Lambda, compute", 400_000.0, "GB-seconds a month", LAMBDA_PAGE);
pub(super) const FREE_MESSAGES: Quantity = Quantity::new("SQS, requests", 1e6, "a month", SQS_PAGE);
pub(super) const FREE_LOGS: Quantity = Quantity::new("CloudWatch Logs", 5.0, "GB a month", CLOUDWATCH_PAGE);
pub(super) const FREE_METRICS: Quantity = Quantity::new("CloudWatch, metrics", 10.0, "", CLOUDWATCH_PAGE);
pub(super) const FREE_ALARMS: Quantity = Quantity::new("CloudWatch, alarms", 10.0, "", CLOUDWATCH_PAGE);
pub(super) const FREE_DASHBOARDS: Quantity = Quantity::new("CloudWatch, dashboards", 3.0, "", CLOUDWATCH_PAGE);
pub(super) const FREE_SCHEDULES: Quantity =
    Quantity::new("EventBridge Scheduler, calls", 14e6, "a month", EVENTBRIDGE_PAGE);

/// What an account has without charge each month, for all that it runs. No other number on the page contains it.
pub const FREE: [Quantity; 8] =
    [FREE_REQUESTS, FREE_COMPUTE, FREE_MESSAGES, FREE_LOGS, FREE_METRICS, FREE_ALARMS, FREE_DASHBOARDS, FREE_SCHEDULES];
