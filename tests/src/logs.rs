//! What the functions log in the test's own process.

use std::io::Write;
use std::sync::{Arc, Mutex};

/// The outcome of a future, and what was logged in the meantime.
///
/// # Panics
/// If a line could not be written.
pub async fn logged<T>(course: impl Future<Output = T>) -> (T, String) {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic while writing").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let outcome = course.await;
    drop(guard);
    let written = lines.0.lock().expect("no panic while writing");
    (outcome, String::from_utf8_lossy(&written).into_owned())
}
