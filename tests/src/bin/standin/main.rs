//! GitHub and its runners in one process, for the local stack: serves the API, sends signed deliveries, and runs a
//! runner stand-in for every task in the cluster.

mod apps;
mod args;
mod control;
mod fates;
mod oddities;
mod watcher;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use jitgate::clock::Clock;
use jitgate_tests::github::courier::Courier;
use jitgate_tests::github::{GitHub, HookTarget};
use jitgate_tests::wire::{self, Service};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Start};
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
    let (github, courier) = begin(args.start)?;
    let courier = Arc::new(courier);
    let fates = Fates::default();
    let standin = Arc::new(Standin::new(github.clone(), Arc::clone(&courier), fates.clone()));
    let endpoint = wire::serve_on(Arc::clone(&standin) as Arc<dyn Service>, args.listen)
        .await
        .map_err(|error| format!("--listen: cannot listen on {}: {error}", args.listen))?;
    standin.attach(&endpoint);
    tokio::spawn(courier.run());
    if let Some(cluster) = args.cluster {
        tokio::spawn(Watcher::new(github, fates, cluster).run());
    }

    writeln!(io::stdout(), "listening on {}", endpoint.url()).map_err(|error| format!("standard output: {error}"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("SIGTERM: {error}"))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

/// What there is at the start, and who sends the deliveries.
fn begin(start: Start) -> Result<(GitHub, Courier), String> {
    match start {
        Start::App { webhook_url, webhook_host, webhook_secret, id, public_key } => {
            let github = GitHub::with_app(Clock::system(), id, &public_key)
                .map_err(|error| format!("--app-public-key: not a public key in PEM: {error}"))?;
            github.add_hook(HookTarget::App, &webhook_url);
            let courier = Courier::new(github.clone(), webhook_url, webhook_host, webhook_secret);
            Ok((github, courier))
        }
        Start::Empty { user, organizations, repositories, gateway } => {
            let github = GitHub::empty_unchecked(Clock::system());
            github.sign_in(&user);
            for organization in &organizations {
                github.add_owner(organization, &user);
            }
            for (owner, name) in &repositories {
                github.add_repository(owner, name);
            }
            let courier = Courier::to_hooks(github.clone(), gateway);
            Ok((github, courier))
        }
    }
}
