//! What calls the cleaner: a schedule, and a rule for tasks that stop.

use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::json::Json;
use super::{Aws, errors};
use crate::trouble::Trouble;

const fn events(operation: &'static str) -> Json {
    Json { service: "events", target: "AWSEvents", operation, version: "1.1" }
}

const RULES: Json = events("ListRuleNamesByTarget");
const DESCRIBE: Json = events("DescribeRule");
const ENABLE: Json = events("EnableRule");

/// Something that calls a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A schedule of EventBridge Scheduler, with its group.
    Schedule {
        /// Its group's name.
        group: String,
        /// Its name.
        name: String,
    },
    /// A rule of EventBridge, on the default bus.
    Rule(String),
}

impl Aws {
    /// The ARN of a function.
    pub fn arn_of_function(&self, name: &str) -> String {
        format!("arn:{}:lambda:{}:{}:function:{name}", self.partition, self.region, self.account)
    }

    /// The schedules that call a function, each with whether it is on.
    pub async fn schedules_of(&self, function: &str) -> Result<Vec<(Caller, bool)>, Trouble> {
        let arn = self.arn_of_function(function);
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let page = self.scheduler("GET", &format!("schedules?MaxResults=100{next}"), "", "ListSchedules").await?;
            let schedules = page["Schedules"].as_array().into_iter().flatten();
            found.extend(schedules.filter(|each| each["Target"]["Arn"] == arn.as_str()).filter_map(|each| {
                let text = |key: &str| each[key].as_str().map(str::to_owned);
                Some((Caller::Schedule { group: text("GroupName")?, name: text("Name")? }, each["State"] != "DISABLED"))
            }));
            match page["NextToken"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => next = format!("&NextToken={}", byte_serialize(token.as_bytes()).collect::<String>()),
                None => return Ok(found),
            }
        }
    }

    /// The rules that call a function, each with whether it is on.
    pub async fn rules_of(&self, function: &str) -> Result<Vec<(Caller, bool)>, Trouble> {
        let request = json!({ "TargetArn": self.arn_of_function(function) });
        let names = self.pages(&RULES, request, "NextToken", "RuleNames").await?;
        let mut found = Vec::new();
        for name in names.iter().filter_map(Value::as_str) {
            let rule = self.json(&DESCRIBE, &json!({ "Name": name })).await?;
            found.push((Caller::Rule(name.to_owned()), rule["State"] != "DISABLED"));
        }
        Ok(found)
    }

    /// Switches a caller on.
    pub async fn enable(&self, caller: &Caller) -> Result<(), Trouble> {
        match caller {
            Caller::Rule(name) => self.json(&ENABLE, &json!({ "Name": name })).await.map(|_| ()),
            Caller::Schedule { group, name } => {
                let path = format!("schedules/{name}");
                let schedule = self.scheduler("GET", &format!("{path}?groupName={group}"), "", "GetSchedule").await?;
                self.scheduler("PUT", &path, &enabled(schedule).to_string(), "UpdateSchedule").await.map(|_| ())
            }
        }
    }

    async fn scheduler(&self, method: &str, path: &str, body: &str, operation: &str) -> Result<Value, Trouble> {
        let what = format!("scheduler:{operation}");
        let (status, text) = self.rest("scheduler", method, path, body, &what).await?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let code = if status == reqwest::StatusCode::FORBIDDEN { "AccessDenied" } else { "" };
        let message = answer["Message"].as_str().or(answer["message"].as_str()).unwrap_or_default();
        Err(errors::explain(&what, code, &format!("answer {status}: {message}"), status.is_server_error()))
    }
}

/// The request that switches a schedule on. It replaces the whole schedule, so it repeats what there is. Source: the API
/// reference of `UpdateSchedule`.
fn enabled(mut schedule: Value) -> Value {
    if let Some(fields) = schedule.as_object_mut() {
        for answered in ["Arn", "Name", "CreationDate", "LastModificationDate"] {
            fields.remove(answered);
        }
    }
    schedule["State"] = "ENABLED".into();
    schedule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_is_switched_on_keeps_all_else() {
        let before = json!({
            "Arn": "a", "Name": "n", "GroupName": "g", "State": "DISABLED", "ScheduleExpression": "rate(5 minutes)",
            "Target": { "Arn": "f" }, "FlexibleTimeWindow": { "Mode": "OFF" }, "CreationDate": 1.0,
        });
        let after = json!({
            "GroupName": "g", "State": "ENABLED", "ScheduleExpression": "rate(5 minutes)",
            "Target": { "Arn": "f" }, "FlexibleTimeWindow": { "Mode": "OFF" },
        });
        assert_eq!(enabled(before), after);
    }
}
