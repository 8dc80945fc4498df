//! Apps that are installed in a browser.

use super::person::{Person, manifest};
use super::*;
use crate::openapi::payload_violations;

impl Person {
    /// Installs the organisation's App on it, on some repositories or on all.
    async fn install(&self, repositories: &[&str]) -> u64 {
        let page = self.see("/apps/jitgate-4711/installations/new").await;
        let target = page.field("target_id");
        let mut fields = vec![("target_id", target.as_str())];
        fields.push(("install_target", if repositories.is_empty() { "all" } else { "selected" }));
        let ids: Vec<String> = repositories.iter().map(|name| id_of(&page.text, name)).collect();
        fields.extend(ids.iter().map(|id| ("repository_ids[]", id.as_str())));
        let done = self.send("/apps/jitgate-4711/installations", &fields).await;
        assert_eq!(done.status, 302, "{}", done.text);
        done.location.rsplit('/').next().unwrap().parse().unwrap()
    }

    fn installation_events(&self) -> Vec<(String, Value)> {
        let sent = self.bench.github.take_deliveries().into_iter().filter(|delivery| delivery.event == "installation");
        let payloads = sent.map(|delivery| serde_json::from_slice::<Value>(&delivery.body).unwrap());
        payloads
            .map(|payload| {
                let action = payload["action"].as_str().unwrap().to_owned();
                let schema = format!("webhook-installation-{}", action.replace('_', "-"));
                assert_eq!(payload_violations(&schema, &payload), Vec::<String>::new());
                (action, payload)
            })
            .collect()
    }
}

