//! What ECS runs tasks on.

use std::fmt;

use super::class::RunnerClass;
use super::json::{CapacityJson, FargateJson, ProviderJson};
use super::size::Sizing;

/// Longest name of a capacity provider. Source: ECS's `CreateCapacityProvider` reference.
const LONGEST_PROVIDER_NAME: usize = 255;

/// What names of capacity providers do not begin with: ECS keeps these for itself. Source: the same.
const RESERVED_BEGINNINGS: [&str; 3] = ["aws", "ecs", "fargate"];

/// What a task runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Fargate: `FARGATE`
    OnDemand,
    /// Fargate: `FARGATE_SPOT`, 50 to 70 % cheaper, and reclaimed with two minutes' notice. The cluster must have that
    /// capacity provider.
    Spot,
    /// Instances: a capacity provider of the cluster, of ECS Managed Instances or of an Auto Scaling group.
    Provider(ProviderName),
}

/// The name of a capacity provider that is not Fargate's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderName(String);

impl ProviderName {
    /// The name as ECS knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Capacity {
    /// Whether it is one of Fargate's.
    pub fn is_fargate(&self) -> bool {
        matches!(self, Self::OnDemand | Self::Spot)
    }

    fn checked(json: CapacityJson) -> Result<Self, String> {
        match json {
            CapacityJson::Fargate(FargateJson::OnDemand) => Ok(Self::OnDemand),
            CapacityJson::Fargate(FargateJson::Spot) => Ok(Self::Spot),
            CapacityJson::Provider(ProviderJson { provider }) => {
                let lowercase = provider.to_ascii_lowercase();
                let is_fine = (1..=LONGEST_PROVIDER_NAME).contains(&provider.len())
                    && provider.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                    && !RESERVED_BEGINNINGS.iter().any(|beginning| lowercase.starts_with(beginning));
                if !is_fine {
                    return Err(format!(
                        "capacity: provider {provider:?} must be 1 to {LONGEST_PROVIDER_NAME} letters, digits, '-' or \
                         '_', and not begin with aws, ecs or fargate; Fargate is \"on-demand\" or \"spot\""
                    ));
                }
                Ok(Self::Provider(ProviderName(provider)))
            }
        }
    }

    /// A class's capacity. A provider comes last, because ECS accepts a task for which it has no instance yet, and says only
    /// minutes later that there will be none.
    pub(super) fn all(json: Option<Vec<CapacityJson>>) -> Result<Vec<Self>, String> {
        let Some(json) = json else { return Ok(vec![Self::OnDemand]) };
        let all = json.into_iter().map(Self::checked).collect::<Result<Vec<_>, _>>()?;
        let Some((_, but_last)) = all.split_last() else {
            return Err("capacity must be \"on-demand\", \"spot\", a provider, or several of them, in order".to_owned());
        };
        if but_last.iter().any(|each| !each.is_fargate()) {
            return Err("capacity: a provider must be the last one, since its lack of capacity shows late".to_owned());
        }
        Ok(all)
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnDemand => formatter.write_str("on-demand"),
            Self::Spot => formatter.write_str("spot"),
            Self::Provider(ProviderName(name)) => write!(formatter, "provider {name}"),
        }
    }
}

impl RunnerClass {
    /// Whether tasks of this class may run on instances.
    pub(super) fn has_provider(&self) -> bool {
        self.capacity.iter().any(|each| !each.is_fargate())
    }

    /// Which sizes its tasks may have: Fargate's if they may run on Fargate.
    pub fn sizing(&self) -> Sizing {
        Sizing::of(&self.capacity)
    }

