//! The functions' code: where it comes from, and how it gets into the bucket.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use crate::args::CodeOptions;
use crate::aws::{Aws, Bucket, Key};
use crate::screen::Screen;
use crate::template::Source;
use crate::trouble::Trouble;

/// The zips that a release build carries.
static EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/zips.rs"));

/// A processor for which functions are built, in the words of the stack's parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// `x86_64`
    X86,
    /// `arm64`
    Arm,
}

impl Processor {
    /// Of the parameter `FunctionArchitecture`.
    pub fn of(parameter: Option<&String>) -> Self {
        if parameter.is_some_and(|value| value == "arm64") { Self::Arm } else { Self::X86 }
    }

    fn word(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }
}

/// The code of all functions, by the function's name.
pub struct Code(BTreeMap<String, Vec<u8>>);

impl Code {
    /// From the folder that was named, from this binary, or from the checkout that this was started in.
    pub async fn find(
        source: &Source,
        options: &CodeOptions,
        processor: Processor,
        screen: &Screen,
    ) -> Result<Self, Trouble> {
        if let Some(folder) = &options.zips {
            return Self::of_folder(source, folder, processor);
        }
        let embedded = |function: &String| {
            let name = file_name(function, processor);
            let (_, zip) = EMBEDDED.iter().find(|(each, _)| *each == name)?;
            Some((function.clone(), zip.to_vec()))
        };
        if let Some(code) = source.functions().iter().map(embedded).collect() {
            return Ok(Self(code));
        }
        match checkout() {
            Some(root) => Self::build(source, &root, processor, screen).await,
            None => Err(Trouble::usage(
                "this binary carries no code for the functions",
                "name a folder with the zips of a release by --zips, or run it inside a checkout",
            )),
        }
    }

    fn of_folder(source: &Source, folder: &Path, processor: Processor) -> Result<Self, Trouble> {
        let read = |function: &String| {
            let path = folder.join(file_name(function, processor));
            let zip = fs::read(&path).map_err(|error| Trouble::file(&path, &error))?;
            Ok((function.clone(), zip))
        };
        Ok(Self(source.functions().iter().map(read).collect::<Result<_, Trouble>>()?))
    }

    async fn build(source: &Source, root: &Path, processor: Processor, screen: &Screen) -> Result<Self, Trouble> {
        let waiting = screen.wait("building the functions by cargo-lambda; the first time takes minutes");
        let target = match processor {
            Processor::X86 => "--x86-64",
            Processor::Arm => "--arm64",
        };
        let mut build = Command::new("cargo");
        build.args(["lambda", "build", "--release", "--locked", "--output-format", "zip", target]).current_dir(root);
        for function in source.functions() {
            build.args(["--package", &function]);
        }
        let remedy = "install Rust and cargo-lambda, or take the zips of a release by --zips";
        let done = build.output().await.map_err(|error| Trouble::failed(format!("cargo: {error}"), remedy))?;
        if !done.status.success() {
            let words = String::from_utf8_lossy(&done.stderr);
            let last: Vec<_> = words.lines().rev().take(5).collect();
            let last: Vec<_> = last.into_iter().rev().collect();
            return Err(Trouble::failed(format!("the build failed:\n{}", last.join("\n")), remedy));
        }
        let read = |function: &String| {
            let path = root.join("target/lambda").join(function).join("bootstrap.zip");
            let zip = fs::read(&path).map_err(|error| Trouble::file(&path, &error))?;
            Ok((function.clone(), zip))
        };
        let code = source.functions().iter().map(read).collect::<Result<_, Trouble>>()?;
        waiting.done("the functions are built");
        Ok(Self(code))
    }

    /// Stores the code and the template that refers to it, where they are not there yet.
    pub async fn upload(&self, source: &Source, aws: &Aws, bucket: &Bucket) -> Result<Uploaded, Trouble> {
        let there = bucket.list().await?;
        let mut keys = BTreeMap::new();
        for (function, zip) in &self.0 {
            let key = key_of(zip, "zip");
            if !there.contains(&key) {
                bucket.put(&key, zip.clone()).await?;
            }
            keys.insert(function.clone(), key);
        }
        let template = source.packaged(&bucket.name, &keys)?;
        let key = key_of(template.as_bytes(), "yaml");
        if !there.contains(&key) {
            bucket.put(&key, template.into_bytes()).await?;
        }
        let address = bucket.address_of(aws, &key);
        Ok(Uploaded { address, keys: keys.into_values().chain([key]).collect() })
    }
}

/// What the bucket holds now.
pub struct Uploaded {
    /// The template's address.
    pub address: String,
    /// The objects of this version.
    pub keys: Vec<Key>,
}

fn file_name(function: &str, processor: Processor) -> String {
    format!("{function}-{}.zip", processor.word())
}

fn key_of(content: &[u8], ending: &str) -> Key {
    Key(format!("{}.{ending}", hex::encode(Sha256::digest(content))))
}

/// The checkout in or below which this was started.
fn checkout() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let is_checkout =
        |folder: &&Path| folder.join("template.yaml").is_file() && folder.join("functions/worker").is_dir();
    here.ancestors().find(is_checkout).map(Path::to_path_buf)
}
