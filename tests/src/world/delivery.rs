//! A request to the webhook.

use super::WEBHOOK_SECRET;
use crate::lambda::http_event::HttpEvent;
use crate::payloads::sign;

/// A request to the webhook.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The method.
    pub method: String,
    /// Header names, as sent, and values.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Delivery {
    /// A delivery as GitHub sends it, without a signature.
    pub fn new(event: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = [
            ("Content-Type", "application/json"),
            ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            ("X-GitHub-Event", event),
        ];
        Self {
            method: "POST".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: body.into(),
        }
    }

    /// A delivery with GitHub's signature.
    pub fn signed(event: &str, body: impl Into<Vec<u8>>) -> Self {
        let unsigned = Self::new(event, body);
        let signature = sign(WEBHOOK_SECRET, &unsigned.body);
        unsigned.signature(&signature)
    }

    /// With this signature.
    #[must_use]
    pub fn signature(self, signature: &str) -> Self {
        self.header("X-Hub-Signature-256", signature)
    }

    /// With this header, which replaces another of the same name.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        let mut without = self.without_header(name);
        without.headers.push((name.to_owned(), value.to_owned()));
        without
    }

    /// Without this header.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// The request as a function gets it.
    pub fn event(&self) -> HttpEvent {
        let bare = HttpEvent::post(self.body.clone()).method(&self.method);
        self.headers.iter().fold(bare, |event, (name, value)| event.header(name, value))
    }
}