    /// Refuses what `RunTask` would refuse for each job, and what would have no effect. Source: ECS's `RunTask` reference.
    pub(super) fn check_provider(&self) -> Result<(), String> {
        if self.subnets.is_empty() && self.sizing() == Sizing::Fargate {
            return Err("subnets must be 1 to 16".to_owned());
        }
        if !self.has_provider() {
            return Ok(());
        }
        if self.disk.is_some() || self.sizes.disk.is_some() {
            return Err("disk: ECS takes it for Fargate only; on a provider it is the instances'".to_owned());
        }
        if self.sizes.spot {
            return Err(
                "sizes.spot: with a provider, its instances are Spot or not, whatever a job asks for".to_owned()
            );
        }
        if self.assign_public_ip {
            return Err("assign_public_ip: ECS assigns none on a provider; its subnets need another way out".to_owned());
        }
        if self.subnets.is_empty() && !self.security_groups.is_empty() {
            return Err("security_groups: without subnets, the task has the network of its instance".to_owned());
        }
        if self.sizing() == Sizing::Any
            && self.size.is_none()
            && (self.sizes.cpu.is_some() || self.sizes.memory.is_some())
        {
            return Err(
                "sizes: with a provider, cpu and memory need the class's own, for jobs that choose one".to_owned()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::class::RunnerClasses;
    use super::*;

    fn parse(rest: &str) -> Result<RunnerClass, String> {
        let json = format!(r#"[{{"name":"a","labels":["l"],"task_definition":"t",{rest}}}]"#);
        RunnerClasses::parse(&json).map(|classes| classes.named("a").expect("it is there").clone())
    }

    #[test]
    fn a_class_may_run_on_a_capacity_provider_alone_or_last() {
        let class = parse(r#""subnets":["s"],"capacity":["spot","on-demand",{"provider":"docker_1-a"}]"#);
        let class = class.expect("a valid class");
        let names: Vec<_> = class.capacity.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["spot", "on-demand", "provider docker_1-a"]);
        assert_eq!(class.sizing(), Sizing::Fargate);
        let alone = parse(r#""subnets":[],"capacity":[{"provider":"p"}],"cpu":3,"memory":5"#).expect("a valid class");
        assert_eq!(alone.sizing(), Sizing::Any);
    }

    #[test]
    fn what_a_provider_cannot_give_is_refused_when_the_configuration_is_read() {
        let provider = r#""capacity":[{"provider":"p"}]"#;
        for (rest, says) in [
            (r#""subnets":["s"],"capacity":[{"provider":"p"},"on-demand"]"#.to_owned(), "must be the last"),
            (r#""subnets":["s"],"capacity":[{"provider":"p"},{"provider":"q"}]"#.to_owned(), "must be the last"),
            (r#""subnets":["s"],"capacity":[{"provider":""}]"#.to_owned(), "provider \"\" must be"),
            (r#""subnets":["s"],"capacity":[{"provider":"FARGATE_SPOT"}]"#.to_owned(), "Fargate is \"on-demand\""),
            (r#""subnets":["s"],"capacity":[{"provider":"a b"}]"#.to_owned(), "provider \"a b\""),
            (r#""subnets":["s"],"capacity":[{"name":"p"}]"#.to_owned(), "unknown field `name`"),
            (r#""subnets":["s"],"capacity":[["p"]]"#.to_owned(), "object with the name of a provider"),
            (r#""subnets":[]"#.to_owned(), "subnets must be 1 to 16"),
            (r#""subnets":[],"capacity":["on-demand",{"provider":"p"}]"#.to_owned(), "subnets must be 1 to 16"),
            (format!(r#""subnets":["s"],{provider},"disk":50"#), "disk: ECS takes it for Fargate only"),
            (format!(r#""subnets":["s"],{provider},"sizes":{{"disk":50}}"#), "disk: ECS takes it"),
            (format!(r#""subnets":["s"],{provider},"sizes":{{"spot":true}}"#), "sizes.spot"),
            (format!(r#""subnets":["s"],{provider},"assign_public_ip":true"#), "assign_public_ip"),
            (format!(r#""subnets":[],{provider},"security_groups":["g"]"#), "network of its instance"),
            (format!(r#""subnets":["s"],{provider},"sizes":{{"cpu":4}}"#), "need the class's own"),
            (format!(r#""subnets":["s"],{provider},"cpu":0.1,"memory":1"#), "cpu must be 0.125 to 192"),
            (format!(r#""subnets":["s"],{provider},"cpu":1,"memory":0"#), "memory must be"),
            (format!(r#""subnets":["s"],{provider},"cpu":1.0001,"memory":1"#), "three decimals"),
        ] {
            let error = parse(&rest).expect_err(&rest);
            assert!(error.contains(says), "{error:?} should say {says:?}");
        }
    }
}
