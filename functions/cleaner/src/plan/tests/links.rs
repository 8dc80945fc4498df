//! What belongs to a task.

use super::*;

#[test]
fn a_task_belongs_to_the_place_where_its_runner_is_registered() {
    let is_at = |scope: Scope, task: &TaskView| {
        let mut listed = place(vec![]);
        listed.place.scope = scope;
        let seen = Seen { places: vec![listed], live: vec![task.clone()], ..Seen::default() };
        // A registration is known to be gone only if its place was listed.
        look(NOW, &seen, |world| !plan_cleanup(&world).is_empty())
    };
    let organization = |login: &str| Scope::Organization(login.to_owned());
    let repository = |owner: &str, name: &str| Scope::Repository { owner: owner.to_owned(), name: name.to_owned() };
    let enterprise = || Scope::Enterprise("acme".to_owned());
    let tagged = task("jit-42-1", Some(7), OLD);
    assert!(is_at(organization("Octo-Org"), &tagged));
    assert!(!is_at(organization("repo"), &tagged));
    assert!(is_at(repository("Octo-Org", "Repo"), &tagged));
    assert!(!is_at(repository("octo-org", "other"), &tagged));
    assert!(!is_at(enterprise(), &tagged), "its owner may be a user");
    let with_message = TaskView { message: Some(message()), repository: None, ..tagged };
    assert!(is_at(organization("octo-org"), &with_message));
    assert!(is_at(enterprise(), &with_message));
    let mut of_user = message();
    of_user.job.organization = None;
    assert!(!is_at(enterprise(), &TaskView { message: Some(of_user), ..with_message }));
}

#[test]
fn a_job_on_a_runner_of_another_place_says_nothing_about_one_with_the_same_id() {
    let at = |login: &str, name: &str| {
        let mut seen = place(vec![runner(7, name, RunnerStatus::Online, false)]);
        seen.place.scope = Scope::Organization(login.to_owned());
        seen
    };
    let (ours, others) = (born(OLD), born(OLD).replace("-42-", "-43-"));
    let places = vec![at("octo-org", &ours), at("other", &others)];
    let live = vec![TaskView { idle_since: Some(NOW - OLD), ..task("jit-42-1", Some(7), OLD) }];
    let working = HashMap::from([(others, Working { job: JobId(43), repository: "other/repo".to_owned() })]);
    let seen = Seen { places, live, working, ..Seen::default() };
    let actions = look(NOW, &seen, |world| plan_cleanup(&world));
    assert!(actions.iter().any(|action| matches!(action, Action::Retire { place: 0, .. })), "{actions:?}");
}

#[test]
fn the_job_on_a_swapped_runner_is_named_where_it_names_its_runner() {
    let busy = vec![runner(7, &born(OLD), RunnerStatus::Online, true)];
    let live = vec![TaskView { message: Some(message()), ..task("jit-42-1", Some(7), Duration::minutes(6)) }];
    let mut sight = Sight { runners: busy, live, ..Sight::default() };
    let working = |job| Working { job: JobId(job), repository: "octo-org/other".to_owned() };
    sight.working.insert(born(OLD), working(99));
    let questions = sight.questions(NOW);
    assert_eq!(questions[0].swapped, Some(working(99)));
    sight.working.insert(born(OLD), working(42));
    assert_eq!(sight.questions(NOW), [], "it has its own job");
}
