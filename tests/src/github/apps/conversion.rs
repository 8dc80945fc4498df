//! A manifest's code, which becomes the App's credentials: once, and within an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use serde_json::json;
use time::OffsetDateTime;

use super::super::answers::{self, Refused, refuse};
use super::super::hooks::HookOwner;
use super::super::keys::AppKey;
use super::super::objects;
use super::super::state::State;
use super::random_hex;
use crate::wire::{self, Answer};

/// How long a manifest's flow may take. Source: GitHub Docs, "Registering a GitHub App from a manifest".
pub(super) const WITHIN: Duration = Duration::from_hours(1);

/// Codes that are not used yet: the App's id and when the manifest was sent.
#[derive(Default)]
pub(super) struct Conversions(BTreeMap<String, (u64, OffsetDateTime)>);

impl Conversions {
    /// A new code for the App.
    pub(super) fn begin(&mut self, app: u64, sent_at: OffsetDateTime) -> String {
        let code = random_hex(40);
        self.0.insert(code.clone(), (app, sent_at));
        code
    }

    /// The App of a code that is still good. No code is good twice.
    fn end(&mut self, code: &str, now: OffsetDateTime) -> Option<u64> {
        let (app, sent_at) = self.0.remove(code)?;
        (now < sent_at + WITHIN).then_some(app)
    }
}

impl State {
    pub(in crate::github) fn convert_manifest(&mut self, code: &str, now: OffsetDateTime) -> Refused<Answer> {
        let converted = self.web.conversions.end(code, now);
        let Some(app) = converted.and_then(|id| self.apps.get_mut(&id)) else {
            return refuse(answers::not_found());
        };
        let key = AppKey::generate();
        let public = DecodingKey::from_rsa_pem(key.public_pem.as_bytes());
        app.keys.push(public.expect("a key that was just made"));
        let hook = self.hooks.values().find(|hook| hook.owner == HookOwner::App(app.id));
        let mut body = objects::app(app, None);
        body["client_secret"] = json!(random_hex(40));
        body["webhook_secret"] = json!(hook.and_then(|hook| hook.secret.as_ref()));
        body["pem"] = json!(key.private_pem);
        Ok(wire::json(201, &body))
    }
}
