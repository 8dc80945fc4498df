//! Maps requests to calls.

use http::Method;
use reqwest::Url;

use super::hooks::HookTarget;
use super::scope::Scope;
use crate::wire::Request;

/// The names of calls, by which faults are scripted and calls counted.
pub mod operation {
    /// `POST /app/installations/{id}/access_tokens`
    pub const ACCESS_TOKEN: &str = "access-token";
    /// `GET /orgs/{org}/installation`, and the same for repositories and users.
    pub const GET_INSTALLATION: &str = "get-installation";
    /// `GET /app/installations`
    pub const LIST_INSTALLATIONS: &str = "list-installations";
    /// `GET /installation/repositories`
    pub const LIST_REPOSITORIES: &str = "list-repositories";
    /// `GET /user/orgs`
    pub const LIST_ORGANIZATIONS: &str = "list-organizations";
    /// `POST /app-manifests/{code}/conversions`
    pub const CONVERT_MANIFEST: &str = "convert-manifest";
    /// `DELETE /app/installations/{id}`
    pub const DELETE_INSTALLATION: &str = "delete-installation";
    /// `GET /app/hook/config`
    pub const GET_HOOK_CONFIG: &str = "get-hook-config";
    /// `PATCH /app/hook/config`
    pub const SET_HOOK_CONFIG: &str = "set-hook-config";
    /// A web page that is read.
    pub const SEE_PAGE: &str = "see-page";
    /// A form of a web page that is sent.
    pub const SEND_FORM: &str = "send-form";
    /// `GET /app`
    pub const GET_APP: &str = "get-app";
    /// `POST …/actions/runners/generate-jitconfig`
    pub const GENERATE_JITCONFIG: &str = "generate-jitconfig";
    /// `GET …/actions/runners`
    pub const LIST_RUNNERS: &str = "list-runners";
    /// `GET …/actions/runners/{id}`
    pub const GET_RUNNER: &str = "get-runner";
    /// `DELETE …/actions/runners/{id}`
    pub const DELETE_RUNNER: &str = "delete-runner";
    /// `GET …/actions/runner-groups`
    pub const LIST_RUNNER_GROUPS: &str = "list-runner-groups";
    /// `GET …/actions/runners/deprecations/{version}`
    pub const RUNNER_DEPRECATIONS: &str = "runner-deprecations";
    /// `GET …/actions/jobs/{id}`
    pub const GET_JOB: &str = "get-job";
    /// `GET …/actions/runs`
    pub const LIST_RUNS: &str = "list-runs";
    /// `GET …/actions/runs/{id}`
    pub const GET_RUN: &str = "get-run";
    /// `GET …/actions/runs/{id}/jobs`
    pub const LIST_RUN_JOBS: &str = "list-run-jobs";
    /// `POST …/check-runs`
    pub const CREATE_CHECK_RUN: &str = "create-check-run";
    /// `PATCH …/check-runs/{id}`
    pub const UPDATE_CHECK_RUN: &str = "update-check-run";
    /// `GET …/commits/{ref}/check-runs`
    pub const LIST_CHECK_RUNS: &str = "list-check-runs";
    /// `GET …/hooks`
    pub const LIST_HOOKS: &str = "list-hooks";
    /// `GET …/hook/deliveries` of the App and `GET …/hooks/{id}/deliveries`
    pub const LIST_DELIVERIES: &str = "list-deliveries";
    /// `GET …/deliveries/{id}`
    pub const GET_DELIVERY: &str = "get-delivery";
    /// `POST …/deliveries/{id}/attempts`
    pub const REDELIVER: &str = "redeliver";
    /// `GET /rate_limit`
    pub const RATE_LIMIT: &str = "rate-limit";
    /// Anything else; answered 404.
    pub const UNKNOWN: &str = "unknown";
}

/// A call, with the parameters of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    App,
    RateLimit,
    /// A manifest's code becomes an App's credentials.
    Conversion(String),
    HookConfig,
    SetHookConfig,
    Installations,
    DeleteInstallation(u64),
    /// The repositories of the token's own installation.
    InstallationRepositories,
    /// The organisations of the token's own user.
    UserOrganizations,
    /// The App's installation on an organisation, a repository or a user.
    InstallationOf(Owner),
    AccessToken(u64),
    GenerateJitconfig(Scope),
    Runners(Scope),
    Runner(Scope, u64),
    DeleteRunner(Scope, u64),
    RunnerGroups(Scope),
    RunnerDeprecations(Scope, String),
    Job(Scope, u64),
    Runs(Scope),
    Run(Scope, u64),
    RunJobs(Scope, u64),
    CreateCheckRun(Scope),
    UpdateCheckRun(Scope, u64),
    /// Those of a commit.
    CheckRuns(Scope, String),
    Hooks(Scope),
    Deliveries(HookTarget, Option<u64>),
    Delivery(HookTarget, Option<u64>, u64),
    Redeliver(HookTarget, Option<u64>, u64),
}

/// Whose installation is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Organization(String),
    User(String),
    Repository(String, String),
}

