//! Where each setting comes from: an option, the environment, or `phala.toml`, in that order of rank. Pure.

use std::collections::BTreeMap;

use crate::cli::args::SharedOptions;
use crate::cli::session::environment::{API_KEY, API_PREFIX, Environment, RPC_QUORUM, RPC_URL, SERVICE_KEY};
use crate::cli::session::project::{Own, PROJECT_FILE};

/// Name of a setting, and the option, variable or file that says it; what is left to its default is not there.
pub(in crate::cli) type Origins = BTreeMap<&'static str, &'static str>;

/// An option that the command takes, and whether it was typed.
type Typed = Option<(&'static str, bool)>;

/// Those of a command that takes these options.
pub(super) fn origins(typed: SharedOptions<'_>, env: &Environment, file: &Own) -> Origins {
    let variable = |name: &'static str| env.text(name).map(|_| name);
    let key = typed.source.or(typed.key.map(|key| &key.source));
    let rpc_url = typed.reach.map(|reach| ("--rpc-url", !reach.rpc_url.is_empty()));
    let quorum = typed.reach.map(|reach| ("--quorum", reach.quorum.is_some()));
    let logs = typed
        .reach
        .map(|reach| ("--logs-rpc-url", reach.logs_rpc_url.is_some()));
    let service = typed
        .notices
        .map(|notices| ("--service-url", notices.service_url.is_some()));
    let signer = key.map(|key| ("--signer", key.signer.is_some()));
    let finality = typed.settle.map(|settle| match settle.confirmations {
        Some(_) => ("--confirmations", true),
        None => ("--finality", settle.finality.is_some()),
    });
    let all = [
        ("api_prefix", variable(API_PREFIX)),
        ("api_key", variable(API_KEY)),
        ("rpc_url", first(rpc_url, variable(RPC_URL), !file.rpc_url.is_empty())),
        ("quorum", first(quorum, variable(RPC_QUORUM), file.quorum().is_some())),
        ("logs_rpc_url", first(logs, None, file.logs_rpc_url.is_some())),
        ("service_url", first(service, None, file.service_url.is_some())),
        ("service_key", typed.notices.and_then(|_| variable(SERVICE_KEY))),
        ("signer", first(signer, None, file.signer.is_some())),
        ("finality", first(finality, None, file.finality().is_some())),
    ];
    all.into_iter()
        .filter_map(|(name, origin)| Some((name, origin?)))
        .collect()
}

/// The highest in rank that says a setting; nothing where the command does not take it.
fn first(typed: Typed, variable: Option<&'static str>, file: bool) -> Option<&'static str> {
    let (option, is_typed) = typed?;
    let option = is_typed.then_some(option);
    option.or(variable).or(file.then_some(PROJECT_FILE))
}
