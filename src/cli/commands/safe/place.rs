//! Which Safe on which chain: the prefix of an address, and the chain that was named.

use alloy::primitives::Address;

use crate::cli::failure::error::CliError;
use crate::cli::failure::{Next, told};
use crate::code::Code;
use crate::safe::service::links::{self, parse_prefixed_address};
use crate::upgrade::UpgradeError;

/// An address that was typed, on its chain: prefix and capitals have to be right.
pub(super) fn address(text: &str, chain_id: u64) -> Result<Address, CliError> {
    parse_prefixed_address(text, chain_id).map_err(|error| CliError::Input {
        code: Code::InputAddress,
        message: told(&error),
        hint: "copy the address again, with the prefix of its chain or without any".to_owned(),
    })
}

/// Chain and address of a Safe: the prefix and `--chain-id` have to agree.
pub(super) fn place(safe: &str, chain_id: Option<u64>) -> Result<(u64, Address), CliError> {
    let prefix = safe.split_once(':').map(|(prefix, _)| prefix);
    let chain_id = chain_id.or_else(|| links::chain_of(prefix?));
    let Some(chain_id) = chain_id else {
        return Err(CliError::Usage {
            code: Code::UsageNoChain,
            message: "the chain of the Safe was not named".to_owned(),
            hint: "name it by --chain-id, or by a prefix such as base:0x...".to_owned(),
            next: Next::with("--chain-id N"),
        });
    };
    Ok((chain_id, address(safe, chain_id)?))
}

/// There is no Safe at the address.
pub(super) fn not_a_safe(address: Address, chain_id: u64) -> CliError {
    CliError::from(UpgradeError::Decide {
        code: Code::NotASafe,
        message: format!("{address} on chain {chain_id} is not a Safe"),
        source: None,
    })
}
