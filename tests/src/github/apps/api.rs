//! The API that an App's own key opens.

use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::super::answers::{self, Refused, refuse};
use super::super::auth::{Identity, require_app};
use super::super::hooks::{Hook, HookOwner};
use super::super::objects;
use super::super::route::{Owner, Paging};
use super::super::state::{AccountKind, Installation, State};
use super::App;
use crate::wire::{Answer, Request};

impl State {
    fn calling_app(&self, identity: &Identity) -> Refused<&App> {
        let id = require_app(identity)?;
        self.apps.get(&id).ok_or_else(|| Box::new(answers::not_found()))
    }

    pub(in crate::github) fn get_app(&self, identity: &Identity) -> Refused<Answer> {
        let app = self.calling_app(identity)?;
        Ok(answers::ok(&objects::app(app, Some(self.installations_of_app(app.id).count()))))
    }

    pub(in crate::github) fn list_installations(&self, identity: &Identity, request: &Request) -> Refused<Answer> {
        let app = self.calling_app(identity)?;
        let paging = Paging::of(request);
        let all = self.installations_of_app(app.id).map(|installation| {
            let mut object = objects::installation(app, installation);
            // GitHub's description has this field only for a single installation.
            object.as_object_mut().expect("an installation is an object").remove("client_id");
            object
        });
        let mut answer = answers::ok(&Value::Array(paging.cut(all)));
        if let Some(link) = paging.link(request, self.installations_of_app(app.id).count()) {
            answers::set(&mut answer, "link", link);
        }
        Ok(answer)
    }

    pub(in crate::github) fn get_installation(&self, identity: &Identity, owner: &Owner) -> Refused<Answer> {
        let app = self.calling_app(identity)?;
        let on = |login: &str| {
            self.installations_of_app(app.id).find(|found| found.account.login.eq_ignore_ascii_case(login))
        };
        let of_kind = |kind| move |found: &&Installation| found.account.kind == kind;
        let found = match owner {
            Owner::Organization(login) => on(login).filter(of_kind(AccountKind::Organization)),
            Owner::User(login) => on(login).filter(of_kind(AccountKind::User)),
            Owner::Repository(owner, name) => self
                .known_repository(owner, name)
                .and_then(|repository| on(owner).filter(|found| found.covers(owner, &repository.name))),
        };
        match found {
            Some(installation) => Ok(answers::ok(&objects::installation(app, installation))),
            None => refuse(answers::not_found()),
        }
    }

    /// Uninstalls the App, as its key may.
    pub(in crate::github) fn delete_installation(
        &mut self,
        identity: &Identity,
        id: u64,
        now: OffsetDateTime,
    ) -> Refused<Answer> {
        let app = self.calling_app(identity)?;
        // GitHub names the App's own account; its owner is the closest here.
        let (app, sender) = (app.id, app.owner.clone());
        match self.installations.get(&id).filter(|found| found.app == app).cloned() {
            None => refuse(answers::not_found()),
            Some(installation) => {
                self.installations.remove(&id);
                self.announce_installation("deleted", &installation, &sender, now);
                Ok(answers::empty(204))
            }
        }
    }

    pub(in crate::github) fn get_hook_config(&self, identity: &Identity) -> Refused<Answer> {
        let owner = HookOwner::App(require_app(identity)?);
        match self.hooks.values().find(|hook| hook.owner == owner) {
            Some(hook) => Ok(answers::ok(&config(hook))),
            None => refuse(answers::not_found()),
        }
    }

    pub(in crate::github) fn set_hook_config(&mut self, identity: &Identity, request: &Request) -> Refused<Answer> {
        #[derive(Deserialize)]
        struct Wanted {
            url: Option<String>,
            secret: Option<String>,
        }
        let owner = HookOwner::App(require_app(identity)?);
        let wanted: Wanted = serde_json::from_slice(request.body())
            .map_err(|_| Box::new(answers::error(400, "Problems parsing JSON")))?;
        let Some(hook) = self.hooks.values_mut().find(|hook| hook.owner == owner) else {
            return refuse(answers::not_found());
        };
        if let Some(url) = wanted.url {
            hook.url = url;
        }
        if wanted.secret.is_some() {
            hook.secret = wanted.secret;
        }
        Ok(answers::ok(&config(hook)))
    }
}

/// A hook's configuration, without its secret. Source: GitHub Docs, "Get a webhook configuration for an app".
fn config(hook: &Hook) -> Value {
    let mut config = json!({ "content_type": "json", "insecure_ssl": "0", "url": hook.url });
    if hook.secret.is_some() {
        config["secret"] = json!("********");
    }
    config
}
