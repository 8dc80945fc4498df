//! Explains which class a job with some labels gets, what its runner is made of and what a minute costs.
//!
//! `cargo run --example explain -- --labels a,b,c [--classes FILE] [--repository OWNER/NAME]`. Without a file it reads
//! the classes from `RUNNER_CLASSES`. It exits with 0 if the job gets a runner, with 1 if not, and with 2 if an
//! argument is wrong.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use jitgate::classes::{Asked, Capacity, Fit, Misfit, Placement, RunnerClasses};
use jitgate::config::{ENVIRONMENT_SIZE, Environment};
use jitgate::prices;

const USAGE: &str = "explain --labels a,b,c [--classes FILE] [--repository OWNER/NAME]";

fn main() -> ExitCode {
    match explain(std::env::args().skip(1)) {
        Ok((text, fits)) => {
            // A closed pipe is no reason to panic.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(u8::from(!fits))
        }
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}\nusage: {USAGE}");
            ExitCode::from(2)
        }
    }
}

#[derive(Default)]
struct Arguments {
    labels: Vec<String>,
    classes: Option<String>,
    repository: Option<String>,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self::default();
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--labels" => parsed.labels.extend(value.split(',').map(|label| label.trim().to_owned())),
                "--classes" => parsed.classes = Some(value),
                "--repository" => parsed.repository = Some(value),
                _ => return Err(format!("unknown argument {name}")),
            }
        }
        Ok(parsed)
    }
}

/// The text, and whether the job gets a runner.
fn explain(arguments: impl Iterator<Item = String>) -> Result<(String, bool), String> {
    let Arguments { labels, classes, repository } = Arguments::parse(arguments)?;
    let (classes, source) = if let Some(path) = classes {
        let json = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let size = json.len();
        let source = format!(
            "{path}, {size} bytes; a function has {ENVIRONMENT_SIZE} for all its variables, of which \
             RUNNER_CLASSES=file:PATH takes next to nothing"
        );
        (RunnerClasses::parse(&json).map_err(|error| format!("{path}: {error}"))?, source)
    } else {
        let environment = Environment::of_process();
        let classes = environment.runner_classes().map_err(|error| error.to_string())?;
        let size = environment.get("RUNNER_CLASSES").unwrap_or_default().len();
        let of = format!("of the {ENVIRONMENT_SIZE} bytes that a function has for all its variables");
        (classes, format!("RUNNER_CLASSES, {size} {of}"))
    };
    if repository.is_none() && classes.iter().any(|class| class.repositories.is_some()) {
        return Err("a class is for some repositories only: name the job's by --repository OWNER/NAME".to_owned());
    }
    let repository = repository.unwrap_or_else(|| "any/any".to_owned());
    let (owner, name) = repository.split_once('/').ok_or("--repository needs OWNER/NAME")?;
    let asked = Asked { owner, repository: name, labels: &labels };
    let mut text = String::new();
    line(&mut text, "labels", &labels.join(", "));
    line(&mut text, "classes", &source);
    text.push('\n');
    let outcome = classes.fit(&asked);
    if !matches!(outcome, Err(Misfit::NoLabels | Misfit::TooMany)) {
        for class in classes.iter() {
            let verdict = match class.judge(&asked) {
                Ok(_) if outcome.as_ref().is_ok_and(|fit| fit.class.name == class.name) => {
                    "the first that fits".to_owned()
                }
                Ok(_) => "fits too, but comes later".to_owned(),
                Err(objection) => format!("does not fit: {objection}"),
            };
            line(&mut text, &class.name, &verdict);
        }
        text.push('\n');
    }
    match &outcome {
        Ok(fit) => show(&mut text, &classes, fit),
        Err(misfit) => line(&mut text, "ignored", &misfit.to_string()),
    }
    Ok((text, outcome.is_ok()))
}

fn show(text: &mut String, classes: &RunnerClasses, fit: &Fit<'_>) {
    let placements = classes.placements(fit);
    let Some(first) = placements.first() else { return };
    let of_definition = || format!("the one of task definition {}", first.task_definition);
    line(text, "class", &fit.class.name);
    line(text, "size", &first.size.map_or_else(of_definition, |size| size.to_string()));
    let disk = first.disk.map_or_else(|| format!("{}, or 20 GiB", of_definition()), |disk| disk.to_string());
    line(text, "disk", &disk);
    line(text, "architecture", &first.architecture.to_string());
    for (number, placement) in placements.iter().enumerate() {
        let Placement { class, capacity, task_definition, .. } = placement;
        let name = if number == 0 { "capacity" } else { "then" };
        let elsewhere = if class.name == fit.class.name { String::new() } else { format!(" as class {}", class.name) };
        line(text, name, &format!("{capacity}{elsewhere}, task definition {task_definition}, {}", price(placement)));
    }
}

fn price(placement: &Placement<'_>) -> String {
    let Placement { size, disk, architecture, capacity, .. } = *placement;
    let Some(size) = size else { return "its price depends on the task definition".to_owned() };
    let dollars = prices::per_minute(size, disk, architecture, capacity);
    let about = if capacity == Capacity::Spot { "about " } else { "" };
    format!("{about}${dollars:.5} a minute (list price in us-east-1, {}; regions differ)", prices::READ)
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<13} {value}");
}
