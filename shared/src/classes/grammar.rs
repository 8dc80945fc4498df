//! The grammar of labels: what a label, or a piece of a combined one, means to a class.

use std::borrow::Cow;

use super::capacity::Capacity;
use super::class::RunnerClass;
use super::key::Key;
use super::misfit::Objection;
use super::template::Named;
use super::translate::{Meaning, Word};

/// Keys that other systems know and Fargate cannot honour, one a line.
const FOREIGN_KEYS: &str = include_str!("compatible/foreign-keys.txt");

/// A job's label, and the same in lower case, since GitHub ignores the case of labels.
pub(super) struct Label<'a> {
    pub(super) text: &'a str,
    pub(super) lowercase: Cow<'a, str>,
}

impl<'a> Label<'a> {
    pub(super) fn all(labels: &'a [String]) -> Vec<Self> {
        labels.iter().map(|label| Self::of(label)).collect()
    }

    fn of(text: &'a str) -> Self {
        let is_lowercase = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        let lowercase = if is_lowercase { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) };
        Self { text, lowercase }
    }
}

/// A label, a piece of a combined one, or one value of a list.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    /// As it was written; of a list, all of it.
    pub(super) text: &'a str,
    pub(super) lowercase: &'a str,
    /// What a list's label begins with; `lowercase` is then only the value.
    before: &'a str,
}

/// What a label, or a piece of a combined one, is to a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    /// One of the class's labels.
    Own,
    /// One that has no effect.
    Ignored,
    /// A size label that the class permits, with its value.
    Choice(Key, &'a str),
    /// Another system's, with its meaning in our own words.
    Translated {
        words: &'a [Word],
        named: Named<'a>,
        /// Whether it stands for one of the class's labels.
        is_label: bool,
        /// What it asks for besides.
        drops: Option<&'a str>,
    },
}

impl Role<'_> {
    /// Whether a job with this label is meant for the class, and not for another fleet with a label of the same name.
    pub(super) fn is_meant(&self) -> bool {
        match self {
            Self::Own | Self::Choice(..) => true,
            Self::Ignored => false,
            Self::Translated { words, is_label, .. } => *is_label || !words.is_empty(),
        }
    }
}

