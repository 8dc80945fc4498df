//! Where and on what a job's runner may start, in the order in which a launch tries it.

use super::capacity::Capacity;
use super::choose::Fit;
use super::class::{RunnerClass, RunnerClasses};
use super::size::{Architecture, Disk, Sizing, TaskSize};

/// One thing to try: all that a task is started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement<'a> {
    /// The job's class, or the fallback that stands in for it.
    pub class: &'a RunnerClass,
    /// What it runs on.
    pub capacity: &'a Capacity,
    /// The architecture, provided that the class states that of its task definition correctly.
    pub architecture: Architecture,
    /// Family, `family:revision` or ARN.
    pub task_definition: &'a str,
    /// Processors and memory; `None` leaves them to the task definition.
    pub size: Option<TaskSize>,
    /// The disk; `None` leaves it to the task definition.
    pub disk: Option<Disk>,
}

impl Placement<'_> {
    /// Names everything that ECS's capacity may depend on. Tasks of one kind meet the same capacity.
    pub fn kind(&self) -> String {
        let Self { class, capacity, architecture, size, .. } = self;
        let size = size.map(|size| format!(", {size}")).unwrap_or_default();
        format!("{}, {capacity}, {architecture}{size}", class.name)
    }
}

impl RunnerClasses {
    /// What a launch tries: the class itself on each capacity, then its fallbacks in the same way. What the job has chosen
    /// holds everywhere, so a fallback without the architecture or the size that the job asked for is left out.
    pub fn placements<'a>(&'a self, fit: &Fit<'a>) -> Vec<Placement<'a>> {
        let demand = fit.demand;
        let wanted = demand.architecture.unwrap_or(fit.class.task_definition.usual);
        let fallbacks = fit.class.fallback.iter().filter_map(|name| self.named(name));
        let mut placements = Vec::new();
        for class in std::iter::once(fit.class).chain(fallbacks) {
            let has_wanted = class.task_definition.of(wanted).is_some();
            let architecture = match demand.architecture {
                _ if has_wanted => wanted,
                Some(_) => continue,
                None => class.task_definition.usual,
            };
            let Some(task_definition) = class.task_definition.of(architecture) else { continue };
            // A fallback may have other sizes than the job's class.
            let size = match demand.size.map(|size| class.sizing().at_least(size.cpu, size.memory)) {
                Some(None) => continue,
                Some(chosen) => chosen,
                None => class.size,
            };
            let place = |capacity: &'a Capacity| {
                // Only Fargate takes a disk with the task.
                let disk = if capacity.is_fargate() { demand.disk.or(class.disk) } else { None };
                let is_there = capacity.is_fargate() || demand.disk.is_none();
                is_there.then_some(Placement { class, capacity, architecture, task_definition, size, disk })
            };
            placements.extend(class.capacities(demand.spot).into_iter().filter_map(place));
        }
        placements
    }
}

impl RunnerClass {
    /// Whether a provider's instances are Spot is not known here: a job that must not be interrupted does without it.
    fn capacities(&self, spot: Option<bool>) -> Vec<&Capacity> {
        let has = |capacity: &Capacity| self.capacity.contains(capacity);
        let provider = self.capacity.iter().filter(|each| !each.is_fargate());
        match spot {
            None => self.capacity.iter().collect(),
            Some(false) if self.sizing() == Sizing::Any => Vec::new(),
            Some(false) => vec![&Capacity::OnDemand],
            Some(true) if has(&Capacity::OnDemand) => {
                [&Capacity::Spot, &Capacity::OnDemand].into_iter().chain(provider).collect()
            }
            Some(true) if has(&Capacity::Spot) => std::iter::once(&Capacity::Spot).chain(provider).collect(),
            Some(true) => provider.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::demand::Demand;
    use super::super::size::{Cpu, Memory};
    use super::*;

    fn tried(classes: &RunnerClasses, demand: Demand) -> Vec<String> {
        let class = classes.named("a").expect("it is there");
        classes.placements(&Fit { class, demand }).iter().map(Placement::kind).collect()
    }

    #[test]
    fn a_fallback_runs_on_the_architecture_that_the_job_chose_or_else_on_its_own() {
        let classes = RunnerClasses::parse(
            r#"[{"name":"a","labels":["l"],"task_definition":{"x86_64":"t","arm64":"u"},"subnets":["s"],
                 "fallback":["b","c"]},
                {"name":"b","labels":["m"],"task_definition":{"arm64":"u"},"subnets":["s"]},
                {"name":"c","labels":["n"],"task_definition":{"x86_64":"t","arm64":"u"},"architecture":"arm64",
                 "cpu":1,"memory":2,"subnets":["s"]}]"#,
        )
        .expect("valid classes");
        let chosen = |architecture| tried(&classes, Demand { architecture, ..Demand::default() });
        let on_c = ", 1 vCPU and 2 GiB";
        let of_none = ["a, on-demand, x86_64", "b, on-demand, arm64", &format!("c, on-demand, x86_64{on_c}")];
        assert_eq!(chosen(None), of_none, "what the class is usually on, where it is there");
        assert_eq!(chosen(Some(Architecture::X86_64)), [of_none[0], of_none[2]], "b has no such image");
        let arm = ["a, on-demand, arm64", "b, on-demand, arm64", &format!("c, on-demand, arm64{on_c}")];
        assert_eq!(chosen(Some(Architecture::Arm64)), arm);
    }

