//! The review on the page of a wallet in a browser, where the key is in one.

use crate::cli::session::Session;
use crate::cli::session::settings::Settings;
use crate::cli::show;
use crate::cli::show::text::Page;
use crate::signer::Source;
use crate::upgrade::record::State;
use crate::upgrade::review::{self, Question};
use crate::upgrade::{UpgradeError, World};

/// What is about to be signed.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Signed<'a> {
    state: &'a State,
    rejects: bool,
}

impl<'a> Signed<'a> {
    /// What the owner of an app is asked for, or its rejection.
    pub(in crate::cli) const fn of(state: &'a State, rejects: bool) -> Self {
        Self { state, rejects }
    }
}

/// As [`put_review`], for what is signed after steps that may come first. What cannot be reviewed yet is refused by the step that
/// needs it.
pub(in crate::cli) async fn offer_review(
    session: &Session,
    settings: &Settings,
    world: &World<'_>,
    signed: Signed<'_>,
) {
    if let Err(error) = put_review(session, settings, world, signed).await {
        tracing::info!(%error, "no review on the page");
    }
}

/// Puts what `review` shows of it on the page, below whatever is asked there; nothing where no page is.
///
/// # Errors
/// It cannot be reviewed.
pub(in crate::cli) async fn put_review(
    session: &Session,
    settings: &Settings,
    world: &World<'_>,
    signed: Signed<'_>,
) -> Result<(), UpgradeError> {
    if !matches!(settings.signer, Some(Source::Browser(_))) {
        return Ok(());
    }
    let question = Question {
        rejects: signed.rejects,
        ..Question::default()
    };
    let review = review::review(world, &settings.limits, signed.state, &question).await?;
    let mut page = Page::default();
    show::review::page(&mut page, &review);
    session.pages.review(page);
    Ok(())
}
