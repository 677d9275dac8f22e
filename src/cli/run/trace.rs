//! `-v`: what this crate says about its work, on stderr. Libraries below are not heard: they know the secrets' places.

use std::io::{self, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::cli::show::output::aside;

/// stderr by the one door to it; each event comes in one piece.
struct Harmless;

impl Write for Harmless {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        aside(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
        .with_writer(|| Harmless)
        .finish()
        .with(Targets::new().with_target(env!("CARGO_CRATE_NAME"), level));
    // Only a second subscriber could be refused, and there is none.
    let _set = tracing::subscriber::set_global_default(lines);
}
