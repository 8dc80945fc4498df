//! `RUNNER_CLASSES`, from JSON to classes that can be relied on.
//!
//! `docs/runner-classes.schema.json` says the same, but for what a schema cannot: names that are unique, names of other
//! classes that exist, sizes that Fargate has.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::size::thousand_and_twenty_fourths;
use super::warm::{Warm, WarmJson};
use super::{
    Architecture, Capacity, Cpu, Dialect, Disk, FargateSize, LONGEST_LABELS, LabelPattern, MOST_LABELS, Memory,
    RunnerClass, RunnerClasses, RunnerGroup, Sizes, TaskDefinitions,
};
use crate::globs::RepositoryGlob;

/// Longest name of a class, in characters; it becomes part of runner names, which have 64.
const LONGEST_CLASS_NAME: usize = 24;

/// Longest name of a runner group, in characters.
const LONGEST_GROUP_NAME: usize = 128;

/// Most characters that `environment` may have as JSON: the overrides of a task have 8,192, of which the JIT config, the
/// job's message and their JSON take about 6,200 at worst.
const LONGEST_ENVIRONMENT: usize = 1500;

/// Most tags of a class. A task may have 50, of which ours are to have room for more than they are today.
const MOST_TAGS: usize = 35;

/// Longest key and longest value of a tag, in characters. Source: ECS's "Tag restrictions".
const LONGEST_TAG_KEY: usize = 128;
const LONGEST_TAG_VALUE: usize = 256;

/// Beginnings of variables that a class may not set: the runner takes each of the first for an argument, whatever the
/// case, and the second are ours.
const RESERVED_VARIABLES: [&str; 2] = ["ACTIONS_RUNNER_INPUT_", "JITGATE_"];

/// Beginnings of keys of tags that a class may not set: AWS's own and ours.
const RESERVED_TAGS: [&str; 2] = ["aws:", "jitgate:"];

/// Unknown keys are refused, so that a typing error is an error and not a default; `null` means absent.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassJson {
    name: String,
    labels: Vec<String>,
    runner_group: Option<String>,
    runner_group_id: Option<u64>,
    task_definition: TaskDefinitionJson,
    architecture: Option<Architecture>,
    container: Option<String>,
    cpu: Option<f64>,
    memory: Option<f64>,
    disk: Option<u32>,
    sizes: Option<Object<SizesJson>>,
    subnets: Vec<String>,
    security_groups: Option<Vec<String>>,
    assign_public_ip: Option<bool>,
    capacity: Option<Vec<Capacity>>,
    fallback: Option<Vec<String>>,
    max_runners: Option<u32>,
    warm: Option<Vec<Object<WarmJson>>>,
    idle_minutes: Option<u32>,
    lifetime_minutes: Option<u32>,
    environment: Option<BTreeMap<String, String>>,
    tags: Option<BTreeMap<String, String>>,
    repositories: Option<Vec<String>>,
    public_repositories: Option<bool>,
    fork_pull_requests: Option<bool>,
    self_hosted: Option<bool>,
    compatible: Option<Vec<Dialect>>,
    ignored_labels: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SizesJson {
    cpu: Option<f64>,
    memory: Option<f64>,
    disk: Option<u32>,
    arch: Option<bool>,
    spot: Option<bool>,
    run: Option<bool>,
}

/// A task definition, or one for each architecture.
enum TaskDefinitionJson {
    One(String),
    Each(EachJson),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct EachJson {
    x86_64: Option<String>,
    arm64: Option<String>,
}

impl<'de> Deserialize<'de> for TaskDefinitionJson {
    /// An untagged enum would not say which key of the object is wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrEach;
        impl<'de> Visitor<'de> for OneOrEach {
            type Value = TaskDefinitionJson;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a task definition, or an object with one for x86_64 and one for arm64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TaskDefinitionJson::One(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                EachJson::deserialize(MapAccessDeserializer::new(map)).map(TaskDefinitionJson::Each)
            }
        }
        deserializer.deserialize_any(OneOrEach)
    }
}