impl Route {
    pub(super) fn of(request: &Request) -> Option<Self> {
        let path = request.uri().path();
        // GHES has all paths below this prefix.
        let path = path.strip_prefix("/api/v3").unwrap_or(path).trim_matches('/');
        let segments: Vec<&str> = path.split('/').collect();
        let method = request.method();
        match segments.as_slice() {
            ["installation", "repositories"] if method == Method::GET => Some(Self::InstallationRepositories),
            ["user", "orgs"] if method == Method::GET => Some(Self::UserOrganizations),
            ["rate_limit"] if method == Method::GET => Some(Self::RateLimit),
            ["app", rest @ ..] => Self::of_app(method, rest),
            ["app-manifests", code, "conversions"] if method == Method::POST => {
                Some(Self::Conversion((*code).to_owned()))
            }
            ["orgs", org, "installation"] if method == Method::GET => {
                Some(Self::InstallationOf(Owner::Organization((*org).to_owned())))
            }
            ["users", user, "installation"] if method == Method::GET => {
                Some(Self::InstallationOf(Owner::User((*user).to_owned())))
            }
            ["repos", owner, name, "installation"] if method == Method::GET => {
                Some(Self::InstallationOf(Owner::Repository((*owner).to_owned(), (*name).to_owned())))
            }
            ["orgs", org, "actions", rest @ ..] => Self::of_runners(method, Scope::org(org), rest),
            ["enterprises", slug, "actions", rest @ ..] => Self::of_runners(method, Scope::enterprise(slug), rest),
            ["repos", owner, name, "actions", rest @ ..] => {
                let scope = Scope::repo(owner, name);
                Self::of_runs(method, scope.clone(), rest).or_else(|| Self::of_runners(method, scope, rest))
            }
            ["orgs", org, "hooks", rest @ ..] => Self::of_hooks(method, HookTarget::Scope(Scope::org(org)), rest),
            ["repos", owner, name, "check-runs"] if method == Method::POST => {
                Some(Self::CreateCheckRun(Scope::repo(owner, name)))
            }
            ["repos", owner, name, "check-runs", id] if method == Method::PATCH => {
                Some(Self::UpdateCheckRun(Scope::repo(owner, name), id.parse().ok()?))
            }
            ["repos", owner, name, "commits", sha, "check-runs"] if method == Method::GET => {
                Some(Self::CheckRuns(Scope::repo(owner, name), (*sha).to_owned()))
            }
            ["repos", owner, name, "hooks", rest @ ..] => {
                Self::of_hooks(method, HookTarget::Scope(Scope::repo(owner, name)), rest)
            }
            _ => None,
        }
    }

    fn of_app(method: &Method, rest: &[&str]) -> Option<Self> {
        match (method.as_str(), rest) {
            ("GET", []) => Some(Self::App),
            ("GET", ["installations"]) => Some(Self::Installations),
            ("DELETE", ["installations", id]) => Some(Self::DeleteInstallation(id.parse().ok()?)),
            ("GET", ["hook", "config"]) => Some(Self::HookConfig),
            ("PATCH", ["hook", "config"]) => Some(Self::SetHookConfig),
            ("POST", ["installations", id, "access_tokens"]) => Some(Self::AccessToken(id.parse().ok()?)),
            (_, ["hook", rest @ ..]) => Self::of_deliveries(method, HookTarget::App, None, rest),
            _ => None,
        }
    }

    fn of_runners(method: &Method, scope: Scope, rest: &[&str]) -> Option<Self> {
        match (method.as_str(), rest) {
            ("POST", ["runners", "generate-jitconfig"]) => Some(Self::GenerateJitconfig(scope)),
            ("GET", ["runners"]) => Some(Self::Runners(scope)),
            ("GET", ["runners", "deprecations", version]) => {
                Some(Self::RunnerDeprecations(scope, (*version).to_owned()))
            }
            ("GET", ["runners", id]) => Some(Self::Runner(scope, id.parse().ok()?)),
            ("DELETE", ["runners", id]) => Some(Self::DeleteRunner(scope, id.parse().ok()?)),
            ("GET", ["runner-groups"]) if !matches!(scope, Scope::Repository(..)) => Some(Self::RunnerGroups(scope)),
            _ => None,
        }
    }

    fn of_runs(method: &Method, scope: Scope, rest: &[&str]) -> Option<Self> {
        match (method.as_str(), rest) {
            ("GET", ["jobs", id]) => Some(Self::Job(scope, id.parse().ok()?)),
            ("GET", ["runs"]) => Some(Self::Runs(scope)),
            ("GET", ["runs", id]) => Some(Self::Run(scope, id.parse().ok()?)),
            ("GET", ["runs", id, "jobs"]) => Some(Self::RunJobs(scope, id.parse().ok()?)),
            _ => None,
        }
    }

