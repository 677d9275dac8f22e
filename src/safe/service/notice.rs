//! What the service wants signed before it lets somebody propose in an owner's name, or takes a proposal away: documents
//! (EIP-712) of its own, good for the hour in which they are made and the next. Pure.

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::SolValue;
use serde_json::{Value, json};

/// Seconds for which a signature is meant.
const HOUR: i64 = 3600;
/// Name and version of the documents' domain.
const NAME: &str = "Safe Transaction Service";
const VERSION: &str = "1.0";

/// What somebody wants the service to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Let this account propose, or let it propose no longer.
    Delegate {
        /// The account.
        delegate: Address,
    },
    /// Take a proposal away.
    Delete {
        /// Whose transaction.
        safe: Address,
        /// Its safeTxHash.
        hash: B256,
    },
}

/// A document that the service wants signed. It moves nothing on any chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    chain_id: u64,
    act: Act,
    /// Hours since 1970, the `totp` of the document.
    hour: u64,
}

impl Notice {
    /// The document that is good at `now` on a chain.
    pub fn new(chain_id: u64, act: Act, now: jiff::Timestamp) -> Self {
        let hour = u64::try_from(now.as_second() / HOUR).unwrap_or_default();
        Self { chain_id, act, hour }
    }
    /// The domain's hash, which devices show first.
    pub fn domain(&self) -> B256 {
        let (name, version) = (keccak256(NAME), keccak256(VERSION));
        let chain_id = U256::from(self.chain_id);
        match self.act {
            Act::Delegate { .. } => {
                let kind = keccak256("EIP712Domain(string name,string version,uint256 chainId)");
                keccak256((kind, name, version, chain_id).abi_encode())
            }
            Act::Delete { safe, .. } => {
                let kind =
                    keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
                keccak256((kind, name, version, chain_id, safe).abi_encode())
            }
        }
    }
    /// The message's hash, which devices show second.
    pub fn message(&self) -> B256 {
        let hour = U256::from(self.hour);
        match self.act {
            Act::Delegate { delegate } => {
                let kind = keccak256("Delegate(address delegateAddress,uint256 totp)");
                keccak256((kind, delegate, hour).abi_encode())
            }
            Act::Delete { hash, .. } => {
                let kind = keccak256("DeleteRequest(bytes32 safeTxHash,uint256 totp)");
                keccak256((kind, hash, hour).abi_encode())
            }
        }
    }
    /// The document, as wallets take it (`eth_signTypedData_v4`).
    pub fn typed_data(&self) -> Value {
        let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
        let mut domain_type = vec![
            field("name", "string"),
            field("version", "string"),
            field("chainId", "uint256"),
        ];
        let mut domain = json!({ "name": NAME, "version": VERSION, "chainId": self.chain_id });
        let (kind, of, message) = match self.act {
            Act::Delegate { delegate } => (
                "Delegate",
                field("delegateAddress", "address"),
                json!({ "delegateAddress": delegate.to_checksum(None), "totp": self.hour }),
            ),
            Act::Delete { safe, hash } => {
                domain_type.push(field("verifyingContract", "address"));
                domain["verifyingContract"] = safe.to_checksum(None).into();
                let message = json!({ "safeTxHash": hash, "totp": self.hour });
                ("DeleteRequest", field("safeTxHash", "bytes32"), message)
            }
        };
        json!({
            "types": { "EIP712Domain": domain_type, kind: [of, field("totp", "uint256")] },
            "domain": domain,
            "primaryType": kind,
            "message": message,
        })
    }
    /// What is signed (EIP-712).
    pub fn hash(&self) -> B256 {
        keccak256([&[0x19, 0x01][..], self.domain().as_slice(), self.message().as_slice()].concat())
    }
}

#[cfg(test)]
mod tests {
    use alloy::sol;
    use alloy::sol_types::{SolStruct, eip712_domain};

    use super::*;

    sol! {
        struct Delegate { address delegateAddress; uint256 totp; }
        struct DeleteRequest { bytes32 safeTxHash; uint256 totp; }
    }

    const SAFE: Address = Address::repeat_byte(0x22);
    const HASH: B256 = B256::repeat_byte(0x33);

    fn at(second: i64, act: Act) -> Notice {
        Notice::new(8453, act, jiff::Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn the_hashes_are_those_of_eip_712_by_another_implementation() {
        let (delegate, totp) = (Address::repeat_byte(0x11), U256::from(500_000));
        let domain = eip712_domain! { name: "Safe Transaction Service", version: "1.0", chain_id: 8453, };
        let ours = at(500_000 * 3600 + 3599, Act::Delegate { delegate });
        let theirs = Delegate {
            delegateAddress: delegate,
            totp,
        };
        assert_eq!(ours.domain(), domain.separator());
        assert_eq!(ours.message(), theirs.eip712_hash_struct());
        assert_eq!(ours.hash(), theirs.eip712_signing_hash(&domain));

        let domain = eip712_domain! {
            name: "Safe Transaction Service", version: "1.0", chain_id: 8453, verifying_contract: SAFE,
        };
        let ours = at(500_000 * 3600, Act::Delete { safe: SAFE, hash: HASH });
        let theirs = DeleteRequest { safeTxHash: HASH, totp };
        assert_eq!(ours.hash(), theirs.eip712_signing_hash(&domain));
    }

    /// `hashStruct` of EIP-712, from nothing but the document.
    fn struct_hash(types: &Value, kind: &str, data: &Value) -> B256 {
        let fields: Vec<(&str, &str)> = types[kind]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| (field["name"].as_str().unwrap(), field["type"].as_str().unwrap()))
            .collect();
        let listed: Vec<String> = fields.iter().map(|(name, kind)| format!("{kind} {name}")).collect();
        let mut words = keccak256(format!("{kind}({})", listed.join(","))).to_vec();
        for (name, kind) in fields {
            let value = &data[name];
            let word = match (kind, value.as_str()) {
                ("string", Some(text)) => keccak256(text),
                ("address", Some(text)) => text.parse::<Address>().unwrap().into_word(),
                ("bytes32", Some(text)) => text.parse().unwrap(),
                ("uint256", None) => U256::from(value.as_u64().unwrap()).into(),
                other => panic!("{other:?}"),
            };
            words.extend(word);
        }
        keccak256(words)
    }

    #[test]
    fn a_wallet_signs_the_digest_of_the_document_that_it_is_given() {
        let acts = [
            Act::Delegate {
                delegate: Address::repeat_byte(0x11),
            },
            Act::Delete { safe: SAFE, hash: HASH },
        ];
        for act in acts {
            let ours = at(500_000 * 3600, act);
            let document = ours.typed_data();
            let hash = |kind: &str, data: &Value| struct_hash(&document["types"], kind, data);
            assert_eq!(hash("EIP712Domain", &document["domain"]), ours.domain());
            let kind = document["primaryType"].as_str().unwrap();
            assert_eq!(hash(kind, &document["message"]), ours.message());
        }
    }

    #[test]
    fn another_hour_chain_account_or_transaction_is_another_document() {
        let act = Act::Delete { safe: SAFE, hash: HASH };
        let hash = at(7200, act).hash();
        assert_eq!(at(10799, act).hash(), hash);
        assert_ne!(at(10800, act).hash(), hash);
        let other = Act::Delete {
            safe: SAFE,
            hash: SAFE.into_word(),
        };
        assert_ne!(at(7200, other).hash(), hash);
        let elsewhere = Notice::new(1, act, jiff::Timestamp::from_second(7200).unwrap());
        assert_ne!(elsewhere.hash(), hash);
    }
}
