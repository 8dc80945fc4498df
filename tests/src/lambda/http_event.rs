//! The events in which an HTTP request reaches a function, depending on what stands in front of it.
//!
//! Sources: Lambda's developer guide, "Invoking Lambda function URLs" (payload 2.0); API Gateway's developer guide,
//! payload formats 1.0 and 2.0.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderMap;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::aws::{ACCOUNT, REGION};

const SOURCE_IP: &str = "140.82.115.54";

/// What stands in front of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// A function URL: payload 2.0.
    FunctionUrl,
    /// API Gateway's HTTP API: payload 2.0.
    HttpApi,
    /// API Gateway's REST API: payload 1.0.
    RestApi,
}

impl Front {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::FunctionUrl, Self::HttpApi, Self::RestApi];
}

/// A request to a function.
#[derive(Clone, Debug)]
pub struct HttpEvent {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    base64: bool,
}

impl HttpEvent {
    /// A POST to `/` with this body and the headers that every client sends.
    pub fn post(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: vec![
                ("Accept".to_owned(), "*/*".to_owned()),
                ("User-Agent".to_owned(), "GitHub-Hookshot/b1d3f1a".to_owned()),
                ("Content-Length".to_owned(), body.len().to_string()),
            ],
            body,
            base64: false,
        }
    }

    /// Another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Another path.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// One more header, in the client's spelling; the same name twice makes two values.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Encodes the body in base64, as a front does with what it considers binary. A body that is not text always is.
    #[must_use]
    pub fn base64(mut self) -> Self {
        self.base64 = true;
        self
    }

    /// The event.
    pub fn to_event(&self, front: Front) -> Value {
        let (body, encoded) = match std::str::from_utf8(&self.body) {
            Ok(text) if !self.base64 => (text.to_owned(), false),
            _ => (STANDARD.encode(&self.body), true),
        };
        match front {
            Front::FunctionUrl => self.payload_2(&body, encoded, "anonymous", &format!("lambda-url.{REGION}.on.aws")),
            Front::HttpApi => self.payload_2(&body, encoded, ACCOUNT, &format!("execute-api.{REGION}.amazonaws.com")),
            Front::RestApi => self.payload_1(&body, encoded),
        }
    }

    /// Names in lower case, several values of one name joined by commas, no `body` member if there is none.
    fn payload_2(&self, body: &str, encoded: bool, account: &str, domain: &str) -> Value {
        let id = "qsvaydmlxwrkcn3ztfjhgp4dbu6eo5ia";
        let now = OffsetDateTime::now_utc();
        let host = format!("{id}.{domain}");
        let mut headers = Map::new();
        let added = [
            ("host", host.as_str()),
            ("x-amzn-trace-id", "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e"),
            ("x-forwarded-for", SOURCE_IP),
            ("x-forwarded-port", "443"),
            ("x-forwarded-proto", "https"),
        ];
        let sent = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in added.into_iter().chain(sent) {
            let earlier = headers.get(&name.to_lowercase()).and_then(Value::as_str);
            let all = earlier.map_or_else(|| value.to_owned(), |earlier| format!("{earlier},{value}"));
            headers.insert(name.to_lowercase(), Value::from(all));
        }
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": self.path,
            "rawQueryString": "",
            "headers": headers,
            "requestContext": {
                "accountId": account,
                "apiId": id,
                "domainName": host,
                "domainPrefix": id,
                "http": {
                    "method": self.method,
                    "path": self.path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": SOURCE_IP,
                    "userAgent": headers.get("user-agent"),
                },
                "requestId": "JKJaXmPLvHcESHA=",
                "routeKey": "$default",
                "stage": "$default",
                "time": log_time(now),
                "timeEpoch": epoch_millis(now),
            },
            "isBase64Encoded": encoded,
        });
        if !body.is_empty() {
            event["body"] = Value::from(body);
        }
        event
    }

    /// Names as the client wrote them, the last value of each, and all values in lists; null for what is missing.
    fn payload_1(&self, body: &str, encoded: bool) -> Value {
        let id = "wt6mne2s9k";
        let now = OffsetDateTime::now_utc();
        let host = format!("{id}.execute-api.{REGION}.amazonaws.com");
        let (mut headers, mut values) = (Map::new(), Map::new());
        let added = [
            ("Host", host.as_str()),
            ("X-Amzn-Trace-Id", "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e"),
            ("X-Forwarded-For", SOURCE_IP),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Proto", "https"),
        ];
        let sent = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in added.into_iter().chain(sent) {
            headers.insert(name.to_owned(), Value::from(value));
            let all = values.entry(name).or_insert_with(|| json!([]));
            all.as_array_mut().expect("made as an array").push(Value::from(value));
        }
        let user_agent = headers.get("User-Agent").cloned();
        json!({
            "resource": "/{proxy+}",
            "path": self.path,
            "httpMethod": self.method,
            "headers": headers,
            "multiValueHeaders": values,
            "queryStringParameters": null,
            "multiValueQueryStringParameters": null,
            "pathParameters": { "proxy": self.path.trim_start_matches('/') },
            "stageVariables": null,
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": id,
                "domainName": host,
                "domainPrefix": id,
                "extendedRequestId": "JKJaXmPLvHcESHA=",
                "httpMethod": self.method,
                "identity": {
                    "accessKey": null,
                    "accountId": null,
                    "caller": null,
                    "cognitoAuthenticationProvider": null,
                    "cognitoAuthenticationType": null,
                    "cognitoIdentityId": null,
                    "cognitoIdentityPoolId": null,
                    "principalOrgId": null,
                    "sourceIp": SOURCE_IP,
                    "user": null,
                    "userAgent": user_agent,
                    "userArn": null,
                },
                "path": format!("/Prod{}", self.path),
                "protocol": "HTTP/1.1",
                "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
                "requestTime": log_time(now),
                "requestTimeEpoch": epoch_millis(now),
                "resourceId": "123456",
                "resourcePath": "/{proxy+}",
                "stage": "Prod",
            },
            "body": if body.is_empty() { Value::Null } else { Value::from(body) },
            "isBase64Encoded": encoded,
        })
    }
}

