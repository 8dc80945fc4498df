//! Rate limits.

use super::*;

#[tokio::test]
async fn the_secondary_limit_counts_points_in_a_sliding_window() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    for number in 0..180 {
        assert_eq!(bench.register(&token, &format!("jit-{number}"), &["fargate"]).await.status(), 201);
    }
    let refused = bench.get("/orgs/octo-org/actions/runners", &token).await;
    assert_eq!(refused.headers()["retry-after"], "60");
    let (status, message) = refusal(refused).await;
    assert_eq!((status, message.contains("secondary rate limit")), (StatusCode::FORBIDDEN, true));
    // The App itself has its own window.
    assert_eq!(bench.get("/app", &bench.jwt()).await.status(), 200);
    bench.clock.advance(Duration::from_mins(1));
    assert_eq!(bench.get("/orgs/octo-org/actions/runners", &token).await.status(), 200);
    let meter = &bench.github.meters()["installation 77"];
    assert_eq!((meter.permitted, meter.refused, meter.points, meter.writes), (181, 1, 901, 180));
}

#[tokio::test]
async fn the_secondary_limit_can_be_scaled_and_may_keep_silent_about_the_wait() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    bench.github.limit(|limits| {
        limits.secondary = Some(Secondary {
            points: 10,
            counting: Counting::Sliding,
            window: Duration::from_secs(2),
            status: 429,
            retry_after: false,
            refused_cost: true,
        });
    });
    for name in ["jit-1", "jit-2"] {
        assert_eq!(bench.register(&token, name, &["fargate"]).await.status(), 201);
    }
    bench.clock.advance(Duration::from_secs(1));
    let refused = bench.register(&token, "jit-3", &["fargate"]).await;
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (429, false));
    bench.github.limit(|limits| limits.secondary.as_mut().unwrap().retry_after = true);
    let refused = bench.register(&token, "jit-3", &["fargate"]).await;
    // The refused calls are in the window, too.
    assert_eq!(refused.headers()["retry-after"], "2");
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.register(&token, "jit-3", &["fargate"]).await.status(), 201);
}

#[tokio::test]
async fn the_secondary_limit_may_count_in_a_bucket_or_in_fixed_minutes() {
    for (counting, wait, after_half_a_minute) in [(Counting::Bucket, "5", 6), (Counting::Fixed, "50", 0)] {
        let bench = Bench::new().await;
        let token = bench.token().await;
        bench.github.limit(|limits| {
            limits.secondary = Some(Secondary { points: 60, counting, refused_cost: false, ..Secondary::default() });
        });
        // Ten seconds into a minute of the clock.
        let into = bench.clock.now().unix_timestamp() % 60;
        bench.clock.advance(Duration::from_secs(u64::try_from(70 - into).unwrap()));
        let register = async |batch: &str| {
            for number in 0.. {
                let answer = bench.register(&token, &format!("jit-{batch}-{number}"), &["fargate"]).await;
                if answer.status() != 201 {
                    return (number, answer.headers()["retry-after"].to_str().unwrap().to_owned());
                }
            }
            unreachable!()
        };
        assert_eq!(register("a").await, (12, wait.to_owned()), "{counting:?}");
        bench.clock.advance(Duration::from_secs(30));
        assert_eq!(register("b").await.0, after_half_a_minute, "{counting:?}");
        bench.clock.advance(Duration::from_mins(1));
        assert_eq!(register("c").await.0, 12, "{counting:?}");
    }
}

#[tokio::test]
async fn every_answer_tells_what_is_left_of_the_hour() {
    let bench = Bench::new().await;
    bench.github.limit(|limits| limits.primary = 2);
    let token = bench.token().await;
    let path = "/orgs/octo-org/actions/runners";
    let header = |answer: &Response, name: &str| answer.headers()[name].to_str().unwrap().parse::<i64>().unwrap();
    let reset = (START + Duration::from_hours(1)).unix_timestamp();
    for remaining in [1, 0] {
        let answer = bench.get(path, &token).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-ratelimit-limit"), 2);
        assert_eq!(header(&answer, "x-ratelimit-remaining"), remaining);
        assert_eq!(header(&answer, "x-ratelimit-used"), 2 - remaining);
        assert_eq!(header(&answer, "x-ratelimit-reset"), reset);
    }
    let refused = bench.get(path, &token).await;
    assert_eq!((header(&refused, "x-ratelimit-remaining"), header(&refused, "x-ratelimit-reset")), (0, reset));
    assert_eq!(refusal(refused).await.0, 403);
    bench.clock.advance(Duration::from_hours(1));
    let token = bench.token().await;
    assert_eq!(bench.get(path, &token).await.status(), 200);
}

#[tokio::test]
async fn asking_what_is_left_costs_nothing() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    assert_eq!(bench.get("/orgs/octo-org/actions/runners", &token).await.status(), 200);
    for _ in 0..2 {
        let answer: Value = bench.get("/rate_limit", &token).await.json().await.unwrap();
        assert_eq!(answer["resources"]["core"]["remaining"], 4_999);
    }
    bench.github.limit(|limits| limits.primary = 1);
    assert_eq!(bench.get("/orgs/octo-org/actions/runners", &token).await.status(), 403);
    let answer: Value = bench.get("/rate_limit", &token).await.json().await.unwrap();
    assert_eq!(answer["resources"]["core"]["remaining"], 0);
}
