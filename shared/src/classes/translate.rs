//! What labels of other systems mean in our own words: one rule for each pattern, and the first that matches counts.

use std::collections::HashMap;

use super::choices::Choices;
use super::json::{MeansJson, ObjectOnly, RuleJson, SystemJson};
use super::key::Key;
use super::labels::LabelPattern;
use super::template::{Named, Template};

/// What a rule's `means` begins with where the label cannot be had.
const REFUSED: &str = "refused: ";

/// A rule's `means` where the label stands for one of the class's.
const LABEL: &str = "label";

/// The tables that come with jitgate, by the name that `compatible` uses.
macro_rules! shipped {
    ($($name:literal),*) => { &[$(($name, include_str!(concat!("compatible/", $name, ".json")))),*] };
}
const SHIPPED: &[(&str, &str)] =
    shipped!["blacksmith", "codebuild", "depot", "namespace", "runs-on", "terraform-aws-github-runner", "warpbuild"];

/// The names that a class's `compatible` may have.
pub fn systems() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// One pattern and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    label: Template,
    pub(super) meaning: Meaning,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Our own words, and in English what the label asks for besides.
    Words {
        words: Vec<Word>,
        drops: Option<String>,
        /// Whether it stands for one of the class's labels.
        is_label: bool,
    },
    /// It cannot be had, for this reason.
    Refused(String),
}

/// A size label: its key, and its value or the part of the foreign label that is the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) key: Key,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Fixed(String),
    Named(usize),
}

impl Word {
    pub(super) fn value<'a>(&'a self, named: Named<'a>) -> &'a str {
        match &self.value {
            Value::Fixed(value) => value,
            Value::Named(name) => named[*name],
        }
    }
}

impl Rule {
    pub(super) fn parse(json: RuleJson) -> Result<Self, String> {
        LabelPattern::parse(&json.label)?;
        let label = Template::parse(&json.label)?;
        let meaning = match json.means {
            MeansJson::Text(text) => match text.strip_prefix(REFUSED) {
                Some(reason) if !reason.is_empty() && json.drops.is_none() => Meaning::Refused(reason.to_owned()),
                None if text == LABEL => words(&json.label, &label, &[], json.drops, true)?,
                _ => {
                    let expected = format!("a list of labels, {LABEL:?} or \"{REFUSED}REASON\"");
                    return Err(format!("{:?}: means must be {expected}", json.label));
                }
            },
            MeansJson::Words(each) => words(&json.label, &label, &each, json.drops, false)?,
        };
        Ok(Self { label, meaning })
    }
}

fn words(
    text: &str,
    label: &Template,
    words: &[String],
    drops: Option<String>,
    is_label: bool,
) -> Result<Meaning, String> {
    let words = words.iter().map(|word| Word::parse(word, label.names()));
    let words: Vec<Word> = words.collect::<Result<_, _>>().map_err(|problem| format!("{text:?}: {problem}"))?;
    let is_used = |name: usize| words.iter().any(|word| word.value == Value::Named(name));
    if let Some(unused) = (0..label.names().len()).find(|name| !is_used(*name)) {
        return Err(format!("{text:?}: means must use {{{}}}", label.names()[unused]));
    }
    if drops.as_deref().map_or(label.has_star(), str::is_empty) {
        return Err(format!("{text:?}: drops must say what the label asks for besides"));
    }
    Ok(Meaning::Words { words, drops, is_label })
}

impl Word {
    fn parse(text: &str, names: &[String]) -> Result<Self, String> {
        let sizes = || format!("{text:?} must be cpu=, memory=, disk=, arch=, spot= or run= with a value");
        let (key, value) =
            text.split_once('=').and_then(|(key, value)| Some((Key::parse(key)?, value))).ok_or_else(sizes)?;
        if let Some(name) = value.strip_prefix('{').and_then(|value| value.strip_suffix('}')) {
            let name = names.iter().position(|known| known == name);
            let name = name.ok_or_else(|| format!("{text:?} names no part of the label"))?;
            return Ok(Self { key, value: Value::Named(name) });
        }
        Choices::default().take(key, value, text).map_err(|objection| objection.to_string())?;
        Ok(Self { key, value: Value::Fixed(value.to_owned()) })
    }
}

