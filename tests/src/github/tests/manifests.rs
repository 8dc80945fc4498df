//! What GitHub says of a manifest.

use super::person::{Person, manifest};
use super::*;

#[tokio::test]
async fn a_manifest_is_refused_in_githubs_words() {
    let person = Person::new().await;
    for (pointer, value, problem) in [
        ("/url", Value::Null, "\"url\" is not a string."),
        ("/url", json!("jitgate"), "\"url\" is not a valid URL."),
        ("/homepage", json!("https://jitgate.example"), "\"homepage\" is not a permitted key."),
        ("/name", json!("a".repeat(35)), "Name is too long (maximum is 34 characters)"),
        ("/public", json!("no"), "\"public\" is not a boolean."),
        ("/hook_attributes", json!({ "active": false }), "\"url\" wasn't supplied."),
        ("/hook_attributes/secret", json!("s"), "\"secret\" is not a permitted key."),
        (
            "/hook_attributes/url",
            json!("http://localhost:3000/"),
            "isn't reachable over the public Internet (localhost)",
        ),
        ("/hook_attributes/url", json!("http://127.0.0.1:3/"), "isn't reachable over the public Internet (127.0.0.1)"),
        ("/default_permissions/runners", json!("write"), "resource is not included in the list"),
        ("/default_permissions/actions", json!("admin"), "action is not included in the list"),
        ("/default_permissions", json!({}), "Default events are not supported by permissions: workflow_job"),
        ("/default_events", json!(["installation"]), "Default events unsupported: installation"),
        ("/callback_urls", json!(vec!["u"; 11]), "\"callback_urls\" is not an array of at most 10 strings."),
    ] {
        let mut wrong = manifest();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        wrong.pointer_mut(parent).unwrap()[key] = value;
        let page = person.propose(&wrong).await;
        assert_eq!(page.status, 422, "{pointer}");
        assert!(page.text.contains("Invalid GitHub App configuration"), "{pointer}");
        let said = page.text.replace("&quot;", "\"");
        assert!(said.contains(problem), "{pointer}: {said}");
    }
    let without_url = json!({ "name": "jitgate-4711" });
    assert!(person.propose(&without_url).await.text.contains("url&quot; wasn't supplied."));
    assert_eq!(person.propose(&json!("text")).await.status, 422);
    assert!(person.bench.github.apps().is_empty());
}

#[tokio::test]
async fn a_redirect_may_lead_to_loopback_and_the_name_is_the_users_to_choose() {
    let person = Person::new().await;
    let page = person.propose(&manifest()).await;
    assert_eq!((page.status, page.field("name").as_str()), (200, "jitgate-4711"));
    let token = page.field("authenticity_token");
    let path = "/organizations/acme/settings/apps/manifest";
    for (name, problem) in [("a".repeat(35).as_str(), "too long"), (" ", "blank"), ("Mona", "already been taken")] {
        let page = person.send(path, &[("authenticity_token", &token), ("name", name)]).await;
        assert_eq!(page.status, 422);
        assert!(page.text.contains(problem), "{}", page.text);
    }
    let back = person.send(path, &[("authenticity_token", &token), ("name", "Our  Runners!")]).await;
    assert_eq!(back.status, 302);
    assert!(back.location.starts_with("http://127.0.0.1:4711/done?step=2&code="), "{}", back.location);
    assert_eq!(back.parameter("state").as_deref(), Some("s1"));
    let app = &person.bench.github.apps()[0];
    assert_eq!((app.name.as_str(), app.slug.as_str(), app.owner.as_str()), ("Our  Runners!", "our-runners", "acme"));
    assert_eq!(person.send(path, &[("authenticity_token", &token), ("name", "another")]).await.status, 404);
    let second = person.propose(&manifest()).await.field("authenticity_token");
    let page = person.send(path, &[("authenticity_token", &second), ("name", "our runners")]).await;
    assert!(page.text.contains("Name has already been taken"), "{}", page.text);
}

#[tokio::test]
async fn only_an_owner_can_create_an_app_for_an_organization() {
    let person = Person::new().await;
    person.bench.github.add_user("hubot");
    person.bench.github.sign_in("hubot");
    assert_eq!(person.propose(&manifest()).await.status, 404);
    let own = person.send("/settings/apps/new", &[("manifest", &manifest().to_string())]).await;
    assert_eq!(own.status, 200);
    person.bench.github.sign_out();
    let page = person.propose(&manifest()).await;
    assert_eq!((page.status, page.location.starts_with("/login?return_to=")), (302, true));
    let page = person.see(&page.location).await;
    assert!(page.text.contains("Sign in to GitHub"));
    let back = person.send("/session", &[("login", "mona"), ("return_to", "/settings/apps")]).await;
    assert_eq!((back.status, back.location.as_str()), (302, "/settings/apps"));
    assert_eq!(person.see(&back.location).await.status, 200);
}

#[tokio::test]
async fn a_manifests_flow_lasts_an_hour_and_a_code_is_good_once() {
    let person = Person::new().await;
    let page = person.propose(&manifest()).await;
    let token = page.field("authenticity_token");
    person.bench.clock.advance(Duration::from_hours(1));
    let path = "/organizations/acme/settings/apps/manifest";
    assert_eq!(person.send(path, &[("authenticity_token", &token), ("name", "late")]).await.status, 404);
    let code = person.create(&manifest()).await.parameter("code").unwrap();
    person.bench.clock.advance(Duration::from_mins(59));
    assert_eq!(person.convert(&code).await.0, 201);
    assert_eq!(person.convert(&code).await.0, 404);
    let mut other = manifest();
    other["name"] = json!("jitgate-2");
    let code = person.create(&other).await.parameter("code").unwrap();
    person.bench.clock.advance(Duration::from_hours(1));
    assert_eq!(person.convert(&code).await.0, 404);
    assert_eq!(person.convert("unknown").await.0, 404);
}

#[tokio::test]
async fn github_takes_sixty_calls_an_hour_without_a_sign_in() {
    let person = Person::new().await;
    for _ in 0..60 {
        assert_eq!(person.convert("unknown").await.0, 404);
    }
    assert_eq!(person.convert("unknown").await.0, 403);
    person.bench.clock.advance(Duration::from_hours(1));
    assert_eq!(person.convert("unknown").await.0, 404);
}
