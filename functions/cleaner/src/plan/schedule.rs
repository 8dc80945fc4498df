//! The days and hours at which a class keeps runners ready.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jitgate::classes::{Day, RunnerClasses, Warm};
use jitgate::config::ConfigError;
use time::OffsetDateTime;

/// Checks the time zones that classes name. Only the cleaner has the list of all.
pub fn check_time_zones(classes: &RunnerClasses) -> Result<(), ConfigError> {
    let zones = classes.iter().flat_map(|class| &class.warm).map(|warm| &warm.time_zone);
    match zones.into_iter().find(|zone| TimeZone::get(zone).is_err()) {
        None => Ok(()),
        Some(zone) => Err(ConfigError {
            variable: "RUNNER_CLASSES",
            found: format!("{zone:?} as a time_zone"),
            expected: "the IANA name of a time zone, such as Europe/Berlin".to_owned(),
        }),
    }
}

/// Whether an entry's days and hours include this moment.
pub(super) fn is_on(now: OffsetDateTime, warm: &Warm) -> bool {
    let (Ok(zone), Ok(now)) = (TimeZone::get(&warm.time_zone), Timestamp::from_second(now.unix_timestamp())) else {
        return false;
    };
    let local = now.to_zoned_datetime(zone);
    let on = |day: Weekday| warm.days.is_empty() || warm.days.iter().any(|each| weekday(*each) == day);
    let (today, yesterday) = (local.weekday(), local.weekday().previous());
    let Some(hours) = warm.hours else { return on(today) };
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    let (from, until) = (i32::from(hours.from), i32::from(hours.until));
    if from < until {
        on(today) && (from..until).contains(&minute)
    } else {
        (on(today) && minute >= from) || (on(yesterday) && minute < until)
    }
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn classes(warm: &str) -> RunnerClasses {
        RunnerClasses::parse(&format!(
            r#"[{{"name":"default","labels":["l"],"task_definition":"t","subnets":["s"],"warm":{warm}}}]"#
        ))
        .expect("valid classes")
    }

    #[test]
    fn a_schedule_is_told_in_its_own_time_zone() {
        let at = |warm: &str, now| is_on(now, &classes(warm).named("default").expect("it is there").warm[0]);
        let berlin = r#"[{"count":1,"days":["mon"],"hours":"08-18","time_zone":"Europe/Berlin"}]"#;
        for (now, on) in [
            (datetime!(2026-11-02 06:59 UTC), false),
            (datetime!(2026-11-02 07:00 UTC), true),
            (datetime!(2026-11-02 16:59 UTC), true),
            (datetime!(2026-11-02 17:00 UTC), false),
            (datetime!(2026-11-03 09:00 UTC), false),
            // An hour earlier in UTC, because of summer time.
            (datetime!(2026-07-06 06:00 UTC), true),
            (datetime!(2026-07-06 16:00 UTC), false),
        ] {
            assert_eq!(at(berlin, now), on, "{now}");
        }
        let night = r#"[{"count":1,"days":["mon"],"hours":"22-06"}]"#;
        for (now, on) in [
            (datetime!(2026-11-02 05:00 UTC), false),
            (datetime!(2026-11-02 21:59 UTC), false),
            (datetime!(2026-11-02 22:00 UTC), true),
            (datetime!(2026-11-03 05:59 UTC), true),
            (datetime!(2026-11-03 06:00 UTC), false),
            (datetime!(2026-11-03 23:00 UTC), false),
        ] {
            assert_eq!(at(night, now), on, "{now}");
        }
        let with_minutes = r#"[{"count":1,"hours":"07:30-18:15"}]"#;
        for (now, on) in [
            (datetime!(2026-11-02 07:29 UTC), false),
            (datetime!(2026-11-02 07:30 UTC), true),
            (datetime!(2026-11-02 18:14 UTC), true),
            (datetime!(2026-11-02 18:15 UTC), false),
        ] {
            assert_eq!(at(with_minutes, now), on, "{now}");
        }
        assert!(at(r#"[{"count":1}]"#, datetime!(2026-11-02 09:00 UTC)));
    }

    #[test]
    fn an_unknown_time_zone_stops_the_function_at_its_start() {
        let zone = |zone: &str| check_time_zones(&classes(&format!(r#"[{{"count":1,"time_zone":"{zone}"}}]"#)));
        assert_eq!(zone("Europe/Berlin"), Ok(()));
        let error = zone("Europe/Atlantis").expect_err("no such zone");
        assert!(error.to_string().contains("Europe/Atlantis"), "{error}");
    }
}