/// A struct that is read from an object only; serde would also take a list of the fields' values.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Only(PhantomData))
    }
}

impl RunnerClasses {
    /// Reads and checks the value of `RUNNER_CLASSES`. The error says which class and key, and what was expected.
    pub fn parse(json: &str) -> Result<Self, String> {
        let classes: Vec<Object<ClassJson>> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if classes.is_empty() {
            return Err("at least one class is needed".to_owned());
        }
        let mut names = HashSet::new();
        let mut checked = Vec::new();
        for (index, Object(class)) in classes.into_iter().enumerate() {
            let name = class.name.clone();
            let class = class.checked().map_err(|problem| format!("class {index} ({name:?}): {problem}"))?;
            if !names.insert(name) {
                return Err(format!("class {index}: the name {:?} is used twice", class.name));
            }
            checked.push(class);
        }
        for class in &checked {
            let is_other = |name: &String| *name != class.name && names.contains(name);
            if let Some(missing) = class.fallback.iter().find(|name| !is_other(name)) {
                return Err(format!("class {:?}: fallback {missing:?} must be the name of another class", class.name));
            }
        }
        Ok(Self(checked))
    }
}

impl ClassJson {
    fn checked(self) -> Result<RunnerClass, String> {
        let name_is_fine = (1..=LONGEST_CLASS_NAME).contains(&self.name.len())
            && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !name_is_fine {
            return Err(format!("name must be 1 to {LONGEST_CLASS_NAME} letters, digits, '-' or '_'"));
        }
        if self.labels.is_empty() || self.labels.len() > MOST_LABELS {
            return Err(format!("labels must be 1 to {MOST_LABELS}"));
        }
        let subnets = self.subnets;
        if !(1..=16).contains(&subnets.len()) || subnets.iter().any(String::is_empty) {
            return Err("subnets must be 1 to 16".to_owned());
        }
        let security_groups = self.security_groups.unwrap_or_default();
        if security_groups.len() > 5 || security_groups.iter().any(String::is_empty) {
            return Err("security_groups must be 5 at most".to_owned());
        }
        let container = self.container.unwrap_or_else(|| "runner".to_owned());
        if container.is_empty() {
            return Err("container must not be empty".to_owned());
        }
        let capacity = self.capacity.unwrap_or_else(|| vec![Capacity::OnDemand]);
        if capacity.is_empty() {
            return Err("capacity must be \"on-demand\", \"spot\" or both, in order".to_owned());
        }
        let idle_minutes = self.idle_minutes.unwrap_or(10);
        if !(2..=1440).contains(&idle_minutes) {
            return Err("idle_minutes must be 2 to 1440".to_owned());
        }
        if self.lifetime_minutes == Some(0) {
            return Err("lifetime_minutes must be 1 or more".to_owned());
        }
        if self.max_runners == Some(0) {
            return Err("max_runners must be 1 or more".to_owned());
        }
        let size = size(self.cpu, self.memory)?;
        let disk = self.disk.map(|gib| disk("disk", gib)).transpose()?;
        Ok(RunnerClass {
            labels: patterns(&self.labels)?,
            runner_group: runner_group(self.runner_group, self.runner_group_id)?,
            task_definition: task_definitions(self.task_definition, self.architecture)?,
            sizes: sizes(self.sizes.map(|Object(sizes)| sizes), size, disk)?,
            size,
            disk,
            environment: environment(self.environment.unwrap_or_default())?,
            tags: tags(self.tags.unwrap_or_default())?,
            repositories: self.repositories.map(|globs| repositories(&globs)).transpose()?,
            ignored_labels: patterns(&self.ignored_labels.unwrap_or_default())
                .map_err(|problem| format!("ignored_labels: {problem}"))?,
            name: self.name,
            container,
            subnets,
            security_groups,
            assign_public_ip: self.assign_public_ip.unwrap_or_default(),
            capacity,
            fallback: self.fallback.unwrap_or_default(),
            warm: warm(self.warm.unwrap_or_default(), &self.labels)?,
            max_runners: self.max_runners,
            idle_minutes,
            lifetime_minutes: self.lifetime_minutes,
            public_repositories: self.public_repositories.unwrap_or_default(),
            fork_pull_requests: self.fork_pull_requests.unwrap_or_default(),
            self_hosted: self.self_hosted.unwrap_or_default(),
            compatible: self.compatible.unwrap_or_default(),
        })
    }
}

