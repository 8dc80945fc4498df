//! A day without jobs: what the model says, beside what a test counts.

use std::fmt::Write as _;

use super::prices::{LOG, LOG_KEPT, REQUEST, SECRET, SECRET_CALL};
use super::{
    Bill, IDLE_POLLS, MILLION, Monitoring, PASS_LOGS, PASSES, READS_OF_A_FUNCTION, dollars, gb_second, thousands,
};

/// What happens in a day without jobs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Day {
    passes: f64,
    reads_of_the_secret: f64,
    messages: f64,
    calls_to_ecs: f64,
    calls_to_github: f64,
    metric_hours: f64,
    log_bytes: f64,
}

/// Counted by the test below: a day of passes of the cleaner, in one process, against the stand-ins of AWS and GitHub
/// on a simulated clock; and the bytes that its process writes.
const COUNTED: Day = Day {
    passes: 288.0,
    reads_of_the_secret: 96.0,
    messages: 0.0,
    calls_to_ecs: 576.0,
    calls_to_github: 1176.0,
    metric_hours: 0.0,
    log_bytes: 288.0 * 155.0,
};

const DAYS: f64 = 30.0;

/// A row's name, what it consists of, and its amount.
type OfMonth = (&'static str, &'static str, fn(&Bill) -> f64);
/// A row's name and its amount.
type OfDay = (&'static str, fn(&Day) -> f64);

/// The Markdown table of the idle month, by level of monitoring.
pub(super) fn month() -> String {
    let [off, basic, full] = [Monitoring::Off, Monitoring::Basic, Monitoring::Full].map(|level| Bill::of(0.0, level));
    let rows: [OfMonth; 7] = [
        ("the secret", "one, and its reads", |bill| bill.secret),
        ("the empty queue", "Lambda's five pollers", |bill| bill.queue),
        ("the cleaner's passes", "one in five minutes", |bill| bill.passes + bill.requests),
        ("its schedule", "", |bill| bill.schedule),
        ("log lines", "", |bill| bill.logs),
        ("metrics", "none gets data", |bill| bill.metrics),
        ("alarms, dashboard", "0, 7 or 15 alarms; `full` has the dashboard", |bill| bill.watching),
    ];
    let mut table =
        "| an idle month, in dollars | what | `off` | `basic` | `full` |\n|---|---|---|---|---|\n".to_owned();
    for (name, what, of) in rows {
        let [off, basic, full] = [&off, &basic, &full].map(|bill| dollars(of(bill)));
        let _ = writeln!(table, "| {name} | {what} | {off} | {basic} | {full} |");
    }
    let [off, basic, full] = [&off, &basic, &full].map(|bill| dollars(bill.control_plane()));
    let _ = writeln!(table, "| **all** | | **{off}** | **{basic}** | **{full}** |");
    table
}

/// The Markdown table of the counted day.
pub(super) fn day() -> String {
    let passes = PASSES.value / DAYS;
    let model = Day {
        passes,
        reads_of_the_secret: READS_OF_A_FUNCTION.value / DAYS,
        messages: 0.0,
        calls_to_ecs: f64::NAN,
        calls_to_github: f64::NAN,
        metric_hours: 0.0,
        log_bytes: passes * PASS_LOGS.value * 1000.0,
    };
    let rows: [OfDay; 7] = [
        ("passes of the cleaner", |day| day.passes),
        ("reads of the secret", |day| day.reads_of_the_secret),
        ("messages sent", |day| day.messages),
        ("metric-hours", |day| day.metric_hours),
        ("bytes of log lines; the model has Lambda's own, too", |day| day.log_bytes),
        ("calls to ECS, free of charge", |day| day.calls_to_ecs),
        ("calls to GitHub, free of charge", |day| day.calls_to_github),
    ];
    let mut table = "| in a day without jobs | model | counted |\n|---|---|---|\n".to_owned();
    for (name, of) in rows {
        let cell = |amount: f64| if amount.is_nan() { String::new() } else { thousands(amount) };
        let _ = writeln!(table, "| {name} | {} | {} |", cell(of(&model)), cell(of(&COUNTED)));
    }
    let polls = thousands(IDLE_POLLS.value / DAYS);
    let _ = writeln!(table, "| empty receives: Lambda's own, so nothing here can count them | {polls} | |");
    let [model, counted] = [model, COUNTED].map(|day| dollars(of_passes(&day)));
    let _ = writeln!(
        table,
        "| **dollars in a month of such days, without receives and alarms** | **{model}** | **{counted}** |"
    );
    table
}

/// Dollars for a month of such days: the secret, the passes and their lines.
fn of_passes(day: &Day) -> f64 {
    let month = |of_day: f64| of_day * DAYS;
    SECRET.value
        + month(day.reads_of_the_secret) * SECRET_CALL.value / MILLION
        + month(day.passes) * REQUEST.value / MILLION
        + gb_second(month(day.passes) * super::PASS.value)
        + month(day.log_bytes) / 1e9 * (LOG.value + LOG_KEPT.value)
        + super::monitoring::of_hours(month(day.metric_hours))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cleaner::{Cleaner, Event};
    use jitgate::clock::Clock;
    use jitgate::config::FleetConfig;
    use jitgate_tests::github::HookTarget;
    use jitgate_tests::lambda::http_event::scheduled;
    use jitgate_tests::lambda::{Function, FunctionSettings, Program};
    use jitgate_tests::world::World;

    use super::super::tests::is;
    use super::*;

    const PASSES_A_DAY: usize = 288;

    fn count(count: usize) -> f64 {
        f64::from(u32::try_from(count).expect("few"))
    }

    #[tokio::test]
    async fn a_day_without_jobs_is_what_is_counted() {
        let world = World::new().await;
        world.github.add_hook(HookTarget::App, "https://webhook.example");
        let config = FleetConfig::from_environment(&world.environment()).unwrap();
        let cleaner = Cleaner::new(&world.aws.sdk_config(), config, world.clock.clone());
        for _ in 0..PASSES_A_DAY {
            cleaner.handle(&Event::Schedule).await.unwrap();
            world.clock.advance(Duration::from_mins(5));
        }
        let calls = world.aws.calls();
        let found = Day {
            passes: count(PASSES_A_DAY),
            reads_of_the_secret: count(calls.count("GetSecretValue")),
            messages: count(calls.count("SendMessage")),
            calls_to_ecs: count(calls.count("ListTasks") + calls.count("DescribeTasks")),
            calls_to_github: count(world.api.calls.all().len()),
            ..COUNTED
        };
        assert_eq!(found, COUNTED);
        let aws = found.reads_of_the_secret + found.messages + found.calls_to_ecs;
        assert!(is(aws, count(calls.all().len())), "nothing else is called: {:?}", calls.operations());
        assert!(found.passes <= PASSES.value / DAYS);
        assert!(found.reads_of_the_secret <= READS_OF_A_FUNCTION.value / DAYS);
    }

    #[tokio::test]
    async fn a_pass_over_nothing_writes_few_bytes_and_no_metric() {
        const PASSES: usize = 10;
        let world = World::on(Clock::system(), &[]).await;
        world.github.add_hook(HookTarget::App, "https://webhook.example");
        let settings = FunctionSettings { timeout: Duration::from_mins(5), ..FunctionSettings::default() };
        let cleaner = Function::start_with(Program::function("cleaner"), world.variables(), settings).await;
        for _ in 0..PASSES {
            cleaner.invoke(&scheduled(world.clock.now())).await.expect("an answer");
        }
        let lines: Vec<_> = cleaner.lines().into_iter().map(|line| line.text).collect();
        assert!(!lines.iter().any(|line| line.contains("CloudWatchMetrics")), "{lines:?}");
        let bytes = count(lines.iter().map(|line| line.len() + 1).sum::<usize>()) / count(PASSES);
        let counted = COUNTED.log_bytes / COUNTED.passes;
        // The digits of a number in a line can vary.
        assert!((bytes - counted).abs() < 0.05 * counted, "{bytes} bytes a pass: {lines:?}");
        assert!(bytes < PASS_LOGS.value * 1000.0);
    }
}
