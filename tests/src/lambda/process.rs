//! A child process: notices its end, and kills it on demand.

use std::fmt;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::output::{Line, Output, Stream};
use super::program::Program;
use crate::wire::lock;

/// How often the process's end is polled.
const LOOK: Duration = Duration::from_millis(2);

type Handle = Arc<Mutex<Child>>;

/// A sequence of processes, one at a time. Dropping it kills the last one.
pub(super) struct Process {
    current: Arc<Mutex<Option<Handle>>>,
    /// How the current process ended, once it has.
    end: Mutex<Option<watch::Receiver<Option<String>>>>,
    outputs: [Output; 2],
    starts: Mutex<usize>,
}

/// Kills a function's process from anywhere.
#[derive(Clone)]
pub struct Killer(Arc<Mutex<Option<Handle>>>);

impl Killer {
    /// Sends SIGKILL.
    pub fn kill(&self) {
        if let Some(child) = lock(&self.0).as_ref() {
            // An error means that it has already ended.
            let _ = lock(child).kill();
        }
    }
}

impl fmt::Debug for Killer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Killer")
    }
}

impl Process {
    pub(super) fn new() -> Self {
        Self {
            current: Arc::default(),
            end: Mutex::default(),
            outputs: [Output::new(Stream::Out), Output::new(Stream::Error)],
            starts: Mutex::default(),
        }
    }

    pub(super) fn start(&self, program: &Program, environment: Vec<(String, String)>) {
        let [out, error] = &self.outputs;
        let mut command = program.command();
        command.env_clear().envs(environment);
        command.stdin(Stdio::null()).stdout(out.stdio()).stderr(error.stdio());
        let child = command.spawn().unwrap_or_else(|cause| panic!("cannot start {program:?}: {cause}"));
        let child = Arc::new(Mutex::new(child));
        *lock(&self.current) = Some(Arc::clone(&child));
        *lock(&self.starts) += 1;
        let (ended, end) = watch::channel(None);
        *lock(&self.end) = Some(end);
        thread::spawn(move || ended.send_replace(Some(reap(&child))));
    }

    pub(super) fn is_running(&self) -> bool {
        lock(&self.current).as_ref().is_some_and(|child| matches!(lock(child).try_wait(), Ok(None)))
    }

    /// Waits for the end of the current process and returns its status.
    pub(super) async fn ended(&self) -> String {
        let end = lock(&self.end).clone();
        let mut end = end.expect("a process is started before anyone waits for it");
        let status = end.wait_for(Option::is_some).await;
        status.ok().and_then(|status| status.clone()).unwrap_or_default()
    }

    pub(super) fn kill(&self) {
        self.killer().kill();
    }

    pub(super) fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.current))
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.outputs.iter().flat_map(Output::lines).collect()
    }

    pub(super) fn id(&self) -> Option<u32> {
        lock(&self.current).as_ref().map(|child| lock(child).id())
    }

    pub(super) fn starts(&self) -> usize {
        *lock(&self.starts)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(child) = lock(&self.current).as_ref() {
            let _ = lock(child).wait();
        }
    }
}

/// Polls: a blocking wait would hold the lock, and the process could not be killed.
fn reap(child: &Mutex<Child>) -> String {
    loop {
        let status = lock(child).try_wait();
        match status {
            Ok(None) => thread::sleep(LOOK),
            Ok(Some(status)) => return status.to_string(),
            Err(cause) => return cause.to_string(),
        }
    }
}
