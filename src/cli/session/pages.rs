//! The page of a wallet in a browser: when it is served, what is on it beside the consent, and how a person gets to it.
//!
//! Its address is the one secret that is printed: whoever has it can act on the page. No process is started with it, since
//! arguments are public: what is opened is a file that only its owner may read, and that leads to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::cli::args::PageOptions;
use crate::cli::session::environment::Environment;
use crate::cli::show::output::Output;
use crate::cli::show::text::Page;
use crate::cli::show::{consent, html};
use crate::fsutil;
use crate::signer::{Acting, Consent, Wallet, WalletError};
use crate::text::html as escape;

/// How long a page is waited for where the command has no `--timeout`.
const PATIENCE: Duration = Duration::from_mins(15);
/// Bytes of randomness in the name of the file that leads to the page.
const NAME_BYTES: usize = 8;

/// The page of one run; there is none until somebody asks for it.
#[derive(Debug, Default)]
pub(in crate::cli) struct Pages {
    wallet: OnceLock<Wallet>,
    /// What is shown below the consent.
    review: Mutex<Option<Page>>,
    /// The file that leads to the page.
    way: Mutex<Option<PathBuf>>,
}

/// The page as a person at this machine gets to it.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Screen<'a> {
    pub(in crate::cli) pages: &'a Pages,
    pub(in crate::cli) options: PageOptions,
    /// How long somebody is waited for; zero where the command does not say.
    pub(in crate::cli) patience: Duration,
    pub(in crate::cli) out: &'a Output,
    pub(in crate::cli) env: &'a Environment,
}

impl Pages {
    /// Sets what is shown below whatever is asked.
    pub(in crate::cli) fn review(&self, page: Page) {
        *self.review.lock().unwrap_or_else(PoisonError::into_inner) = Some(page);
    }

    /// Tells a page that is there how the run ended.
    pub(in crate::cli) fn farewell(&self, said: &str, good: bool) {
        if let Some(wallet) = self.wallet.get() {
            wallet.farewell(said, good);
        }
        self.close_way();
    }

    fn content(&self, out: &Output, first: Option<&Page>) -> String {
        let review = self.review.lock().unwrap_or_else(PoisonError::into_inner);
        let pages: Vec<Page> = first
            .into_iter()
            .chain(review.as_ref())
            .map(|page| out.named(page))
            .collect();
        html::content(&pages.iter().collect::<Vec<_>>())
    }

    /// Takes the file that leads to the page away: it was used, or never will be.
    fn close_way(&self) {
        let way = self.way.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = way.as_deref().map(fsutil::remove) {
            tracing::warn!(%error, "a file that leads nowhere stays behind");
        }
    }
}

impl Screen<'_> {
    /// The page, served and opened.
    pub(in crate::cli) fn wallet(&self) -> Result<Wallet, WalletError> {
        if let Some(wallet) = self.pages.wallet.get() {
            return Ok(wallet.clone());
        }
        let PageOptions { listen, no_open } = self.options;
        let patience = if self.patience.is_zero() {
            PATIENCE
        } else {
            self.patience
        };
        let wallet = Wallet::serve(listen.unwrap_or_default(), patience)?;
        wallet.show(self.pages.content(self.out, None));
        let mut page = Page::default();
        let address = wallet.address();
        page.command("open in the browser that has your wallet", &address);
        let opened = !no_open && self.env.has_display() && self.open(&address);
        if !opened {
            let port = wallet.port();
            let tunnel = format!("ssh -N -L {port}:127.0.0.1:{port} NAME-OF-THIS-MACHINE");
            page.command("where that browser is on another machine, run there first", &tunnel);
        }
        self.out.aside(&page);
        Ok(self.pages.wallet.get_or_init(|| wallet).clone())
    }

    /// Asks on the page, below what it is about.
    pub(in crate::cli) fn consent(&self, acting: Acting, what: &Consent) -> Result<bool, WalletError> {
        let wallet = self.wallet()?;
        let page = consent::page(what);
        wallet.show(self.pages.content(self.out, Some(&page)));
        self.out.progress(&format!("{} It is asked on the page", what.question));
        let agreed = wallet.consent(acting, &what.question, &what.decisions);
        self.pages.close_way();
        agreed
    }

    /// Shows the review alone, until a browser has it.
    pub(in crate::cli) async fn present(&self, said: &str, good: bool) -> Result<(), WalletError> {
        let shown = self.wallet()?.present(said, good).await;
        self.pages.close_way();
        shown
    }

    /// Has the system's browser open the page; whether it began to.
    fn open(&self, address: &str) -> bool {
        let Some(folder) = self.env.folder_for_browsers() else {
            return false;
        };
        let way = way(&folder).filter(|way| {
            let text = format!(
                "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
                 <meta http-equiv=\"refresh\" content=\"0;url={0}\"><title>countersign</title>",
                escape(address)
            );
            fsutil::note(way, text.as_bytes(), 0o600).is_ok()
        });
        let Some(way) = way else {
            return false;
        };
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let started = Command::new(opener)
            .arg(&way)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        *self.pages.way.lock().unwrap_or_else(PoisonError::into_inner) = Some(way);
        started.is_ok()
    }
}

/// A name in `folder` that nobody guesses.
fn way(folder: &Path) -> Option<PathBuf> {
    let mut bytes = [0; NAME_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(folder.join(format!("countersign-{}.html", hex::encode(bytes))))
}
