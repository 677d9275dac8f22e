//! Takes an upgrade as far as a command may, and asks for what costs nothing.

use crate::cli::act::attest::{self, Attesting};
use crate::cli::act::page;
use crate::cli::args::{SharedOptions, Which};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::settings::Settings;
use crate::cli::show;
use crate::cli::show::report::Report;
use crate::cli::show::text::Page;
use crate::code::Code;
use crate::signer::{Acting, Consent, Fact};
use crate::upgrade::{Goal, Upgrade, UpgradeError, World, review};

/// Takes the upgrade that `which` names as far as `goal`.
pub(in crate::cli) async fn advance(
    session: &Session,
    which: &Which,
    typed: SharedOptions<'_>,
    goal: Goal,
) -> Result<Report, CliError> {
    let settings = session.settings(typed)?;
    let attesting = Attesting::of(session, &settings)?;
    let outside = session.outside(&settings);
    let mut upgrade = session.open(which)?;
    let world = outside.world();
    page::offer_review(session, &settings, &world, page::Signed::of(upgrade.state(), false)).await;
    match upgrade.advance(&world, goal, &settings.limits).await {
        Ok(outcome) => {
            let report = session.went(&upgrade, &outcome, session.command());
            attest::follow(attesting, &upgrade, report).await
        }
        Err(error) => {
            if matches!(
                &error,
                UpgradeError::Decide {
                    code: Code::SignerNeeded,
                    ..
                }
            ) {
                show_what_waits(session, &world, &settings, &upgrade).await;
            }
            Err(error.into())
        }
    }
}

/// Shows what would be signed, to somebody who named no key yet.
async fn show_what_waits(session: &Session, world: &World<'_>, settings: &Settings, upgrade: &Upgrade) {
    let question = review::Question::default();
    if let Ok(review) = review::review(world, &settings.limits, upgrade.state(), &question).await {
        let mut page = Page::default();
        show::review::page(&mut page, &review);
        session.out.detail(&page);
    }
}

/// A signature that a service wants, which costs nothing.
pub(in crate::cli) struct SignedNotice<'a> {
    pub(in crate::cli) question: &'a str,
    /// What is refused without it.
    pub(in crate::cli) what: &'a str,
    pub(in crate::cli) acting: Acting,
}

/// Asks for consent to a signature.
pub(in crate::cli) fn agree(world: &World<'_>, signing: SignedNotice<'_>, facts: Vec<Fact>) -> Result<(), CliError> {
    let SignedNotice { question, what, acting } = signing;
    let consent = Consent {
        acting: Some(acting),
        ..Consent::ask(question, facts)
    };
    if world.ask.consent(&consent).map_err(UpgradeError::from)? {
        return Ok(());
    }
    Err(UpgradeError::Declined { what: what.to_owned() }.into())
}
