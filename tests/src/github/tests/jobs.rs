//! Jobs, runs, and who takes them.

use super::*;

#[tokio::test]
async fn a_runner_takes_the_oldest_job_that_it_has_all_labels_of_and_only_one() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let large = bench.github.queue_job(JobSpec::labels(["fargate", "large"]));
    let first = bench.github.queue_job(JobSpec::labels(["Fargate"]));
    let second = bench.github.queue_job(JobSpec::labels(["fargate"]));
    let runner = bench.online(&token, "jit-1", &["fargate", "arm"]).await;
    assert_eq!(bench.github.take_job(runner).unwrap().unwrap().id, first);
    assert!(bench.github.take_job(runner).unwrap().is_none());
    assert_eq!(bench.github.job(large).unwrap().status, JobStatus::Queued);
    bench.github.finish_job(runner, "success");
    assert_eq!(bench.github.take_job(runner).unwrap_err(), Gone);
    let job = bench.github.job(first).unwrap();
    assert_eq!((job.status, job.conclusion.as_deref()), (JobStatus::Completed, Some("success")));
    assert_eq!(job.runner_name.as_deref(), Some("jit-1"));
    let path = format!("/repos/octo-org/octo-repo/actions/jobs/{second}");
    assert_eq!(body(bench.get(&path, &token).await).await["status"], "queued");
    let offline = bench.github.orphan(&Scope::org("octo-org"), "jit-2", &["fargate"], false);
    assert!(bench.github.take_job(offline).unwrap().is_none());
}

#[tokio::test]
async fn groups_and_scopes_bound_what_a_runner_may_take() {
    let bench = Bench::new().await;
    let org = Scope::org("octo-org");
    let group = bench.github.add_runner_group(&org, "rockets only", Some(&["rockets"]));
    let online = |scope: &Scope, name: &str, group: u64| {
        let (mut state, now) = bench.github.state();
        let id = state.register(scope, group, name.to_owned(), vec!["fargate".to_owned()], now);
        state.connect(id, now).unwrap();
        id
    };
    let gardens = bench.github.queue_job(JobSpec::labels(["fargate"]).in_repository("octo-org", "gardens"));
    assert!(bench.github.take_job(online(&org, "jit-1", group)).unwrap().is_none());
    let elsewhere = Scope::repo("octo-org", "rockets");
    assert!(bench.github.take_job(online(&elsewhere, "jit-2", 1)).unwrap().is_none());
    let there = Scope::repo("octo-org", "gardens");
    assert_eq!(bench.github.take_job(online(&there, "jit-3", 1)).unwrap().unwrap().id, gardens);
    let grouped =
        bench.github.queue_job(JobSpec::labels(["fargate"]).in_repository("octo-org", "rockets").in_group(group));
    assert!(bench.github.take_job(online(&org, "jit-4", 1)).unwrap().is_none());
    assert_eq!(bench.github.take_job(online(&org, "jit-5", group)).unwrap().unwrap().id, grouped);
    let token = bench.token().await;
    let groups = body(bench.get("/orgs/octo-org/actions/runner-groups", &token).await).await;
    assert_eq!(groups["total_count"], 2);
}

#[tokio::test]
async fn a_group_is_visible_to_the_repositories_that_it_admits() {
    let bench = Bench::new().await;
    let org = Scope::org("octo-org");
    let some = bench.github.add_runner_group(&org, "rockets only", Some(&["rockets"]));
    let private = bench.github.add_runner_group(&org, "private", None);
    bench.github.close_to_public(&org, private);
    bench.github.publish("octo-org", "gardens");
    bench.github.add_repository("octo-org", "rockets");
    let token = bench.token().await;
    for (name, visible) in [("rockets", vec![1, some, private]), ("gardens", vec![1])] {
        let path = format!("/orgs/octo-org/actions/runner-groups?visible_to_repository={name}");
        let groups = body(bench.get(&path, &token).await).await;
        let ids: Vec<_> = groups["runner_groups"].as_array().unwrap().iter().map(|group| &group["id"]).collect();
        assert_eq!(json!(ids), json!(visible), "{name}");
    }
}

#[tokio::test]
async fn a_killed_runner_stays_registered_and_its_job_is_lost_later() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let runner = bench.online(&token, "jit-1", &["fargate"]).await;
    let job = bench.github.queue_job(JobSpec::labels(["fargate"]));
    bench.github.take_job(runner).unwrap().unwrap();
    bench.github.kill(runner);
    assert_eq!(bench.github.job(job).unwrap().status, JobStatus::InProgress);
    bench.clock.advance(Duration::from_mins(10));
    assert_eq!(bench.github.job(job).unwrap().conclusion.as_deref(), Some("failure"));
    assert!(!bench.github.runner(runner).unwrap().online);
}

#[tokio::test]
async fn unused_runners_and_queued_jobs_expire_after_a_day() {
    let bench = Bench::new().await;
    let runner = bench.github.orphan(&Scope::org("octo-org"), "jit-1", &["fargate"], false);
    let job = bench.github.queue_job(JobSpec::labels(["large"]));
    bench.clock.advance(Duration::from_hours(24) - Duration::from_secs(1));
    assert!(bench.github.runner(runner).is_some());
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.github.runner(runner).is_none());
    assert_eq!(bench.github.job(job).unwrap().status, JobStatus::Completed);
}

#[tokio::test]
async fn a_cancelled_job_frees_its_runner() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let runner = bench.online(&token, "jit-1", &["fargate"]).await;
    let job = bench.github.queue_job(JobSpec::labels(["fargate"]));
    bench.github.take_job(runner).unwrap().unwrap();
    bench.github.cancel_job(job);
    assert!(bench.github.runner(runner).is_none());
    let queued = bench.github.queue_job(JobSpec::labels(["fargate"]));
    bench.github.cancel_job(queued);
    let job = bench.github.job(queued).unwrap();
    assert_eq!((job.conclusion.as_deref(), job.runner_id), (Some("cancelled"), None));
}

#[tokio::test]
async fn runs_are_found_by_status_and_may_be_closed_too_early() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let job = bench.github.queue_job(JobSpec::labels(["fargate"]));
    let run = bench.github.job(job).unwrap().run_id;
    let sibling = bench.github.queue_job(JobSpec::labels(["fargate"]).of_run(run));
    let queued = "/repos/octo-org/octo-repo/actions/runs?status=queued";
    assert_eq!(body(bench.get(queued, &token).await).await["workflow_runs"][0]["id"], json!(run));
    let jobs = body(bench.get(&format!("/repos/octo-org/octo-repo/actions/runs/{run}/jobs"), &token).await).await;
    assert_eq!((&jobs["jobs"][0]["id"], &jobs["jobs"][1]["id"]), (&json!(job), &json!(sibling)));
    bench.github.close_run(run);
    assert_eq!(body(bench.get(queued, &token).await).await["total_count"], 0);
    let path = format!("/repos/octo-org/octo-repo/actions/runs/{run}");
    assert_eq!(body(bench.get(&path, &token).await).await["status"], "completed");
    assert_eq!(bench.github.job(job).unwrap().status, JobStatus::Queued);
    assert_eq!(bench.get("/repos/octo-org/octo-repo/actions/jobs/1", &token).await.status(), 404);
}