/// A warm runner is registered with the class's labels, so these must be labels.
fn warm(entries: Vec<Object<WarmJson>>, labels: &[String]) -> Result<Vec<Warm>, String> {
    if !entries.is_empty() && labels.iter().any(|label| label.contains('*')) {
        return Err("warm: a class whose labels have a * cannot keep runners ready".to_owned());
    }
    if !entries.is_empty() && labels.iter().map(|label| label.chars().count()).sum::<usize>() > LONGEST_LABELS {
        return Err(format!("warm: the class's labels may have {LONGEST_LABELS} characters together then"));
    }
    entries.into_iter().map(|Object(entry)| entry.checked()).collect()
}

fn patterns(labels: &[String]) -> Result<Vec<LabelPattern>, String> {
    labels.iter().map(|label| LabelPattern::parse(label)).collect()
}

fn runner_group(name: Option<String>, id: Option<u64>) -> Result<RunnerGroup, String> {
    match (name, id) {
        (Some(_), Some(_)) => Err("runner_group and runner_group_id name the group twice: give one of them".to_owned()),
        (_, Some(0)) => Err("runner_group_id must be 1 or more".to_owned()),
        (Some(name), None) => {
            if (1..=LONGEST_GROUP_NAME).contains(&name.chars().count()) && name.trim() == name {
                Ok(RunnerGroup::Name(name))
            } else {
                Err(format!("runner_group must be 1 to {LONGEST_GROUP_NAME} characters without spaces around"))
            }
        }
        (None, id) => Ok(RunnerGroup::Id(id.unwrap_or(1))),
    }
}

fn task_definitions(json: TaskDefinitionJson, usual: Option<Architecture>) -> Result<TaskDefinitions, String> {
    let each: Vec<(Architecture, String)> = match json {
        TaskDefinitionJson::One(definition) => vec![(usual.unwrap_or(Architecture::X86_64), definition)],
        TaskDefinitionJson::Each(EachJson { x86_64, arm64 }) => {
            Architecture::ALL.into_iter().zip([x86_64, arm64]).filter_map(|(arch, each)| Some((arch, each?))).collect()
        }
    };
    if each.iter().any(|(_, definition)| definition.is_empty()) {
        return Err("task_definition must not be empty".to_owned());
    }
    let Some((first, _)) = each.first() else {
        return Err("task_definition must have one for x86_64, one for arm64, or both".to_owned());
    };
    let usual = usual.unwrap_or(*first);
    if each.iter().all(|(architecture, _)| *architecture != usual) {
        return Err(format!("architecture is {usual}, which task_definition has none for"));
    }
    Ok(TaskDefinitions { usual, each })
}

fn cpu(key: &str, vcpu: f64) -> Result<Cpu, String> {
    let exactly = thousand_and_twenty_fourths(&vcpu.to_string()).map(Cpu);
    exactly
        .filter(|cpu| FargateSize::all().any(|size| size.cpu == *cpu))
        .ok_or_else(|| format!("{key} must be 0.25, 0.5, 1, 2, 4, 8 or 16 (vCPU)"))
}

fn memory(key: &str, gib: f64) -> Result<Memory, String> {
    let exactly = thousand_and_twenty_fourths(&gib.to_string()).map(Memory);
    exactly
        .filter(|memory| FargateSize::all().any(|size| size.memory == *memory))
        .ok_or_else(|| format!("{key} must be a memory that Fargate has, 0.5 to 120 (GiB)"))
}

