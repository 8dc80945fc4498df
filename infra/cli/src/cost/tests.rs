//! From log lines to the outputs.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::{By, Report, look_back, show, svg};
use crate::aws::{AllLines, LogGroup};

fn until() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_793_534_400).unwrap()
}

/// A task that ran a job for so many minutes, with a minute's start and half a minute's stop.
fn line(arn: usize, minutes: f64, fields: &Value) -> String {
    let mut line = json!({
        "timestamp": "2026-10-30T12:00:00.5Z", "level": "INFO", "message": "task ended", "job.id": arn, "job.attempt": 1,
        "class": "default", "repository": "octo-org/octo-repo", "public": false, "workflow": "CI",
        "task.arn": format!("arn:{arn}"), "cpu": "2048", "memory": "8192", "disk": 20, "architecture": "x86_64",
        "capacity": "FARGATE", "stop_code": "EssentialContainerExited", "exit_code": 0,
        "ran_seconds": minutes * 60.0, "billed_seconds": minutes * 60.0 + 90.0,
    });
    line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    line.to_string()
}

/// A week with something of everything.
fn lines() -> AllLines {
    let each = [
        (9.5, json!({})),
        (9.5, json!({ "timestamp": "2026-10-31T12:00:00Z" })),
        (4.0, json!({ "workflow": "Release", "disk": 120 })),
        (90.0, json!({ "repository": "octo-org/a-repository-with-a-rather-long-name", "capacity": "FARGATE_SPOT" })),
        (
            30.0,
            json!({ "repository": "octo-org/open", "public": true, "class": "small", "cpu": "1024", "memory": "4096" }),
        ),
        (30.0, json!({ "repository": "octo-org/open", "public": true, "cpu": "8192", "memory": "16384" })),
        (12.0, json!({ "repository": null, "workflow": null, "architecture": "arm64" })),
        (12.0, json!({ "class": "docker", "capacity": "instances", "workflow": null, "disk": null })),
        // It never came up.
        (
            0.0,
            json!({ "stop_code": "TaskFailedToStart", "exit_code": null, "ran_seconds": null, "billed_seconds": null }),
        ),
        // It was stopped, idle.
        (6.0, json!({ "stop_code": "UserInitiated", "exit_code": 143 })),
    ];
    let mut lines: Vec<String> =
        each.iter().enumerate().map(|(arn, (minutes, fields))| line(arn, *minutes, fields)).collect();
    // The event came twice.
    lines.push(lines[0].clone());
    lines.push("not a line".to_owned());
    AllLines { lines, left_out: 0 }
}

fn report(by: By, lines: &AllLines) -> Report {
    let public = BTreeSet::from(["default".to_owned()]);
    Report::new("jitgate", (until() - Duration::days(7), until()), by, lines, &public, Vec::new())
}

#[test]
fn the_chart_by_repository() {
    insta::assert_snapshot!(show::text(&report(By::Repository, &lines()), 100, false));
}

