//! A length of time as a user writes it: `30d`, `12h`, `2w`.

use std::fmt;
use std::str::FromStr;

use time::Duration;

/// The longest that may be asked for, in days: ten years, the longest that CloudWatch keeps log lines.
const LONGEST_DAYS: i64 = 3653;

/// A length of time, of an hour at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a whole number with h, d or w, such as 12h, 30d or 4w".to_owned();
        let unit = text.chars().last().ok_or_else(wrong)?;
        let hours = match unit {
            'h' => 1,
            'd' => 24,
            'w' => 7 * 24,
            _ => return Err(wrong()),
        };
        let number = &text[..text.len() - unit.len_utf8()];
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: i64 = number.parse().map_err(|_| wrong())?;
        match number.checked_mul(hours) {
            Some(hours @ 1..) if hours <= LONGEST_DAYS * 24 => Ok(Self(Duration::hours(hours))),
            _ => Err(format!("from an hour to {LONGEST_DAYS} days")),
        }
    }
}

impl fmt::Display for Period {
    /// In words.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.0.whole_hours();
        let (number, unit) = if hours % 24 == 0 { (hours / 24, "day") } else { (hours, "hour") };
        write!(out, "{number} {unit}{}", if number == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_period_is_a_number_and_a_unit() {
        for (text, hours, words) in
            [("1h", 1, "1 hour"), ("36h", 36, "36 hours"), ("30d", 720, "30 days"), ("1w", 168, "7 days")]
        {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.0, period.to_string().as_str()), (Duration::hours(hours), words));
        }
        for text in ["", "d", "30", "30 d", "-1d", "+1d", "1.5d", "0d", "3654d", "99999999999999999999d", "1ö"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(Period(length)) = text.parse::<Period>() {
                prop_assert!(length >= Duration::HOUR && length <= Duration::days(LONGEST_DAYS));
            }
        }

        #[test]
        fn whole_days_are_what_they_say(days in 1..=LONGEST_DAYS) {
            prop_assert_eq!(format!("{days}d").parse(), Ok(Period(Duration::days(days))));
        }
    }
}
