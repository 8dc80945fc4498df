//! What is left of a fleet, by name and by tag.

use serde_json::{Value, json};

use super::signed::Signed;
use super::{Aws, errors};
use crate::trouble::Trouble;

/// A service with JSON requests whose operation is in a header's place: the target.
struct Json {
    service: &'static str,
    host: &'static str,
    target: &'static str,
    operation: &'static str,
}

const LOG_GROUPS: Json =
    Json { service: "logs", host: "logs", target: "Logs_20140328", operation: "DescribeLogGroups" };

const TAGGED: Json = Json {
    service: "tagging",
    host: "tagging",
    target: "ResourceGroupsTaggingAPI_20170126",
    operation: "GetResources",
};

impl Aws {
    /// The names of the log groups with this prefix.
    pub async fn log_groups(&self, prefix: &str) -> Result<Vec<String>, Trouble> {
        let groups = self.pages(&LOG_GROUPS, json!({ "logGroupNamePrefix": prefix }), "nextToken", "logGroups").await?;
        Ok(groups.iter().filter_map(|group| Some(group["logGroupName"].as_str()?.to_owned())).collect())
    }

    /// The ARNs of the resources that CloudFormation has tagged as a stack's.
    pub async fn resources_of(&self, stack: &str) -> Result<Vec<String>, Trouble> {
        let filter = json!({ "TagFilters": [{ "Key": "aws:cloudformation:stack-name", "Values": [stack] }] });
        let found = self.pages(&TAGGED, filter, "PaginationToken", "ResourceTagMappingList").await?;
        Ok(found.iter().filter_map(|resource| Some(resource["ResourceARN"].as_str()?.to_owned())).collect())
    }

    async fn pages(&self, call: &Json, first: Value, token: &str, list: &str) -> Result<Vec<Value>, Trouble> {
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

    async fn json(&self, call: &Json, body: &Value) -> Result<Value, Trouble> {
        let what = format!("{}:{}", call.service, call.operation);
        let address = match self.sdk.endpoint_url() {
            Some(emulator) => format!("{}/", emulator.trim_end_matches('/')),
            None => format!("https://{}.{}.{}/", call.host, self.region, self.domain()),
        };
        let request = Signed {
            service: call.service,
            region: &self.region,
            method: "POST",
            address: &address,
            content_type: "application/x-amz-json-1.1",
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
        Err(errors::explain(&what, code, &format!("{code}: {message}"), status.is_server_error()))
    }
}