#[test]
fn the_chart_on_a_terminal_of_sixty_columns() {
    let text = show::text(&report(By::Workflow, &lines()), 60, false);
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_chart_by_day_and_by_class() {
    let [day, class] = [By::Day, By::Class].map(|by| show::text(&report(by, &lines()), 80, false));
    insta::assert_snapshot!(format!("{day}\n{class}"));
}

#[test]
fn the_object_for_programs() {
    insta::assert_snapshot!(format!("{:#}", report(By::Class, &lines()).json()));
}

#[test]
fn the_picture() {
    let mut all = lines();
    all.lines.push(line(99, 1.0, &json!({ "repository": "a/<b>&\u{1}" })));
    let svg = svg::chart(&report(By::Repository, &all));
    roxmltree::Document::parse(&svg).expect("it is well-formed");
    insta::assert_snapshot!(svg);
}

#[test]
fn nothing_has_run_yet() {
    insta::assert_snapshot!(show::text(&report(By::Repository, &AllLines::default()), 80, false));
}

#[test]
fn what_is_not_whole_is_said() {
    let old = line(1, 5.0, &json!({ "repository": null, "public": null, "architecture": null }));
    let lines = AllLines { lines: vec![old, line(2, 5.0, &json!({ "cpu": null }))], left_out: 7 };
    let mut report = report(By::Repository, &lines);
    report.not_whole.insert(0, "log lines are kept for 5 days (LogRetention), so nothing older is known".to_owned());
    assert!(report.is_cut);
    insta::assert_snapshot!(show::text(&report, 80, false));
}

#[test]
fn a_bar_has_a_colour_only_if_it_is_wanted() {
    let report = report(By::Class, &lines());
    let [plain, coloured] = [false, true].map(|has_colours| show::text(&report, 80, has_colours));
    assert!(!plain.contains('\x1b') && coloured.contains("\x1b[36m█"));
    assert_eq!(coloured.replace("\x1b[36m", "").replace("\x1b[0m", ""), plain);
}

#[test]
fn one_task_costs_what_one_finds_by_hand() {
    let one = AllLines { lines: vec![line(1, 9.5, &json!({ "disk": 120 }))], left_out: 0 };
    let json = report(By::Repository, &one).json();
    let dollars = |value: &Value| value.as_f64().unwrap();
    let hours = (9.5 * 60.0 + 90.0) / 3600.0;
    let expected = hours * (2.0 * 0.040_48 + 8.0 * 0.004_445 + 100.0 * 0.000_111 + 0.005);
    assert!((dollars(&json["runners"]["total_dollars"]) - expected).abs() < 1e-6, "{json}");
    assert!((dollars(&json["runners"]["github"]["dollars"]) - 10.0 * 0.006).abs() < 1e-9, "{json}");
    // A week of a month that costs $1.42, and one job.
    assert!((dollars(&json["control_plane_dollars"]) - 1.42 * 7.0 / 30.0).abs() < 0.01, "{json}");
}

#[test]
fn the_log_reaches_back_to_the_fleets_beginning_or_as_far_as_it_is_kept() {
    let ago = |days: i64| until() - Duration::days(days);
    let back = |days_kept: Option<i64>, age: i64| {
        look_back(until(), "30d".parse().unwrap(), LogGroup { days_kept, created_at: Some(ago(age)) })
    };
    assert_eq!(back(Some(30), 100), (ago(30), Vec::new()));
    assert_eq!(back(None, 100), (ago(30), Vec::new()));
    assert_eq!(back(Some(7), 3), (ago(3), Vec::new()), "the fleet is younger than what is kept");
    let (from, not_whole) = back(Some(7), 100);
    assert!(from == ago(7) && not_whole[0].contains("7 days"), "{not_whole:?}");
}

proptest! {
    /// However costs are told apart, they add up to the same.
    #[test]
    fn groups_add_up_to_all(minutes in prop::collection::vec((0.0..300.0, 0..4_usize, 0..3_usize), 0..40)) {
        let capacities = ["FARGATE", "FARGATE_SPOT", "instances"];
        let lines = minutes.iter().enumerate().map(|(arn, (minutes, repository, capacity))| {
            let fields = json!({ "repository": format!("o/{repository}"), "capacity": capacities[*capacity] });
            line(arn, *minutes, &fields)
        });
        let lines = AllLines { lines: lines.collect(), left_out: 0 };
        for by in [By::Repository, By::Workflow, By::Class, By::Day] {
            let report = report(by, &lines);
            let all = &report.bill.all;
            let of = |what: fn(&super::bill::Sum) -> f64| -> f64 {
                report.bill.groups.iter().map(|group| what(&group.sum)).sum()
            };
            prop_assert!((of(|sum| sum.total_dollars) - all.total_dollars).abs() < 1e-6);
            prop_assert!((of(|sum| sum.github.dollars) - all.github.dollars).abs() < 1e-6);
            prop_assert!((all.dollars.total() - all.total_dollars).abs() < 1e-6);
            prop_assert!(all.estimated_dollars <= all.total_dollars + 1e-9);
            prop_assert_eq!(report.bill.groups.iter().map(|group| group.sum.tasks).sum::<u64>(), minutes.len() as u64);
        }
    }

    #[test]
    fn no_line_of_the_chart_is_wider_than_the_terminal(width in 44..200_usize, name in "[a-zö/]{1,80}") {
        let lines = AllLines { lines: vec![line(1, 5.0, &json!({ "repository": name }))], left_out: 0 };
        let text = show::text(&report(By::Repository, &lines), width, false);
        prop_assert!(text.lines().all(|line| line.chars().count() <= width), "{}", text);
    }
}
