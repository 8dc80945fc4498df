//! The fleet's one secret, as JSON: the App's id and key, and what GitHub signs its deliveries with.

use aws_sdk_secretsmanager::Client;
use jitgate::secret::{Credential, GitHubSecret};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::{Aws, trouble_of};
use crate::trouble::Trouble;

/// The secret's content. Its `Debug` shows nothing of it.
pub struct FleetSecret {
    json: Map<String, Value>,
}

impl std::fmt::Debug for FleetSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("FleetSecret")
    }
}

impl FleetSecret {
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(|json| Self { json })
    }

    /// The App that it names, with its key; `None` while it is as the stack made it.
    pub fn app(&self) -> Option<(String, SecretString)> {
        match GitHubSecret::parse(&self.text()).ok()?.credential() {
            Ok(Credential::App { id, private_key }) => Some((id.clone(), private_key.clone())),
            _ => None,
        }
    }

    /// Whether a personal access token is used instead of an App.
    pub fn has_token(&self) -> bool {
        GitHubSecret::parse(&self.text()).is_ok_and(|secret| matches!(secret.credential(), Ok(Credential::Token(_))))
    }

    /// What GitHub signs deliveries with.
    pub fn webhook_secret(&self) -> Option<SecretString> {
        GitHubSecret::parse(&self.text()).ok()?.webhook_secret().ok().cloned()
    }

    /// The content with another App, and with its webhook secret if it brings one.
    #[must_use]
    pub fn with_app(&self, id: &str, key: &SecretString, webhook_secret: Option<&SecretString>) -> Self {
        let mut json = self.json.clone();
        json.remove("token");
        json.insert("app_id".to_owned(), id.into());
        json.insert("private_key".to_owned(), key.expose_secret().into());
        if let Some(webhook_secret) = webhook_secret {
            json.insert("webhook_secret".to_owned(), webhook_secret.expose_secret().into());
        }
        Self { json }
    }

    fn text(&self) -> String {
        Value::Object(self.json.clone()).to_string()
    }
}

/// The secret in Secrets Manager.
pub struct SecretStore {
    client: Client,
    id: String,
}

impl SecretStore {
    /// `id` is the secret's name or ARN.
    pub fn new(aws: &Aws, id: String) -> Self {
        Self { client: Client::new(&aws.sdk), id }
    }

    /// Reads it.
    pub async fn read(&self) -> Result<FleetSecret, Trouble> {
        let answer = self.client.get_secret_value().secret_id(&self.id).send().await;
        let answer = answer
            .map_err(|error| trouble_of(&format!("secret {} (secretsmanager:GetSecretValue)", self.id), &error))?;
        answer.secret_string().and_then(FleetSecret::parse).ok_or_else(|| {
            Trouble::failed(
                format!("secret {} is not a JSON object", self.id),
                r#"put {"app_id":"","private_key":"","webhook_secret":""} into it"#,
            )
        })
    }

    /// Writes it.
    pub async fn write(&self, secret: &FleetSecret) -> Result<(), Trouble> {
        let put = self.client.put_secret_value().secret_id(&self.id).secret_string(secret.text());
        put.send()
            .await
            .map_err(|error| trouble_of(&format!("secret {} (secretsmanager:PutSecretValue)", self.id), &error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_takes_the_place_of_whatever_signed_in_before_and_other_keys_stay() {
        let secret = FleetSecret::parse(r#"{"token":"t","webhook_secret":"made","note":"mine"}"#).unwrap();
        assert!(secret.has_token() && secret.app().is_none());
        let key = SecretString::from("KEY");
        let mine = secret.with_app("7", &key, None);
        assert_eq!(mine.app().unwrap().0, "7");
        assert!(!mine.has_token() && mine.text().contains("mine"));
        assert_eq!(mine.webhook_secret().unwrap().expose_secret(), "made");
        let theirs = secret.with_app("7", &key, Some(&SecretString::from("theirs")));
        assert_eq!(theirs.webhook_secret().unwrap().expose_secret(), "theirs");
        assert_eq!(format!("{theirs:?}"), "FleetSecret");
    }

    #[test]
    fn a_secret_as_the_stack_makes_it_has_no_app() {
        let secret = FleetSecret::parse(r#"{"app_id":"","private_key":"","webhook_secret":"made"}"#).unwrap();
        assert!(secret.app().is_none() && !secret.has_token());
    }
}
