//! How much notice other code needs, for commands that are about something else.

use std::collections::BTreeMap;

use alloy::primitives::Address;
use serde_json::{Value, json};

use crate::chain::{Chain, ChainError, known_kms};
use crate::cli::show::power::least;
use crate::cli::show::report::Report;
use crate::power::{Class, DEFAULT_NOTICE, Domain, Power, PowerQuery, read};

/// An app, and whom to take for its owner.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Asked {
    pub(in crate::cli) app: Address,
    pub(in crate::cli) kms: Option<Address>,
    pub(in crate::cli) owner: Option<Address>,
}

/// Who can change what an app runs, with nothing vouched for.
///
/// # Errors
/// See [`ChainError`].
pub(in crate::cli) async fn of(chain: &Chain, asked: Asked) -> Result<Power, ChainError> {
    let query = PowerQuery {
        app: asked.app,
        kms: asked.kms.or_else(|| known_kms(chain.id())),
        owner: asked.owner,
        ..PowerQuery::default()
    };
    let survey = read(chain, &query).await?;
    Ok(Power::new(survey, &BTreeMap::new(), DEFAULT_NOTICE))
}

/// Tells what a change of the owner does to the notice; that it could not be read is told too.
pub(in crate::cli) async fn tell_transfer(report: &mut Report, chain: &Chain, asked: Asked) {
    let now = Asked { owner: None, ..asked };
    let (before, after) = match (of(chain, now).await, of(chain, asked).await) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(error), _) | (_, Err(error)) => {
            report
                .page
                .heading(&format!("how much notice other code needs was not read: {error}"));
            return;
        }
    };
    let told = |power: &Power| least(power, Domain::App, Class::AnyCode);
    report
        .page
        .heading("how much notice other code needs, by whoever governs the app");
    report
        .page
        .facts(&[("now", Some(told(&before))), ("with the new owner", Some(told(&after)))]);
    report.set_data("power", &json!({"before": minimum(&before), "after": minimum(&after)}));
}

/// The least of whoever governs the app.
pub(in crate::cli) fn minimum(power: &Power) -> Value {
    json!(power.least(Domain::App, Class::AnyCode))
}
