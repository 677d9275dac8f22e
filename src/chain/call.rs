//! A call that changes a policy.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use serde::{Deserialize, Serialize};

/// A call that changes a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Contract.
    pub to: Address,
    /// Wei; always zero here.
    pub value: U256,
    /// Calldata.
    pub data: Bytes,
}

impl Call {
    /// ERC-8213 calldata digest, as hardware wallets show it: keccak256 of the calldata's length as a 256-bit
    /// big-endian number, followed by the calldata.
    pub fn digest(&self) -> B256 {
        let length = U256::from(self.data.len()).to_be_bytes::<32>();
        keccak256([length.as_slice(), &self.data].concat())
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::b256;

    use super::*;

    fn call() -> Call {
        Call::add_compose_hash(Address::repeat_byte(0x22), B256::repeat_byte(0xab))
    }

    #[test]
    fn v7_the_call_is_the_selector_and_the_hash_and_nothing_after() {
        let mut expected = vec![0xdf, 0xc7, 0x72, 0x23];
        expected.extend([0xab; 32]);
        assert_eq!(call().data, expected);
        assert_eq!(call().value, U256::ZERO);
    }

    #[test]
    fn the_digest_of_calldata_is_the_one_of_erc_8213() {
        let expected = b256!("7c084e9fe991fc3c7e2d5422642b6dd45c49ddb28d87a1992f28061c43e63403");
        assert_eq!(call().digest(), expected);
    }
}
