//! The only secret: the App's key (or a personal access token) and the webhook secret, as JSON in Secrets Manager.

use std::collections::HashSet;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::aws::{is_denial, words_of};

/// What we sign in to GitHub with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A GitHub App.
    App {
        /// App id or client id, the issuer of the App's tokens.
        id: String,
        /// The App's RSA key in PEM.
        private_key: SecretString,
    },
    /// A personal access token.
    Token(SecretString),
}

/// The secret's content; parts may be missing. Each function asks for the part that it needs.
#[derive(Clone, Debug)]
pub struct GitHubSecret {
    webhook_secret: Option<SecretString>,
    credential: Result<Credential, &'static str>,
}

/// Why the secret cannot be used. Contains nothing of its content.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager failed; trying again may help.
    #[error("secret {id:?} cannot be read: {cause}")]
    Unreadable {
        /// The secret's id.
        id: String,
        /// The error of Secrets Manager or the network.
        cause: String,
    },
    /// Secrets Manager refuses us the secret or does not have it. A person must correct that.
    #[error("secret {id:?} is out of reach: {cause}")]
    OutOfReach {
        /// The secret's id.
        id: String,
        /// The error of Secrets Manager.
        cause: String,
    },
    /// It can be read, but its content is wrong. A person must correct it.
    #[error("secret {id:?} is unusable: {problem}")]
    Unusable {
        /// The secret's id.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Deserialize)]
struct SecretJson {
    app_id: Option<AppId>,
    private_key: Option<String>,
    webhook_secret: Option<String>,
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AppId {
    Number(u64),
    Text(String),
}

impl GitHubSecret {
    /// Reads the secret's JSON. An empty value counts as absent, so that a secret can be created before it is filled.
    pub fn parse(json: &str) -> Result<Self, String> {
        // serde_json's own message may quote the secret.
        let json: SecretJson = serde_json::from_str(json).map_err(|error| {
            format!(
                "not the JSON object that is expected (line {}, column {}): strings app_id, private_key, \
                 webhook_secret, or token",
                error.line(),
                error.column()
            )
        })?;
        let filled =
            |value: Option<String>| value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let app_id = filled(json.app_id.map(|id| match id {
            AppId::Number(number) => number.to_string(),
            AppId::Text(text) => text,
        }));
        let private_key = filled(json.private_key);
        let credential = match (app_id, private_key, filled(json.token)) {
            (Some(id), Some(key), None) => {
                Ok(Credential::App { id, private_key: SecretString::from(key.replace("\\n", "\n")) })
            }
            (None, None, Some(token)) => Ok(Credential::Token(token.into())),
            (Some(_), None, None) => Err("app_id is there, but private_key is missing"),
            (None, Some(_), None) => Err("private_key is there, but app_id is missing"),
            (None, None, None) => Err("neither app_id and private_key nor token is there"),
            (_, _, Some(_)) => Err("token stands in place of app_id and private_key, not beside them"),
        };
        Ok(Self { webhook_secret: filled(json.webhook_secret).map(Into::into), credential })
    }

    /// What we sign in to GitHub with, or what is wrong with it.
    pub fn credential(&self) -> Result<&Credential, &'static str> {
        self.credential.as_ref().map_err(|problem| *problem)
    }

    /// What GitHub signs its deliveries with, or what is wrong with it.
    pub fn webhook_secret(&self) -> Result<&SecretString, &'static str> {
        self.webhook_secret.as_ref().ok_or("webhook_secret is missing")
    }
}

/// Reads the secret from Secrets Manager and keeps nothing: its users decide how long they keep the secret.
#[derive(Clone, Debug)]
pub struct SecretReader {
    client: Client,
    id: String,
}

impl SecretReader {
    /// `id` is the secret's name or ARN.
    pub fn new(sdk: &SdkConfig, id: String) -> Self {
        Self { client: Client::new(sdk), id }
    }

    /// The current version.
    pub async fn current(&self) -> Result<GitHubSecret, SecretError> {
        let value = self.client.get_secret_value().secret_id(&self.id).send().await;
        let value = value.map_err(|error| self.unread(&error))?;
        self.parse(value.secret_string())
    }

