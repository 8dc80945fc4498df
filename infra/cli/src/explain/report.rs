//! What is said of a job, and of many.

use std::fmt::Write as _;

use jitgate::classes::{Asked, Capacity, Fit, Misfit, Objection, Placement, RunnerClasses};
use jitgate::prices;
use serde_json::{Value, json};

use super::workflows::{Found, Labels};

/// All about one job, and whether it gets a runner.
pub(super) fn one(classes: &RunnerClasses, source: &str, asked: &Asked<'_>) -> (String, bool) {
    let mut text = String::new();
    line(&mut text, "labels", &quoted(asked.labels));
    line(&mut text, "classes", source);
    text.push('\n');
    let outcome = classes.fit(asked);
    if !matches!(outcome, Err(Misfit::NoLabels | Misfit::TooMany)) {
        for class in classes.iter() {
            let verdict = match class.judge(asked) {
                Ok(_) if outcome.as_ref().is_ok_and(|fit| fit.class.name == class.name) => {
                    "the first that fits".to_owned()
                }
                Ok(_) => "fits too, but comes later".to_owned(),
                Err(objections) => format!("does not fit: {}", all(&objections)),
            };
            line(&mut text, &class.name, &verdict);
        }
        text.push('\n');
    }
    match &outcome {
        Ok(fit) => show(&mut text, classes, fit, asked),
        Err(misfit) => {
            line(&mut text, "ignored", &misfit.to_string());
            if let (Misfit::NoClass(_), Some((class, objections))) = (misfit, classes.nearest(asked)) {
                line(&mut text, "nearest", &format!("class {}: {}", class.name, all(&objections)));
            }
        }
    }
    (text, outcome.is_ok())
}

fn show(text: &mut String, classes: &RunnerClasses, fit: &Fit<'_>, asked: &Asked<'_>) {
    let placements = classes.placements(fit);
    let Some(first) = placements.first() else { return };
    let of_definition = || format!("the one of task definition {}", first.task_definition);
    line(text, "class", &fit.class.name);
    line(text, "size", &first.size.map_or_else(of_definition, |size| size.to_string()));
    let disk = match first.disk {
        Some(disk) => disk.to_string(),
        None if first.capacity.is_fargate() => format!("{}, or 20 GiB", of_definition()),
        None => "that of the provider's instances".to_owned(),
    };
    line(text, "disk", &disk);
    line(text, "architecture", &first.architecture.to_string());
    for (number, placement) in placements.iter().enumerate() {
        let Placement { class, capacity, task_definition, .. } = placement;
        let name = if number == 0 { "capacity" } else { "then" };
        let elsewhere = if class.name == fit.class.name { String::new() } else { format!(" as class {}", class.name) };
        line(text, name, &format!("{capacity}{elsewhere}, task definition {task_definition}, {}", price(placement)));
    }
    for (label, what) in fit.class.left_out(asked) {
        line(text, "left out", &format!("{}: {what}", quoted(&[label])));
    }
}

/// The same as JSON.
pub(crate) fn json(classes: &RunnerClasses, asked: &Asked<'_>) -> (Value, bool) {
    let outcome = classes.fit(asked);
    let mut json = json!({ "labels": asked.labels });
    match &outcome {
        Ok(fit) => {
            let placements = classes.placements(fit);
            let units = |units: u32| f64::from(units) / 1024.0;
            json["class"] = fit.class.name.clone().into();
            if let Some(first) = placements.first() {
                json["vcpu"] = first.size.map(|size| units(size.cpu.0)).into();
                json["memory_gib"] = first.size.map(|size| units(size.memory.0)).into();
                json["disk_gib"] = first.disk.map(|disk| disk.0).into();
                json["architecture"] = first.architecture.to_string().into();
                json["capacity"] = first.capacity.to_string().into();
                json["dollars_a_minute"] = dollars(first).into();
            }
            let left_out = fit.class.left_out(asked).into_iter();
            json["left_out"] = left_out.map(|(label, what)| json!({ "label": label, "what": what })).collect();
        }
        Err(misfit) => {
            json["class"] = Value::Null;
            json["reason"] = misfit.to_string().into();
            json["nearest"] = classes.nearest(asked).map(|(class, _)| class.name.as_str()).into();
            json["classes"] = classes
                .iter()
                .map(|class| {
                    let objections = class.judge(asked).err().unwrap_or_default();
                    let reasons: Vec<_> = objections.iter().map(Objection::to_string).collect();
                    let changes: Vec<_> = objections.iter().filter_map(Objection::change).collect();
                    json!({ "class": class.name, "reasons": reasons, "to_fit": changes })
                })
                .collect();
        }
    }
    (json, outcome.is_ok())
}

