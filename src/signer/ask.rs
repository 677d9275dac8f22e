//! What a person or the environment may be asked.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::browser::Wallet;
use super::consent::Consent;
use super::error::AskError;

/// What a person or the environment may be asked; the command line answers, tests fake it.
pub trait Ask: Send + Sync {
    /// A secret, typed without echo.
    ///
    /// # Errors
    /// There is nobody to ask, or the answer was refused.
    fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, AskError>;
    /// An environment variable that holds a key.
    fn variable(&self, name: &str) -> Option<Zeroizing<String>>;
    /// Consent to an effect, after what it is was shown.
    ///
    /// # Errors
    /// There is nobody to ask and consent was not given in advance.
    fn consent(&self, what: &Consent) -> Result<bool, AskError>;
    /// Whether consent can be had at all: somebody is there to ask, or gave it in advance.
    ///
    /// # Errors
    /// There is nobody to ask and consent was not given in advance.
    fn can_agree(&self) -> Result<(), AskError> {
        Ok(())
    }
    /// Whether consent was given in advance, so that nobody looks at what is shown.
    fn agrees_unseen(&self) -> bool {
        false
    }
    /// Whether somebody is there who can be asked for what a decision is about: otherwise it has to be agreed to beforehand.
    fn can_name(&self) -> bool {
        true
    }
    /// The page of a wallet in a browser, which is served from the first time on that it is asked for.
    ///
    /// # Errors
    /// No page can be served, or there is nobody to look at one.
    fn wallet(&self) -> Result<Wallet, AskError> {
        Err(AskError::Nobody("a page for a wallet (there is none here)".to_owned()))
    }
    /// Something happened that a person wants to see.
    fn tell(&self, news: &str);
    /// What is waited for now, and how much of it there is, in place of what was said before. Nothing is lost with it.
    fn waits(&self, what: &str) {
        let _nobody_looks = what;
    }
}

/// How to open a keystore without a person: a file that holds its password.
#[derive(Debug, Clone, Default)]
pub struct Unlock {
    /// Password file (0600).
    pub password_file: Option<PathBuf>,
    /// Foundry's keystore folder, for `account:`.
    pub keystore_dir: Option<PathBuf>,
}
