//! The output of a function's processes, complete at any moment.
//!
//! Files, not pipes: once the function has answered, everything that it wrote before can be read, and the process does
//! not block if nobody reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::lock;

/// Where a process wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: the functions' logs and metrics.
    Out,
    /// Standard error: panics, for example.
    Error,
}

/// A line that a process wrote.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where.
    pub stream: Stream,
    /// The line without its end.
    pub text: String,
}

/// One stream of all of a function's processes.
#[derive(Debug)]
pub(super) struct Output {
    stream: Stream,
    end: File,
    start: Mutex<File>,
}

impl Output {
    pub(super) fn new(stream: Stream) -> Self {
        let (end, start) = nameless_file().expect("a directory for temporary files that can be written");
        Self { stream, end, start: Mutex::new(start) }
    }

    /// The handle for the next process.
    pub(super) fn stdio(&self) -> Stdio {
        Stdio::from(self.end.try_clone().expect("another handle for an open file"))
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        let mut bytes = Vec::new();
        let mut start = lock(&self.start);
        let read = start.rewind().and_then(|()| start.read_to_end(&mut bytes));
        read.expect("an open file on a local disk can be read");
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(|text| Line { stream: self.stream, text: text.to_owned() }).collect()
    }
}

/// Two handles for a file that is already unlinked: one appends, one reads.
fn nameless_file() -> io::Result<(File, File)> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("jitgate-output-{}-{number}", std::process::id()));
    let end = OpenOptions::new().append(true).create_new(true).open(&path)?;
    let start = File::open(&path)?;
    fs::remove_file(&path)?;
    Ok((end, start))
}
