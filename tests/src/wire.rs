//! HTTP on loopback, with the faults of a network and of the service behind it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A request with its whole body.
pub type Request = http::Request<Bytes>;

/// An answer with its whole body.
pub type Answer = http::Response<Bytes>;

/// Builds an answer with a JSON body.
pub fn json(status: u16, body: &serde_json::Value) -> Answer {
    http::Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))
        .expect("a valid status and a static header")
}

/// Stands for no answer: the connection is closed instead, whether or not the work was done.
pub fn unheard() -> Answer {
    let mut answer = Answer::default();
    answer.extensions_mut().insert(Unheard);
    answer
}

#[derive(Clone, Copy)]
struct Unheard;

/// Something that answers requests.
pub trait Service: Send + Sync + 'static {
    /// The service's own name for this kind of request: `RunTask`, `generate-jitconfig`. Faults are scripted and calls
    /// counted by it.
    fn operation(&self, request: &Request) -> String;

    /// Does the work and answers.
    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer>;

    /// Sees every request and its answer, scripted faults included; no answer if the connection was closed.
    fn overhear(&self, _request: &Request, _answer: Option<&Answer>) {}
}

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers this; the work is not done.
    Refuse(Answer),
    /// Closes the connection; the work is not done.
    Drop,
    /// Does the work, then closes the connection without an answer.
    LoseAnswer,
    /// Does the work, then answers this instead of the truth.
    Misreport(Answer),
    /// Answers the truth, but only after this long.
    Delay(Duration),
}

/// A rule that decides which fault a request of an operation meets.
pub type Chooser = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

/// The faults to come: first those scripted for an operation, one per request, then those of the chooser.
#[derive(Default)]
pub struct Faults {
    scripts: Mutex<HashMap<String, Vec<Fault>>>,
    chooser: Mutex<Option<Chooser>>,
}

impl Faults {
    /// The next request of this operation without a scripted fault gets this one.
    pub fn script(&self, operation: &str, fault: Fault) {
        self.script_times(operation, fault, 1);
    }

    /// The next `times` requests of this operation get this fault.
    pub fn script_times(&self, operation: &str, fault: Fault, times: usize) {
        let mut scripts = lock(&self.scripts);
        scripts.entry(operation.to_owned()).or_default().extend(std::iter::repeat_n(fault, times));
    }

    /// This rule decides for every request without a scripted fault.
    pub fn choose(&self, chooser: Chooser) {
        *lock(&self.chooser) = Some(chooser);
    }

    /// Removes all faults.
    pub fn clear(&self) {
        lock(&self.scripts).clear();
        *lock(&self.chooser) = None;
    }

    pub(crate) fn next(&self, operation: &str) -> Option<Fault> {
        if let Some(script) = lock(&self.scripts).get_mut(operation)
            && !script.is_empty()
        {
            return Some(script.remove(0));
        }
        lock(&self.chooser).as_mut().and_then(|choose| choose(operation))
    }
}

/// One request that came in.
#[derive(Clone, Debug)]
pub struct Call {
    /// The service's name for this kind of request.
    pub operation: String,
    /// Method, path and query: `POST /orgs/o/actions/runners/generate-jitconfig`.
    pub target: String,
    /// The body, if it is text.
    pub body: String,
    /// The status of the answer; absent if the connection was closed instead.
    pub status: Option<u16>,
}

/// All requests that came in, in the order in which they were answered.
#[derive(Default)]
pub struct Calls(Mutex<Vec<Call>>);

impl Calls {
    /// A copy of all calls so far.
    pub fn all(&self) -> Vec<Call> {
        lock(&self.0).clone()
    }

    /// The operations so far, in order.
    pub fn operations(&self) -> Vec<String> {
        lock(&self.0).iter().map(|call| call.operation.clone()).collect()
    }

    /// How many calls of an operation there were.
    pub fn count(&self, operation: &str) -> usize {
        lock(&self.0).iter().filter(|call| call.operation == operation).count()
    }

    /// Forgets all calls so far.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }
}

/// A service on a loopback port, until dropped.
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    scheme: &'static str,
    /// The faults to come.
    pub faults: Arc<Faults>,
    /// The requests that came in.
    pub calls: Arc<Calls>,
    listener: JoinHandle<()>,
}

