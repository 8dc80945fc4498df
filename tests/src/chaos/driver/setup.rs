//! Prepares a run: the world and the planned events.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use jitgate::clock::Clock;
use serde_json::json;

use super::parts::Event;
use super::{CLEANER_PAUSE, Driver};
use crate::aws::ecs::{Limit, Rate};
use crate::aws::sqs::mapping::EventSource;
use crate::chaos::diary::Diary;
use crate::chaos::judge::Judge;
use crate::chaos::plan::{COMMON_LABEL, Chance, Knobs, LABELS, OTHER_OWNER, Plan, label};
use crate::chaos::report::Report;
use crate::chaos::turnstile::Arrivals;
use crate::github::{HookTarget, Limits};
use crate::world::{self, JOB_QUEUE, START, World};

impl Driver {
    pub(in crate::chaos) async fn new(seed: u64, knobs: &Knobs) -> Self {
        let plan = Plan::draw(seed, knobs);
        let scope = if plan.repository_scope { "repo" } else { "org" };
        let classes = classes(&plan, knobs.warm);
        let mut changes = vec![("RUNNER_CLASSES", &*classes), ("RUNNER_SCOPE", scope)];
        if knobs.four_faults > 0.0 {
            changes.push(("GITHUB_POINTS_PER_MINUTE", "0"));
        }
        let world = World::unchecked_on(Clock::driven(START), &changes).await;
        world.github.add_organization(OTHER_OWNER);
        world.github.install_app(OTHER_OWNER);
        world.github.add_hook(HookTarget::App, "https://jitgate.example/");
        let weather = knobs.weather;
        world.github.behave(|behaviour| {
            behaviour.keep_payloads = false;
            if weather {
                behaviour.busy_lag = Duration::from_secs(40);
                behaviour.deletion_refused_after_job = Duration::from_secs(30);
                behaviour.deregistration_lag = Duration::from_secs(3);
            }
        });
        let repositories: HashSet<_> = knobs.arrivals.iter().map(|arrival| arrival.repository).collect();
        world.github.limit(|limits| {
            limits.primary = Limits::primary_for(repositories.len());
            if knobs.four_faults > 0.0 {
                limits.secondary = None;
            }
            if let Some(secondary) = &mut limits.secondary {
                secondary.counting = knobs.counting;
            }
        });
        if !knobs.as_benchmarked {
            world.aws.ecs.set_rate("RunTask", Rate::RUN_TASK);
        }
        let source = EventSource::new(Arc::clone(&world.aws.sqs), JOB_QUEUE).allow_loops();
        let source = if knobs.repeats > 0.0 { source.disorderly(seed, 0.0) } else { source };
        let changes = world.aws.ecs.changes();
        let mut driver = Self {
            source,
            changes,
            knobs: knobs.clone(),
            diary: Diary::default(),
            report: Report { seeds: 1, ..Report::default() },
            judge: Judge::default(),
            jobs: Vec::new(),
            over: 0,
            launches: Vec::new(),
            launched: HashMap::new(),
            arrivals: Arrivals::default(),
            workers: Vec::new(),
            webhooks: Vec::new(),
            cleaners: Vec::new(),
            running: FuturesUnordered::new(),
            stirred: false,
            calls: BTreeMap::new(),
            agenda: BTreeMap::new(),
            serial: 0,
            runners: BTreeMap::new(),
            cut_off: BTreeMap::new(),
            idle: BTreeSet::new(),
            working: HashMap::new(),
            again: HashMap::new(),
            chance: Chance::new(seed, "ways"),
            mishaps: Chance::new(seed, "mishaps"),
            deaths: Chance::new(seed, "deaths"),
            receives: HashMap::new(),
            copies: HashMap::new(),
            twins_of_dead: BTreeMap::new(),
            tries: HashMap::new(),
            progress: START,
            is_quiet: false,
            world,
            plan,
        };
        driver.schedule();
        driver.plan_incidents();
        driver
    }

    fn schedule(&mut self) {
        for (index, job) in self.plan.jobs.clone().iter().enumerate() {
            self.at(START + job.at, Event::Come(index));
        }
        let first = self.chance.seconds(0, CLEANER_PAUSE.as_secs());
        if self.knobs.cleaner {
            self.after(first, Event::Clean(None));
        }
        if self.knobs.elsewhere_writes > 0 {
            self.at(START, Event::Elsewhere);
        }
        let ordinary = match self.knobs.vcpus {
            Some(vcpus) => Limit::vcpus(vcpus),
            None => self.plan.most_tasks.map_or(Limit::default(), Limit::tasks),
        };
        self.set_limit(&ordinary);
        for shortage in self.plan.shortages.clone() {
            let short = if shortage.tasks == 0 { Limit::exhausted() } else { Limit::tasks(shortage.tasks) };
            self.at(START + shortage.at, Event::Limit(short));
            self.at(START + shortage.at + shortage.lasts, Event::Limit(ordinary.clone()));
        }
    }
}

/// The class of a run: all labels, Spot first or On-Demand only, and the limits and warm runners of the plan.
fn classes(plan: &Plan, warm: Option<u32>) -> String {
    let mut classes = world::runner_classes();
    let labels: Vec<_> = (0..LABELS).map(label).chain([COMMON_LABEL.to_owned()]).collect();
    classes[0]["labels"] = json!(labels);
    if let Some(count) = warm {
        classes[0]["labels"] = json!([COMMON_LABEL]);
        classes[0]["warm"] = json!([{ "count": count, "for": crate::github::ORGANIZATION }]);
    }
    if let Some(limit) = plan.max_runners {
        classes[0]["max_runners"] = json!(limit);
    }
    if plan.spot_first {
        classes[0]["capacity"] = json!(["spot", "on-demand"]);
    }
    classes.to_string()
}