fn disk(key: &str, gib: u32) -> Result<Disk, String> {
    let exactly = Disk::at_least(gib).filter(|disk| disk.0 == gib);
    exactly.ok_or_else(|| format!("{key} must be 21 to 200 (GiB); 20 come without being asked for"))
}

/// One without the other might not go with what the task definition says.
fn size(vcpu: Option<f64>, gib: Option<f64>) -> Result<Option<FargateSize>, String> {
    let (vcpu, gib) = match (vcpu, gib) {
        (None, None) => return Ok(None),
        (Some(vcpu), Some(gib)) => (vcpu, gib),
        _ => return Err("cpu and memory go together: give both or none".to_owned()),
    };
    let size = FargateSize { cpu: cpu("cpu", vcpu)?, memory: memory("memory", gib)? };
    match FargateSize::at_least(size.cpu, size.memory) {
        Some(nearest) if nearest == size => Ok(Some(size)),
        Some(nearest) => Err(format!("Fargate has no {size}; the nearest upward is {nearest}")),
        None => Err(format!("Fargate has no {size}")),
    }
}

fn sizes(json: Option<SizesJson>, usual: Option<FargateSize>, usual_disk: Option<Disk>) -> Result<Sizes, String> {
    let Some(json) = json else { return Ok(Sizes::default()) };
    let sizes = Sizes {
        cpu: json.cpu.map(|vcpu| cpu("sizes.cpu", vcpu)).transpose()?,
        memory: json.memory.map(|gib| memory("sizes.memory", gib)).transpose()?,
        disk: json.disk.map(|gib| disk("sizes.disk", gib)).transpose()?,
        arch: json.arch.unwrap_or_default(),
        spot: json.spot.unwrap_or_default(),
        run: json.run.unwrap_or_default(),
    };
    let too_small = |key: &str| Err(format!("sizes.{key} must not be less than the class's own {key}"));
    if sizes.cpu.zip(usual).is_some_and(|(most, usual)| most < usual.cpu) {
        return too_small("cpu");
    }
    if sizes.memory.zip(usual).is_some_and(|(most, usual)| most < usual.memory) {
        return too_small("memory");
    }
    if sizes.disk.zip(usual_disk).is_some_and(|(most, usual)| most < usual) {
        return too_small("disk");
    }
    Ok(sizes)
}

fn environment(variables: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    for (name, value) in &variables {
        let is_name = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            return Err(format!("environment: {name:?} must be letters, digits and '_', and not begin with a digit"));
        }
        if let Some(reserved) = reserved(name, &RESERVED_VARIABLES) {
            return Err(format!("environment: {name:?} must not begin with {reserved}"));
        }
        if value.contains('\0') {
            return Err(format!("environment: the value of {name:?} must not contain a null character"));
        }
    }
    // As the JSON that ECS counts: an escaped character is longer than itself.
    let characters = serde_json::to_string(&variables).expect("strings always become JSON").chars().count();
    if characters > LONGEST_ENVIRONMENT {
        return Err(format!(
            "environment: {characters} characters in all; {LONGEST_ENVIRONMENT} at most fit a task's overrides"
        ));
    }
    Ok(variables)
}

fn tags(tags: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    if tags.len() > MOST_TAGS {
        return Err(format!("tags must be {MOST_TAGS} at most"));
    }
    // Source: ECS's "Tag restrictions".
    let is_fine = |text: &str, shortest: usize, longest: usize| {
        (shortest..=longest).contains(&text.chars().count())
            && text.chars().all(|letter| letter.is_alphanumeric() || " _.:/=+-@".contains(letter))
    };
    for (key, value) in &tags {
        if !is_fine(key, 1, LONGEST_TAG_KEY) || !is_fine(value, 0, LONGEST_TAG_VALUE) {
            return Err(format!(
                "tags: {key:?} must be 1 to {LONGEST_TAG_KEY} characters, its value {LONGEST_TAG_VALUE} at most: letters, \
                 digits, spaces and _ . : / = + - @"
            ));
        }
        if let Some(reserved) = reserved(key, &RESERVED_TAGS) {
            return Err(format!("tags: {key:?} must not begin with {reserved}"));
        }
    }
    Ok(tags)
}

