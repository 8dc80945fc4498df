//! The command `jitgate`: sets a fleet up in the user's AWS account, upgrades, explains and removes it.

pub mod answer;
pub mod app;
pub mod args;
pub mod aws;
pub mod code;
pub mod cost;
pub mod dead_letters;
pub mod deploy;
pub mod destroy;
pub mod doctor;
pub mod explain;
pub mod fleet;
pub mod github;
pub mod http;
pub mod install;
pub mod period;
pub mod receipt;
pub mod registry;
pub mod replay;
pub mod screen;
pub mod setup;
#[cfg(test)]
mod standin;
pub mod status;
pub mod template;
pub mod trouble;
pub mod upgrade;
pub mod verify;
pub mod why;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use serde::Serialize;

use crate::args::{Command, CommandLine, Common};
use crate::screen::Screen;
use crate::trouble::{Exit, Trouble};

/// Runs the command that the command line names. An interruption ends it where it is; each step can be repeated.
pub async fn run() -> ExitCode {
    let line = CommandLine::parse();
    let screen = Screen::of_process(&line.common);
    let outcome = tokio::select! {
        outcome = carry_out(&line, &screen) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Trouble::interrupted()),
    };
    let exit = outcome.unwrap_or_else(|trouble| {
        screen.trouble(&trouble);
        if line.common.json {
            print(&serde_json::json!({ "error": trouble.what, "remedy": trouble.remedy }));
        }
        trouble.exit
    });
    exit.into()
}

async fn carry_out(line: &CommandLine, screen: &Screen) -> Result<Exit, Trouble> {
    let common = &line.common;
    match &line.command {
        Command::Setup(options) => report(common, setup::run(common, options, screen).await?, Exit::Good),
        Command::Upgrade(options) => report(common, upgrade::run(common, options, screen).await?, Exit::Good),
        Command::Destroy(options) => {
            let done = destroy::run(common, options, screen).await?;
            let exit = done.exit();
            report(common, done, exit)
        }
        Command::App(options) => report(common, app::run(common, options, screen).await?, Exit::Good),
        Command::Doctor(options) => Ok(doctor::run(common, options, screen).await?.print(common)),
        Command::Status(options) => Ok(status::run(common, options).await?.print(common)),
        Command::DeadLetters(options) => Ok(dead_letters::run(common, options, screen).await?.print(common)),
        Command::Why(options) => Ok(why::run(common, options).await?.print(common)),
        Command::Cost(options) => Ok(cost::run(common, options, screen).await?.print(common)),
        Command::Explain(options) => Ok(explain::run(common, options).await?.print(common)),
        Command::Replay(options) => Ok(replay::run(common, options, screen).await?.print(common)),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut CommandLine::command(), "jitgate", &mut io::stdout());
            Ok(Exit::Good)
        }
    }
}

fn report(common: &Common, report: impl Serialize, exit: Exit) -> Result<Exit, Trouble> {
    if common.json {
        let json = serde_json::to_value(report).map_err(|error| Trouble::bug(&error))?;
        print(&json);
    }
    Ok(exit)
}

fn print(json: &serde_json::Value) {
    // Whoever reads it may have gone away.
    let _ = writeln!(io::stdout(), "{json:#}");
}
