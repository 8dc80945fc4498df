//! The deployed functions.

use reqwest::StatusCode;
use serde_json::Value;

use super::{Aws, errors};
use crate::trouble::Trouble;

impl Aws {
    /// Runs the cleaner once and waits for it. Its error, if any, is in its log.
    pub async fn run_cleaner(&self, function: &str) -> Result<(), Trouble> {
        let what = format!("{function} (lambda:InvokeFunction)");
        let (status, text) =
            self.rest("lambda", "POST", &format!("2015-03-31/functions/{function}/invocations"), "{}", &what).await?;
        if !status.is_success() {
            return Err(refused(&what, status, &text));
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if answer.get("errorMessage").is_some() {
            return Err(Trouble::failed(
                format!("{function} ended with an error"),
                "read its log in CloudWatch; it says which call failed",
            ));
        }
        Ok(())
    }

    /// Lets a function start no more. Its caller is answered with 429, which GitHub counts as failed.
    pub async fn close(&self, function: &str) -> Result<(), Trouble> {
        let what = format!("{function} (lambda:PutFunctionConcurrency)");
        let path = format!("2017-10-31/functions/{function}/concurrency");
        let (status, text) = self.rest("lambda", "PUT", &path, r#"{"ReservedConcurrentExecutions":0}"#, &what).await?;
        if status.is_success() || status == StatusCode::NOT_FOUND { Ok(()) } else { Err(refused(&what, status, &text)) }
    }

    /// A function's configuration and tags; `None` if there is none of that name. Its variables hold no secret, but the
    /// address of its code is signed and must not be shown.
    pub async fn function(&self, name: &str) -> Result<Option<Value>, Trouble> {
        let what = format!("{name} (lambda:GetFunction)");
        let path = format!("2015-03-31/functions/{name}");
        self.read_lambda(&path, &what).await
    }

    /// What takes messages from the queue for a function.
    pub async fn event_sources(&self, function: &str) -> Result<Vec<Value>, Trouble> {
        let what = format!("{function} (lambda:ListEventSourceMappings)");
        // The name is made of letters, digits and dashes, so nothing in it needs an escape.
        let path = format!("2015-03-31/event-source-mappings?FunctionName={function}");
        let mut answer = self.read_lambda(&path, &what).await?.unwrap_or_default();
        match answer["EventSourceMappings"].take() {
            Value::Array(found) => Ok(found),
            _ => Ok(Vec::new()),
        }
    }

    /// Has a function take messages again.
    pub async fn enable_event_source(&self, id: &str) -> Result<(), Trouble> {
        let what = "the event source (lambda:UpdateEventSourceMapping)";
        let path = format!("2015-03-31/event-source-mappings/{id}");
        let (status, text) = self.rest("lambda", "PUT", &path, r#"{"Enabled":true}"#, what).await?;
        if status.is_success() { Ok(()) } else { Err(refused(what, status, &text)) }
    }

    pub(super) async fn read_lambda(&self, path: &str, what: &str) -> Result<Option<Value>, Trouble> {
        let (status, text) = self.rest("lambda", "GET", path, "", what).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(refused(what, status, &text));
        }
        Ok(serde_json::from_str(&text).ok())
    }
}

/// Lambda names the error in a header and again, without its code, in the body.
pub(super) fn refused(what: &str, status: StatusCode, text: &str) -> Trouble {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let message = answer.get("message").or_else(|| answer.get("Message")).and_then(Value::as_str).unwrap_or_default();
    let code = if status == StatusCode::FORBIDDEN { "AccessDenied" } else { "" };
    errors::explain(what, code, &format!("answer {status}: {message}"), status.is_server_error())
}