/// A table of jobs, the same as JSON, and whether every job gets a runner.
pub(super) fn many<'a>(
    classes: &RunnerClasses,
    found: &'a [Found],
    asked: impl Fn(&'a [String]) -> Asked<'a>,
) -> (String, Value, bool) {
    let mut text = String::from("| job | labels | class | size | $ a minute | left out, or why there is none |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    let mut jobs = Vec::new();
    let mut all_fit = true;
    for Found { place, labels } in found {
        let (json, fits) = match labels {
            Labels::Known(labels) => {
                let (mut json, fits) = json(classes, &asked(labels));
                json["job"] = place.clone().into();
                (json, fits)
            }
            Labels::Unknown(why) => (
                json!({ "job": place, "labels": null, "class": null, "reason": format!("not known here: {why}") }),
                false,
            ),
        };
        all_fit &= fits;
        let _ = writeln!(text, "{}", row(&json));
        jobs.push(json);
    }
    (text, json!({ "jobs": jobs }), all_fit)
}

fn row(job: &Value) -> String {
    let labels: Option<Vec<String>> = serde_json::from_value(job["labels"].clone()).ok();
    let size = match (job["vcpu"].as_f64(), job["memory_gib"].as_f64()) {
        (Some(vcpu), Some(memory)) => format!("{vcpu} vCPU, {memory} GiB, {}", text(&job["architecture"])),
        _ if job["class"].is_null() => String::new(),
        _ => format!("the task definition's, {}", text(&job["architecture"])),
    };
    let left_out = job["left_out"].as_array().into_iter().flatten();
    let left_out: Vec<_> =
        left_out.map(|each| format!("{}: {}", quoted(&[text(&each["label"])]), text(&each["what"]))).collect();
    let besides = if job["class"].is_null() { text(&job["reason"]) } else { left_out.join("; ") };
    let price = job["dollars_a_minute"].as_f64().map_or_else(String::new, |dollars| format!("{dollars:.5}"));
    let class = if job["class"].is_null() { "none".to_owned() } else { text(&job["class"]) };
    let cells =
        [text(&job["job"]), labels.map_or_else(String::new, |labels| quoted(&labels)), class, size, price, besides];
    format!("| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// In quotation marks, so that blanks show.
fn quoted(labels: &[String]) -> String {
    labels.iter().map(|label| format!("{label:?}")).collect::<Vec<_>>().join(", ")
}

fn all(objections: &[Objection]) -> String {
    let reasons: Vec<_> = objections.iter().map(Objection::to_string).collect();
    let changes: Vec<_> = objections.iter().filter_map(Objection::change).collect();
    let changes = if changes.is_empty() { String::new() } else { format!(". To fit: {}", changes.join(", ")) };
    format!("{}{changes}", reasons.join("; "))
}

fn dollars(placement: &Placement<'_>) -> Option<f64> {
    let Placement { size, disk, architecture, capacity, .. } = *placement;
    prices::per_minute(size?, disk, architecture, capacity)
}

fn price(placement: &Placement<'_>) -> String {
    if let Capacity::Provider(_) = placement.capacity {
        return "price not known: AWS bills the provider's instances".to_owned();
    }
    let Some(dollars) = dollars(placement) else { return "its price depends on the task definition".to_owned() };
    let about = if *placement.capacity == Capacity::Spot { "about " } else { "" };
    format!("{about}${dollars:.5} a minute (list price in us-east-1, {}; regions differ)", prices::READ)
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<13} {value}");
}
