"""Checks the levels of monitoring, and that the alarms and the dashboard use metrics that the functions write."""

import json
from typing import Any

import inventory
from checks import Checks
from deployment import STACK
from stack import Stack

NAMESPACE = "jitgate"

Series = tuple[str, frozenset[tuple[str, str]]]
"""A metric and its dimensions. To CloudWatch, the same name with other dimensions is another metric."""


BASIC = {
    "cleaner-errors",
    "cleaner-silent",
    "dead-letters",
    "jobs-starve",
    "jobs-wait",
    "webhook-refuses",
    "webhook-throttles",
}
"""The alarms that tell of lost jobs. `tests/tests/losses.rs` says which tells of what."""


def levels(stack: Stack, checks: Checks) -> None:
    """Deploys each level of monitoring and adds it to the inventory. Leaves the stack with `full`."""
    found = {"basic": _alarm_names(stack)}
    for level in ("off", "full"):
        stack.monitor(level)
        found[level] = _alarm_names(stack)
        for key, value in inventory.take(stack.aws).items():
            if key.startswith(("alarm ", "dashboard ")):
                stack.found[f"{level}: {key}"] = value
    checks.that("without monitoring there is no alarm", found["off"] == set(), found["off"])
    checks.that("basic monitoring has the alarms that tell of lost jobs", found["basic"] == BASIC, found["basic"])
    checks.that("full monitoring has all 15 alarms", found["full"] > BASIC and len(found["full"]) == 15, found["full"])


def _alarm_names(stack: Stack) -> set[str]:
    alarms = stack.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"].removeprefix(f"{STACK}-") for alarm in alarms}


def check(stack: Stack, checks: Checks) -> None:
    """Compares the metrics that are used with those written. Needs `full` monitoring, and jobs to have run."""
    written = _written(stack)
    watched = _alarms(stack) | _dashboard(stack)
    names = {name for name, _ in written}
    expected = {"JobsLaunched", "QueueToLaunch", "GitHubBudgetRemaining", "RegistrationsDeleted"}
    unseen = {series for series in watched if series[0] in names and not _is_written(series, written)}
    checks.that(
        "alarms and dashboard use metrics with the dimensions with which they are written",
        expected <= names and not unseen,
        {"never written": unseen, "written": names},
    )


def _is_written(series: Series, written: set[Series]) -> bool:
    """Whether a metric was written with these dimensions, by either function: each writes some metrics rarely."""
    name, dimensions = series
    others = {frozenset(pair for pair in of if pair[0] != "function") for is_, of in written if is_ == name}
    return frozenset(pair for pair in dimensions if pair[0] != "function") in others


def _written(stack: Stack) -> set[Series]:
    logs = stack.aws.client("logs")
    found: set[Series] = set()
    for function in ("worker", "cleaner"):
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/jitgate/{STACK}/{function}")
        for event in (event for page in pages for event in page["events"]):
            if '"CloudWatchMetrics"' in event["message"]:
                found |= _of_line(json.loads(event["message"]))
    return found


def _of_line(line: dict[str, Any]) -> set[Series]:
    return {
        (metric["Name"], frozenset((key, line[key]) for key in dimensions))
        for directive in line["_aws"]["CloudWatchMetrics"]
        if directive["Namespace"] == NAMESPACE
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
    }


def _alarms(stack: Stack) -> set[Series]:
    alarms = stack.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {
        (alarm["MetricName"], frozenset((each["Name"], each["Value"]) for each in alarm["Dimensions"]))
        for alarm in alarms
        if alarm["Namespace"] == NAMESPACE
    }


def _dashboard(stack: Stack) -> set[Series]:
    body = json.loads(stack.aws.client("cloudwatch").get_dashboard(DashboardName=STACK)["DashboardBody"])
    metrics = [metric[:-1] for widget in body["widgets"] for metric in widget["properties"]["metrics"]]
    return {
        (name, frozenset(zip(pairs[::2], pairs[1::2], strict=True)))
        for namespace, name, *pairs in metrics
        if namespace == NAMESPACE
    }
