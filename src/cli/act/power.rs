//! How much notice other code needs, for commands that are about something else.

use std::collections::BTreeMap;

use alloy::primitives::Address;
use serde_json::{Value, json};

use crate::chain::{Chain, ChainError, PolicyChange, known_kms};
use crate::cli::failure::told;
use crate::cli::show::power::least;
use crate::cli::show::report::Report;
use crate::power::{Class, DEFAULT_NOTICE, Domain, Power, PowerQuery, read};
use crate::upgrade::{UpgradeError, World, model::Plan};

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

/// Tells what a change of the owner does to the notice, where a plan has one; that it could not be read is told too.
pub(in crate::cli) async fn tell_transfer(report: &mut Report, world: &World<'_>, plan: &Plan) {
    let Some(owner) = plan.policy.iter().find_map(PolicyChange::new_owner) else {
        return;
    };
    let (before, after) = match transfer(world, plan, owner).await {
        Ok(both) => both,
        Err(error) => {
            let text = format!("how much notice other code needs was not read: {}", told(&error));
            report.page.heading(&text);
            return;
        }
    };
    let said = |power: &Power| Some(least(power, Domain::App, Class::AnyCode));
    let heading = "how much notice other code needs, by whoever governs the app";
    report.page.heading(heading);
    let facts = [("now", said(&before)), ("with the new owner", said(&after))];
    report.page.facts(&facts);
    report.set_data("power", &json!({"before": minimum(&before), "after": minimum(&after)}));
}

/// Who can change what an app runs: now, and once it has another owner.
async fn transfer(world: &World<'_>, plan: &Plan, owner: Address) -> Result<(Power, Power), UpgradeError> {
    let chain = world.chain(plan.chain_id).await?;
    let asked = |owner| Asked {
        app: plan.app,
        kms: plan.kms,
        owner,
    };
    Ok((of(&chain, asked(None)).await?, of(&chain, asked(Some(owner))).await?))
}

/// The least of whoever governs the app.
pub(in crate::cli) fn minimum(power: &Power) -> Value {
    json!(power.least(Domain::App, Class::AnyCode))
}
