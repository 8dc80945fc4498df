//! What a function's processes write, complete at any moment.
//!
//! Files, not pipes: once the function has answered, all that it wrote before is there, and nothing has to keep
//! reading lest the process get stuck.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// One output of all of a function's processes.
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

    /// For the next process.
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

/// Two handles for a file that is gone from its directory already: one that appends, one that reads.
fn nameless_file() -> io::Result<(File, File)> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("jitgate-output-{}-{number}", std::process::id()));
    let end = OpenOptions::new().append(true).create_new(true).open(&path)?;
    let start = File::open(&path)?;
    fs::remove_file(&path)?;
    Ok((end, start))
}
