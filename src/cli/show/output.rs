//! The only place that prints: the result on stdout, everything else on stderr.
//!
//! With `--json` stdout carries exactly one object, for failures too. A closed stdout is not an error; a closed stderr
//! is nobody's business.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::cli::show::names::Names;
use crate::cli::show::report::Report;
use crate::cli::show::text::{Page, escape, harmless_json};
use crate::signer::Consent;
use crate::text::{escape_lines, inert, inert_json, short_hashes};

/// How often the spinner moves.
const TICK: Duration = Duration::from_millis(120);

/// How often it is said without a terminal what is waited for.
const PACE: Duration = Duration::from_secs(15);

/// How long an interrupted question waits for the signal that interrupted it to end the process.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a runner of GitHub Actions reads what is printed: then no line of it may be a command. One for the process, as
/// its streams are.
static RUNNER: AtomicBool = AtomicBool::new(false);

/// Where results and news go.
#[derive(Debug)]
pub(in crate::cli) struct Output {
    json: bool,
    quiet: bool,
    interactive: bool,
    /// Colours on stderr.
    color: bool,
    /// Colours on stdout.
    paints: bool,
    spins: bool,
    moving: Mutex<Option<Moving>>,
    asking: AtomicBool,
    terminal: Mutex<Option<Termios>>,
    /// The news so far.
    told: Mutex<Vec<String>>,
    names: OnceLock<Names>,
    /// When it was last said without a terminal what is waited for, or when that began.
    waited: Mutex<Option<Instant>>,
}

/// The moving line and what it says.
#[derive(Debug)]
struct Moving {
    bar: ProgressBar,
    news: String,
    /// It says what is waited for: nobody reads that once it is over.
    waits: bool,
}

/// What the output looks like.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Style {
    /// One JSON object on stdout.
    pub(in crate::cli) json: bool,
    /// How often `-v` was given.
    pub(in crate::cli) verbose: u8,
    /// Nothing but results, questions and what is wrong.
    pub(in crate::cli) quiet: bool,
    /// Where there are colours.
    pub(in crate::cli) color: Color,
    /// A runner of GitHub Actions reads it.
    pub(in crate::cli) runner: bool,
}