impl RunnerClass {
    /// The pieces of a label, and the values of those that are lists; and whether it is a combined one.
    pub(super) fn pieces<'a>(&'a self, label: &'a Label<'_>) -> (Vec<Piece<'a>>, bool) {
        let separators = self.separators(&label.lowercase);
        let pieces = label.text.split(separators).zip(label.lowercase.split(separators));
        let mut all = Vec::with_capacity(1);
        for (text, lowercase) in pieces {
            match self.list(lowercase) {
                Some(before) => {
                    let values = lowercase[before.len()..].split('+');
                    all.extend(values.map(|lowercase| Piece { text, lowercase, before }));
                }
                None => all.push(Piece { text, lowercase, before: "" }),
            }
        }
        (all, !separators.is_empty())
    }

    /// A label is a combined one if a system's table says so, or if its first piece means something and the whole does
    /// not. What the class lists literally is never split.
    pub(super) fn separators(&self, label: &str) -> &[char] {
        if let Some(separators) = self.translations.iter().find_map(|system| system.separators(label)) {
            return if self.has_literally(label) { &[] } else { separators };
        }
        let Some((first, _)) = label.split_once('/') else { return &[] };
        let is_whole = || self.labels.iter().chain(&self.ignored_labels).any(|own| own.matches_lowercase(label));
        match self.role(Piece { text: first, lowercase: first, before: "" }) {
            Ok(role @ (Role::Own | Role::Translated { .. })) if role.is_meant() && !is_whole() => &['/'],
            _ => &[],
        }
    }

    fn list(&self, label: &str) -> Option<&str> {
        if !label.contains('+') || self.has_literally(label) {
            return None;
        }
        for system in &self.translations {
            if let Some(before) = system.list(label) {
                return Some(before);
            }
            if system.rule("", label).is_some() {
                return None;
            }
        }
        None
    }

    fn has_literally(&self, label: &str) -> bool {
        self.labels.iter().any(|own| own.is_literal() && own.matches_lowercase(label))
    }

    /// The order of precedence: a label that the class lists literally, a translation, a size label, a pattern among
    /// the class's labels, an ignored label.
    pub(super) fn role<'a>(&'a self, piece: Piece<'a>) -> Result<Role<'a>, Objection> {
        let Piece { text, lowercase, before } = piece;
        if before.is_empty() && self.has_literally(lowercase) {
            return Ok(Role::Own);
        }
        for system in &self.translations {
            let Some((rule, named)) = system.rule(before, lowercase) else { continue };
            return match &rule.meaning {
                Meaning::Words { words, drops, is_label } => {
                    Ok(Role::Translated { words, named, is_label: *is_label, drops: drops.as_deref() })
                }
                Meaning::Refused(reason) => Err(Objection::Impossible {
                    label: text.to_owned(),
                    reason: reason.clone(),
                    table: system.name.clone(),
                }),
            };
        }
        let choice = choice(lowercase).filter(|_| before.is_empty());
        if let Some((key, value)) = choice
            && self.permits(key)
        {
            return Ok(Role::Choice(key, value));
        }
        let is_own = self.labels.iter().any(|own| !own.is_literal() && own.matches_lowercase(lowercase));
        if is_own || (self.self_hosted && lowercase == "self-hosted") {
            return Ok(Role::Own);
        }
        if self.ignored_labels.iter().any(|ignored| ignored.matches_lowercase(lowercase)) {
            return Ok(Role::Ignored);
        }
        Err(match choice {
            Some((key, _)) => self.not_permitted(key, text.to_owned()),
            None if is_foreign(lowercase) => Objection::Foreign(text.to_owned()),
            None => Objection::Unknown(text.to_owned()),
        })
    }

    pub(super) fn not_permitted(&self, key: Key, label: String) -> Objection {
        if self.has_provider() && matches!(key, Key::Disk | Key::Spot) {
            let reason = "on a provider, it is as its instances are".to_owned();
            return Objection::Impossible { label, reason, table: "capacity".to_owned() };
        }
        Objection::NotPermitted { label, key: key.to_string(), permitted: self.permitted() }
    }

    fn permits(&self, key: Key) -> bool {
        match key {
            Key::Cpu => self.sizes.cpu.is_some(),
            Key::Memory => self.sizes.memory.is_some(),
            Key::Disk => self.sizes.disk.is_some(),
            Key::Arch => self.sizes.arch,
            Key::Spot => self.sizes.spot,
            Key::Run => self.sizes.run,
        }
    }

    /// As [`permits`](Self::permits), for a word that a translation says. What the class does anyway needs no permission.
    pub(super) fn permits_word(&self, key: Key, value: &str) -> bool {
        self.permits(key)
            || match key {
                Key::Arch => value.parse() == Ok(self.task_definition.usual),
                Key::Spot => match self.capacity.first() {
                    Some(Capacity::Provider(_)) => false,
                    first => (first == Some(&Capacity::Spot)) == (value == "true"),
                },
                Key::Run => true,
                Key::Cpu | Key::Memory | Key::Disk => false,
            }
    }

    fn permitted(&self) -> String {
        let sizes = &self.sizes;
        let each = [
            sizes.cpu.map(|most| format!("cpu= up to {most}")),
            sizes.memory.map(|most| format!("memory= up to {most}")),
            sizes.disk.map(|most| format!("disk= up to {most}")),
            sizes.arch.then(|| "arch=".to_owned()),
            sizes.spot.then(|| "spot=".to_owned()),
            sizes.run.then(|| "run=".to_owned()),
        ];
        let each: Vec<_> = each.into_iter().flatten().collect();
        if each.is_empty() { "nothing".to_owned() } else { each.join(", ") }
    }
}

fn choice(label: &str) -> Option<(Key, &str)> {
    let (key, value) = label.split_once('=')?;
    Some((Key::parse(key)?, value))
}

fn is_foreign(label: &str) -> bool {
    let key = match label.find(['=', ':']) {
        Some(at) => &label[..at],
        None if label == "gpu" => label,
        None => return false,
    };
    FOREIGN_KEYS.lines().any(|known| known == key && !known.starts_with('#'))
}
