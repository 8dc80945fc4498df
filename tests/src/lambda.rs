//! The part of Lambda that the functions' binaries need: its Runtime API, with each function as a child process.
//!
//! Source: Lambda's developer guide, "Using the Lambda runtime API for custom runtimes".

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};

use crate::aws::REGION;
use crate::wire::{self, Endpoint};

pub mod http_event;
mod output;
mod process;
mod program;
mod runtime_api;
#[cfg(test)]
mod tests;

pub use output::{Line, Stream};
pub use process::Killer;
pub use program::Program;

use process::Process;
use runtime_api::{Reply, RuntimeApi};

/// How a function is set up.
#[derive(Clone, Debug)]
pub struct FunctionSettings {
    /// How long an invocation may take; then the process is killed.
    pub timeout: Duration,
    /// MiB; told to the function, but not enforced.
    pub memory: u32,
}

impl Default for FunctionSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), memory: 256 }
    }
}

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// The function itself reported an error.
    #[error("the function failed: {kind}: {message}")]
    Reported {
        /// Its `errorType`.
        kind: String,
        /// Its `errorMessage`.
        message: String,
    },
    /// The process ended, by itself or killed, during the invocation or before it asked for one.
    #[error("the function's process ended ({status}); it said:\n{output}")]
    Exited {
        /// The system's words for it.
        status: String,
        /// Everything that it wrote.
        output: String,
    },
    /// The process took longer than its time-out and was killed.
    #[error("the function timed out")]
    TimedOut,
}

/// One execution environment of a function: a process that handles one invocation at a time and is started again after
/// it died, as in Lambda.
pub struct Function {
    program: Program,
    environment: Vec<(String, String)>,
    settings: FunctionSettings,
    api: Arc<RuntimeApi>,
    endpoint: Endpoint,
    process: Process,
    turn: Semaphore,
}

impl Function {
    /// Builds and starts one of the workspace's functions: `webhook`, `worker`, `cleaner`. Its environment consists of
    /// what Lambda sets and `environment`; nothing is inherited.
    pub async fn start(name: &str, environment: Vec<(String, String)>) -> Self {
        Self::start_with(Program::function(name), environment, FunctionSettings::default()).await
    }

    /// Starts any program that speaks the Runtime API.
    pub async fn start_with(program: Program, environment: Vec<(String, String)>, settings: FunctionSettings) -> Self {
        let api = Arc::new(RuntimeApi::new(program.name()));
        let endpoint = wire::serve(Arc::clone(&api) as Arc<dyn wire::Service>).await;
        let function =
            Self { process: Process::new(), turn: Semaphore::new(1), program, environment, settings, api, endpoint };
        function.launch();
        function
    }

    /// Waits until the function asks for its first invocation; an error if it ends instead.
    pub async fn ready(&self) -> Result<(), FunctionError> {
        tokio::select! {
            () = self.api.asked() => Ok(()),
            status = self.process.ended() => Err(self.exited(status)),
        }
    }

    /// Invokes the function and waits for its answer. A process that died is started again first.
    pub async fn invoke(&self, event: &Value) -> Result<Value, FunctionError> {
        let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
        self.invoke_traced(event, trace.to_owned()).await
    }

    /// The same with a given trace id: that of an event source's batch.
    pub async fn invoke_traced(&self, event: &Value, trace: String) -> Result<Value, FunctionError> {
        let _turn = self.turn.acquire().await.expect("nobody closes it");
        if !self.process.is_running() {
            self.launch();
        }
        let (sender, receiver) = oneshot::channel();
        let id = self.api.offer(event.to_string(), trace, self.settings.timeout, sender);
        let outcome = tokio::select! {
            // An answer counts even if the process dies right after it.
            biased;
            reply = receiver => Some(reply.expect("the sender stays with the invocation")),
            status = self.process.ended() => return self.give_up(&id, self.exited(status)),
            () = tokio::time::sleep(self.settings.timeout) => None,
        };
        match outcome {
            Some(Reply::Answer(answer)) => Ok(answer),
            Some(Reply::Error { kind, message }) => Err(FunctionError::Reported { kind, message }),
            None => {
                self.process.kill();
                self.process.ended().await;
                self.give_up(&id, FunctionError::TimedOut)
            }
        }
    }

    /// Kills the process at once; the next invocation starts another.
    pub async fn kill(&self) {
        self.process.kill();
        self.process.ended().await;
    }

    /// A handle that kills the process from elsewhere, such as an endpoint's fault rule.
    pub fn killer(&self) -> Killer {
        self.process.killer()
    }

    /// Ends the process and starts a new one, as Lambda does for new code or after a long idle time.
    pub async fn restart(&self) {
        self.kill().await;
        self.launch();
    }

    /// Everything that the function's processes wrote so far: stdout, then stderr.
    pub fn lines(&self) -> Vec<Line> {
        self.process.lines()
    }

    /// The same as one string.
    pub fn output(&self) -> String {
        self.lines().into_iter().map(|line| line.text + "\n").collect()
    }

    /// The process's peak memory in bytes; `None` if the system does not report it.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()?)).ok()?;
        let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        kibibytes.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|number| number * 1024)
    }

    /// Each writable piece of the process's memory, as it is now: what its heap, its stacks and its variables hold.
    /// Exact only while the process waits.
    ///
    /// # Panics
    /// Where the system does not let a parent read its child's memory.
    pub fn memory(&self) -> Vec<Vec<u8>> {
        let id = self.process.id().expect("it runs");
        let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).expect("Linux tells");
        let memory = std::fs::File::open(format!("/proc/{id}/mem")).expect("a parent may read it");
        let writable = maps.lines().filter(|line| line.contains(" rw"));
        let piece = |line: &str| {
            let (from, to) = line.split_once(' ')?.0.split_once('-')?;
            let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
            let mut bytes = vec![0; usize::try_from(to - from).ok()?];
            memory.read_exact_at(&mut bytes, from).ok()?;
            Some(bytes)
        };
        writable.filter_map(piece).collect()
    }

    /// The processor time that the process's live threads used so far; `None` if the system does not report it. Exact
    /// only while the process waits.
    pub fn cpu_time(&self) -> Option<Duration> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id()?)).ok()?;
        let of_task = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
        };
        tasks.flatten().map(of_task).sum()
    }

    /// How many processes were started: the number of cold starts.
    pub fn starts(&self) -> usize {
        self.process.starts()
    }

    fn launch(&self) {
        let (name, memory) = (self.program.name().to_owned(), self.settings.memory.to_string());
        let mut environment: Vec<(String, String)> = [
            ("AWS_LAMBDA_RUNTIME_API", self.endpoint.address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
            ("AWS_LAMBDA_LOG_STREAM_NAME", format!("2026/11/02/[$LATEST]{:032x}", self.starts())),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("_HANDLER", "bootstrap".to_owned()),
            ("LANG", "en_US.UTF-8".to_owned()),
            ("TZ", ":UTC".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        environment.extend(self.environment.iter().cloned());
        self.api.expect_process();
        self.process.start(&self.program, environment);
    }

    fn exited(&self, status: String) -> FunctionError {
        FunctionError::Exited { status, output: self.output() }
    }

    fn give_up(&self, id: &str, error: FunctionError) -> Result<Value, FunctionError> {
        self.api.withdraw(id);
        Err(error)
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Function").field(&self.program.name()).finish()
    }
}
