//! Signals. A thread of its own listens, so that they work while a question stands open or the disk is slow.
//!
//! The first signal asks the run to end; what it did is in the journal. A second interrupt, or a run that does not end,
//! ends the process at once, which loses nothing either.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::cli::act::failed::failed;
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::output::aside;

/// How long a run may take to end after the first signal.
const GRACE: Duration = Duration::from_secs(5);

/// Tells whether the run was asked to end.
#[derive(Debug)]
pub(in crate::cli) struct Stop(watch::Receiver<Option<Exit>>);

impl Stop {
    /// Returns when the run has to end.
    pub(in crate::cli) async fn requested(&mut self) -> Exit {
        loop {
            if let Some(exit) = *self.0.borrow_and_update() {
                return exit;
            }
            if self.0.changed().await.is_err() {
                // Nobody listens any more; then nobody asks either.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Starts listening.
///
/// # Errors
/// No thread, or no handler could be set.
pub(in crate::cli) fn listen(session: Arc<Session>) -> io::Result<Stop> {
    let (asked, stop) = watch::channel(None);
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let started = runtime.and_then(|runtime| {
            let signals = runtime.block_on(async { Signals::set() })?;
            Ok((runtime, signals))
        });
        match started {
            Ok((runtime, signals)) => {
                let _gone = ready.send(Ok(()));
                runtime.block_on(signals.watch(&asked, &session));
            }
            Err(error) => {
                let _gone = ready.send(Err(error));
            }
        }
    })?;
    is_ready
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the signal thread ended")))?;
    Ok(Stop(stop))
}

struct Signals {
    interrupt: Signal,
    // It would leave a core behind, and a terminal without echo.
    quit: Signal,
    terminate: Signal,
    hangup: Signal,
    // Held so that a file size limit is an error of the write and not the end of the process.
    _file_size: Signal,
}

impl Signals {
    fn set() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupt,
            _ = self.quit.recv() => Exit::Quit,
            _ = self.terminate.recv() => Exit::Terminate,
            _ = self.hangup.recv() => Exit::Hangup,
        }
    }

    async fn watch(mut self, asked: &watch::Sender<Option<Exit>>, session: &Session) {
        let exit = self.next().await;
        if session.out.is_asking() {
            session.out.restore();
            aside("\n");
            let report = failed(session, &CliError::Signal(exit));
            let told = session.out.finish(&report);
            session.pages.farewell(&report.ending(), false);
            // Again: the question may have been about to switch the echo off when the signal came.
            session.out.restore();
            leave(if told.is_ok() { exit } else { Exit::Storage });
        }
        asked.send_replace(Some(exit));
        let _again = tokio::time::timeout(GRACE, self.next()).await;
        session.out.restore();
        leave(exit);
    }
}

/// Ends the process at once. Everything that matters is on disk before it is acted on.
#[expect(
    clippy::exit,
    reason = "a second signal, or a question that nobody will answer, ends the process"
)]
fn leave(exit: Exit) -> ! {
    std::process::exit(i32::from(exit.code()))
}