/// The value of a repository's checkbox.
fn id_of(page: &str, repository: &str) -> String {
    let before = page.split_once(&format!("acme/{repository}<")).unwrap().0;
    before.rsplit("value=\"").next().unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_installed_app_gets_tokens_jobs_and_word_of_it_and_can_uninstall_itself() {
    let person = Person::new().await;
    let app = person.app().await;
    let id = person.install(&[]).await;
    let created = person.installation_events();
    assert_eq!(created.iter().map(|(action, _)| action.as_str()).collect::<Vec<_>>(), ["created"]);
    let payload = &created[0].1;
    assert_eq!((&payload["installation"]["id"], &payload["sender"]["login"]), (&json!(id), &json!("mona")));
    assert_eq!(payload["repositories"].as_array().map(Vec::len), Some(2));

    let jwt = person.jwt(&app);
    let listed = body(person.bench.get("/app/installations", &jwt).await).await;
    assert_eq!((&listed[0]["id"], &listed[0]["account"]["login"]), (&json!(id), &json!("acme")));
    assert_eq!((&listed[0]["repository_selection"], &listed[0]["suspended_at"]), (&json!("all"), &Value::Null));
    assert_eq!((&listed[0]["permissions"], &listed[0]["events"]), (&app["permissions"], &json!(["workflow_job"])));
    let token = person.bench.call(Method::POST, &format!("/app/installations/{id}/access_tokens"), &jwt, None).await;
    let token = body(token).await["token"].as_str().unwrap().to_owned();
    assert_eq!(person.bench.get("/orgs/acme/actions/runners", &token).await.status(), 200);
    let repositories = body(person.bench.get("/installation/repositories", &token).await).await;
    assert_eq!(repositories["total_count"], 2);
    person.bench.github.queue_job(JobSpec::labels(["fargate"]).in_repository("acme", "rockets"));
    assert_eq!(person.bench.github.take_deliveries().len(), 1);

    let path = format!("/app/installations/{id}");
    assert_eq!(person.bench.call(Method::DELETE, &path, &jwt, None).await.status(), 204);
    assert_eq!(person.installation_events()[0].0, "deleted");
    assert_eq!(person.bench.call(Method::DELETE, &path, &jwt, None).await.status(), 404);
    assert_eq!(person.bench.get("/orgs/acme/actions/runners", &token).await.status(), 401);
    person.bench.github.queue_job(JobSpec::labels(["fargate"]).in_repository("acme", "rockets"));
    assert!(person.bench.github.take_deliveries().is_empty());
    person.bench.github.assert_spoke_github();
}

#[tokio::test]
async fn an_installation_on_some_repositories_hears_of_no_others() {
    let person = Person::new().await;
    let app = person.app().await;
    let page = person.see("/apps/jitgate-4711/installations/new").await;
    let none = [("target_id", page.field("target_id")), ("install_target", "selected".to_owned())];
    let none: Vec<(&str, &str)> = none.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(person.send("/apps/jitgate-4711/installations", &none).await.status, 422);
    person.install(&["rockets"]).await;
    person.bench.github.take_deliveries();
    let listed = body(person.bench.get("/app/installations", &person.jwt(&app)).await).await;
    assert_eq!(listed[0]["repository_selection"], "selected");
    person.bench.github.queue_job(JobSpec::labels(["fargate"]).in_repository("acme", "gardens"));
    assert!(person.bench.github.take_deliveries().is_empty());
    person.bench.github.queue_job(JobSpec::labels(["fargate"]).in_repository("acme", "rockets"));
    assert_eq!(person.bench.github.take_deliveries().len(), 1);
    let again = person.see("/apps/jitgate-4711/installations/new").await;
    assert_eq!(again.status, 302, "an installed App leads to its installation");
    assert!(person.see(&again.location).await.text.contains("acme/rockets"));
}

#[tokio::test]
async fn an_owner_uninstalls_and_others_see_nothing() {
    let person = Person::new().await;
    person.app().await;
    let id = person.install(&[]).await;
    person.installation_events();
    let page = format!("/organizations/acme/settings/installations/{id}");
    person.bench.github.sign_in("hubot");
    assert_eq!(person.see(&page).await.status, 404);
    assert_eq!(person.see("/apps/jitgate-4711").await.status, 404, "a private App is its owner's to see");
    assert_eq!(person.see("/apps/jitgate-4711/installations/new").await.status, 404);
    assert_eq!(person.send(&page, &[("_method", "delete")]).await.status, 404);
    person.bench.github.sign_in("mona");
    assert!(person.see(&page).await.text.contains("Uninstall"));
    assert_eq!(person.send(&page, &[("_method", "delete")]).await.status, 302);
    assert_eq!(person.installation_events()[0].0, "deleted");
    assert_eq!(person.see(&page).await.status, 404);
}

#[tokio::test]
async fn an_installation_keeps_its_permissions_until_an_owner_accepts_new_ones() {
    let person = Person::new().await;
    let app = person.app().await;
    let id = person.install(&[]).await;
    person.installation_events();
    let jwt = person.jwt(&app);
    let granted = async || body(person.bench.get("/app/installations", &jwt).await).await[0]["permissions"].clone();
    let wanted = [("actions", "read"), ("metadata", "read"), ("organization_hooks", "write")];
    assert!(person.bench.github.ask_for("jitgate-4711", &wanted));
    assert!(!person.bench.github.ask_for("another", &wanted));
    assert_eq!(granted().await, app["permissions"]);
    let page = format!("/organizations/acme/settings/installations/{id}");
    assert!(person.see(&page).await.text.contains("Accept new permissions"));
    assert_eq!(person.send(&page, &[("_method", "put")]).await.status, 302);
    assert_eq!(person.installation_events()[0].0, "new_permissions_accepted");
    assert_eq!(granted().await["organization_hooks"], "write");
    assert!(!person.see(&page).await.text.contains("Accept new permissions"));
}

#[tokio::test]
async fn a_public_app_is_installed_by_users_without_what_only_organizations_have() {
    let person = Person::new().await;
    let mut public = manifest();
    public["public"] = json!(true);
    let (_, app) = person.convert(&person.create(&public).await.parameter("code").unwrap()).await;
    let page = person.see("/apps/jitgate-4711/installations/new").await;
    assert!(page.text.contains("Where do you want to install"), "{}", page.text);
    person.bench.github.sign_in("hubot");
    person.bench.github.add_repository("hubot", "dotfiles");
    person.install(&[]).await;
    let jwt = person.jwt(&app);
    let found = body(person.bench.get("/users/hubot/installation", &jwt).await).await;
    assert_eq!(found["permissions"], json!({ "actions": "read", "metadata": "read" }));
    assert_eq!(found["target_type"], "User");
    assert_eq!(person.bench.get("/orgs/acme/installation", &jwt).await.status(), 404);
    assert!(person.bench.github.delete_app("jitgate-4711"));
    assert!(!person.bench.github.delete_app("jitgate-4711"));
    assert!(person.bench.github.apps().is_empty());
}
