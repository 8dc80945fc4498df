//! The one HTTP client.

use std::sync::LazyLock;
use std::time::Duration;

/// GitHub and AWS answer within ten seconds, or not at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The client that all calls share. It follows no redirects: none of what is called has any, and a redirect would carry
/// a token elsewhere.
pub fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        reqwest::Client::builder()
            .user_agent(concat!("jitgate/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap_or_default()
    });
    &CLIENT
}

/// An error and its causes, without the address, which can hold the code that is good for an App's key.
pub fn words_of(error: &reqwest::Error) -> String {
    let mut words = if error.is_timeout() { "no answer in time".to_owned() } else { "no answer".to_owned() };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
