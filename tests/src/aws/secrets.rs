//! The reading part of Secrets Manager: versions by stage, and rotation.
//!
//! Source: the API reference of `GetSecretValue`.

use std::collections::HashMap;
use std::sync::Mutex;

use hyper::body::Bytes;
use jitgate::clock::Clock;
use serde::Deserialize;
use serde_json::json;

use super::{ACCOUNT, REGION, answers};
use crate::wire::{Answer, lock};

pub(super) const TARGET: &str = "secretsmanager";

/// The six characters that AWS appends to a secret's name in its ARN.
const ARN_SUFFIX: &str = "a1B2c3";

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// The stand-in. Its calls are counted in [`Aws`](super::Aws).
pub struct Secrets {
    clock: Clock,
    secrets: Mutex<HashMap<String, Versions>>,
}

#[derive(Debug)]
struct Version {
    number: u32,
    value: String,
    /// In seconds since the epoch.
    created_at: f64,
}

#[derive(Debug)]
struct Versions {
    current: Version,
    previous: Option<Version>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetSecretValue {
    secret_id: String,
    version_stage: Option<String>,
    version_id: Option<String>,
}

impl Secrets {
    /// A Secrets Manager without secrets.
    pub fn new(clock: Clock) -> Self {
        Self { clock, secrets: Mutex::default() }
    }

    /// Creates a secret, or replaces it without a previous version, and returns its ARN.
    pub fn put(&self, name: &str, value: &str) -> String {
        let current = self.version(1, value);
        lock(&self.secrets).insert(name.to_owned(), Versions { current, previous: None });
        arn(name)
    }

    /// Gives a secret a new value; the previous one stays as `AWSPREVIOUS`.
    ///
    /// # Panics
    /// If there is no such secret.
    pub fn rotate(&self, name: &str, value: &str) {
        let mut secrets = lock(&self.secrets);
        let versions = secrets.get_mut(name).expect("only a secret that exists can be rotated");
        let current = self.version(versions.current.number + 1, value);
        versions.previous = Some(std::mem::replace(&mut versions.current, current));
    }

    /// Deletes a secret.
    pub fn delete(&self, name: &str) {
        lock(&self.secrets).remove(name);
    }

    fn version(&self, number: u32, value: &str) -> Version {
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century fit 53 bits")]
        let created_at = self.clock.now().unix_timestamp() as f64;
        Version { number, value: value.to_owned(), created_at }
    }

    pub(super) fn answer(&self, operation: &str, body: &Bytes) -> Answer {
        if operation != "GetSecretValue" {
            return answers::unknown_operation();
        }
        match serde_json::from_slice(body) {
            Ok(input) => self.get_secret_value(&input),
            Err(cause) => answers::serialization(&cause),
        }
    }

    fn get_secret_value(&self, input: &GetSecretValue) -> Answer {
        let secrets = lock(&self.secrets);
        let name = name_of(&input.secret_id);
        let Some(versions) = secrets.get(name) else {
            return not_found("Secrets Manager can't find the specified secret.");
        };
        let stages = [(Some(&versions.current), CURRENT), (versions.previous.as_ref(), PREVIOUS)];
        let wanted_stage = match (&input.version_stage, &input.version_id) {
            (None, None) => Some(CURRENT),
            (stage, _) => stage.as_deref(),
        };
        let found = stages.into_iter().find_map(|(version, stage)| {
            let version = version?;
            let fits = wanted_stage.is_none_or(|wanted| wanted == stage)
                && input.version_id.as_ref().is_none_or(|id| *id == version_id(version.number));
            fits.then_some((version, stage))
        });
        let Some((version, stage)) = found else {
            let label = wanted_stage.unwrap_or_default();
            return not_found(&format!(
                "Secrets Manager can't find the specified secret value for staging label: {label}"
            ));
        };
        answers::ok(&json!({
            "ARN": arn(name),
            "Name": name,
            "VersionId": version_id(version.number),
            "SecretString": version.value,
            "VersionStages": [stage],
            "CreatedDate": version.created_at,
        }))
    }
}

fn not_found(message: &str) -> Answer {
    answers::error(400, "ResourceNotFoundException", message)
}

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-{ARN_SUFFIX}")
}

/// The name of a secret given by name, by ARN, or by ARN without the last six characters.
fn name_of(id: &str) -> &str {
    let Some(name) = id.strip_prefix("arn:").and_then(|rest| rest.splitn(6, ':').nth(5)) else { return id };
    name.strip_suffix(ARN_SUFFIX).and_then(|name| name.strip_suffix('-')).unwrap_or(name)
}

fn version_id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

#[cfg(test)]
mod tests {
    use aws_sdk_secretsmanager::Client;
    use aws_sdk_secretsmanager::error::SdkError;
    use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;

    use super::*;
    use crate::aws::Aws;

    async fn read(client: &Client, id: &str, stage: Option<&str>) -> Result<String, GetSecretValueError> {
        let request = client.get_secret_value().secret_id(id).set_version_stage(stage.map(str::to_owned));
        let answer = request.send().await.map_err(SdkError::into_service_error)?;
        Ok(answer.secret_string.expect("a string"))
    }

    #[tokio::test]
    async fn a_rotation_keeps_the_previous_version_under_its_stage() {
        let aws = Aws::start(Clock::system()).await;
        let client = Client::new(&aws.sdk_config());
        let arn = aws.secrets.put("jitgate/github", "one");
        let missing = read(&client, "jitgate/github", Some(PREVIOUS)).await.unwrap_err();
        assert!(missing.is_resource_not_found_exception(), "{missing:?}");
        aws.secrets.rotate("jitgate/github", "two");
        for id in ["jitgate/github", &arn, arn.strip_suffix("-a1B2c3").unwrap()] {
            assert_eq!(read(&client, id, None).await.unwrap(), "two");
            assert_eq!(read(&client, id, Some(PREVIOUS)).await.unwrap(), "one");
        }
        assert_eq!(aws.calls().count("GetSecretValue"), 7);
        aws.secrets.delete("jitgate/github");
        assert!(read(&client, &arn, None).await.unwrap_err().is_resource_not_found_exception());
    }
}
