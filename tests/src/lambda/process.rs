//! A child process: what it writes, when it ends, and its end on demand.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::program::Program;
use crate::wire::lock;

/// Which of its outputs a process wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Where Lambda takes logs from, too.
    Out,
    /// Panics, for one.
    Error,
}

/// A line that a process wrote.
#[derive(Clone, Debug)]
pub struct Line {
    /// To which output.
    pub stream: Stream,
    /// What, without the line's end.
    pub text: String,
}

/// One process after the other, at most one at a time. Dropping it kills the last one.
#[derive(Default)]
pub(super) struct Process {
    current: Arc<Mutex<Option<Child>>>,
    /// How the current process ended, once it has.
    end: Mutex<Option<watch::Receiver<Option<String>>>>,
    lines: Arc<Mutex<Vec<Line>>>,
    starts: Mutex<usize>,
}

/// Kills a function's process from anywhere.
#[derive(Clone)]
pub struct Killer(Arc<Mutex<Option<Child>>>);

impl Killer {
    /// Sends SIGKILL; the process does nothing more once this returns.
    pub fn kill(&self) {
        if let Some(child) = lock(&self.0).as_mut() {
            // An error means that it has ended already.
            let _ = child.kill();
        }
    }
}

impl fmt::Debug for Killer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Killer")
    }
}

impl Process {
    pub(super) fn start(&self, program: &Program, environment: Vec<(String, String)>) {
        let mut command = program.command();
        command.env_clear().envs(environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|cause| panic!("cannot start {program:?}: {cause}"));
        let out = self.read(Stream::Out, child.stdout.take().expect("stdout is piped"));
        let error = self.read(Stream::Error, child.stderr.take().expect("stderr is piped"));
        *lock(&self.current) = Some(child);
        *lock(&self.starts) += 1;
        let (ended, end) = watch::channel(None);
        *lock(&self.end) = Some(end);
        let current = Arc::clone(&self.current);
        thread::spawn(move || {
            // Its outputs close when it ends, so by then all that it wrote has been read.
            let _ = (out.join(), error.join());
            ended.send_replace(Some(reap(&current)));
        });
    }

    fn read(&self, stream: Stream, output: impl Read + Send + 'static) -> thread::JoinHandle<()> {
        let lines = Arc::clone(&self.lines);
        thread::spawn(move || {
            for text in BufReader::new(output).lines().map_while(Result::ok) {
                lock(&lines).push(Line { stream, text });
            }
        })
    }

    pub(super) fn is_running(&self) -> bool {
        lock(&self.end).as_ref().is_some_and(|end| end.borrow().is_none())
    }

    /// Waits for the end of the current process and answers how it ended.
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
        lock(&self.lines).clone()
    }

    pub(super) fn starts(&self) -> usize {
        *lock(&self.starts)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(child) = lock(&self.current).as_mut() {
            let _ = child.wait();
        }
    }
}

/// Waits without keeping the lock, lest a process that closes its outputs could not be killed.
fn reap(current: &Mutex<Option<Child>>) -> String {
    loop {
        match lock(current).as_mut().map(Child::try_wait) {
            Some(Ok(None)) => {}
            Some(Ok(Some(status))) => return status.to_string(),
            Some(Err(cause)) => return cause.to_string(),
            None => return String::new(),
        }
        thread::sleep(Duration::from_millis(1));
    }
}
