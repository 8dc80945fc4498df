//! Identities and permissions.

use super::*;

#[tokio::test]
async fn an_app_proves_itself_with_a_fresh_jwt_of_ten_minutes_at_most() {
    let bench = Bench::new().await;
    let now = START.unix_timestamp();
    for issuer in [json!(CLIENT_ID), json!(APP_ID), json!(APP_ID.to_string())] {
        let jwt = Bench::jwt_of(&issuer, now - 60, now + 540);
        assert_eq!(bench.get("/app", &jwt).await.status(), 200, "{issuer}");
    }
    for (issuer, iat, exp) in
        [(json!(APP_ID), now + 1, now + 60), (json!(APP_ID), now, now + 601), (json!(APP_ID), now - 120, now)]
    {
        let jwt = Bench::jwt_of(&issuer, iat, exp);
        assert_eq!(bench.get("/app", &jwt).await.status(), 401, "{issuer} {iat} {exp}");
    }
    let unknown = bench.get("/app", &Bench::jwt_of(&json!("another"), now, now + 60)).await;
    assert_eq!(refusal(unknown).await, (StatusCode::NOT_FOUND, "Integration not found".to_owned()));
    let stranger = AppKey::generate();
    let key = EncodingKey::from_rsa_pem(stranger.private_pem.as_bytes()).unwrap();
    let claims = json!({ "iss": APP_ID, "iat": now, "exp": now + 60 });
    let forged = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap();
    assert_eq!(bench.get("/app", &forged).await.status(), 401);
}

#[tokio::test]
async fn the_same_jwt_twice_in_a_second_fails_if_configured() {
    let bench = Bench::new().await;
    let jwt = bench.jwt();
    assert_eq!(bench.get("/app", &jwt).await.status(), 200);
    assert_eq!(bench.get("/app", &jwt).await.status(), 200);
    bench.github.behave(|behaviour| behaviour.identical_jwt_fails = true);
    assert_eq!(bench.get("/app", &jwt).await.status(), 404);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.get("/app", &jwt).await.status(), 200);
}

