//! The App that GitHub makes from a manifest. Its key is handed out once.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::api::{GitHubTrouble, call};
use super::{Grant, Place};

/// An App as GitHub hands it out, with its secrets.
#[derive(Clone, Debug, Deserialize)]
pub struct Created {
    /// Its id.
    pub id: u64,
    /// Its name in addresses.
    pub slug: String,
    /// Whose it is.
    pub owner: Account,
    /// Its key in PEM.
    pub pem: SecretString,
    /// What GitHub signs its deliveries with.
    pub webhook_secret: Option<SecretString>,
}

impl Created {
    /// With its secrets, for a file that only the user can read.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id,
            "slug": self.slug,
            "owner": { "login": self.owner.login, "type": self.owner.kind },
            "pem": self.pem.expose_secret(),
            "webhook_secret": self.webhook_secret.as_ref().map(ExposeSecret::expose_secret),
        })
    }
}

/// An account of GitHub.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    /// Its login.
    pub login: String,
    /// `Organization`, `User` or `Enterprise`.
    #[serde(rename = "type", default)]
    pub kind: String,
}

/// Exchanges the code for the App. GitHub allows this once, within an hour.
pub async fn convert(place: &Place, grant: &Grant) -> Result<Created, GitHubTrouble> {
    let path = format!("app-manifests/{}/conversions", grant.0.expose_secret());
    call(place, reqwest::Method::POST, &path, None, None).await
}
