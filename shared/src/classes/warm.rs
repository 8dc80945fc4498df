//! Warm runners: how many are kept ready, when and where.

use serde::Deserialize;

/// Most runners that one entry keeps ready. A higher number is a mistake: each costs as much as a busy one.
pub const MOST_WARM: u32 = 100;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Keeps a number of runners ready at some hours of some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warm {
    /// The number of runners, 1 to [`MOST_WARM`].
    pub count: u32,
    /// Where they are registered: an organisation's login, or `owner/name` of a repository. If absent, with the
    /// enterprise, or at the only place that the credential reaches.
    pub place: Option<String>,
    /// The days of the week; all if empty.
    pub days: Vec<Day>,
    /// The hours of the day; all if absent.
    pub hours: Option<Hours>,
    /// The IANA name of the time zone of `days` and `hours`. Not checked here: only the cleaner knows all time zones.
    pub time_zone: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// From one minute of the day until before another; past midnight if `until` is not after `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// The first minute of the day, 0 to 1439.
    pub from: u16,
    /// The first minute that no longer counts, 1 to 1440.
    pub until: u16,
}

impl Hours {
    /// Reads `08-18` or `07:30-18:15`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (from, until) = text.split_once('-')?;
        let hours = Self { from: minute(from)?, until: minute(until)? };
        (hours.from < DAY && hours.until > 0 && hours.from != hours.until).then_some(hours)
    }
}

fn minute(text: &str) -> Option<u16> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() == 2);
    let (hour, minute) = text.split_once(':').unwrap_or((text, "00"));
    let minutes = number(hour)? * 60 + number(minute).filter(|minute| *minute < 60)?;
    (minutes <= DAY).then_some(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_from_one_time_of_the_day_until_another() {
        let hours = |text| Hours::parse(text).map(|hours| (hours.from, hours.until));
        assert_eq!(hours("08-18"), Some((480, 1080)));
        assert_eq!(hours("07:30-18:15"), Some((450, 1095)));
        assert_eq!(hours("22-06"), Some((1320, 360)));
        assert_eq!(hours("00-24"), Some((0, 1440)));
        for malformed in ["", "8-18", "08", "08-08", "24-06", "08-00", "08-25", "08:60-18", "08-18-20", "-8-18"] {
            assert_eq!(hours(malformed), None, "{malformed}");
        }
    }
}
