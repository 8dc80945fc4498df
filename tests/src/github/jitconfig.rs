//! The JIT config: a JSON object of three files in base64, itself in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::scope::Scope;
use super::state::Runner;

/// The three files, by the names that the runner gives them.
#[derive(Serialize, Deserialize)]
struct Files {
    #[serde(rename = ".runner")]
    runner: String,
    #[serde(rename = ".credentials")]
    credentials: String,
    #[serde(rename = ".credentials_rsaparams")]
    key: String,
}

/// What identifies the registration in a JIT config.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) runner_id: u64,
    pub(super) client_id: String,
}

/// The JIT config of a registration. Its key has the size of a real one but is not valid.
pub(super) fn encode(runner: &Runner, work_folder: &str) -> String {
    let url = match &runner.scope {
        Scope::Organization(login) => format!("https://github.com/{login}"),
        Scope::Repository(owner, name) => format!("https://github.com/{owner}/{name}"),
        Scope::Enterprise(slug) => format!("https://github.com/enterprises/{slug}"),
    };
    // The service's real URLs contain the scope's tenant, a long random name.
    let tenant = "k7Vq3mZp9RtY2wXc5BnD8fGh1JlS4aUe6oQiTzWxYvPrKdNb0M";
    let settings = json!({
        "AgentId": runner.id.0.to_string(),
        "AgentName": runner.name,
        "DisableUpdate": "True",
        "Ephemeral": "True",
        "GitHubUrl": url,
        "PoolId": runner.group_id.to_string(),
        "PoolName": "Default",
        "ServerUrl": format!("https://pipelinesghubeus12.actions.githubusercontent.com/{tenant}/"),
        "ServerUrlV2": "https://broker.actions.githubusercontent.com/",
        "UseV2Flow": "True",
        "WorkFolder": work_folder,
    });
    let credentials = json!({
        "Data": {
            "AuthorizationUrl": format!("https://tokenghub.actions.githubusercontent.com/{tenant}/_apis/oauth2/token"),
            "AuthorizationUrlV2": "https://broker.actions.githubusercontent.com/",
            "ClientId": runner.client_id,
            "RequireFipsCryptography": "True",
        },
        "Scheme": "OAuth",
    });
    let mut random = StdRng::seed_from_u64(runner.id.0);
    // The sizes of a 2,048-bit key.
    let mut number = |bytes: usize| {
        let mut number = vec![0; bytes];
        random.fill_bytes(&mut number);
        STANDARD.encode(number)
    };
    let key = json!({
        "d": number(256), "dp": number(128), "dq": number(128), "exponent": "AQAB", "inverseQ": number(128),
        "modulus": number(256), "p": number(128), "q": number(128),
    });
    let file = |content: &Value| STANDARD.encode(content.to_string());
    let files = Files { runner: file(&settings), credentials: file(&credentials), key: file(&key) };
    STANDARD.encode(serde_json::to_string(&files).expect("three strings always become JSON"))
}

/// Reads a JIT config as the runner does; `None` if it is not one.
pub(super) fn decode(encoded: &str) -> Option<Credentials> {
    let files: Files = serde_json::from_slice(&STANDARD.decode(encoded).ok()?).ok()?;
    let file = |content: &str| -> Option<Value> { serde_json::from_slice(&STANDARD.decode(content).ok()?).ok() };
    let (settings, credentials, key) = (file(&files.runner)?, file(&files.credentials)?, file(&files.key)?);
    key.get("modulus")?;
    Some(Credentials {
        runner_id: settings["AgentId"].as_str()?.parse().ok()?,
        client_id: credentials["Data"]["ClientId"].as_str()?.to_owned(),
    })
}