    fn of_hooks(method: &Method, target: HookTarget, rest: &[&str]) -> Option<Self> {
        match rest {
            [] if method == Method::GET => match target {
                HookTarget::Scope(scope) => Some(Self::Hooks(scope)),
                HookTarget::App => None,
            },
            [hook, rest @ ..] => Self::of_deliveries(method, target, Some(hook.parse().ok()?), rest),
            [] => None,
        }
    }

    fn of_deliveries(method: &Method, target: HookTarget, hook: Option<u64>, rest: &[&str]) -> Option<Self> {
        match (method.as_str(), rest) {
            ("GET", ["deliveries"]) => Some(Self::Deliveries(target, hook)),
            ("GET", ["deliveries", id]) => Some(Self::Delivery(target, hook, id.parse().ok()?)),
            ("POST", ["deliveries", id, "attempts"]) => Some(Self::Redeliver(target, hook, id.parse().ok()?)),
            _ => None,
        }
    }

    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::App => operation::GET_APP,
            Self::RateLimit => operation::RATE_LIMIT,
            Self::Conversion(_) => operation::CONVERT_MANIFEST,
            Self::HookConfig => operation::GET_HOOK_CONFIG,
            Self::SetHookConfig => operation::SET_HOOK_CONFIG,
            Self::DeleteInstallation(_) => operation::DELETE_INSTALLATION,
            Self::InstallationRepositories => operation::LIST_REPOSITORIES,
            Self::UserOrganizations => operation::LIST_ORGANIZATIONS,
            Self::Installations => operation::LIST_INSTALLATIONS,
            Self::InstallationOf(_) => operation::GET_INSTALLATION,
            Self::AccessToken(_) => operation::ACCESS_TOKEN,
            Self::GenerateJitconfig(_) => operation::GENERATE_JITCONFIG,
            Self::Runners(_) => operation::LIST_RUNNERS,
            Self::Runner(..) => operation::GET_RUNNER,
            Self::DeleteRunner(..) => operation::DELETE_RUNNER,
            Self::RunnerGroups(_) => operation::LIST_RUNNER_GROUPS,
            Self::RunnerDeprecations(..) => operation::RUNNER_DEPRECATIONS,
            Self::Job(..) => operation::GET_JOB,
            Self::Runs(_) => operation::LIST_RUNS,
            Self::Run(..) => operation::GET_RUN,
            Self::RunJobs(..) => operation::LIST_RUN_JOBS,
            Self::CreateCheckRun(_) => operation::CREATE_CHECK_RUN,
            Self::UpdateCheckRun(..) => operation::UPDATE_CHECK_RUN,
            Self::CheckRuns(..) => operation::LIST_CHECK_RUNS,
            Self::Hooks(_) => operation::LIST_HOOKS,
            Self::Deliveries(..) => operation::LIST_DELIVERIES,
            Self::Delivery(..) => operation::GET_DELIVERY,
            Self::Redeliver(..) => operation::REDELIVER,
        }
    }
}

/// The full URL of a request, as its caller wrote it.
pub(super) fn url(request: &Request) -> Url {
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let base = Url::parse(&format!("http://{}", host.unwrap_or("api.github.com")))
        .unwrap_or_else(|_| Url::parse("http://api.github.com").expect("a constant URL"));
    base.join(&request.uri().to_string()).unwrap_or(base)
}

/// A parameter of the query, decoded.
pub(super) fn query(request: &Request, name: &str) -> Option<String> {
    url(request).query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// The requested page and its size: `per_page` is 30 by default and 100 at most.
pub(super) struct Paging {
    pub(super) page: usize,
    pub(super) per_page: usize,
}

impl Paging {
    pub(super) fn of(request: &Request) -> Self {
        let number = |name| query(request, name).and_then(|text| text.parse::<usize>().ok());
        Self {
            page: number("page").unwrap_or(1).max(1),
            per_page: number("per_page").filter(|count| *count > 0).unwrap_or(30).min(100),
        }
    }

    /// This page's items.
    pub(super) fn cut<T>(&self, items: impl Iterator<Item = T>) -> Vec<T> {
        items.skip((self.page - 1).saturating_mul(self.per_page)).take(self.per_page).collect()
    }

    /// The `Link` header, if there is more than one page.
    pub(super) fn link(&self, request: &Request, total: usize) -> Option<String> {
        let last = total.div_ceil(self.per_page).max(1);
        let to = |page: usize, rel: &str| {
            let mut url = url(request);
            let others: Vec<(String, String)> =
                url.query_pairs().filter(|(name, _)| name != "page").map(|(a, b)| (a.into(), b.into())).collect();
            url.query_pairs_mut().clear().extend_pairs(others).append_pair("page", &page.to_string());
            format!("<{url}>; rel=\"{rel}\"")
        };
        let mut links = Vec::new();
        if self.page > 1 {
            links.push(to(self.page - 1, "prev"));
        }
        if self.page < last {
            links.push(to(self.page + 1, "next"));
            links.push(to(last, "last"));
        }
        if self.page > 1 {
            links.push(to(1, "first"));
        }
        (!links.is_empty()).then(|| links.join(", "))
    }
}
