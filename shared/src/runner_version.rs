//! Versions of the runner's software.

use std::fmt;
use std::str::FromStr;

/// A version of the runner's software.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunnerVersion(u32, u32, u32);

impl FromStr for RunnerVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some([major, minor, patch]) => Ok(Self(*major, *minor, *patch)),
            _ => Err("a version of the runner, such as 2.329.0".to_owned()),
        }
    }
}

impl fmt::Display for RunnerVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text: &str| text.parse::<RunnerVersion>().unwrap();
        assert!(version("2.99.0") < version("2.329.0"));
        assert_eq!(version("2.329.0").to_string(), "2.329.0");
        for malformed in ["", "2.329", "2.329.0.1", "v2.329.0", "2.x.0"] {
            assert!(malformed.parse::<RunnerVersion>().is_err(), "{malformed}");
        }
    }
}
