//! GitHub and its runners in one process, for the local stack: serves the API, sends signed deliveries, and runs a
//! runner stand-in for every task in the cluster.

mod args;
mod control;
mod fates;
mod watcher;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use jitgate::clock::Clock;
use jitgate_tests::github::courier::Courier;
use jitgate_tests::github::{GitHub, HookTarget};
use jitgate_tests::wire;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::control::Standin;
use crate::fates::Fates;
use crate::watcher::Watcher;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!("{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let args = Args::of_process()?;
    let github = GitHub::with_app(Clock::system(), args.app_id, &args.app_public_key)
        .map_err(|error| format!("--app-public-key: not a public key in PEM: {error}"))?;
    github.add_hook(HookTarget::App, &args.webhook_url);
    let courier = Arc::new(Courier::new(github.clone(), args.webhook_url, args.webhook_host, args.webhook_secret));
    let fates = Fates::default();
    let standin = Standin::new(github.clone(), Arc::clone(&courier), fates.clone());
    let endpoint = wire::serve_on(Arc::new(standin), args.listen)
        .await
        .map_err(|error| format!("--listen: cannot listen on {}: {error}", args.listen))?;
    tokio::spawn(courier.run());
    tokio::spawn(Watcher::new(github, fates, &args.aws_endpoint, args.cluster, args.job_time).run());

    writeln!(io::stdout(), "listening on {}", endpoint.url()).map_err(|error| format!("standard output: {error}"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("SIGTERM: {error}"))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