fn reserved(name: &str, beginnings: &[&'static str]) -> Option<&'static str> {
    let lowercase = name.to_lowercase();
    beginnings.iter().find(|beginning| lowercase.starts_with(&beginning.to_lowercase())).copied()
}

fn repositories(globs: &[String]) -> Result<Vec<RepositoryGlob>, String> {
    if globs.is_empty() {
        return Err("repositories must have at least one; leave it out for all".to_owned());
    }
    let parse = |glob: &String| {
        glob.parse().map_err(|_| format!("repositories: {glob:?} must be owner/name; * stands for any characters"))
    };
    globs.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: &str) -> String {
        format!(r#"[{{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"]{change}}}]"#)
    }

    #[test]
    fn a_class_is_what_it_says_and_for_the_rest_what_the_readme_says() {
        let json = with(
            r#","runner_group":"Large","container":"main","architecture":"arm64","cpu":0.25,"memory":0.5,"disk":50,
               "sizes":{"cpu":16,"memory":120,"disk":200,"arch":true,"spot":true,"run":true},"security_groups":["g"],
               "assign_public_ip":true,"capacity":["spot","on-demand"],"max_runners":7,"idle_minutes":5,
               "lifetime_minutes":60,"environment":{"HTTPS_PROXY":"http://proxy.example:3128"},
               "tags":{"team":"build"},"repositories":["octo-org/*"],"public_repositories":true,
               "fork_pull_requests":true,"self_hosted":true,"compatible":["runs-on"],"ignored_labels":["image=*"]"#,
        );
        let classes = RunnerClasses::parse(&json).unwrap();
        let full = classes.named("a").unwrap();
        let literal = |label: &str| LabelPattern::parse(label).unwrap();
        let expected = RunnerClass {
            name: "a".to_owned(),
            labels: vec![literal("l")],
            runner_group: RunnerGroup::Name("Large".to_owned()),
            task_definition: TaskDefinitions {
                usual: Architecture::Arm64,
                each: vec![(Architecture::Arm64, "t".to_owned())],
            },
            container: "main".to_owned(),
            size: Some(FargateSize { cpu: Cpu(256), memory: Memory(512) }),
            disk: Some(Disk(50)),
            sizes: Sizes {
                cpu: Some(Cpu(16384)),
                memory: Some(Memory(122_880)),
                disk: Some(Disk(200)),
                arch: true,
                spot: true,
                run: true,
            },
            subnets: vec!["s".to_owned()],
            security_groups: vec!["g".to_owned()],
            assign_public_ip: true,
            capacity: vec![Capacity::Spot, Capacity::OnDemand],
            fallback: Vec::new(),
            max_runners: Some(7),
            warm: Vec::new(),
            idle_minutes: 5,
            lifetime_minutes: Some(60),
            environment: [("HTTPS_PROXY".to_owned(), "http://proxy.example:3128".to_owned())].into(),
            tags: [("team".to_owned(), "build".to_owned())].into(),
            repositories: Some(vec!["octo-org/*".parse().unwrap()]),
            public_repositories: true,
            fork_pull_requests: true,
            self_hosted: true,
            compatible: vec![Dialect::RunsOn],
            ignored_labels: vec![literal("image=*")],
        };
        assert_eq!(*full, expected);
        let classes = RunnerClasses::parse(&with("")).unwrap();
        let least = classes.named("a").unwrap();
        let expected = RunnerClass {
            runner_group: RunnerGroup::Id(1),
            task_definition: TaskDefinitions {
                usual: Architecture::X86_64,
                each: vec![(Architecture::X86_64, "t".to_owned())],
            },
            container: "runner".to_owned(),
            size: None,
            disk: None,
            sizes: Sizes::default(),
            security_groups: Vec::new(),
            assign_public_ip: false,
            capacity: vec![Capacity::OnDemand],
            max_runners: None,
            warm: Vec::new(),
            idle_minutes: 10,
            lifetime_minutes: None,
            environment: BTreeMap::new(),
            tags: BTreeMap::new(),
            repositories: None,
            public_repositories: false,
            fork_pull_requests: false,
            self_hosted: false,
            compatible: Vec::new(),
            ignored_labels: Vec::new(),
            ..expected
        };
        assert_eq!(*least, expected);
        assert_eq!(RunnerClasses::parse(&with(r#","sizes":null,"cpu":null,"tags":null"#)).unwrap(), classes);
    }

    #[test]
    fn a_class_may_have_a_task_definition_for_each_architecture() {
        let classes = |definition: &str, architecture: &str| {
            let json = with(architecture).replace(r#""t""#, definition);
            RunnerClasses::parse(&json).map(|classes| classes.named("a").unwrap().task_definition.clone())
        };
        let both = classes(r#"{"x86_64":"x","arm64":"a"}"#, "").unwrap();
        assert_eq!((both.usual, both.of(Architecture::Arm64)), (Architecture::X86_64, Some("a")));
        let both = classes(r#"{"x86_64":"x","arm64":"a"}"#, r#","architecture":"arm64""#).unwrap();
        assert_eq!((both.usual, both.of(Architecture::X86_64)), (Architecture::Arm64, Some("x")));
        let arm = classes(r#"{"arm64":"a"}"#, "").unwrap();
        assert_eq!((arm.usual, arm.of(Architecture::X86_64)), (Architecture::Arm64, None));
    }

    #[test]
    fn an_unusable_class_is_refused_with_its_name_and_key() {
        let long = |key: &str, value: &str| with(&format!(r#","{key}":{{"A":"{}"}}"#, value.repeat(1600)));
        let many = (0..36).map(|number| format!(r#""key{number}":"v""#)).collect::<Vec<_>>().join(",");
        for (json, says) in [
            ("[]".to_owned(), "at least one"),
            ("[{".to_owned(), "EOF"),
            (r#"[["a",["l"]]]"#.to_owned(), "expected an object"),
            (with(r#","colour":"red""#), "unknown field `colour`"),
            (with(r#","runner_group_id":0"#), "runner_group_id"),
            (with(r#","runner_group":"""#), "runner_group"),
            (with(r#","runner_group":"a","runner_group_id":2"#), "give one of them"),
            (with(r#","container":"""#), "container"),
            (with(r#","idle_minutes":1"#), "idle_minutes"),
            (with(r#","lifetime_minutes":0"#), "lifetime_minutes"),
            (with(r#","max_runners":0"#), "max_runners"),
            (with(r#","capacity":[]"#), "capacity"),
            (with(r#","warm":[{"count":0}]"#), "warm: count"),
            (with(r#","warm":[{"count":1,"days":["someday"]}]"#), "`mon`"),
            (with(r#","warm":[{"count":1,"hours":"8-18"}]"#), "warm: hours"),
            (with(r#","warm":[{"count":1,"for":"a/b/c"}]"#), "warm: for"),
            (with(r#","warm":[{"count":1}]"#).replace(r#""l""#, r#""l-*""#), "cannot keep runners ready"),
            (with(r#","capacity":["reserved"]"#), "`on-demand` or `spot`"),
            (with(r#","fallback":["b"]"#), "fallback \"b\""),
            (with(r#","fallback":["a"]"#), "fallback \"a\""),
            (with(r#","security_groups":["1","2","3","4","5","6"]"#), "security_groups"),
            (with(r#","cpu":1"#), "go together"),
            (with(r#","cpu":3,"memory":8"#), "cpu must be"),
            (with(r#","cpu":-1,"memory":8"#), "cpu must be"),
            (with(r#","cpu":1,"memory":8.5"#), "memory must be"),
            (with(r#","cpu":1,"memory":16"#), "the nearest upward is 2 vCPU and 16 GiB"),
            (with(r#","cpu":0.25,"memory":1.5"#), "memory must be"),
            (with(r#","disk":20"#), "disk must be 21 to 200"),
            (with(r#","disk":201"#), "disk must be 21 to 200"),
            (with(r#","sizes":{"cpu":3}"#), "sizes.cpu must be"),
            (with(r#","sizes":{"gpu":1}"#), "unknown field `gpu`"),
            (with(r#","sizes":[1]"#), "expected an object"),
            (with(r#","cpu":4,"memory":8,"sizes":{"cpu":2}"#), "sizes.cpu must not be less"),
            (with(r#","cpu":4,"memory":16,"sizes":{"memory":8}"#), "sizes.memory must not be less"),
            (with(r#","disk":100,"sizes":{"disk":50}"#), "sizes.disk must not be less"),
            (with(r#","architecture":"ARM64""#), "`x86_64` or `arm64`"),
            (with(r#","architecture":"arm64""#).replace(r#""t""#, r#"{"x86_64":"t"}"#), "architecture is arm64"),
            (with("").replace(r#""t""#, "{}"), "one for x86_64"),
            (with("").replace(r#""t""#, "7"), "a task definition, or an object"),
            (with("").replace(r#""t""#, r#"{"riscv":"t"}"#), "unknown field `riscv`"),
            (with("").replace(r#""t""#, r#"{"arm64":""}"#), "task_definition must not be empty"),
            (with(r#","environment":{"A-B":"c"}"#), "environment: \"A-B\""),
            (with(r#","environment":{"1A":"c"}"#), "environment: \"1A\""),
            (with(r#","environment":{"JITGATE_JOB":"c"}"#), "JITGATE_"),
            (with(r#","environment":{"Actions_Runner_Input_JitConfig":"c"}"#), "ACTIONS_RUNNER_INPUT_"),
            (with(r#","environment":{"A":"\u0000"}"#), "null character"),
            (long("environment", "v"), "1608 characters in all"),
            (with(r#","tags":{"AWS:x":"y"}"#), "aws:"),
            (with(r#","tags":{"jitgate:job-id":"1"}"#), "jitgate:"),
            (with(r#","tags":{"a?":"1"}"#), "tags: \"a?\""),
            (long("tags", "v"), "tags: \"A\""),
            (with(&format!(r#","tags":{{{many}}}"#)), "35 at most"),
            (with(r#","repositories":[]"#), "leave it out"),
            (with(r#","repositories":["octo-org"]"#), "repositories: \"octo-org\""),
            (with(r#","compatible":["other"]"#), "`runs-on`"),
            (with(r#","ignored_labels":["a,b"]"#), "ignored_labels: label \"a,b\""),
            (r#"[{"name":"a b","labels":["l"],"task_definition":"t","subnets":["s"]}]"#.to_owned(), "name must be"),
            (r#"[{"name":"a","labels":[],"task_definition":"t","subnets":["s"]}]"#.to_owned(), "labels must be"),
            (r#"[{"name":"a","labels":["a,b"],"task_definition":"t","subnets":["s"]}]"#.to_owned(), "label \"a,b\""),
            (r#"[{"name":"a","labels":["l"],"task_definition":"t","subnets":[]}]"#.to_owned(), "subnets"),
            (r#"[{"name":"a","labels":["l"],"subnets":["s"]}]"#.to_owned(), "task_definition"),
            (
                r#"[{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"]},
                    {"name":"a","labels":["m"],"task_definition":"t","subnets":["s"]}]"#
                    .to_owned(),
                "used twice",
            ),
        ] {
            let error = RunnerClasses::parse(&json).expect_err(&json);
            assert!(error.contains(says), "{error:?} should say {says:?}");
        }
    }
}
