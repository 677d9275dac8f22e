//! A name for an address, as it is typed: `NAME=ADDRESS`.

use std::str::FromStr;

use alloy::primitives::Address;

use super::values;

/// A name for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct OwnerName {
    pub(in crate::cli) name: String,
    pub(in crate::cli) address: Address,
}

impl FromStr for OwnerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, address) = named.ok_or("a name and an address, for example alice=0x7099…79C8")?;
        Ok(Self {
            name: name.to_owned(),
            address: values::address(address)?,
        })
    }
}