#[tokio::test]
async fn a_token_lasts_an_hour_and_opens_its_own_account_only() {
    let bench = Bench::new().await;
    bench.github.add_organization("acme");
    let token = bench.token().await;
    assert_eq!(bench.get("/orgs/octo-org/actions/runners", &token).await.status(), 200);
    assert_eq!(bench.get("/orgs/acme/actions/runners", &token).await.status(), 404);
    assert_eq!(bench.get("/app", &token).await.status(), 401);
    let jwt_elsewhere = bench.get("/orgs/octo-org/actions/runners", &bench.jwt()).await;
    assert_eq!(refusal(jwt_elsewhere).await, (StatusCode::FORBIDDEN, "Resource not accessible by integration".into()));
    bench.clock.advance(Duration::from_secs(3599));
    assert_eq!(bench.get("/orgs/octo-org/actions/runners", &token).await.status(), 200);
    bench.clock.advance(Duration::from_secs(1));
    let late = bench.get("/orgs/octo-org/actions/runners", &token).await;
    assert_eq!(refusal(late).await, (StatusCode::UNAUTHORIZED, "Bad credentials".to_owned()));
    assert_eq!(bench.http.get(bench.endpoint.url() + "/app").send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_token_can_be_narrowed_but_not_widened() {
    let bench = Bench::new().await;
    bench.github.add_repository("octo-org", "rockets");
    bench.github.add_repository("octo-org", "gardens");
    let narrow = json!({ "permissions": { "actions": "read" }, "repositories": ["rockets"] });
    let answer = bench.token_with(Some(narrow)).await;
    assert_eq!(answer.status(), 201);
    let answer = body(answer).await;
    assert_eq!(answer["permissions"], json!({ "actions": "read" }));
    assert_eq!(answer["repositories"][0]["full_name"], "octo-org/rockets");
    let token = answer["token"].as_str().unwrap();
    let lacking = bench.register(token, "jit-1", &["fargate"]).await;
    assert_eq!(lacking.headers()["x-accepted-github-permissions"], "organization_self_hosted_runners=write");
    assert_eq!(refusal(lacking).await.0, 403);
    assert_eq!(bench.get("/repos/octo-org/rockets/actions/runs", token).await.status(), 200);
    assert_eq!(bench.get("/repos/octo-org/gardens/actions/runs", token).await.status(), 404);
    for wide in [json!({ "permissions": { "contents": "write" } }), json!({ "repositories": ["elsewhere"] })] {
        assert_eq!(bench.token_with(Some(wide)).await.status(), 422);
    }
    bench.github.grant(INSTALLATION, &[("organization_self_hosted_runners", "read")]);
    let token = bench.token().await;
    assert_eq!(bench.get("/orgs/octo-org/actions/runners", &token).await.status(), 200);
    assert_eq!(bench.register(&token, "jit-1", &["fargate"]).await.status(), 403);
}

#[tokio::test]
async fn installations_are_found_by_owner_and_listed_in_pages() {
    let bench = Bench::new().await;
    bench.github.add_user("mona");
    let of_mona = bench.github.install_app("mona");
    bench.github.add_repository("mona", "hello");
    let jwt = bench.jwt();
    for (path, id) in [
        ("/orgs/octo-org/installation", Some(77)),
        ("/users/mona/installation", Some(of_mona.0)),
        ("/repos/mona/hello/installation", Some(of_mona.0)),
        ("/orgs/mona/installation", None),
        ("/orgs/nobody/installation", None),
        ("/repos/mona/unknown/installation", None),
    ] {
        let answer = bench.get(path, &jwt).await;
        let found = if answer.status() == 404 { None } else { body(answer).await["id"].as_u64() };
        assert_eq!(found, id, "{path}");
    }
    let first = bench.get("/app/installations?per_page=1", &jwt).await;
    let link = first.headers()["link"].to_str().unwrap().to_owned();
    assert!(link.contains("page=2>; rel=\"next\""), "{link}");
    assert_eq!(body(first).await.as_array().unwrap().len(), 1);
    bench.github.suspend(of_mona);
    let path = format!("/app/installations/{of_mona}/access_tokens");
    assert_eq!(bench.call(Method::POST, &path, &jwt, None).await.status(), 403);
    bench.github.uninstall(of_mona);
    assert_eq!(bench.call(Method::POST, &path, &jwt, None).await.status(), 404);
}

#[tokio::test]
async fn an_installation_token_lists_its_repositories_in_pages() {
    let bench = Bench::new().await;
    bench.github.add_organization("acme");
    bench.github.add_repository("acme", "elsewhere");
    for name in ["one", "two", "three"] {
        bench.github.add_repository("octo-org", name);
    }
    let names = async |path: &str, token: &str| -> (u64, Vec<String>, bool) {
        let answer = bench.get(path, token).await;
        let has_next = answer.headers().get("link").is_some_and(|link| link.to_str().unwrap().contains("rel=\"next\""));
        let answer = body(answer).await;
        let names = answer["repositories"].as_array().unwrap().iter().map(|each| each["name"].as_str().unwrap().into());
        (answer["total_count"].as_u64().unwrap(), names.collect(), has_next)
    };
    let token = bench.token().await;
    let (total, first, more) = names("/installation/repositories?per_page=2", &token).await;
    assert_eq!((total, first.len(), more), (3, 2, true));
    let (total, second, more) = names("/installation/repositories?per_page=2&page=2", &token).await;
    assert_eq!((total, second.len(), more), (3, 1, false));
    assert_ne!(first[0], second[0]);
    let narrow = body(bench.token_with(Some(json!({ "repositories": ["one"] }))).await).await["token"].clone();
    assert_eq!(names("/installation/repositories", narrow.as_str().unwrap()).await.1, ["one"]);
    bench.github.select_repositories(INSTALLATION, &["two"]);
    assert_eq!(names("/installation/repositories", &token).await.1, ["two"]);
    bench.github.add_personal_token("ghp_one", &["admin:org", "repo"]);
    for other in [bench.jwt(), "ghp_one".to_owned()] {
        assert_eq!(bench.get("/installation/repositories", &other).await.status(), 403);
    }
    bench.github.suspend(INSTALLATION);
    assert_eq!(bench.get("/installation/repositories", &token).await.status(), 403);
    bench.github.uninstall(INSTALLATION);
    assert_eq!(bench.get("/installation/repositories", &token).await.status(), 401);
}

#[tokio::test]
async fn a_personal_token_lists_its_users_organizations_in_pages() {
    let bench = Bench::new().await;
    bench.github.add_organization("acme");
    bench.github.add_user("mona");
    bench.github.add_personal_token("ghp_admin", &["admin:org"]);
    bench.github.add_personal_token("ghp_repo", &["repo"]);
    let logins = async |path: &str| -> Vec<String> {
        let answer = body(bench.get(path, "ghp_admin").await).await;
        answer.as_array().unwrap().iter().map(|each| each["login"].as_str().unwrap().into()).collect()
    };
    let mut all = logins("/user/orgs?per_page=1").await;
    all.extend(logins("/user/orgs?per_page=1&page=2").await);
    all.sort();
    assert_eq!(all, ["acme", "octo-org"]);
    assert!(logins("/user/orgs?per_page=1&page=3").await.is_empty());
    let first = bench.get("/user/orgs?per_page=1", "ghp_admin").await;
    assert!(first.headers()["link"].to_str().unwrap().contains("page=2>; rel=\"next\""));
    assert_eq!(bench.get("/user/orgs", "ghp_repo").await.status(), 403);
    assert_eq!(bench.get("/user/orgs", &bench.token().await).await.status(), 403);
}

#[tokio::test]
async fn scopes_are_apart() {
    let bench = Bench::new().await;
    bench.github.add_repository("octo-org", "rockets");
    bench.github.add_user("mona");
    bench.github.add_repository("mona", "hello");
    let of_mona = bench.github.install_app("mona");
    bench.github.add_personal_token("ghp_enterprise", &["manage_runners:enterprise"]);
    let token = bench.token().await;
    assert_eq!(bench.register(&token, "jit-1", &["fargate"]).await.status(), 201);
    assert_eq!(bench.register_at("/repos/octo-org/rockets", &token, "jit-1", &["fargate"]).await.status(), 201);
    assert_eq!(bench.register_at("/enterprises/octo", &token, "jit-1", &["fargate"]).await.status(), 403);
    assert_eq!(bench.register_at("/enterprises/octo", "ghp_enterprise", "jit-1", &["fargate"]).await.status(), 201);
    assert_eq!(bench.register("ghp_enterprise", "jit-2", &["fargate"]).await.status(), 403);
    let path = format!("/app/installations/{of_mona}/access_tokens");
    let token = body(bench.call(Method::POST, &path, &bench.jwt(), None).await).await["token"].clone();
    let token = token.as_str().unwrap();
    assert_eq!(bench.register_at("/repos/mona/hello", token, "jit-1", &["fargate"]).await.status(), 201);
    assert_eq!(bench.register_at("/orgs/mona", token, "jit-2", &["fargate"]).await.status(), 404);
}
