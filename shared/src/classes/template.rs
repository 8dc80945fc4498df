//! Patterns for labels of other systems, which also name parts of a label: `warp-ubuntu-*-x64-{cpu}x`.

/// Most named parts of one pattern. More than any system's labels have.
pub(super) const MOST_NAMED: usize = 4;

/// What the named parts of a label are, in the order of the pattern.
pub(super) type Named<'a> = [&'a str; MOST_NAMED];

/// A pattern in lower case: `*` stands for any characters, `{name}` for one or more that the rule uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    first: String,
    rest: Vec<(Wild, String)>,
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wild {
    /// `*`
    Any,
    /// `{name}`, by its place among the names.
    Named(usize),
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let lowercase = text.to_lowercase();
        let mut template = Self { first: String::new(), rest: Vec::new(), names: Vec::new() };
        let mut rest = lowercase.as_str();
        while let Some(at) = rest.find(['*', '{', '}']) {
            let (before, after) = rest.split_at(at);
            template.last().push_str(before);
            if !template.rest.is_empty() && template.last().is_empty() {
                return Err(format!("label {text:?} must have characters between two * or {{name}}"));
            }
            rest = if let Some(after) = after.strip_prefix('*') {
                template.rest.push((Wild::Any, String::new()));
                after
            } else {
                let (name, after) = after
                    .strip_prefix('{')
                    .and_then(|after| after.split_once('}'))
                    .filter(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()))
                    .ok_or_else(|| format!("label {text:?} must write a named part as {{name}}, with letters only"))?;
                if template.names.iter().any(|known| known == name) {
                    return Err(format!("label {text:?} has {{{name}}} twice"));
                }
                template.rest.push((Wild::Named(template.names.len()), String::new()));
                template.names.push(name.to_owned());
                after
            };
        }
        template.last().push_str(rest);
        if template.names.len() > MOST_NAMED {
            return Err(format!("label {text:?} must have {MOST_NAMED} named parts at most"));
        }
        Ok(template)
    }

    fn last(&mut self) -> &mut String {
        self.rest.last_mut().map_or(&mut self.first, |(_, literal)| literal)
    }

    /// What all labels that match begin with.
    pub(super) fn beginning(&self) -> &str {
        &self.first
    }

    pub(super) fn is_literal(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn has_star(&self) -> bool {
        self.rest.iter().any(|(wild, _)| *wild == Wild::Any)
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The named parts of a label in lower case, if it matches. `before` is a beginning that the label has and `text`
    /// lacks.
    pub(super) fn parts<'a>(&self, before: &str, text: &'a str) -> Option<Named<'a>> {
        let mut text = text.strip_prefix(self.first.strip_prefix(before)?)?;
        let mut named = [""; MOST_NAMED];
        for (index, (wild, literal)) in self.rest.iter().enumerate() {
            let is_last = index + 1 == self.rest.len();
            let (part, after) =
                if is_last { (text.strip_suffix(literal.as_str())?, "") } else { text.split_once(literal.as_str())? };
            if let Wild::Named(name) = wild {
                if part.is_empty() {
                    return None;
                }
                named[*name] = part;
            }
            text = after;
        }
        text.is_empty().then_some(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pattern: &str, text: &str) -> Option<Vec<String>> {
        let template = Template::parse(pattern).unwrap();
        let named = template.parts("", text)?;
        Some(named[..template.names().len()].iter().map(|&part| part.to_owned()).collect())
    }

    #[test]
    fn a_label_matches_if_the_pattern_covers_all_of_it() {
        let owned = |parts: &[&str]| Some(parts.iter().map(|&part| part.to_owned()).collect::<Vec<_>>());
        for (pattern, text, expected) in [
            ("linux", "linux", owned(&[])),
            ("linux", "linux-x", None),
            ("linux*", "linux-x", owned(&[])),
            ("*-arm64", "image-arm64", owned(&[])),
            ("*-arm64", "image-arm64-x", None),
            ("run={run}", "run=7", owned(&["7"])),
            ("run={run}", "run=", None),
            ("a-{cpu}vcpu-*-arm", "a-4vcpu-ubuntu-arm", owned(&["4"])),
            ("a-{cpu}vcpu-*-arm", "a-4vcpu-ubuntu", None),
            ("a-{cpu}vcpu-*-arm", "a-vcpu-ubuntu-arm", None),
            ("{cpu}x{memory}", "4x16", owned(&["4", "16"])),
            ("CPU={cpu}+*", "cpu=4+16", owned(&["4"])),
        ] {
            assert_eq!(parts(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_beginning_that_is_given_apart_counts() {
        let template = Template::parse("family=m7*").unwrap();
        assert!(template.parts("family=", "m7a").is_some());
        assert!(template.parts("family=", "c7a").is_none());
        assert!(template.parts("image=", "m7a").is_none());
    }

    #[test]
    fn an_ambiguous_pattern_is_refused() {
        for (pattern, says) in [
            ("a**", "between two"),
            ("a{b}*", "between two"),
            ("a{b", "as {name}"),
            ("a{}", "as {name}"),
            ("a}b", "as {name}"),
            ("{a}-{a}", "twice"),
            ("{a}-{b}-{c}-{d}-{e}", "4 named parts"),
        ] {
            assert!(Template::parse(pattern).unwrap_err().contains(says), "{pattern}");
        }
    }
}
