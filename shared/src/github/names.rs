//! The names that GitHub gives to accounts and repositories. They become parts of paths, so nothing else may stand there:
//! `..` would lead to another route, and a URL silently drops line breaks.

/// Longest login, in characters. Source: GitHub's "Username considerations for external authentication".
const LONGEST_LOGIN: usize = 39;

/// Longest name of a repository, in characters. Source: GitHub's "Repository limits".
const LONGEST_REPOSITORY: usize = 100;

/// Whether an account can have this login: letters, digits and hyphens, and an underscore before the short code of an
/// enterprise with managed users. Source: GitHub's "Username considerations for external authentication". Where hyphens may
/// stand is left to GitHub: older logins break today's rules.
pub fn is_login(name: &str) -> bool {
    (1..=LONGEST_LOGIN).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether a repository can have this name, without its owner. Source: GitHub's "Repository limits".
pub fn is_repository(name: &str) -> bool {
    name.len() <= LONGEST_REPOSITORY && is_segment(name)
}

/// Whether this may be a segment of a path. GitHub's names, ids, versions and the words of its routes all pass.
pub(super) fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_githubs_rules() {
        let (longest_login, longest_repository) = ("a".repeat(39), "a".repeat(100));
        for login in ["a", "Octo-Org", "octocat_acme", "0", "old-", "a--b", &longest_login] {
            assert!(is_login(login), "{login}");
        }
        for repository in ["a", ".github", "a.b", "...", "_", "-", "x_y-z.js", &longest_repository] {
            assert!(is_repository(repository), "{repository}");
        }
        let (too_long, far_too_long) = ("a".repeat(40), "a".repeat(101));
        for neither in
            ["", ".", "..", "a/b", "a\\b", "a b", "x\ny", "x\0", "\t", "ä", "a%2fb", "a?b", "a#b", &far_too_long]
        {
            assert!(!is_login(neither) && !is_repository(neither), "{neither:?}");
        }
        for login in ["a.b", ".github", &too_long] {
            assert!(!is_login(login), "{login}");
        }
    }
}
