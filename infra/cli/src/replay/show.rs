//! What the user reads of a comparison.

use serde_json::Value;

use super::compare::{Change, Compared, Counts, Verdict, alike};
use super::{Comparison, shown_day};
use crate::answer::fill;

/// The fewest columns in which it can be read.
const NARROWEST: usize = 40;

pub(super) fn text(comparison: &Comparison, width: usize) -> String {
    let width = width.max(NARROWEST);
    let mut text = String::new();
    let Comparison { jobs, new, old, not_compared, recorded, .. } = comparison;
    let counts = Counts::of(jobs);
    let between = recorded.map_or_else(String::new, |(first, last)| {
        format!(", recorded from {} to {}", shown_day(first), shown_day(last))
    });
    fill(&mut text, "", "", &format!("{} job{}{between}", counts.jobs, if counts.jobs == 1 { "" } else { "s" }), width);
    let summary = match old {
        Some(old) => format!(
            "{new} against {old}: {} no longer taken, {} newly taken, {} taken differently, {} the same",
            counts.lost, counts.gained, counts.changed, counts.same
        ),
        None => format!("{new}: {} taken, {} not taken", counts.taken, counts.jobs - counts.taken),
    };
    fill(&mut text, "", "", &summary, width);
    if let Some(why) = not_compared {
        fill(&mut text, "Not compared: ", "  ", &format!("{why}. Name the old classes by --against"), width);
    }
    let mut heading = None;
    for (job, number) in alike(jobs) {
        if heading != Some(job.change) {
            heading = Some(job.change);
            text.push('\n');
            text.push_str(words(job.change));
            text.push('\n');
        }
        show(&mut text, job, number, width);
    }
    text
}

fn words(change: Option<Change>) -> &'static str {
    match change {
        Some(Change::Lost) => "No longer taken:",
        Some(Change::Gained) => "Newly taken:",
        Some(Change::Changed) => "Taken differently:",
        Some(Change::Same) => "The same:",
        None => "Jobs:",
    }
}

fn show(text: &mut String, job: &Compared, number: usize, width: usize) {
    let labels: Vec<String> = job.labels.iter().map(|label| format!("{label:?}")).collect();
    let labels = if labels.is_empty() { "no labels".to_owned() } else { labels.join(", ") };
    fill(text, &format!("{number:>5} of "), "         ", &format!("{}: {labels}", job.repository), width);
    match (&job.before, job.change) {
        (Some(before), Some(change)) if change != Change::Same => {
            fill(text, "         before: ", "                 ", &said(before), width);
            fill(text, "         after:  ", "                 ", &said(&job.after), width);
        }
        _ => fill(text, "         ", "         ", &said(&job.after), width),
    }
}

fn said(verdict: &Verdict) -> String {
    let says = &verdict.says;
    let word = |name: &str| says[name].as_str().unwrap_or_default();
    if !verdict.taken {
        return format!("not taken: {}", word("reason"));
    }
    let size = match (says["vcpu"].as_f64(), says["memory_gib"].as_f64()) {
        (Some(vcpu), Some(memory)) => format!("{vcpu} vCPU, {memory} GiB"),
        _ => "the task definition's size".to_owned(),
    };
    let disk = says["disk_gib"].as_u64().map_or_else(String::new, |disk| format!(", {disk} GiB of disk"));
    let about = if says["capacity"] == "spot" { "about " } else { "" };
    let price = says["dollars_a_minute"].as_f64();
    let price = price.map_or_else(|| "price not known".to_owned(), |price| format!("{about}${price:.5} a minute"));
    let left_out = says["left_out"].as_array().into_iter().flatten();
    let left_out: Vec<&str> = left_out.filter_map(|each: &Value| each["label"].as_str()).collect();
    let left_out =
        if left_out.is_empty() { String::new() } else { format!("; without effect: {}", left_out.join(", ")) };
    format!("class {}, {size}{disk}, {}, {}, {price}{left_out}", word("class"), word("architecture"), word("capacity"))
}
