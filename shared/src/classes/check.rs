//! What each key of a class must be, with the message for a value that is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::capacity::Capacity;
use super::check_size::{disk, size, sizes};
use super::class::{RunnerClass, RunnerGroup, TaskDefinitions};
use super::hooks::Hooks;
use super::json::{ClassJson, EachJson, ObjectOnly, RuleJson, TaskDefinitionJson, TextOnly, WarmJson};
use super::labels::{LONGEST_LABELS, LabelPattern, MOST_LABELS};
use super::size::{Architecture, Sizing};
use super::translate::System;
use super::warm::{Hours, MOST_WARM, Warm};
use crate::ecs::HOOK_VARIABLE;
use crate::globs::RepositoryGlob;

/// Longest name of a class, in characters; it becomes part of runner names, which have 64.
const LONGEST_CLASS_NAME: usize = 24;

/// Longest name of a runner group, in characters.
const LONGEST_GROUP_NAME: usize = 128;

/// Most characters that `environment` may have as JSON: a task's overrides may have 8,192 (an ECS limit), of which the
/// JIT config, the job's message and their JSON take about 6,200 at worst.
const LONGEST_ENVIRONMENT: usize = 1500;

/// Most characters that `environment`, the class's scripts and the repositories that the gate lets in may have together.
/// What else the gate needs to know takes about 250 at worst.
const LONGEST_IN_ALL: usize = 1700;

/// Longest ARN of a role. IAM permits paths that are longer than all that fits a task's overrides.
const LONGEST_ROLE: usize = 200;

/// Minutes that a task may live unless its class says otherwise: an hour more than a job may run. Source: GitHub's "Actions
/// limits", 5 days.
pub(crate) const USUAL_LIFETIME: u32 = (5 * 24 + 1) * 60;

/// Minutes after which a runner that has not connected will not, unless its class says otherwise: an image pull takes about a
/// minute, ten for a huge image.
pub(crate) const USUAL_START: u32 = 20;

/// Most tags of a class. A task may have 50 (an ECS limit); the rest is ours, with room for new ones.
const MOST_TAGS: usize = 35;

/// Longest key and longest value of a tag, in characters. Source: ECS's "Tag restrictions".
const LONGEST_TAG_KEY: usize = 128;
const LONGEST_TAG_VALUE: usize = 256;

/// Prefixes of variables that a class may not set. The runner reads the first, in any case, as its arguments; the
/// second is ours.
const RESERVED_VARIABLES: [&str; 2] = ["ACTIONS_RUNNER_INPUT_", "JITGATE_"];

/// Prefixes of tag keys that a class may not set: AWS's own and ours.
const RESERVED_TAGS: [&str; 2] = ["aws:", "jitgate:"];

