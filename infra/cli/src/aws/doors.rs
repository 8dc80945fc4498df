//! Who may call a function's URL.

use serde_json::{Value, json};

use super::Aws;
use super::functions::refused;
use crate::trouble::Trouble;

/// A permission that a public Function URL needs. Source: Lambda's "Control access to Lambda function URLs", which names two
/// since October 2025.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `lambda:InvokeFunctionUrl`, for calls without a signature.
    Url,
    /// `lambda:InvokeFunction`, for calls that come through the URL.
    Function,
}

impl Door {
    const ALL: [Self; 2] = [Self::Url, Self::Function];

    /// The action that it permits.
    pub fn action(self) -> &'static str {
        match self {
            Self::Url => "lambda:InvokeFunctionUrl",
            Self::Function => "lambda:InvokeFunction",
        }
    }

    /// The request that opens it to everybody.
    fn request(self) -> Value {
        let mut request = json!({ "StatementId": self.statement(), "Action": self.action(), "Principal": "*" });
        match self {
            Self::Url => request["FunctionUrlAuthType"] = "NONE".into(),
            Self::Function => request["InvokedViaFunctionUrl"] = true.into(),
        }
        request
    }

    fn statement(self) -> &'static str {
        match self {
            Self::Url => "jitgate-open-url",
            Self::Function => "jitgate-open-function",
        }
    }

    fn is_opened_by(self, statement: &Value) -> bool {
        let is_for_all = statement["Principal"] == "*" || statement["Principal"]["AWS"] == "*";
        let actions = match &statement["Action"] {
            Value::Array(actions) => actions.iter().filter_map(Value::as_str).collect(),
            action => Vec::from_iter(action.as_str()),
        };
        statement["Effect"] == "Allow" && is_for_all && actions.contains(&self.action())
    }
}

/// How a function's URL stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doorway {
    /// The function has no URL.
    None,
    /// Callers must sign with AWS's credentials, which GitHub has not.
    Signed,
    /// Everybody may call it, but for these permissions, which are missing.
    Open(Vec<Door>),
}

impl Aws {
    /// Whether everybody may call a function's URL.
    pub async fn doorway(&self, function: &str) -> Result<Doorway, Trouble> {
        let what = format!("{function} (lambda:GetFunctionUrlConfig)");
        let Some(url) = self.read_lambda(&format!("2021-10-31/functions/{function}/url"), &what).await? else {
            return Ok(Doorway::None);
        };
        if url["AuthType"] != "NONE" {
            return Ok(Doorway::Signed);
        }
        let what = format!("{function} (lambda:GetPolicy)");
        let policy = self.read_lambda(&format!("2015-03-31/functions/{function}/policy"), &what).await?;
        let policy = policy.as_ref().and_then(|answer| answer["Policy"].as_str()).unwrap_or("{}");
        Ok(Doorway::Open(missing(&serde_json::from_str(policy).unwrap_or_default())))
    }

    /// Opens a function's URL to everybody. Undone by `aws lambda remove-permission`.
    pub async fn open_door(&self, function: &str, door: Door) -> Result<(), Trouble> {
        let what = format!("{function} (lambda:AddPermission)");
        let path = format!("2015-03-31/functions/{function}/policy");
        let (status, text) = self.rest("lambda", "POST", &path, &door.request().to_string(), &what).await?;
        if status.is_success() { Ok(()) } else { Err(refused(&what, status, &text)) }
    }
}

fn missing(policy: &Value) -> Vec<Door> {
    let statements = policy["Statement"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_closed = |door: &Door| !statements.iter().any(|statement| door.is_opened_by(statement));
    Door::ALL.into_iter().filter(is_closed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_needs_both_permissions_for_everybody() {
        let of =
            |action: &str, principal: Value| json!({ "Effect": "Allow", "Principal": principal, "Action": action });
        let policy = |statements: &[Value]| missing(&json!({ "Statement": statements }));
        let (url, function) = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction");
        assert_eq!(policy(&[of(url, json!("*")), of(function, json!({ "AWS": "*" }))]), []);
        assert_eq!(policy(&[of(url, json!("*")), of(function, json!({ "AWS": "1" }))]), [Door::Function]);
        assert_eq!(policy(&[]), Door::ALL);
        assert_eq!(missing(&Value::Null), Door::ALL);
    }
}
