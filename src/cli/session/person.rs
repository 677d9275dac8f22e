//! The person at the terminal, or the flag that stands for one.
//!
//! Consent is typed as a whole word and has no default. Without a terminal, and with `--json`, nobody is asked.

use std::io::BufRead;

use zeroize::Zeroizing;

use crate::cli::failure::CONSENT_FLAG;
use crate::cli::session::environment::Environment;
use crate::cli::session::pages::Screen;
use crate::cli::show::output::{Output, aside};
use crate::cli::show::text::escape;
use crate::signer::{Ask, AskError, Consent, Decision, Wallet};

/// Longest answer that is read from a terminal, bytes.
const MAX_ANSWER: u64 = 1024;

/// Asks at the terminal.
#[derive(Debug)]
pub(in crate::cli) struct Person<'a> {
    out: &'a Output,
    env: &'a Environment,
    yes: bool,
    /// Where a wallet in a browser is asked.
    screen: Option<Screen<'a>>,
}

impl<'a> Person<'a> {
    /// `yes` is the consent given in advance.
    pub(in crate::cli) const fn new(out: &'a Output, env: &'a Environment, yes: bool) -> Self {
        Self {
            out,
            env,
            yes,
            screen: None,
        }
    }

    /// With a page on which consent is given to what a wallet does; nothing in advance stands for that.
    pub(in crate::cli) const fn at(mut self, screen: Option<Screen<'a>>) -> Self {
        self.screen = screen;
        self
    }
}

impl Ask for Person<'_> {
    fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, AskError> {
        if !self.out.interactive() {
            return Err(AskError::Nobody(format!(
                "{prompt} (name a key or a password file that needs no typing)"
            )));
        }
        self.out
            .question(|| {
                // Written to stderr, so that only one handle on the terminal changes its echo, and only once.
                let on_stderr = rpassword::ConfigBuilder::new().output_writer(std::io::stderr()).build();
                rpassword::prompt_password_with_config(escape(&format!("{prompt}: ")), on_stderr).map(Zeroizing::new)
            })
            .map_err(AskError::Io)
    }

    fn variable(&self, name: &str) -> Option<Zeroizing<String>> {
        self.env.secret(name)
    }

    fn consent(&self, what: &Consent) -> Result<bool, AskError> {
        if let Some((screen, acting)) = self.screen.zip(what.acting) {
            let agreed = self.out.question(|| Ok(screen.consent(acting, what)));
            return Ok(agreed.map_err(AskError::Io)??);
        }
        self.out.show_consent(what);
        if !self.yes && !self.out.interactive() {
            return Err(AskError::Nobody(format!(
                "\"{}\" has to be agreed to with {CONSENT_FLAG}",
                what.question
            )));
        }
        for decision in &what.decisions {
            if !self.names(decision)? {
                return Ok(false);
            }
        }
        if self.yes {
            return Ok(true);
        }
        self.out
            .question(|| {
                aside(&escape(&format!("{} Type yes to agree: ", what.question)));
                agreed(&mut std::io::stdin().lock())
            })
            .map_err(AskError::Io)
    }

    fn can_agree(&self) -> Result<(), AskError> {
        if self.yes || self.out.interactive() {
            return Ok(());
        }
        Err(AskError::Nobody(format!(
            "signing, sending and committing have to be agreed to with {CONSENT_FLAG}"
        )))
    }

    fn agrees_unseen(&self) -> bool {
        self.yes && self.screen.is_none()
    }

    fn can_name(&self) -> bool {
        self.out.interactive() || self.screen.is_some()
    }

    fn wallet(&self) -> Result<Wallet, AskError> {
        let nobody = || AskError::Nobody("a page for a wallet (no signer is one)".to_owned());
        Ok(self.screen.ok_or_else(nobody)?.wallet()?)
    }

    fn tell(&self, news: &str) {
        self.out.progress(news);
    }

    fn waits(&self, what: &str) {
        self.out.waiting(what);
    }
}