    /// The previous version, which GitHub may still use during a rotation; `None` if there is none.
    pub async fn previous(&self) -> Result<Option<GitHubSecret>, SecretError> {
        let value = self.client.get_secret_value().secret_id(&self.id).version_stage("AWSPREVIOUS").send().await;
        match value {
            Ok(value) => self.parse(value.secret_string()).map(Some),
            Err(error)
                if error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.unread(&error)),
        }
    }

    /// The error for content that is wrong.
    pub fn unusable(&self, problem: impl Into<String>) -> SecretError {
        SecretError::Unusable { id: self.id.clone(), problem: problem.into() }
    }

    fn unread(&self, error: &SdkError<GetSecretValueError>) -> SecretError {
        let (id, cause) = (self.id.clone(), words_of(error));
        // The secret does not exist, is marked for deletion, or its key cannot be used.
        let must_be_fixed = |code| {
            is_denial(code)
                || matches!(code, "ResourceNotFoundException" | "InvalidRequestException" | "DecryptionFailure")
        };
        if error.code().is_some_and(must_be_fixed) {
            SecretError::OutOfReach { id, cause }
        } else {
            SecretError::Unreadable { id, cause }
        }
    }

    fn parse(&self, json: Option<&str>) -> Result<GitHubSecret, SecretError> {
        let json = json.ok_or_else(|| self.unusable("binary, expected a JSON string"))?;
        GitHubSecret::parse(json).map_err(|problem| self.unusable(problem))
    }
}

/// The only place where a secret becomes text.
pub(crate) fn expose(secret: &SecretString) -> &str {
    secret.expose_secret()
}

/// A piece of a secret of this many characters is taken for a quotation. Of base64 they are 96 bits, which is no accident.
const QUOTED: usize = 16;

/// The text without any piece of the secret, which may be quoted whole or cut off.
pub(crate) fn without(secret: &SecretString, text: &str) -> String {
    let pieces: HashSet<&[u8]> = expose(secret).as_bytes().windows(QUOTED).collect();
    let mut is_quoted = vec![false; text.len()];
    for (at, piece) in text.as_bytes().windows(QUOTED).enumerate() {
        if pieces.contains(piece) {
            is_quoted[at..at + QUOTED].fill(true);
        }
    }
    let mut kept = String::new();
    for (at, character) in text.char_indices() {
        if !is_quoted[at] {
            kept.push(character);
        } else if at == 0 || !is_quoted[at - 1] {
            kept.push_str("[secret]");
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_but_for_what_it_quotes_of_the_secret() {
        let secret = SecretString::from("0123456789abcdefghijklmnopqrstuvwxyz".to_owned());
        for (text, kept) in [
            ("", ""),
            ("nothing ü of it", "nothing ü of it"),
            ("ü0123456789abcdefghijklmnopqrstuvwxyz'ü", "ü[secret]'ü"),
            ("value=456789abcdefghijklm... is bad", "value=[secret]... is bad"),
            ("0123456789abcdefg and 456789abcdefghijklm", "[secret] and [secret]"),
            ("0123456789abcde", "0123456789abcde"),
        ] {
            assert_eq!(without(&secret, text), kept, "{text}");
        }
    }

    #[test]
    fn an_app_may_be_named_by_number_or_client_id_and_its_key_may_have_literal_newlines() {
        for (json, id) in [
            (r#"{"app_id":123,"private_key":"-----BEGIN\\nKEY","webhook_secret":"w"}"#, "123"),
            (r#"{"app_id":"Iv1.abc","private_key":"-----BEGIN\nKEY","webhook_secret":"w","token":""}"#, "Iv1.abc"),
        ] {
            let secret = GitHubSecret::parse(json).unwrap();
            assert_eq!(expose(secret.webhook_secret().unwrap()), "w");
            match secret.credential().unwrap() {
                Credential::App { id: found, private_key } => {
                    assert_eq!((found.as_str(), expose(private_key)), (id, "-----BEGIN\nKEY"));
                }
                Credential::Token(_) => panic!("an App was expected"),
            }
        }
    }

    #[test]
    fn a_token_stands_in_place_of_the_app() {
        let secret = GitHubSecret::parse(r#"{"token":"ghp_x","webhook_secret":"w"}"#).unwrap();
        assert!(matches!(secret.credential(), Ok(Credential::Token(_))));
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_of_the_content_is_shown() {
        for (json, says) in [
            (r#"{"webhook_secret":"hush"}"#, "neither"),
            (r#"{"app_id":1,"webhook_secret":"hush"}"#, "private_key is missing"),
            (r#"{"private_key":"hush"}"#, "app_id is missing"),
            (r#"{"app_id":1,"private_key":"hush","token":"hush"}"#, "not beside"),
        ] {
            let error = GitHubSecret::parse(json).unwrap().credential().map(|_| ()).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(
            GitHubSecret::parse(r#"{"token":"hush"}"#).unwrap().webhook_secret().map(|_| ()),
            Err("webhook_secret is missing")
        );
        for json in [r#""hush""#, "hush", r#"{"webhook_secret":["hush"]}"#, r#"{"app_id":{"hush":1}}"#] {
            let error = GitHubSecret::parse(json).unwrap_err();
            assert!(error.contains("column") && !error.contains("hush"), "{error}");
        }
        let secret = GitHubSecret::parse(r#"{"app_id":1,"private_key":"hush","webhook_secret":"hush"}"#).unwrap();
        assert!(!format!("{secret:?}").contains("hush"));
    }
}
