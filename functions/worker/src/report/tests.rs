use jitgate::ids::CheckRunId;
use jitgate::report::Wait;
use proptest::prelude::*;

use jitgate::github::CheckText;

use super::plan::{BETWEEN_CHANGES, WORTH_TELLING};
use super::text::LONGEST_TITLE;
use super::*;
use crate::samples::{self, NOW};

const ALL: [News; 13] = [
    News::NoCapacity,
    News::LimitReached,
    News::Limited,
    News::GitHubFails,
    News::AwsFails,
    News::NeedsMending,
    News::FailedStarts,
    News::Unassigned,
    News::Refused,
    News::GivenUp,
    News::Expired,
    News::Started,
    News::Ended,
];

/// A job that came in at [`NOW`].
fn message(job_name: &str) -> Message {
    let mut message = samples::message();
    message.job.commit = OnCommit::of(job_name, "3484a3fb816e0859fd6e1cea078d76385ff50625");
    message
}

fn told(news: News, at: OffsetDateTime) -> Message {
    let mut message = message("test");
    message.progress.wait = Some(Wait { news, since: NOW, told: Some(Told { check: CheckRunId(1), news, at }) });
    message
}

#[test]
fn a_wait_is_told_once_it_is_long_and_again_only_when_the_reason_changes_for_a_while() {
    let create = Some(Plan { known: None, may_create: true });
    let update = Some(Plan { known: Some(CheckRunId(1)), may_create: true });
    let at = NOW + WORTH_TELLING;
    let second = Duration::SECOND;
    assert_eq!(plan(&message("test"), News::NoCapacity, at - second), None);
    assert_eq!(plan(&message("test"), News::NoCapacity, at), create);
    assert_eq!(plan(&told(News::NoCapacity, at), News::NoCapacity, at + Duration::DAY), None);
    assert_eq!(plan(&told(News::NoCapacity, at), News::LimitReached, at + BETWEEN_CHANGES - second), None);
    assert_eq!(plan(&told(News::NoCapacity, at), News::LimitReached, at + BETWEEN_CHANGES), update);
}

#[test]
fn an_end_is_told_to_those_who_heard_of_the_wait_or_may_have() {
    let at = NOW + WORTH_TELLING;
    for end in [News::Started, News::Ended] {
        assert_eq!(plan(&message("test"), end, at - Duration::SECOND), None, "in time: no call");
        let look = Some(Plan { known: None, may_create: false });
        assert_eq!(plan(&message("test"), end, at), look, "an earlier message of the job may have told");
        let update = Some(Plan { known: Some(CheckRunId(1)), may_create: false });
        assert_eq!(plan(&told(News::NoCapacity, at), end, at), update);
        assert_eq!(plan(&told(end, at), end, at), None);
    }
    for end in [News::Refused, News::GivenUp, News::Expired] {
        assert_eq!(plan(&message("test"), end, NOW), Some(Plan { known: None, may_create: true }));
    }
}

#[test]
fn a_release_counts_from_the_job_s_beginning() {
    let mut release = message("test");
    (release.purpose, release.job.created_at) = (Purpose::Release, NOW - WORTH_TELLING);
    assert!(plan(&release, News::Ended, NOW).is_some());
    let later = release.clone().saying(News::Ended, NOW);
    assert!(plan(&later, News::Ended, NOW).is_some(), "and so does what could not be told at once");
    release.job.created_at = NOW;
    assert_eq!(plan(&release, News::Ended, NOW), None);
}

#[test]
fn every_news_has_its_text() {
    let texts = ALL.map(|news| {
        let mut message = message("test (3.12)");
        message.progress.wait = Some(Wait { news, since: NOW + Duration::minutes(2), told: None });
        message.progress.failed_starts = u32::from(news == News::Started) * 3;
        let reason = (news == News::Refused).then_some("class default: cpu=16 is too large: 4 vCPU at most");
        let CheckText { is_final, title, summary } = text(&message, news, reason);
        format!("{news:?}, {}\n{title}\n\n{summary}\n", if is_final { "final" } else { "open" })
    });
    insta::assert_snapshot!(texts.join("\n---\n"));
}

#[test]
fn a_process_makes_few_reports_and_none_where_it_was_refused() {
    let reports = Reports::default();
    let new = Plan { known: None, may_create: true };
    let made = |at: OffsetDateTime| (0..1000).filter(|_| reports.admit(new, at)).count();
    assert_eq!((made(NOW), made(NOW + Duration::seconds(59))), (MOST_A_MINUTE, 0));
    let in_an_hour: usize = (1..60).map(|minute| made(NOW + Duration::minutes(minute))).sum();
    assert_eq!(in_an_hour, MOST_NEW_AN_HOUR - MOST_A_MINUTE);
    let known = Plan { known: Some(CheckRunId(1)), may_create: true };
    assert!(reports.admit(known, NOW + Duration::minutes(59)), "a check run that there is can still end");
    assert!(reports.refuse("octo-org".to_owned(), NOW));
    assert!(!reports.refuse("octo-org".to_owned(), NOW), "it is logged once");
    assert!(reports.is_refused(&["other", "octo-org"], NOW + Duration::minutes(59)));
    assert!(!reports.is_refused(&["other"], NOW));
    assert!(!reports.is_refused(&["octo-org"], NOW + AFTER_REFUSAL));
}

proptest! {
    /// Of what strangers wrote, nothing leaves its line or its code span, and GitHub takes the text.
    #[test]
    fn whatever_strangers_write_is_text(
        job_name in any::<String>(),
        reason in proptest::option::of(any::<String>()),
        news in proptest::sample::select(&ALL[..]),
        failed_starts in any::<u32>(),
        since in 0_i64..4_000_000_000,
    ) {
        let mut message = message(&job_name);
        message.progress.failed_starts = failed_starts;
        let since = OffsetDateTime::from_unix_timestamp(since).expect("a moment");
        message.progress.wait = Some(Wait { news, since, told: None });
        let CheckText { is_final, title, summary } = text(&message, news, reason.as_deref());
        prop_assert_eq!(is_final, !news.is_wait());
        prop_assert!(!title.is_empty() && title.chars().count() <= LONGEST_TITLE);
        prop_assert!(!title.chars().any(char::is_control));
        prop_assert!(summary.chars().count() <= 2000, "GitHub takes 65,535");
        // An even number of backticks: every code span ends where we end it, and outside of them are our words alone.
        let parts: Vec<_> = summary.split('`').collect();
        prop_assert_eq!(parts.len() % 2, 1);
        let outside: String = parts.iter().step_by(2).copied().collect();
        let is_ours = |letter: char| letter.is_ascii_alphanumeric() || " \n*:;.,'-&".contains(letter);
        prop_assert!(outside.chars().all(is_ours), "{}", outside);
        prop_assert!(parts.iter().skip(1).step_by(2).all(|code| !code.contains('\n')));
        let check_name = name(message.job.commit.as_ref().expect("a commit"));
        prop_assert!(check_name.chars().count() <= 120 && !check_name.chars().any(char::is_control));
    }
}