/// A function's answer to an [`HttpEvent`], read as the front reads it.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// Its status.
    pub status: u16,
    /// Its headers, in whichever of the two forms the function wrote them.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// Reads an answer; an error if a front would answer 502.
    pub fn read(answer: &Value) -> Result<Self, String> {
        let status = answer["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
        let status = status.ok_or_else(|| format!("no statusCode in {answer}"))?;
        let single = answer["headers"].as_object().into_iter().flatten().map(|(name, value)| (name, vec![value]));
        let multiple = answer["multiValueHeaders"].as_object().into_iter().flatten();
        let multiple = multiple.map(|(name, values)| (name, values.as_array().into_iter().flatten().collect()));
        let mut headers = HeaderMap::new();
        for (name, value) in single.chain(multiple).flat_map(|(name, all)| all.into_iter().map(move |one| (name, one)))
        {
            let name = name.parse::<http::HeaderName>().map_err(|_| format!("a header called {name:?}"))?;
            let value = value.as_str().and_then(|value| value.parse::<http::HeaderValue>().ok());
            let value = value.ok_or_else(|| format!("no valid value of header {name}"))?;
            if !headers.get_all(&name).iter().any(|earlier| *earlier == value) {
                headers.append(name, value);
            }
        }
        let body = match &answer["body"] {
            Value::Null => Vec::new(),
            Value::String(text) if answer["isBase64Encoded"] == true => {
                STANDARD.decode(text).map_err(|cause| format!("a body that is not base64: {cause}"))?
            }
            Value::String(text) => text.clone().into_bytes(),
            other => return Err(format!("a body that is no string: {other}")),
        };
        Ok(Self { status, headers, body })
    }

    /// The body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The event with which EventBridge Scheduler invokes a function by default.
pub fn scheduled(at: OffsetDateTime) -> Value {
    let time = at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"));
    json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT,
        "time": time.expect("a moment of this century"),
        "region": REGION,
        "resources": [format!("arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/cleaner")],
        "detail": "{}",
    })
}

fn log_time(at: OffsetDateTime) -> String {
    let format = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    at.format(format).expect("a moment of this century")
}

fn epoch_millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).expect("a moment of this century")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_front_spells_headers_its_own_way() {
        let request =
            HttpEvent::post("{}").header("X-GitHub-Event", "ping").header("X-Twice", "1").header("X-Twice", "2");
        for front in [Front::FunctionUrl, Front::HttpApi] {
            let event = request.to_event(front);
            assert_eq!(event["version"], "2.0");
            assert_eq!(event["headers"]["x-github-event"], "ping");
            assert_eq!(event["headers"]["x-twice"], "1,2");
            assert_eq!(event["requestContext"]["http"]["method"], "POST");
        }
        let event = request.to_event(Front::RestApi);
        assert_eq!(event["httpMethod"], "POST");
        assert_eq!(event["headers"]["X-GitHub-Event"], "ping");
        assert_eq!(event["headers"]["X-Twice"], "2");
        assert_eq!(event["multiValueHeaders"]["X-Twice"], json!(["1", "2"]));
    }

    #[test]
    fn a_body_comes_as_text_or_as_base64_or_not_at_all() {
        for front in Front::ALL {
            let text = HttpEvent::post("{}").to_event(front);
            assert_eq!((text["body"].as_str(), &text["isBase64Encoded"]), (Some("{}"), &json!(false)));
            let encoded = HttpEvent::post("{}").base64().to_event(front);
            assert_eq!((encoded["body"].as_str(), &encoded["isBase64Encoded"]), (Some("e30="), &json!(true)));
            assert_eq!(HttpEvent::post([255]).to_event(front)["isBase64Encoded"], true);
            assert!(HttpEvent::post("").to_event(front)["body"].is_null());
        }
    }

    #[test]
    fn an_answer_is_read_in_either_spelling() {
        let answer =
            json!({ "statusCode": 202, "headers": { "content-type": "application/json" }, "body": "{\"a\":1}" });
        let answer = HttpAnswer::read(&answer).unwrap();
        assert_eq!((answer.status, answer.json()["a"].as_i64()), (202, Some(1)));
        assert_eq!(answer.headers["content-type"], "application/json");
        let answer = json!({ "statusCode": 200, "multiValueHeaders": { "A": ["1", "2"] }, "body": "aGk=", "isBase64Encoded": true });
        let answer = HttpAnswer::read(&answer).unwrap();
        assert_eq!((answer.headers.get_all("a").iter().count(), &*answer.body), (2, b"hi".as_slice()));
        assert!(HttpAnswer::read(&json!({ "status": 200 })).is_err());
    }
}