/// All rules of one system, or a class's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct System {
    pub(super) name: String,
    /// How it puts several labels into one: what such a label begins with, and the separators.
    combined: Option<(String, Vec<char>)>,
    /// Beginnings of labels whose value is a list, separated by `+`.
    lists: Vec<String>,
    rules: Vec<Rule>,
    index: Index,
}

impl System {
    /// A table that comes with jitgate.
    pub(super) fn shipped(name: &str) -> Result<Self, String> {
        let Some((_, json)) = SHIPPED.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = systems().collect();
            return Err(format!("compatible: {name:?} must be one of {}", known.join(", ")));
        };
        let ObjectOnly(json): ObjectOnly<SystemJson> =
            serde_json::from_str(json).map_err(|error| format!("compatible: {name}: {error}"))?;
        let combined =
            json.combined.map(|ObjectOnly(combined)| (combined.first, combined.separators.chars().collect()));
        let system = Self::of(name, json.translate).map_err(|problem| format!("compatible: {name}: {problem}"))?;
        Ok(Self { combined, lists: json.lists.unwrap_or_default(), ..system })
    }

    /// The rules of a class's own `translate`.
    pub(super) fn of(name: &str, rules: Vec<ObjectOnly<RuleJson>>) -> Result<Self, String> {
        let rules: Vec<Rule> = rules.into_iter().map(|ObjectOnly(rule)| Rule::parse(rule)).collect::<Result<_, _>>()?;
        let index = Index::of(&rules);
        Ok(Self { name: name.to_owned(), combined: None, lists: Vec::new(), rules, index })
    }

    /// The separators of a label, in lower case, into which this system has put several.
    pub(super) fn separators(&self, label: &str) -> Option<&[char]> {
        let (first, separators) = self.combined.as_ref()?;
        (label.starts_with(first.as_str()) && label.contains(separators.as_slice())).then_some(separators)
    }

    /// What the labels of a list begin with, if this one, in lower case, is a list.
    pub(super) fn list(&self, label: &str) -> Option<&str> {
        let before = self.lists.iter().find(|before| label.starts_with(before.as_str()))?;
        label.contains('+').then_some(before)
    }

    /// The rule for a label in lower case, with the parts that the rule names. `before` is as in [`Template::parts`].
    pub(super) fn rule<'a>(&'a self, before: &str, label: &'a str) -> Option<(&'a Rule, Named<'a>)> {
        let patterns = self.index.patterns(before, label);
        let literal = self.index.literal(before, label);
        let earlier = patterns.take_while(|place| literal.is_none_or(|literal| *place < literal));
        let mut places = earlier.chain(literal);
        places.find_map(|place| Some((&self.rules[place], self.rules[place].label.parts(before, label)?)))
    }
}

/// Where in its list a label's rule may be: a delivery's labels are compared with few rules, however long the list is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Index {
    literals: HashMap<String, usize>,
    /// Rules with a `*` or a named part, by what their labels begin with.
    patterns: HashMap<String, Vec<usize>>,
    /// Those that do not begin with as much.
    others: Vec<usize>,
}

impl Index {
    fn of(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (place, Rule { label, .. }) in rules.iter().enumerate() {
            if label.is_literal() {
                index.literals.entry(label.beginning().to_owned()).or_insert(place);
            } else if let Some(head) = head(label.beginning()) {
                index.patterns.entry(head.to_owned()).or_default().push(place);
            } else {
                index.others.push(place);
            }
        }
        index
    }

    fn literal(&self, before: &str, label: &str) -> Option<usize> {
        let place =
            if before.is_empty() { self.literals.get(label) } else { self.literals.get(&format!("{before}{label}")) };
        place.copied()
    }

