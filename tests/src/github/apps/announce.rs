//! Deliveries to an App about itself: the ping to a new hook, and its installations.

use jitgate::job::InstallationId;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::super::hooks::{DeliveryRecord, HookOwner};
use super::super::objects;
use super::super::state::{Account, Installation, State, next};

impl State {
    /// GitHub pings the hook of a new App, before anybody can know its secret. Source: GitHub Docs, "Webhook events and payloads",
    /// and octokit/webhooks#3.
    pub(super) fn announce_ping(&mut self, hook: u64, app: u64, now: OffsetDateTime) {
        let Some(record) = self.hooks.get(&hook) else { return };
        let events = self.apps.get(&app).map(|app| app.events.clone()).unwrap_or_default();
        let payload = json!({
            "zen": "Design for failure.",
            "hook_id": hook,
            "hook": {
                "type": "App",
                "id": hook,
                "name": "web",
                "active": record.active,
                "events": events,
                "config": {
                    "content_type": "json",
                    "insecure_ssl": "0",
                    "secret": "********",
                    "url": record.url,
                },
                "updated_at": objects::moment(record.created_at),
                "created_at": objects::moment(record.created_at),
                "app_id": app,
                "deliveries_url": "https://api.github.com/app/hook/deliveries",
            },
        });
        self.send("ping", None, hook, None, &payload, now);
    }

    /// Tells an App that it was installed, uninstalled or granted more: every App hears that, whatever its events. Source: GitHub
    /// Docs, "Webhook events and payloads".
    pub(super) fn announce_installation(
        &mut self,
        action: &str,
        installation: &Installation,
        sender: &Account,
        now: OffsetDateTime,
    ) {
        let Some(app) = self.apps.get(&installation.app) else { return };
        let owner = HookOwner::App(app.id);
        let hook = self.hooks.values().find(|hook| hook.owner == owner && hook.active);
        let Some(hook) = hook.map(|hook| hook.id) else { return };
        let covered = self
            .repositories
            .values()
            .filter(|repository| installation.covers(&repository.owner.login, &repository.name));
        let repositories: Vec<Value> = covered.map(objects::repository_in_brief).collect();
        let payload = json!({
            "action": action,
            "installation": objects::installation(app, installation),
            "repositories": repositories,
            "requester": null,
            "sender": objects::account(sender),
        });
        self.send("installation", Some(action), hook, Some(installation.id), &payload, now);
    }

    fn send(
        &mut self,
        event: &str,
        action: Option<&str>,
        hook: u64,
        installation: Option<InstallationId>,
        payload: &Value,
        now: OffsetDateTime,
    ) {
        let guid = self.new_guid();
        let id = next(&mut self.counters.delivery);
        let record = DeliveryRecord {
            id,
            guid,
            hook,
            event: event.to_owned(),
            action: action.map(str::to_owned),
            installation,
            repository: None,
            job_id: None,
            payload: Some(payload.to_string().into_bytes().into()),
            redelivery: false,
            delivered_at: now,
            outcome: None,
        };
        self.unsent.push(id);
        self.deliveries.insert(id, record);
    }
}