impl Endpoint {
    /// `http://127.0.0.1:PORT`, or `https://…`
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Serves on a free loopback port.
pub async fn serve(service: Arc<dyn Service>) -> Endpoint {
    serve_on(service, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port on loopback")
}

/// Serves on a free loopback port, over TLS.
pub async fn serve_tls(service: Arc<dyn Service>, acceptor: TlsAcceptor) -> Endpoint {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    serve_with(service, address, Some(acceptor)).await.expect("a free port on loopback")
}

/// Serves on a given address; an error if it is taken.
pub async fn serve_on(service: Arc<dyn Service>, address: SocketAddr) -> io::Result<Endpoint> {
    serve_with(service, address, None).await
}

async fn serve_with(
    service: Arc<dyn Service>,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
) -> io::Result<Endpoint> {
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let faults = Arc::new(Faults::default());
    let calls = Arc::new(Calls::default());
    let (the_faults, the_calls) = (Arc::clone(&faults), Arc::clone(&calls));
    let listener = tokio::spawn(async move {
        // Dropping the set with this task ends all connections with it.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            let _ = stream.set_nodelay(true);
            let (service, faults, calls) = (Arc::clone(&service), Arc::clone(&the_faults), Arc::clone(&the_calls));
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let each = service_fn(|request| handle(&*service, &faults, &calls, request));
                match acceptor {
                    None => {
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), each).await;
                    }
                    Some(acceptor) => {
                        // A client that does not trust the certificate ends the connection here.
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), each).await;
                    }
                }
            });
        }
    });
    Ok(Endpoint { address, scheme, faults, calls, listener })
}

/// Has a service answer a request, with its fault.
pub(crate) async fn befall(fault: Option<Fault>, service: &dyn Service, request: &Request) -> Answer {
    match fault {
        None => service.answer(request).await,
        Some(Fault::Refuse(answer)) => answer,
        Some(Fault::Drop) => unheard(),
        Some(Fault::LoseAnswer) => {
            service.answer(request).await;
            unheard()
        }
        Some(Fault::Misreport(answer)) => {
            service.answer(request).await;
            answer
        }
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            service.answer(request).await
        }
    }
}

/// An error here makes hyper close the connection without an answer.
async fn handle(
    service: &dyn Service,
    faults: &Faults,
    calls: &Calls,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = http::Request::from_parts(parts, body);
    let operation = service.operation(&request);
    let answer = befall(faults.next(&operation), service, &request).await;
    let answer = Some(answer).filter(|answer| answer.extensions().get::<Unheard>().is_none());
    service.overhear(&request, answer.as_ref());
    let target = format!("{} {}", request.method(), request.uri());
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let status = answer.as_ref().map(|answer| answer.status().as_u16());
    lock(&calls.0).push(Call { operation, target, body, status });
    match answer {
        Some(answer) => Ok(answer.map(Full::new)),
        None => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(Mutex<u32>);

    impl Service for Counter {
        fn operation(&self, request: &Request) -> String {
            request.uri().path().to_owned()
        }

        fn answer<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Answer> {
            let mut count = lock(&self.0);
            *count += 1;
            let answer = json(200, &serde_json::json!({ "count": *count }));
            Box::pin(async { answer })
        }
    }

    #[tokio::test]
    async fn a_fault_strikes_before_or_after_the_work_and_only_once() {
        let endpoint = serve(Arc::new(Counter(Mutex::new(0)))).await;
        let get = || async { reqwest::get(format!("{}/count", endpoint.url())).await };
        let refusal = json(503, &serde_json::json!({}));
        endpoint.faults.script("/count", Fault::Refuse(refusal.clone()));
        endpoint.faults.script("/count", Fault::Drop);
        endpoint.faults.script("/count", Fault::LoseAnswer);
        endpoint.faults.script("/count", Fault::Misreport(refusal));
        assert_eq!(get().await.expect("an answer").status(), 503);
        assert!(get().await.is_err());
        assert!(get().await.is_err());
        assert_eq!(get().await.expect("an answer").status(), 503);
        assert_eq!(get().await.expect("an answer").text().await.expect("a body"), r#"{"count":3}"#);
        assert_eq!(endpoint.calls.count("/count"), 5);
    }
}
