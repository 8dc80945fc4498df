//! The page on this machine to which GitHub sends the browser back, with a code that is good for the App's key.
//!
//! Only the loopback interface is served. A request must name that address as its `Host`, so that no page of another
//! site reaches it by a name that resolves to 127.0.0.1, and must bring the state that this process made up.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use url::Url;

use super::page::{HandOver, hand_over, sentence};
use crate::trouble::Trouble;

/// How long a browser may take to send a request.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What GitHub sends back: a code, once and for an hour.
#[derive(Debug)]
pub struct Grant(pub SecretString);

/// The page's server. It stops when this is dropped.
pub struct Callback {
    shared: Arc<Shared>,
    grant: oneshot::Receiver<Grant>,
    serving: tokio::task::JoinHandle<()>,
    origin: String,
}

struct Shared {
    host: String,
    state: String,
    nonce: String,
    start: Mutex<Option<String>>,
    waiting: Mutex<Option<oneshot::Sender<Grant>>>,
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Callback {
    /// Listens on a free port.
    pub async fn listen() -> Result<Self, Trouble> {
        let listen = async || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let port = listener.local_addr()?.port();
            Ok::<_, std::io::Error>((listener, port))
        };
        let (listener, port) = listen().await.map_err(|error| {
            Trouble::failed(
                format!("no port of 127.0.0.1 can be listened on: {error}"),
                "allow it, or use an App that exists: --app-id and --private-key",
            )
        })?;
        let (sender, grant) = oneshot::channel();
        let host = format!("127.0.0.1:{port}");
        let random = || hex::encode(rand::random::<[u8; 16]>());
        let shared = Arc::new(Shared {
            host: host.clone(),
            state: random(),
            nonce: random(),
            start: Mutex::default(),
            waiting: Mutex::new(Some(sender)),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { shared, grant, serving, origin: format!("http://{host}") })
    }

    /// The page at which it begins.
    pub fn start(&self) -> String {
        format!("{}/", self.origin)
    }

    /// Where GitHub sends the browser back to.
    pub fn redirect(&self) -> Result<Url, Trouble> {
        Url::parse(&format!("{}/callback", self.origin)).map_err(|error| Trouble::bug(&error))
    }

    /// What GitHub hands back with the code.
    pub fn state(&self) -> &str {
        &self.shared.state
    }

    /// The port.
    pub fn port(&self) -> &str {
        self.origin.rsplit(':').next().unwrap_or_default()
    }

    /// Makes the start page post this manifest. Returns the page, as a file for somebody else.
    pub fn offer(&self, form: &Url, manifest: &str) -> String {
        let page = hand_over(&HandOver { form, manifest }, &self.shared.nonce);
        *self.shared.start.lock().unwrap_or_else(PoisonError::into_inner) = Some(page.clone());
        page
    }

    /// Waits until the browser is sent back.
    pub async fn granted(&mut self) -> Result<Grant, Trouble> {
        (&mut self.grant).await.map_err(|_| Trouble::interrupted())
    }

    /// The code in the address of a page that failed to load, which the user pasted.
    pub fn pasted(&self, address: &str) -> Result<Grant, String> {
        let url = Url::parse(address.trim()).map_err(|_| "This is not an address.".to_owned())?;
        self.shared.grant(url.query().unwrap_or_default()).map_err(ToOwned::to_owned)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let answer = service_fn(move |request: Request<Incoming>| {
            let answer = shared.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
        tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
    }
}

impl Shared {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        if host != Some(self.host.as_str()) {
            return self.page(StatusCode::FORBIDDEN, &sentence("Not here", "This page answers to 127.0.0.1 alone."));
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => match &*self.start.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(page) => self.page(StatusCode::OK, page),
                None => self.page(StatusCode::NOT_FOUND, &sentence("Not yet", "Reload this page in a moment.")),
            },
            (&Method::GET, "/callback") => match self.grant(request.uri().query().unwrap_or_default()) {
                Ok(grant) => {
                    let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if waiting.is_some_and(|waiting| waiting.send(grant).is_ok()) {
                        self.page(StatusCode::OK, &sentence("Done", "The App is made. Go back to the terminal."))
                    } else {
                        self.page(
                            StatusCode::CONFLICT,
                            &sentence("Once is enough", "The terminal has the App already."),
                        )
                    }
                }
                Err(words) => self.page(StatusCode::BAD_REQUEST, &sentence("Not from GitHub", words)),
            },
            _ => self.page(StatusCode::NOT_FOUND, &sentence("Not found", "There is nothing here.")),
        }
    }

    fn grant(&self, query: &str) -> Result<Grant, &'static str> {
        let (mut code, mut state) = (None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" => code = Some(SecretString::from(value.into_owned())),
                "state" => state = Some(value.into_owned()),
                _ => {}
            }
        }
        if state.as_deref() != Some(self.state.as_str()) {
            return Err("The address does not belong to this run: its state is another one.");
        }
        // It becomes a part of a path.
        let is_code = |code: &SecretString| {
            let code = code.expose_secret();
            !code.is_empty() && code.chars().all(|each| each.is_ascii_alphanumeric() || matches!(each, '-' | '_'))
        };
        code.filter(is_code).map(Grant).ok_or("The address has no code.")
    }

    fn page(&self, status: StatusCode, text: &str) -> Response<Full<Bytes>> {
        let policy = format!("default-src 'none'; script-src 'nonce-{}'; frame-ancestors 'none'", self.nonce);
        let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        headers.insert(header::REFERRER_POLICY, header::HeaderValue::from_static("no-referrer"));
        if let Ok(policy) = header::HeaderValue::from_str(&policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> (Shared, oneshot::Receiver<Grant>) {
        let (sender, receiver) = oneshot::channel();
        let shared = Shared {
            host: "127.0.0.1:7".to_owned(),
            state: "right".to_owned(),
            nonce: "n".to_owned(),
            start: Mutex::new(Some("the page".to_owned())),
            waiting: Mutex::new(Some(sender)),
        };
        (shared, receiver)
    }

    fn asked(shared: &Shared, host: &str, method: &str, path: &str) -> StatusCode {
        let request = Request::builder().method(method).uri(path).header("host", host).body(()).unwrap();
        shared.answer(&request).status()
    }

    #[test]
    fn a_code_is_taken_once_and_only_from_a_browser_that_github_sent_back() {
        let (shared, mut receiver) = shared();
        for (host, method, path, status) in [
            ("evil.example", "GET", "/callback?code=c&state=right", StatusCode::FORBIDDEN),
            ("127.0.0.1", "GET", "/callback?code=c&state=right", StatusCode::FORBIDDEN),
            ("localhost:7", "GET", "/", StatusCode::FORBIDDEN),
            ("127.0.0.1:7", "GET", "/callback?code=c&state=wrong", StatusCode::BAD_REQUEST),
            ("127.0.0.1:7", "GET", "/callback?code=c", StatusCode::BAD_REQUEST),
            ("127.0.0.1:7", "GET", "/callback?state=right", StatusCode::BAD_REQUEST),
            ("127.0.0.1:7", "GET", "/callback?code=..%2Fapp&state=right", StatusCode::BAD_REQUEST),
            ("127.0.0.1:7", "POST", "/callback?code=c&state=right", StatusCode::NOT_FOUND),
            ("127.0.0.1:7", "GET", "/", StatusCode::OK),
        ] {
            assert_eq!(asked(&shared, host, method, path), status, "{host} {method} {path}");
            assert!(receiver.try_recv().is_err());
        }
        assert_eq!(asked(&shared, "127.0.0.1:7", "GET", "/callback?code=c1&state=right"), StatusCode::OK);
        assert_eq!(receiver.try_recv().unwrap().0.expose_secret(), "c1");
        assert_eq!(asked(&shared, "127.0.0.1:7", "GET", "/callback?code=c2&state=right"), StatusCode::CONFLICT);
    }

    #[tokio::test]
    async fn the_page_is_served_on_loopback_with_a_policy_that_lets_nothing_else_run() {
        let callback = Callback::listen().await.unwrap();
        callback.offer(&Url::parse("https://github.com/settings/apps/new?state=s").unwrap(), "{}");
        let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(callback.start()).send().await.unwrap();
        assert!(answer.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert!(answer.text().await.unwrap().contains("settings/apps/new"));
    }
}