impl Person<'_> {
    /// Has what a decision is about typed, which no consent in advance stands for.
    fn names(&self, decision: &Decision) -> Result<bool, AskError> {
        if !self.out.interactive() {
            return Err(AskError::Undecided(Box::new(decision.clone())));
        }
        self.out
            .question(|| {
                let Decision { value, what, .. } = decision;
                aside(&format!("{}\n", escape(what)));
                aside(&escape(&format!("Type {value} to agree to that, or no: ")));
                typed(&mut std::io::stdin().lock(), decision)
            })
            .map_err(AskError::Io)
    }
}

/// Reads answers until one names what a decision is about; the word `no` or the end of input declines.
fn typed(input: &mut dyn BufRead, decision: &Decision) -> std::io::Result<bool> {
    loop {
        let Some(answer) = answer(input)? else {
            return Ok(false);
        };
        if answer == "no" {
            return Ok(false);
        }
        if decision.is_named_by(&answer) {
            return Ok(true);
        }
        aside("That is not it. Type it whole to agree, or no: ");
    }
}

/// Reads answers until one is clear: only the whole word agrees, and the word `no` or the end of input declines. What is
/// neither is asked again, since a typing error is no decision.
fn agreed(input: &mut dyn BufRead) -> std::io::Result<bool> {
    loop {
        let Some(answer) = answer(input)? else {
            return Ok(false);
        };
        match answer.as_str() {
            "yes" => return Ok(true),
            "no" => return Ok(false),
            _ => aside("Type the whole word: yes to agree, no to decline: "),
        }
    }
}

/// One line, without the spaces around it; nothing at the end of input.
fn answer(input: &mut dyn BufRead) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    std::io::Read::take(&mut *input, MAX_ANSWER).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Decision, agreed, typed};
    use crate::code::Code;

    fn decision(value: &str) -> Decision {
        Decision {
            code: Code::AppGivenAway,
            value: value.to_owned(),
            what: String::new(),
        }
    }

    #[test]
    fn g8_only_the_whole_word_agrees_and_the_end_of_input_is_a_no() {
        assert!(agreed(&mut &b"yes\n"[..]).unwrap());
        assert!(agreed(&mut &b"  yes  \n"[..]).unwrap());
        for no in ["", "\n", "y\n", "Yes\n", "YES\n", "yes please\n", "no\n"] {
            assert!(!agreed(&mut no.as_bytes()).unwrap(), "{no:?}");
        }
    }

    #[test]
    fn what_a_decision_is_about_has_to_be_typed_whole() {
        let value = "0xAbC0000000000000000000000000000000000001";
        for (answer, agrees) in [
            (format!("{value}\n"), true),
            (format!("{}\n", value.to_lowercase()), true),
            (format!("yes\n{value}\n"), true),
            ("yes\ny\n".to_owned(), false),
            (format!("{}\n", value.trim_end_matches('1')), false),
            (format!("no\n{value}\n"), false),
            (String::new(), false),
        ] {
            assert_eq!(
                typed(&mut answer.as_bytes(), &decision(value)).unwrap(),
                agrees,
                "{answer:?}"
            );
        }
        assert!(!typed(&mut &b"My-App\n"[..], &decision("my-app")).unwrap());
    }

    #[test]
    fn ppl_p6_what_is_neither_yes_nor_no_is_asked_again() {
        for (typed, agrees) in [
            ("y\nyes\n", true),
            ("\n\nY\nyes\n", true),
            ("y\nno\nyes\n", false),
            ("n\nno\n", false),
            ("\u{fffd}\nyes", true),
        ] {
            assert_eq!(agreed(&mut typed.as_bytes()).unwrap(), agrees, "{typed:?}");
        }
        assert!(agreed(&mut &b"\xff\nyes\n"[..]).unwrap());
    }
}
