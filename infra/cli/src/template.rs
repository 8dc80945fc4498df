//! The CloudFormation template, and what has to change in it so that it refers to code in a bucket.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use crate::args::CodeOptions;
use crate::aws::Key;
use crate::trouble::Trouble;

/// A template as it is in the repository, where `CodeUri` is a function's folder.
pub struct Source(String);

const CODE: &str = "CodeUri: functions/";

impl Source {
    /// The one that was named, or this version's.
    pub fn find(options: &CodeOptions) -> Result<Self, Trouble> {
        match &options.template {
            None => Ok(Self(include_str!("../../../template.yaml").to_owned())),
            Some(path) => fs::read_to_string(path).map(Self).map_err(|error| Trouble::file(path, &error)),
        }
    }

    /// The functions whose code it needs.
    pub fn functions(&self) -> Vec<String> {
        let lines = self.0.lines().filter_map(|line| line.trim_start().strip_prefix(CODE));
        lines.map(|name| name.trim().to_owned()).collect()
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> HashSet<String> {
        let mut lines = self.0.lines().skip_while(|line| *line != "Parameters:");
        lines.next();
        let section = lines.take_while(|line| line.is_empty() || line.starts_with(' ') || line.starts_with('#'));
        let names = section.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        names.filter(|name| name.chars().all(|each| each.is_ascii_alphanumeric())).map(ToOwned::to_owned).collect()
    }

    /// Refuses a parameter that it does not have.
    pub fn check<'p>(&self, names: impl IntoIterator<Item = &'p String>) -> Result<(), Trouble> {
        let known = self.parameters();
        match names.into_iter().find(|name| !known.contains(*name)) {
            None => Ok(()),
            Some(stranger) => Err(Trouble::usage(
                format!("the template has no parameter {stranger}"),
                "docs/CONFIGURATION.md lists all parameters",
            )),
        }
    }

    /// The template with each function's code in a bucket.
    pub fn packaged(&self, bucket: &str, keys: &BTreeMap<String, Key>) -> Result<String, Trouble> {
        let mut packaged = self.0.clone();
        for (function, key) in keys {
            let from = format!("{CODE}{function}\n");
            if !packaged.contains(&from) {
                return Err(Trouble::failed(
                    format!("the template has no line `{}`", from.trim()),
                    "correct the template",
                ));
            }
            packaged = packaged.replace(&from, &format!("CodeUri: {{Bucket: {bucket}, Key: {}}}\n", key.0));
        }
        Ok(packaged)
    }
}

/// The objects to which a deployed template refers, by the form of their names.
pub fn keys_in(template: &str) -> Vec<Key> {
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|each| each.is_ascii_hexdigit());
    let words = template.split(|each: char| !each.is_ascii_alphanumeric() && each != '.');
    let keys = words.filter(|word| word.strip_suffix(".zip").is_some_and(is_hash));
    keys.map(|word| Key(word.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Source {
        let none = CodeOptions { code_bucket: None, zips: None, template: None };
        Source::find(&none).unwrap()
    }

    #[test]
    fn this_versions_template_is_understood() {
        assert_eq!(ours().functions(), ["webhook", "worker", "cleaner"]);
        let parameters = ours().parameters();
        for name in ["VpcId", "SubnetIds", "RunnerImage", "AlarmTopicArn"] {
            assert!(parameters.contains(name), "{name}");
        }
        assert!(!parameters.contains("GitHubSecret") && !parameters.contains("HasMonitoring"));
    }

    #[test]
    fn the_template_names_the_version_that_it_belongs_to() {
        let version = concat!("\n    Value: ", env!("CARGO_PKG_VERSION"), "\n");
        assert!(ours().0.ends_with(version));
    }

    #[test]
    fn packaging_changes_the_code_and_nothing_else_and_can_be_read_back() {
        let functions = ours().functions().into_iter();
        let keys: BTreeMap<_, _> =
            functions.enumerate().map(|(at, name)| (name, Key(format!("{at:064x}.zip")))).collect();
        let packaged = ours().packaged("the-bucket", &keys).unwrap();
        let pairs = || ours().0.lines().map(ToOwned::to_owned).zip(packaged.lines()).collect::<Vec<_>>();
        let changed: Vec<_> = pairs().into_iter().filter(|(before, after)| before != after).collect();
        assert_eq!(changed.len(), 3);
        assert!(changed[0].1.trim().starts_with("CodeUri: {Bucket: the-bucket, Key: 0000"));
        let mut found = keys_in(&packaged);
        found.sort();
        let mut expected: Vec<_> = keys.into_values().collect();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_template_without_the_code_is_refused() {
        let keys = BTreeMap::from([("other".to_owned(), Key("k".to_owned()))]);
        assert!(ours().packaged("b", &keys).is_err());
    }
}
