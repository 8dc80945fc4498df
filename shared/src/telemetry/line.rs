//! One log line: a JSON object with the event's own fields and those of the spans around it, all at the top level.
//!
//! The subscriber's own JSON nests the spans' fields, so that a saved query on `job.id` would find only the lines that
//! repeat it.

use std::fmt;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Writes lines to the standard output.
pub(super) fn layer() -> Layer<Registry, Fields, Line> {
    tracing_subscriber::fmt::layer().fmt_fields(Fields).event_format(Line)
}

/// Writes a line.
pub(super) struct Line;

/// Writes fields as `,"name":value`, which is how they follow each other on the line.
pub(super) struct Fields;

impl<S: Subscriber + for<'span> LookupSpan<'span>> FormatEvent<S, Fields> for Line {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Fields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", metadata.level())?;
        Fields.format_fields(writer.by_ref(), event)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<Fields>>() {
                writer.write_str(fields)?;
            }
        }
        writeln!(writer, ",\"target\":{}}}", json(metadata.target())?)
    }
}

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { writer, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'writer> {
    writer: Writer<'writer>,
    result: fmt::Result,
}

impl Visitor<'_> {
    fn write(&mut self, field: &Field, value: impl Serialize) {
        let write = || write!(self.writer, ",{}:{}", json(field.name())?, json(value)?);
        self.result = self.result.and_then(|()| write());
    }
}

impl Visit for Visitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, format!("{value:?}"));
    }
}

fn json(value: impl Serialize) -> Result<String, fmt::Error> {
    serde_json::to_string(&value).map_err(|_| fmt::Error)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing::field::Empty;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are logged meanwhile, without their timestamps.
    fn lines(act: impl FnOnce()) -> Vec<Value> {
        let log = Log::default();
        let writer = log.clone();
        let layer = layer().with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
        let text = String::from_utf8(log.0.lock().unwrap().clone()).expect("UTF-8");
        let parsed = text.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let timestamp = line.as_object_mut().expect("an object").remove("timestamp").expect("a timestamp");
            assert!(timestamp.as_str().is_some_and(|text| text.ends_with('Z')), "{timestamp}");
            line
        });
        parsed.collect()
    }

    #[test]
    fn a_spans_fields_stand_at_the_top_level_of_every_line_below() {
        let lines = lines(|| {
            let delivery = tracing::error_span!("delivery", delivery.id = "72d3", attempt = Empty);
            let _in_delivery = delivery.enter();
            tracing::warn!(reason = "\"ü\"\n", error = %"none", "delivery malformed");
            delivery.record("attempt", 2);
            let _in_job = tracing::error_span!("job", job.id = 4711_u64, is_public = true).entered();
            tracing::info!(purpose = ?Some(1), waited_seconds = 1.5, change = -1, "job queued");
        });
        let target = module_path!();
        assert_eq!(
            lines,
            [
                json!({
                    "level": "WARN", "message": "delivery malformed", "reason": "\"ü\"\n", "error": "none",
                    "delivery.id": "72d3", "target": target,
                }),
                json!({
                    "level": "INFO", "message": "job queued", "purpose": "Some(1)", "waited_seconds": 1.5, "change": -1,
                    "job.id": 4711, "is_public": true, "delivery.id": "72d3", "attempt": 2, "target": target,
                }),
            ]
        );
    }

    #[test]
    fn a_line_outside_of_spans_has_its_own_fields_alone() {
        let lines = lines(|| {
            tracing::error_span!("pass", pass.id = 1).in_scope(|| {});
            tracing::error!("stopped");
        });
        assert_eq!(lines, [json!({ "level": "ERROR", "message": "stopped", "target": module_path!() })]);
    }
}