    /// In order.
    fn patterns(&self, before: &str, label: &str) -> impl Iterator<Item = usize> {
        let head = if before.is_empty() { head(label) } else { Some(before) };
        let mut some = head.and_then(|head| self.patterns.get(head)).map_or(&[][..], Vec::as_slice).iter().peekable();
        let mut others = self.others.iter().peekable();
        std::iter::from_fn(move || {
            let is_other = match (some.peek(), others.peek()) {
                (Some(one), Some(other)) => other < one,
                (one, _) => one.is_none(),
            };
            if is_other { others.next() } else { some.next() }.copied()
        })
    }
}

/// A text up to its first `=`, `:` or `-`.
fn head(text: &str) -> Option<&str> {
    text.find(['=', ':', '-']).map(|at| &text[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Result<Rule, String> {
        let ObjectOnly(json) = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Rule::parse(json)
    }

    #[test]
    fn every_table_can_be_read() {
        for name in systems() {
            let system = System::shipped(name).unwrap();
            assert!(system.rules.len() > 5, "{name}");
        }
        assert!(System::shipped("other").unwrap_err().contains("must be one of blacksmith, codebuild"));
    }

    #[test]
    fn a_rule_that_drops_something_without_a_word_is_refused() {
        for (json, says) in [
            (r#"{"label":"a-*","means":["cpu=2"]}"#, "drops must say"),
            (r#"{"label":"a","means":[],"drops":""}"#, "drops must say"),
            (r#"{"label":"a-{cpu}","means":["memory=4"]}"#, "means must use {cpu}"),
            (r#"{"label":"a","means":["cpu={cpu}"]}"#, "names no part"),
            (r#"{"label":"a","means":["gpu=1"]}"#, "must be cpu="),
            (r#"{"label":"a","means":["cpu=four"]}"#, "is malformed"),
            (r#"{"label":"a","means":["cpu"]}"#, "must be cpu="),
            (r#"{"label":"a","means":"no GPU"}"#, "\"label\" or \"refused: REASON\""),
            (r#"{"label":"a","means":"refused: "}"#, "\"label\" or \"refused: REASON\""),
            (r#"{"label":"a-*","means":"label"}"#, "drops must say"),
            (r#"{"label":"a,b","means":["cpu=2"]}"#, "without commas"),
            (r#"{"label":"a","means":7}"#, "a list of labels"),
            (r#"{"label":"a","mean":[]}"#, "unknown field"),
        ] {
            let error = rule(json).expect_err(json);
            assert!(error.contains(says), "{error:?} should say {says:?}");
        }
        assert!(rule(r#"{"label":"gpu*","means":"refused: no GPU on Fargate"}"#).is_ok());
        assert!(rule(r#"{"label":"a-*-{cpu}","means":["cpu={cpu}","arch=arm64"],"drops":"the image"}"#).is_ok());
    }

    #[test]
    fn the_first_rule_that_matches_counts_wherever_it_is_found() {
        let rules = [
            r#"{"label":"*-arm","means":["arch=arm64"],"drops":"more"}"#,
            r#"{"label":"a-1","means":["cpu=1"]}"#,
            r#"{"label":"a-*","means":["cpu=2"],"drops":"more"}"#,
            r#"{"label":"a-3","means":["cpu=3"]}"#,
            r#"{"label":"b*","means":["cpu=4"],"drops":"more"}"#,
            r#"{"label":"*","means":["cpu=8"],"drops":"more"}"#,
        ];
        let system = System::of("s", rules.map(|json| serde_json::from_str(json).unwrap()).into()).unwrap();
        let first = |label| {
            let (rule, named) = system.rule("", label).unwrap();
            let Meaning::Words { words, .. } = &rule.meaning else { panic!("{rule:?}") };
            words[0].value(named).to_owned()
        };
        for (label, value) in [
            ("a-arm", "arm64"),
            ("a-1", "1"),
            ("a-3", "2"),
            ("a-x", "2"),
            ("b-x", "4"),
            ("b", "4"),
            ("c", "8"),
            ("", "8"),
        ] {
            assert_eq!(first(label), value, "{label}");
        }
    }
}
