//! Explains which class a job with some labels gets, what its runner is made of and what a minute costs.
//!
//! `cargo run --example explain -- --help` says how it is called. Without a file it reads the classes from
//! `RUNNER_CLASSES`. It exits with 0 if every job gets a runner, with 1 if one does not, and with 2 if an argument is
//! wrong.

mod arguments;
mod report;
mod workflows;

use std::io::Write as _;
use std::process::ExitCode;

use jitgate::classes::{Asked, RunnerClasses};
use jitgate::config::{ENVIRONMENT_SIZE, Environment};

use arguments::{Arguments, HELP, USAGE};

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

/// The text, and whether every job gets a runner.
fn explain(arguments: impl Iterator<Item = String>) -> Result<(String, bool), String> {
    let arguments = Arguments::parse(arguments)?;
    if arguments.is_help {
        return Ok((format!("{USAGE}\n{HELP}"), true));
    }
    let (classes, source) = classes(arguments.classes.as_deref())?;
    if arguments.repository.is_none() && classes.iter().any(|class| class.repositories.is_some()) {
        return Err("a class is for some repositories only: name the job's by --repository OWNER/NAME".to_owned());
    }
    let repository = arguments.repository.unwrap_or_else(|| "any/any".to_owned());
    let (owner, repository) = repository.split_once('/').ok_or("--repository needs OWNER/NAME")?;
    let asked = |labels| Asked { owner, repository, labels };
    let Some(file) = arguments.file else {
        let asked = asked(&arguments.labels);
        return Ok(if arguments.is_json {
            let (json, fits) = report::json(&classes, &asked);
            (format!("{json:#}\n"), fits)
        } else {
            report::one(&classes, &source, &asked)
        });
    };
    Ok(report::many(&classes, &workflows::read(&file)?, asked, arguments.is_json))
}

/// The classes, and where they come from.
fn classes(path: Option<&str>) -> Result<(RunnerClasses, String), String> {
    let Some(path) = path else {
        let environment = Environment::of_process();
        let classes = environment.runner_classes().map_err(|error| error.to_string())?;
        let size = environment.get("RUNNER_CLASSES").unwrap_or_default().len();
        let of = format!("of the {ENVIRONMENT_SIZE} bytes that a function has for all its variables");
        return Ok((classes, format!("RUNNER_CLASSES, {size} {of}")));
    };
    let json = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let size = json.len();
    let source = format!(
        "{path}, {size} bytes; a function has {ENVIRONMENT_SIZE} for all its variables, of which \
         RUNNER_CLASSES=file:PATH takes next to nothing"
    );
    Ok((RunnerClasses::parse(&json).map_err(|error| format!("{path}: {error}"))?, source))
}
