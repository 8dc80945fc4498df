//! Runners that are kept ready: how many, when, and for whom.

use serde::Deserialize;

/// Most runners that one entry keeps ready. More is a mistake: each costs what a busy one costs.
pub const MOST_WARM: u32 = 100;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// So many runners are kept ready at some hours of some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warm {
    /// How many, 1 to [`MOST_WARM`].
    pub count: u32,
    /// Where they are registered: an organisation's login, or `owner/name` of a repository. Absent: with the enterprise,
    /// or the one place there is.
    pub place: Option<String>,
    /// On which days; on all if empty.
    pub days: Vec<Day>,
    /// At which hours; around the clock if absent.
    pub hours: Option<Hours>,
    /// The IANA name of the time zone that days and hours are told in. Only the cleaner knows them all.
    pub time_zone: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// From one minute of the day until before another; past midnight, where that is the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// The first minute of the day, 0 to 1439.
    pub from: u16,
    /// The minute after the last one, 1 to 1440.
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WarmJson {
    count: u32,
    #[serde(rename = "for")]
    place: Option<String>,
    days: Option<Vec<Day>>,
    hours: Option<String>,
    time_zone: Option<String>,
}

impl WarmJson {
    pub(super) fn checked(self) -> Result<Warm, String> {
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
            days: self.days.unwrap_or_default(),
            hours: self.hours.map(parse).transpose()?,
            time_zone: self.time_zone.unwrap_or_else(|| "UTC".to_owned()),
        })
    }
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