impl ClassJson {
    pub(super) fn checked(self, tables: &mut Tables) -> Result<RunnerClass, String> {
        let name_is_fine = (1..=LONGEST_CLASS_NAME).contains(&self.name.len())
            && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !name_is_fine {
            return Err(format!("name must be 1 to {LONGEST_CLASS_NAME} letters, digits, '-' or '_'"));
        }
        if self.labels.is_empty() || self.labels.len() > MOST_LABELS {
            return Err(format!("labels must be 1 to {MOST_LABELS}"));
        }
        let subnets = self.subnets;
        if subnets.len() > 16 || subnets.iter().any(String::is_empty) {
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
        let capacity = Capacity::all(self.capacity)?;
        let sizing = Sizing::of(&capacity);
        let idle_minutes = minutes("idle_minutes", self.idle_minutes, 10)?;
        let start_minutes = minutes("start_minutes", self.start_minutes, USUAL_START)?;
        if self.lifetime_minutes == Some(0) {
            return Err("lifetime_minutes must be 1 or more".to_owned());
        }
        for (key, limit) in [
            ("max_runners", self.max_runners),
            ("max_per_owner", self.max_per_owner),
            ("max_per_repository", self.max_per_repository),
        ] {
            if limit == Some(0) {
                return Err(format!("{key} must be 1 or more"));
            }
        }
        let gate = self.gate.unwrap_or(true);
        let roles =
            [role("task_role", self.task_role.as_deref())?, role("execution_role", self.execution_role.as_deref())?];
        let environment = environment(self.environment.unwrap_or_default(), gate, roles.iter().sum())?;
        let repositories = self.repositories.map(|globs| repositories(&globs)).transpose()?;
        let hooks = Hooks::checked(self.job_started, self.job_completed, &environment)?;
        let admitted = repositories.as_deref().filter(|_| gate).unwrap_or_default();
        check_length(&environment, &hooks, admitted, roles.iter().sum())?;
        let size = size(sizing, self.cpu, self.memory)?;
        let disk = self.disk.map(|gib| disk("disk", gib)).transpose()?;
        let class = RunnerClass {
            labels: patterns(&self.labels)?,
            runner_group: runner_group(self.runner_group, self.runner_group_id)?,
            task_definition: task_definitions(
                self.task_definition,
                self.architecture.map(|TextOnly(architecture)| architecture),
            )?,
            sizes: sizes(sizing, self.sizes.map(|ObjectOnly(sizes)| sizes), size, disk)?,
            size,
            disk,
            environment,
            task_role: self.task_role,
            execution_role: self.execution_role,
            tags: tags(self.tags.unwrap_or_default())?,
            repositories,
            gate,
            hooks,
            translations: translations(self.translate, self.compatible.unwrap_or_default(), tables)?,
            requires: named_patterns("requires", self.requires)?,
            excluded_labels: named_patterns("excluded_labels", self.excluded_labels)?,
            ignored_labels: named_patterns("ignored_labels", self.ignored_labels)?,
            name: self.name,
            container,
            subnets,
            security_groups,
            assign_public_ip: self.assign_public_ip.unwrap_or_default(),
            capacity,
            fallback: self.fallback.unwrap_or_default(),
            warm: warm(self.warm.unwrap_or_default(), &self.labels)?,
            max_runners: self.max_runners,
            max_per_owner: self.max_per_owner,
            max_per_repository: self.max_per_repository,
            idle_minutes,
            start_minutes,
            lifetime_minutes: self.lifetime_minutes.unwrap_or(USUAL_LIFETIME),
            public_repositories: self.public_repositories.unwrap_or_default(),
            fork_pull_requests: self.fork_pull_requests.unwrap_or_default(),
            self_hosted: self.self_hosted.unwrap_or_default(),
        };
        class.check_provider()?;
        Ok(class)
    }
}

fn minutes(key: &str, given: Option<u32>, usual: u32) -> Result<u32, String> {
    let minutes = given.unwrap_or(usual);
    if (2..=1440).contains(&minutes) { Ok(minutes) } else { Err(format!("{key} must be 2 to 1440")) }
}

/// A warm runner is registered with the class's labels, so these must be labels and not patterns.
fn warm(entries: Vec<ObjectOnly<WarmJson>>, labels: &[String]) -> Result<Vec<Warm>, String> {
    if !entries.is_empty() && labels.iter().any(|label| label.contains('*')) {
        return Err("warm: a class whose labels have a * cannot keep runners ready".to_owned());
    }
    if !entries.is_empty() && labels.iter().map(|label| label.chars().count()).sum::<usize>() > LONGEST_LABELS {
        return Err(format!("warm: the class's labels may have {LONGEST_LABELS} characters together then"));
    }
    entries.into_iter().map(|ObjectOnly(entry)| entry.checked()).collect()
}

fn patterns(labels: &[String]) -> Result<Vec<LabelPattern>, String> {
    labels.iter().map(|label| LabelPattern::parse(label)).collect()
}

fn named_patterns(key: &str, labels: Option<Vec<String>>) -> Result<Vec<LabelPattern>, String> {
    patterns(&labels.unwrap_or_default()).map_err(|problem| format!("{key}: {problem}"))
}

/// The tables that some class has named so far: each is parsed once.
pub(super) type Tables = Vec<Arc<System>>;

fn translations(
    own: Option<Vec<ObjectOnly<RuleJson>>>,
    compatible: Vec<String>,
    tables: &mut Tables,
) -> Result<Vec<Arc<System>>, String> {
    let own = own.filter(|rules| !rules.is_empty());
    let own = own
        .map(|rules| System::of("translate", rules))
        .transpose()
        .map_err(|problem| format!("translate: {problem}"))?;
    let mut all: Vec<_> = own.map(Arc::new).into_iter().collect();
    for name in compatible {
        let table = if let Some(known) = tables.iter().find(|table| table.name == name) {
            Arc::clone(known)
        } else {
            let table = Arc::new(System::shipped(&name)?);
            tables.push(Arc::clone(&table));
            table
        };
        all.push(table);
    }
    Ok(all)
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

/// The characters that a role takes in a task's overrides, with the 22 of its longest key.
fn role(key: &str, arn: Option<&str>) -> Result<usize, String> {
    let Some(arn) = arn else { return Ok(0) };
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let is_fine = match parts[..] {
        ["arn", partition, "iam", "", account, name] => {
            partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && name.strip_prefix("role/").is_some_and(|name| !name.is_empty())
                && arn.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'"')
        }
        _ => false,
    };
    if is_fine && arn.len() <= LONGEST_ROLE {
        Ok(arn.len() + 22)
    } else {
        Err(format!("{key} must be the ARN of a role, of {LONGEST_ROLE} characters at most"))
    }
}

fn environment(
    variables: BTreeMap<String, String>,
    gate: bool,
    roles: usize,
) -> Result<BTreeMap<String, String>, String> {
    for (name, value) in &variables {
        let is_name = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            return Err(format!("environment: {name:?} must be letters, digits and '_', and not begin with a digit"));
        }
        if let Some(reserved) = reserved(name, &RESERVED_VARIABLES) {
            return Err(format!("environment: {name:?} must not begin with {reserved}"));
        }
        if gate && name == HOOK_VARIABLE {
            return Err(format!("environment: {HOOK_VARIABLE} is the gate's; with \"gate\": false it is yours"));
        }
        if value.contains('\0') {
            return Err(format!("environment: the value of {name:?} must not contain a null character"));
        }
    }
    let characters = length(&variables) + roles;
    if characters > LONGEST_ENVIRONMENT {
        return Err(format!(
            "environment and roles: {characters} characters in all; {LONGEST_ENVIRONMENT} at most fit a task's overrides"
        ));
    }
    Ok(variables)
}

