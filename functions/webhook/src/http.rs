//! HTTP as Lambda delivers it: Function URL and HTTP API (payload 2.0) or REST API (1.0), all in one shape.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};

/// Largest body that is accepted, in bytes. Real `workflow_job` deliveries have 10 to 30 KB.
pub const LARGEST_BODY: usize = 1024 * 1024;

/// The parts of a request that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequest {
    /// Payload 1.0 only.
    http_method: Option<String>,
    headers: Option<HashMap<String, Option<String>>>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    request_context: Option<RequestContext>,
}

#[derive(Debug, Deserialize)]
struct RequestContext {
    /// Payload 2.0 only.
    http: Option<RequestLine>,
}

#[derive(Debug, Deserialize)]
struct RequestLine {
    method: String,
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProblem {
    /// Larger than [`LARGEST_BODY`].
    TooLarge,
    /// The event says that it is base64, and it is not.
    NotBase64,
}

impl HttpRequest {
    /// The method; empty if the event has none.
    pub fn method(&self) -> &str {
        let line = self.request_context.as_ref().and_then(|context| context.http.as_ref());
        line.map(|line| line.method.as_str()).or(self.http_method.as_deref()).unwrap_or_default()
    }

    /// A header's value. `name` is in lower case, as only payload 2.0 guarantees.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.as_ref()?;
        let value = headers
            .get(name)
            .or_else(|| headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value))?;
        value.as_deref()
    }

    /// The bytes that GitHub sent, and signed.
    pub fn body(&self) -> Result<Cow<'_, [u8]>, BodyProblem> {
        let body = self.body.as_deref().unwrap_or_default();
        let length = if self.is_base64_encoded { body.len() / 4 * 3 } else { body.len() };
        // Padding makes the estimate too high by up to two bytes.
        if length > LARGEST_BODY + 2 {
            return Err(BodyProblem::TooLarge);
        }
        let bytes = if self.is_base64_encoded {
            Cow::Owned(BASE64_STANDARD.decode(body).map_err(|_| BodyProblem::NotBase64)?)
        } else {
            Cow::Borrowed(body.as_bytes())
        };
        if bytes.len() > LARGEST_BODY { Err(BodyProblem::TooLarge) } else { Ok(bytes) }
    }
}

/// An answer, in the shape that all three kinds of event accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    /// The HTTP status.
    pub status_code: u16,
    headers: HashMap<&'static str, &'static str>,
    /// `{"status": …, "reason": …}`
    pub body: String,
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'a str,
    reason: &'a str,
}

impl HttpResponse {
    /// `status` is one word, `reason` a sentence.
    pub fn new(status_code: u16, status: &str, reason: &str) -> Self {
        let body = serde_json::to_string(&Body { status, reason }).expect("strings always become JSON");
        let mut headers = HashMap::from([("content-type", "application/json")]);
        if status_code == 405 {
            headers.insert("allow", "POST");
        }
        Self { status_code, headers, body }
    }
}
