//! A person at a browser: a headless Chromium, driven by `browser/drive.mjs`.
//!
//! `browser/chromium.mjs` says where Chromium comes from. Where there is none, a test is skipped; with `BROWSER=required`,
//! as CI has it, it fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use crate::payloads::npm_file;

/// How `drive.mjs` ends if there is no Chromium.
const NO_CHROMIUM: i32 = 3;

/// What a person sees at the end.
#[derive(Clone, Debug, Deserialize)]
pub struct Page {
    /// The address.
    pub url: String,
    /// The title.
    pub title: String,
    /// The text, as it is shown.
    pub text: String,
}

impl Page {
    /// A parameter of the page's URL.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let url = reqwest::Url::parse(&self.url).ok()?;
        url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nothing to look with.
    #[error("no browser: {0}")]
    NoBrowser(String),
    /// A step failed.
    #[error("{0}")]
    Failed(String),
}

/// A way through pages, step by step. Each step waits until it can be taken.
#[derive(Clone, Debug)]
pub struct Visit {
    words: Vec<String>,
    seconds: u32,
    screenshot: PathBuf,
}

impl Visit {
    /// A visit that begins at this URL.
    pub fn to(url: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let screenshot = std::env::temp_dir().join(format!("jitgate-browser-{}-{number}.png", std::process::id()));
        Self { words: vec![url.to_owned()], seconds: 60, screenshot }
    }

    /// Gives each step so many seconds.
    #[must_use]
    pub fn patience(self, seconds: u32) -> Self {
        Self { seconds, ..self }
    }

    /// Clicks the button, the link or the summary of that name.
    #[must_use]
    pub fn click(self, name: &str) -> Self {
        self.step(&["click", name])
    }

    /// Checks the radio button or checkbox of that name.
    #[must_use]
    pub fn check(self, name: &str) -> Self {
        self.step(&["check", name])
    }

    /// Writes into the text field of that name.
    #[must_use]
    pub fn fill(self, name: &str, text: &str) -> Self {
        self.step(&["fill", name, text])
    }

    /// Waits until the page's URL begins so.
    #[must_use]
    pub fn arrive(self, prefix: &str) -> Self {
        self.step(&["arrive", prefix])
    }

    /// Waits until the page shows that text.
    #[must_use]
    pub fn see(self, text: &str) -> Self {
        self.step(&["see", text])
    }

    /// Goes to another page.
    #[must_use]
    pub fn open(self, url: &str) -> Self {
        self.step(&["open", url])
    }

    fn step(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Where the last page is kept if a step fails.
    pub fn screenshot(&self) -> &Path {
        &self.screenshot
    }

    /// Takes all steps, and says what is there at the end.
    ///
    /// # Panics
    /// If the npm packages are not installed.
    pub async fn walk(&self) -> Result<Page, Problem> {
        npm_file("playwright-core/package.json");
        let mut command = Command::new("node");
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/drive.mjs"))
            .args(["--seconds", &self.seconds.to_string(), "--screenshot"])
            .arg(&self.screenshot)
            .arg("--")
            .args(&self.words);
        // On a thread of its own: the pages are served by this one.
        let done = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread that does not panic");
        let done = done.map_err(|error| Problem::NoBrowser(format!("Node.js does not start: {error}")))?;
        let words = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        match done.status.code() {
            Some(0) => serde_json::from_slice(&done.stdout).map_err(|error| Problem::Failed(error.to_string())),
            Some(NO_CHROMIUM) => Err(Problem::NoBrowser(words)),
            _ => Err(Problem::Failed(format!("{words}\n(screenshot: {})", self.screenshot.display()))),
        }
    }

    /// Takes all steps; `None` if there is no browser, which the caller's test should end quietly for.
    ///
    /// # Panics
    /// If a step fails, or if there is no browser although `BROWSER=required`.
    pub async fn walk_or_skip(&self) -> Option<Page> {
        let required = std::env::var("BROWSER").is_ok_and(|wanted| wanted == "required");
        match self.walk().await {
            Ok(page) => Some(page),
            Err(Problem::NoBrowser(why)) if !required => {
                eprintln!("SKIPPED, since there is no browser: {why}");
                None
            }
            Err(problem) => panic!("{problem}"),
        }
    }
}
