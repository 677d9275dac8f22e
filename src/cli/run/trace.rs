//! `-v`: what this crate says about its work, on stderr. Libraries below are not heard: they know the secrets' places.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

/// Starts to listen at the level that `-v` asks for.
pub(in crate::cli) fn start(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_writer(std::io::stderr)
        .finish()
        .with(Targets::new().with_target(env!("CARGO_CRATE_NAME"), level));
    // Only a second subscriber could be refused, and there is none.
    let _set = tracing::subscriber::set_global_default(lines);
}
