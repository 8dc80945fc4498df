//! Services with JSON requests, of which a handful of calls is needed.

use serde_json::Value;

use super::signed::Signed;
use super::{Aws, errors};
use crate::trouble::Trouble;

/// An operation of a service that speaks AWS's JSON protocol: it is named in a header, the target.
pub(crate) struct Json {
    /// The service's name in signatures and addresses.
    pub(crate) service: &'static str,
    /// The service's name in the target.
    pub(crate) target: &'static str,
    /// What is called.
    pub(crate) operation: &'static str,
    /// The protocol's version, `1.0` or `1.1`.
    pub(crate) version: &'static str,
}

impl Aws {
    /// All items of a list that comes in pages. `token` names the field that leads to the next page.
    pub(crate) async fn pages(
        &self,
        call: &Json,
        first: Value,
        token: &str,
        list: &str,
    ) -> Result<Vec<Value>, Trouble> {
        let mut request = first;
        let mut found = Vec::new();
        loop {
            let mut page = self.json(call, &request).await?;
            if let Some(Value::Array(items)) = page.get_mut(list).map(Value::take) {
                found.extend(items);
            }
            match page[token].as_str() {
                Some(next) if !next.is_empty() => request[token] = next.into(),
                _ => return Ok(found),
            }
        }
    }

    /// One call.
    pub(crate) async fn json(&self, call: &Json, body: &Value) -> Result<Value, Trouble> {
        let what = format!("{}:{}", call.service, call.operation);
        let address = format!("{}/", self.endpoint(&format!("{}.{}", call.service, self.region)));
        let request = Signed {
            service: call.service,
            region: &self.region,
            method: "POST",
            address: &address,
            content_type: &format!("application/x-amz-json-{}", call.version),
            target: Some(&format!("{}.{}", call.target, call.operation)),
            body: &body.to_string(),
        };
        let (status, text) = request.send(self, &what).await?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let code = answer["__type"].as_str().unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default();
        let message = answer["message"].as_str().or(answer["Message"].as_str()).unwrap_or_default();
        // An emulator may not know the service, and answer in another form.
        let words = if code.is_empty() { format!("answer {status}") } else { format!("{code}: {message}") };
        Err(errors::explain(&what, code, &words, status.is_server_error()))
    }
}
