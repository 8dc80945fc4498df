//! `RUNNER_CLASSES`, from JSON to classes that can be relied on.
//!
//! `docs/runner-classes.schema.json` says the same, except for what a schema cannot express: names are unique, a
//! fallback names another class, Fargate has the sizes. A test holds the two together.

use std::collections::HashSet;

use super::check::Tables;
use super::class::RunnerClasses;
use super::json::{ClassJson, ObjectOnly};

impl RunnerClasses {
    /// Reads and checks the value of `RUNNER_CLASSES`. The error says which class and key, and what was expected.
    pub fn parse(json: &str) -> Result<Self, String> {
        let classes: Vec<ObjectOnly<ClassJson>> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if classes.is_empty() {
            return Err("at least one class is needed".to_owned());
        }
        let mut names = HashSet::new();
        let mut tables = Tables::new();
        let mut checked = Vec::new();
        for (index, ObjectOnly(class)) in classes.into_iter().enumerate() {
            let name = class.name.clone();
            let class = class.checked(&mut tables).map_err(|problem| format!("class {index} ({name:?}): {problem}"))?;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use std::sync::Arc;

    use super::super::capacity::Capacity;
    use super::super::class::{RunnerClass, RunnerGroup, Sizes, TaskDefinitions};
    use super::super::hooks::Hooks;
    use super::super::labels::LabelPattern;
    use super::super::size::{Architecture, Cpu, Disk, Memory, TaskSize};
    use super::super::translate::System;
    use super::*;

    fn with(change: &str) -> String {
        format!(r#"[{{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"]{change}}}]"#)
    }

    #[test]
    fn a_class_is_what_it_says_and_for_the_rest_what_the_readme_says() {
        let json = with(
            r#","runner_group":"Large","container":"main","architecture":"arm64","cpu":0.25,"memory":0.5,"disk":50,
               "sizes":{"cpu":16,"memory":120,"disk":200,"arch":true,"spot":true,"run":true},"security_groups":["g"],
               "assign_public_ip":true,"capacity":["spot","on-demand"],"max_runners":7,"max_per_owner":4,
               "max_per_repository":2,"idle_minutes":5,
               "start_minutes":30,"lifetime_minutes":60,"environment":{"HTTPS_PROXY":"http://proxy.example:3128"},
               "task_role":"arn:aws:iam::123456789012:role/jobs","execution_role":"arn:aws:iam::123456789012:role/x/start",
               "tags":{"team":"build"},"repositories":["octo-org/*"],"gate":false,"job_started":"date","job_completed":"exit 0",
               "public_repositories":true,
               "fork_pull_requests":true,"self_hosted":true,"compatible":["runs-on"],"ignored_labels":["image=*"],"requires":["linux"],
               "excluded_labels":["*-arm"]"#,
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
            size: Some(TaskSize { cpu: Cpu(256), memory: Memory(512) }),
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
            max_per_owner: Some(4),
            max_per_repository: Some(2),
            warm: Vec::new(),
            idle_minutes: 5,
            start_minutes: 30,
            lifetime_minutes: 60,
            environment: [("HTTPS_PROXY".to_owned(), "http://proxy.example:3128".to_owned())].into(),
            task_role: Some("arn:aws:iam::123456789012:role/jobs".to_owned()),
            execution_role: Some("arn:aws:iam::123456789012:role/x/start".to_owned()),
            tags: [("team".to_owned(), "build".to_owned())].into(),
            repositories: Some(vec!["octo-org/*".parse().unwrap()]),
            gate: false,
            hooks: Hooks { job_started: Some("date".to_owned()), job_completed: Some("exit 0".to_owned()) },
            public_repositories: true,
            fork_pull_requests: true,
            self_hosted: true,
            translations: vec![Arc::new(System::shipped("runs-on").unwrap())],
            requires: vec![literal("linux")],
            excluded_labels: vec![literal("*-arm")],
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
            max_per_owner: None,
            max_per_repository: None,
            warm: Vec::new(),
            idle_minutes: 10,
            start_minutes: 20,
            lifetime_minutes: 7260,
            environment: BTreeMap::new(),
            task_role: None,
            execution_role: None,
            tags: BTreeMap::new(),
            repositories: None,
            gate: true,
            hooks: Hooks::default(),
            public_repositories: false,
            fork_pull_requests: false,
            self_hosted: false,
            translations: Vec::new(),
            requires: Vec::new(),
            excluded_labels: Vec::new(),
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
            (with(r#","start_minutes":1441"#), "start_minutes must be 2 to 1440"),
            (with(r#","lifetime_minutes":0"#), "lifetime_minutes"),
            (with(r#","max_runners":0"#), "max_runners"),
            (with(r#","max_per_owner":0"#), "max_per_owner"),
            (with(r#","max_per_repository":0"#), "max_per_repository"),
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
            (with(r#","environment":{"ACTIONS_RUNNER_HOOK_JOB_STARTED":"/a.sh"}"#), "is the gate's"),
            (with(&format!(r#","repositories":["o/{}"]"#, "r".repeat(1700))), "characters in all"),
            (with(&format!(r#","job_started":"{}""#, "s".repeat(1700))), "characters in all"),
            (with(r#","job_completed":" ""#), "job_completed must be a script"),
            (with(r#","job_started":"a\u0000""#), "job_started must be a script"),
            (
                with(r#","job_completed":"a","environment":{"ACTIONS_RUNNER_HOOK_JOB_COMPLETED":"/a.sh"}"#),
                "name the script twice",
            ),
            (
                with(r#","gate":false,"job_started":"a","environment":{"ACTIONS_RUNNER_HOOK_JOB_STARTED":"/a.sh"}"#),
                "name the script twice",
            ),
            (with(r#","architecture":{"arm64":null}"#), "expected a string"),
            (with(r#","capacity":[{"spot":null}]"#), "unknown field `spot`, expected `provider`"),
            (with(r#","environment":{"A":"\u0000"}"#), "null character"),
            (long("environment", "v"), "1608 characters in all"),
            (with(r#","task_role":"jobs""#), "task_role must be the ARN"),
            (with(r#","task_role":"arn:aws:iam::123456789012:role/*""#), "task_role must be the ARN"),
            (with(r#","execution_role":"arn:aws:iam::1234:role/a""#), "execution_role must be the ARN"),
            (with(&format!(r#","task_role":"arn:aws:iam::123456789012:role/{}""#, "r".repeat(200))), "200 characters"),
            (with(r#","tags":{"AWS:x":"y"}"#), "aws:"),
            (with(r#","tags":{"jitgate:job-id":"1"}"#), "jitgate:"),
            (with(r#","tags":{"a?":"1"}"#), "tags: \"a?\""),
            (long("tags", "v"), "tags: \"A\""),
            (with(&format!(r#","tags":{{{many}}}"#)), "35 at most"),
            (with(r#","repositories":[]"#), "leave it out"),
            (with(r#","repositories":["octo-org"]"#), "repositories: \"octo-org\""),
            (with(r#","compatible":["other"]"#), "compatible: \"other\" must be one of blacksmith, codebuild"),
            (with(r#","translate":[{"label":"a-*","means":["cpu=2"]}]"#), "translate: \"a-*\": drops must say"),
            (with(r#","translate":[{"label":"a"}]"#), "missing field `means`"),
            (with(r#","requires":["a,b"]"#), "requires: label \"a,b\""),
            (with(r#","excluded_labels":[""]"#), "excluded_labels: label \"\""),
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