/// Where there are colours; never in what is for programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Color {
    /// On terminals
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl Color {
    const fn is_on(self, is_terminal: bool) -> bool {
        match self {
            Self::Auto => is_terminal,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl Output {
    /// Looks at the terminal once.
    pub(in crate::cli) fn new(style: Style) -> Self {
        let terminal = io::stderr().is_terminal();
        RUNNER.store(style.runner, Ordering::SeqCst);
        Self {
            json: style.json,
            quiet: style.quiet,
            interactive: !style.json && somebody_there(),
            color: !style.json && style.color.is_on(terminal),
            paints: !style.json && style.color.is_on(io::stdout().is_terminal()),
            spins: terminal && !style.json && style.verbose == 0,
            moving: Mutex::default(),
            asking: AtomicBool::new(false),
            terminal: Mutex::default(),
            told: Mutex::default(),
            names: OnceLock::new(),
            waited: Mutex::default(),
        }
    }

    /// From here on, these addresses are shown with their names.
    pub(in crate::cli) fn call(&self, names: Names) {
        let _before = self.names.set(names);
    }

    /// A page with the names that are known.
    pub(in crate::cli) fn named(&self, page: &Page) -> Page {
        self.names.get().map_or_else(|| page.clone(), |names| page.named(names))
    }

    /// Whether somebody can be asked: `--json` is for programs, and programs do not consent.
    pub(in crate::cli) const fn interactive(&self) -> bool {
        self.interactive
    }

    /// Whether a question stands open at the terminal.
    pub(in crate::cli) fn is_asking(&self) -> bool {
        self.asking.load(Ordering::SeqCst)
    }

    /// Whether stdout is for one JSON object.
    pub(in crate::cli) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints one line of a result that grows, at once.
    ///
    /// # Errors
    /// stdout takes nothing, also because nobody reads it: then going on is of no use.
    pub(in crate::cli) fn line(&self, text: &str) -> io::Result<()> {
        self.rest();
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", for_reader(text))?;
        stdout.flush()
    }

    /// News of long work: one moving line on a terminal, a line each elsewhere.
    pub(in crate::cli) fn progress(&self, news: &str) {
        if self.quiet {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(news.to_owned());
        drop(told);
        if !self.spins {
            return self.tell(news);
        }
        self.turn(escape(news), false);
    }

    /// What is waited for, with hashes cut short: in place of what was said before on a terminal, a line now and then elsewhere.
    pub(in crate::cli) fn waiting(&self, what: &str) {
        if self.quiet {
            return;
        }
        let what = short_hashes(what);
        if self.spins {
            return self.turn(escape(&what), true);
        }
        let mut last = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        let since = last.get_or_insert_with(Instant::now);
        if since.elapsed() >= PACE {
            *since = Instant::now();
            self.tell(&what);
        }
    }

    /// Has the moving line say something else.
    fn turn(&self, news: String, waits: bool) {
        let mut moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        match moving.as_mut() {
            Some(moving) => {
                // A line that only counts on replaces the one before; any other stays readable above.
                if !moving.waits && (waits || stem(&moving.news) != stem(&news)) {
                    moving.bar.suspend(|| self.tell(&moving.news));
                }
                moving.bar.set_message(news.clone());
                (moving.news, moving.waits) = (news, waits);
            }
            None => {
                let bar = spinner();
                bar.set_message(news.clone());
                bar.enable_steady_tick(TICK);
                *moving = Some(Moving { bar, news, waits });
            }
        }
    }

    /// Shows what is about to be agreed to.
    pub(in crate::cli) fn show_consent(&self, what: &Consent) {
        self.aside(&crate::cli::show::consent::page(what));
    }

    /// Shows a page on stderr, for people who are about to decide.
    pub(in crate::cli) fn aside(&self, page: &Page) {
        self.rest();
        aside(&self.named(page).painted(width(&io::stderr()), self.color));
    }

    /// Shows a page on stderr that only a person reads, who wants to be told.
    pub(in crate::cli) fn detail(&self, page: &Page) {
        if !self.json && !self.quiet {
            self.aside(page);
        }
    }

    /// Runs `ask` at the terminal. A signal meanwhile ends the process, since nothing else can end the waiting.
    pub(in crate::cli) fn question<T>(&self, ask: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.rest();
        *self.terminal.lock().unwrap_or_else(PoisonError::into_inner) = tcgetattr(io::stdin()).ok();
        self.asking.store(true, Ordering::SeqCst);
        let answer = ask();
        if matches!(&answer, Err(error) if error.kind() == io::ErrorKind::Interrupted) {
            std::thread::sleep(PATIENCE);
        }
        self.asking.store(false, Ordering::SeqCst);
        answer
    }

    /// Gives the terminal back as a question found it, echo and all.
    pub(in crate::cli) fn restore(&self) {
        let found = self.terminal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = found.as_ref() {
            let _gone = tcsetattr(io::stdin(), OptionalActions::Now, found);
        }
    }

    /// Prints how a command ended.
    ///
    /// # Errors
    /// stdout takes nothing, for another reason than that nobody reads it.
    pub(in crate::cli) fn finish(&self, report: &Report) -> io::Result<()> {
        self.rest();
        if self.json {
            return result(&format!("{}\n", harmless_json(&report.json())));
        }
        self.warn(report);
        let known = self.names.get().filter(|names| !names.is_empty());
        let named = known.map(|names| Report {
            page: report.page.named(names),
            ..report.clone()
        });
        let report = named.as_ref().unwrap_or(report);
        if let Some(page) = report.markdown() {
            let shown = result(&page);
            if report.is_failure() {
                aside(&report.failure_text(self.color, width(&io::stderr())));
            }
            return shown;
        }
        if report.is_failure() {
            let shown = self.result(&report.page);
            aside(&report.failure_text(self.color, width(&io::stderr())));
            return shown;
        }
        if let Some(raw) = &report.raw {
            return result(&payload(raw));
        }
        if !report.page.is_table() {
            return self.result(&report.whole());
        }
        let shown = self.result(&report.page);
        self.aside(&report.after());
        shown
    }

    /// A page as the result. Where programs read a table, nothing but its rows is on stdout.
    fn result(&self, page: &Page) -> io::Result<()> {
        let columns = width(&io::stdout());
        if !page.is_table() || columns.is_some() {
            return result(&page.painted(columns, self.paints));
        }
        let (rows, others) = page.clone().split();
        self.aside(&others);
        result(&rows.text(None))
    }

    /// One line on stderr, whatever is in it.
    fn tell(&self, line: &str) {
        let mut page = Page::default();
        page.line(line);
        aside(&page.painted(width(&io::stderr()), self.color));
    }

    /// What a program finds among the warnings, people read as well, whichever command it is.
    fn warn(&self, report: &Report) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in report.unshown() {
            if !told.iter().any(|news| news.contains(&warning.text)) {
                self.tell(&format!("warning: {} ({})", warning.text, warning.code));
            }
        }
    }

    /// Ends the moving line; what it said last stays.
    fn rest(&self) {
        if let Some(Moving { bar, news, waits }) = self.moving.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
            if !waits {
                self.tell(&news);
            }
        }
    }
}

/// Whether somebody sits there: questions are written to stderr and answered on stdin.
fn somebody_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Text that belongs on stdout although no command ran: help and version.
pub(in crate::cli) fn result(text: &str) -> io::Result<()> {
    let text = for_reader(text);
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// News from where no output is at hand, on stderr.
pub(in crate::cli) fn notice(news: &str) {
    let mut page = Page::default();
    page.line(news);
    aside(&page.text(width(&io::stderr())));
}

/// What is asked for byte by byte stays so for programs; a person at a terminal, or in a runner's log, sees what is in it.
fn payload(raw: &str) -> Cow<'_, str> {
    if !io::stdout().is_terminal() && !RUNNER.load(Ordering::SeqCst) {
        return raw.into();
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(raw) {
        Ok(_) => harmless_json(raw).into(),
        Err(_) => escape_lines(raw).into(),
    }
}

/// Columns of the terminal that results go to, where it is one.
pub(in crate::cli) fn columns() -> Option<usize> {
    width(&io::stdout())
}

/// Columns of the terminal that a stream is; nothing where it is none, or does not say.
fn width(stream: &impl AsFd) -> Option<usize> {
    let size = tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Text for stderr. Nothing depends on it, so a stderr that takes nothing changes nothing.
pub(in crate::cli) fn aside(text: &str) {
    to_stderr(&for_reader(text));
}

/// Commands for the runner that reads stderr; a word of a stranger in them is escaped by whoever makes them.
pub(in crate::cli) fn command_runner(commands: &str) {
    to_stderr(commands);
}

fn to_stderr(text: &str) {
    let mut stderr = io::stderr().lock();
    let _closed = stderr.write_all(text.as_bytes());
}

/// The text as it goes out: where a runner reads it, nothing in it is a command.
fn for_reader(text: &str) -> Cow<'_, str> {
    if !RUNNER.load(Ordering::SeqCst) {
        return text.into();
    }
    match text.starts_with('{') {
        true => inert_json(text).into(),
        false => inert(text),
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The part before the first digit, by which counting lines are recognised.
fn stem(line: &str) -> &str {
    line.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default()
}