    #[test]
    fn a_job_that_chooses_spot_gets_on_demand_only_from_a_class_that_has_it() {
        for (capacity, spot, expected) in [
            (r#"["spot","on-demand"]"#, None, &["spot", "on-demand"][..]),
            (r#"["spot","on-demand"]"#, Some(false), &["on-demand"]),
            (r#"["on-demand"]"#, Some(true), &["spot", "on-demand"]),
            (r#"["spot"]"#, Some(true), &["spot"]),
        ] {
            let classes = RunnerClasses::parse(&format!(
                r#"[{{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"],"capacity":{capacity}}}]"#
            ))
            .expect("valid classes");
            let expected: Vec<_> = expected.iter().map(|each| format!("a, {each}, x86_64")).collect();
            assert_eq!(tried(&classes, Demand { spot, ..Demand::default() }), expected);
        }
    }

    #[test]
    fn a_class_without_capacity_is_followed_by_its_fallbacks() {
        let classes = RunnerClasses::parse(
            r#"[{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"],"capacity":["spot","on-demand"],
                 "fallback":["c","b"]},
                {"name":"b","labels":["m"],"task_definition":"t","subnets":["s"],"fallback":["a"]},
                {"name":"c","labels":["n"],"task_definition":"t","subnets":["s"],"capacity":["spot"]}]"#,
        )
        .expect("valid classes");
        let class = classes.named("a").unwrap();
        let placements = classes.placements(&Fit { class, demand: Demand::default() });
        let choices: Vec<_> = placements.iter().map(|each| (each.class.name.as_str(), each.capacity)).collect();
        let (spot, on_demand) = (&Capacity::Spot, &Capacity::OnDemand);
        assert_eq!(choices, [("a", spot), ("a", on_demand), ("c", spot), ("b", on_demand)]);
    }

    #[test]
    fn a_provider_takes_the_jobs_that_choose_neither_a_disk_nor_on_demand_and_any_size() {
        let classes = RunnerClasses::parse(
            r#"[{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"],"disk":50,"fallback":["b"]},
                {"name":"b","labels":["m"],"task_definition":"u","subnets":["s"],"capacity":[{"provider":"p"}],
                 "cpu":3,"memory":5,"fallback":["a"]}]"#,
        )
        .expect("valid classes");
        assert_eq!(
            tried(&classes, Demand::default()),
            ["a, on-demand, x86_64", "b, provider p, x86_64, 3 vCPU and 5 GiB"]
        );
        let first =
            classes.placements(&Fit { class: classes.named("a").expect("it is there"), demand: Demand::default() });
        assert_eq!(first.iter().map(|each| each.disk).collect::<Vec<_>>(), [Some(Disk(50)), None]);
        assert_eq!(tried(&classes, Demand { disk: Some(Disk(60)), ..Demand::default() }), ["a, on-demand, x86_64"]);
        assert_eq!(tried(&classes, Demand { spot: Some(false), ..Demand::default() }), ["a, on-demand, x86_64"]);
        assert_eq!(
            tried(&classes, Demand { spot: Some(true), ..Demand::default() }),
            ["a, spot, x86_64", "a, on-demand, x86_64", "b, provider p, x86_64, 3 vCPU and 5 GiB"]
        );
        let class = classes.named("b").expect("it is there");
        let size = Some(TaskSize { cpu: Cpu(3 * 1024), memory: Memory(7 * 1024) });
        let placements = classes.placements(&Fit { class, demand: Demand { size, ..Demand::default() } });
        let kinds: Vec<_> = placements.iter().map(Placement::kind).collect();
        let rounded_up = "a, on-demand, x86_64, 4 vCPU and 8 GiB";
        assert_eq!(kinds, ["b, provider p, x86_64, 3 vCPU and 7 GiB", rounded_up]);
    }
}
