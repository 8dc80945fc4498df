//! A server for tests, which answers what a test tells it to.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::aws::Aws;

/// What a request is answered: status, headers, body.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, String);

/// A server on a port of its own, until dropped.
pub(crate) struct Server {
    /// `127.0.0.1:PORT`
    pub(crate) host: String,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers each request by its text, headers included.
    pub(crate) async fn start(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read(&mut stream).await;
                let (status, headers, body) = answer(&request);
                all.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                let length = body.len();
                let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n");
                for (name, value) in &headers {
                    let _ = write!(text, "{name}: {value}\r\n");
                }
                text += "\r\n";
                text += &body;
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        Self { host, heard, task }
    }

    /// The requests so far.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An account whose services all answer here.
    pub(crate) fn aws(&self) -> Aws {
        let credentials = Credentials::new("AKIDEXAMPLE", "not-a-secret", None, None, "a test");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .endpoint_url(format!("http://{}", self.host))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Aws {
            sdk,
            account: "123456789012".to_owned(),
            partition: "aws".to_owned(),
            caller: "arn:aws:iam::123456789012:user/monalisa".to_owned(),
            region: "eu-central-1".to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request's head and body.
async fn read(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        let mut some = [0; 4096];
        match stream.read(&mut some).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&some[..count]),
            _ => return text,
        }
    }
}