/// As the JSON that ECS counts: an escaped character is longer than itself.
fn length(variables: &BTreeMap<String, String>) -> usize {
    serde_json::to_string(variables).expect("strings always become JSON").chars().count()
}

fn check_length(
    variables: &BTreeMap<String, String>,
    hooks: &Hooks,
    admitted: &[RepositoryGlob],
    roles: usize,
) -> Result<(), String> {
    let words = admitted.iter().map(|glob| format!(" repository={glob}").chars().count());
    let characters = length(variables) + hooks.length() + words.sum::<usize>() + roles;
    if characters > LONGEST_IN_ALL {
        return Err(format!(
            "environment, roles, job_started, job_completed and the gate's repositories: {characters} characters in all; \
             {LONGEST_IN_ALL} at most fit a task's overrides"
        ));
    }
    Ok(())
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

fn reserved(name: &str, prefixes: &[&'static str]) -> Option<&'static str> {
    let lowercase = name.to_lowercase();
    prefixes.iter().find(|prefix| lowercase.starts_with(&prefix.to_lowercase())).copied()
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

impl WarmJson {
    fn checked(self) -> Result<Warm, String> {
        if !(1..=MOST_WARM).contains(&self.count) {
            return Err(format!("warm: count must be 1 to {MOST_WARM}"));
        }
        let parse = |text: String| {
            Hours::parse(&text).ok_or_else(|| format!("warm: hours {text:?} must be like \"08-18\" or \"07:30-18:15\""))
        };
        let is_place = |place: &String| {
            !place.is_empty() && place.split('/').count() <= 2 && place.split('/').all(|part| !part.is_empty())
        };
        if let Some(place) = self.place.as_ref().filter(|place| !is_place(place)) {
            return Err(format!("warm: for {place:?} must be an organisation's login, or owner/name of a repository"));
        }
        Ok(Warm {
            count: self.count,
            place: self.place,
            days: self.days.map(TextOnly::all).unwrap_or_default(),
            hours: self.hours.map(parse).transpose()?,
            time_zone: self.time_zone.unwrap_or_else(|| "UTC".to_owned()),
        })
    }
}
