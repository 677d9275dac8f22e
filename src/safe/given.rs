//! A Safe transaction as a file of another tool tells it: what it says, to be hashed again and compared. Pure.

use alloy::primitives::{Address, B256};
use serde_json::Value;

use super::builder_file::{self, BuilderFileError, Checksum, Mislabelled, Remark};
use super::service::{NotATransaction, ServiceTx};
use super::tx::{SafeTxFields, tx_types};
use crate::chain::Call;
use crate::json;

/// Larger than any transaction that somebody could review.
const MAX_BYTES: usize = 256 * 1024;

/// What a file says. Nothing of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Which kind of file it is.
    pub kind: &'static str,
    /// What the Safe is to do.
    pub content: Content,
    /// Which Safe.
    pub safe: Option<Address>,
    /// Chain id.
    pub chain_id: Option<u64>,
    /// The hash that the file names.
    pub hash: Option<B256>,
    /// A Transaction Builder's file without its checksum.
    pub unsummed: bool,
    /// In what such a file is not as the builder writes it.
    pub remarks: Vec<Remark>,
    /// Calls of such a file whose data is not what their method says.
    pub mislabelled: Vec<Mislabelled>,
}

/// What a Safe is to do, as far as a file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// All ten fields.
    Fields(Box<SafeTxFields>),
    /// Calls, which need a nonce and perhaps a library to become a transaction.
    Calls(Vec<Call>),
}

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GivenError {
    /// Too long.
    #[error("the file has {found} bytes, more than {MAX_BYTES}")]
    TooLong {
        /// How many.
        found: usize,
    },
    /// Not UTF-8.
    #[error("the file is not UTF-8")]
    NotUtf8,
    /// Not JSON, or JSON that two readers read differently.
    #[error("the file is not JSON of one meaning")]
    Json(#[source] serde_json::Error),
    /// Another kind of file.
    #[error("the file is no Transaction Builder file, no EIP-712 document of a SafeTx and no transaction of a service")]
    NotRecognised,
    /// A malformed Transaction Builder's file.
    #[error("the Transaction Builder file is refused")]
    Builder(#[source] BuilderFileError),
    /// A field is missing, or not what it should be.
    #[error("the transaction is malformed")]
    Malformed(#[source] NotATransaction),
    /// A number or address of the domain.
    #[error("`domain.{0}` is missing or malformed")]
    Domain(&'static str),
    /// Types that make a wallet sign another hash than a Safe computes.
    #[error(
        "`{0}` of the document is not what a Safe hashes: a wallet that is given this document signs something else"
    )]
    Types(&'static str),
}

/// Reads a Transaction Builder's file, an EIP-712 document (`eth_signTypedData_v4`) whose primary type is `SafeTx`, or
/// one transaction as a Safe Transaction Service answers it.
///
/// # Errors
/// See [`GivenError`].
pub fn given(bytes: &[u8]) -> Result<Given, GivenError> {
    if bytes.len() > MAX_BYTES {
        return Err(GivenError::TooLong { found: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).ok().ok_or(GivenError::NotUtf8)?;
    let value = json::parse(text).map_err(GivenError::Json)?;
    let has = |name: &str| value.get(name).is_some();
    if has("meta") && has("transactions") {
        builder(bytes)
    } else if value.get("primaryType").and_then(Value::as_str) == Some("SafeTx") {
        typed(&value)
    } else if has("safeTxHash") || has("contractTransactionHash") {
        let tx = ServiceTx::read(&value).map_err(GivenError::Malformed)?;
        Ok(Given {
            kind: "service transaction",
            content: Content::Fields(Box::new(tx.fields)),
            safe: Some(tx.safe),
            chain_id: None,
            hash: Some(tx.claimed_hash),
            unsummed: false,
            remarks: Vec::new(),
            mislabelled: Vec::new(),
        })
    } else {
        Err(GivenError::NotRecognised)
    }
}

fn builder(bytes: &[u8]) -> Result<Given, GivenError> {
    let file = builder_file::import(bytes).map_err(GivenError::Builder)?;
    let batch = file.batch;
    Ok(Given {
        kind: "Transaction Builder file",
        content: Content::Calls(batch.calls),
        safe: batch.safe,
        chain_id: Some(batch.chain_id),
        hash: None,
        unsummed: file.checksum == Checksum::Missing,
        remarks: file.remarks,
        mislabelled: file.mislabelled,
    })
}

/// What is hashed here has to be what a wallet hashes of the document, so that its types have to be a Safe's.
fn typed(value: &Value) -> Result<Given, GivenError> {
    check_types(value)?;
    let message = value.get("message").unwrap_or(&Value::Null);
    let fields = ServiceTx::read_fields(message).map_err(GivenError::Malformed)?;
    let domain = value.get("domain").unwrap_or(&Value::Null);
    let safe = domain.get("verifyingContract").and_then(Value::as_str);
    let safe = safe.and_then(builder_file::address);
    let chain_id = match domain.get("chainId") {
        None | Some(Value::Null) => None,
        Some(Value::Number(number)) => Some(number.as_u64().ok_or(GivenError::Domain("chainId"))?),
        Some(other) => {
            let number = other.as_str().and_then(number);
            Some(number.ok_or(GivenError::Domain("chainId"))?)
        }
    };
    Ok(Given {
        kind: "EIP-712 document",
        content: Content::Fields(Box::new(fields)),
        safe: Some(safe.ok_or(GivenError::Domain("verifyingContract"))?),
        chain_id,
        hash: None,
        unsummed: false,
        remarks: Vec::new(),
        mislabelled: Vec::new(),
    })
}

/// Libraries leave the domain's own type out, and make it of the members that the domain has.
fn check_types(value: &Value) -> Result<(), GivenError> {
    const CHAIN: (&str, &str) = ("chainId", "uint256");
    const CONTRACT: (&str, &str) = ("verifyingContract", "address");
    let types = value.get("types");
    let listed = |name: &str, wanted: &[(&str, &str)]| {
        let list = types.and_then(|types| types.get(name)).and_then(Value::as_array);
        list.is_some_and(|list| {
            let read = list
                .iter()
                .map(|one| Some((one.get("name")?.as_str()?, one.get("type")?.as_str()?)));
            read.eq(wanted.iter().map(|one| Some(*one)))
        })
    };
    if !["baseGas", "dataGas"]
        .iter()
        .any(|name| listed("SafeTx", &tx_types(name)))
    {
        return Err(GivenError::Types("types.SafeTx"));
    }
    let members = value.get("domain").and_then(Value::as_object);
    let members = || members.into_iter().flatten().filter(|(_, value)| !value.is_null());
    let has_chain = members().any(|(name, _)| name == CHAIN.0);
    let wanted: &[(&str, &str)] = if has_chain { &[CHAIN, CONTRACT] } else { &[CONTRACT] };
    let untold = types.is_none_or(|types| types.get("EIP712Domain").is_none());
    if !untold && !listed("EIP712Domain", wanted) {
        return Err(GivenError::Types("types.EIP712Domain"));
    }
    match members().all(|(name, _)| name == CHAIN.0 || name == CONTRACT.0) {
        true => Ok(()),
        false => Err(GivenError::Types("domain")),
    }
}

/// Decimal, or hexadecimal as wallets write it.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Bytes, U256, address};
    use serde_json::json;

    use super::*;
    use crate::safe::builder_file::{Batch, Form, export};
    use crate::safe::{Operation, SafeDomain, SafeTx, version::SafeVersion};

    const SAFE: Address = address!("2222222222222222222222222222222222222222");

    fn tx() -> SafeTx {
        let domain = SafeDomain {
            chain_id: 8453,
            safe: SAFE,
            version: SafeVersion::V1_4_1,
        };
        let to = address!("1111111111111111111111111111111111111111");
        let data = Bytes::from_static(&[1, 2, 3, 4]);
        SafeTx::accept(
            domain,
            SafeTxFields::plain(to, data, Operation::Call, U256::from(7)),
            false,
        )
        .unwrap()
    }

    fn service() -> Value {
        let fields = serde_json::to_value(tx().fields()).unwrap();
        let mut value = json!({"safe": SAFE, "safeTxHash": tx().hash(), "confirmations": []});
        for (name, field) in fields.as_object().unwrap() {
            let field = match name.as_str() {
                "value" | "safeTxGas" | "baseGas" | "gasPrice" | "nonce" => {
                    let number: U256 = serde_json::from_value(field.clone()).unwrap();
                    json!(number.to_string())
                }
                _ => field.clone(),
            };
            value.as_object_mut().unwrap().insert(name.clone(), field);
        }
        value
    }

    fn read(value: &Value) -> Result<Given, GivenError> {
        given(value.to_string().as_bytes())
    }

    #[test]
    fn the_same_transaction_is_read_from_typed_data_and_from_a_service() {
        let fields = Content::Fields(Box::new(tx().fields().clone()));
        let typed = read(&tx().typed_data()).unwrap();
        assert_eq!(
            (typed.content, typed.safe, typed.chain_id),
            (fields.clone(), Some(SAFE), Some(8453))
        );
        let told = read(&service()).unwrap();
        assert_eq!(
            (told.content, told.safe, told.hash),
            (fields, Some(SAFE), Some(tx().hash()))
        );
    }

    #[test]
    fn calls_are_read_from_a_builder_file_and_a_missing_checksum_is_said() {
        let batch = Batch {
            chain_id: 8453,
            safe: Some(SAFE),
            name: String::new(),
            description: String::new(),
            created_at: Some(jiff::Timestamp::UNIX_EPOCH),
            calls: tx().calls().to_vec(),
        };
        let text = export(&batch, Form::Raw).unwrap();
        let found = given(text.as_bytes()).unwrap();
        assert_eq!(found.content, Content::Calls(batch.calls));
        assert!(!found.unsummed);
        let mut value: Value = serde_json::from_str(&text).unwrap();
        value["meta"].as_object_mut().unwrap().remove("checksum");
        assert!(read(&value).unwrap().unsummed);
        value["meta"]["checksum"] = json!(B256::ZERO);
        assert!(matches!(
            read(&value),
            Err(GivenError::Builder(BuilderFileError::Checksum { .. }))
        ));
    }

    #[test]
    fn a_document_that_a_wallet_would_hash_otherwise_is_refused() {
        let whole = tx().typed_data();
        let changed = |change: fn(&mut Value)| {
            let mut document = whole.clone();
            change(&mut document);
            read(&document)
        };
        let types = |read: Result<Given, GivenError>| match read {
            Err(GivenError::Types(what)) => what,
            other => panic!("{other:?}"),
        };
        let swapped = |document: &mut Value| document["types"]["SafeTx"].as_array_mut().unwrap().swap(0, 1);
        assert_eq!(types(changed(swapped)), "types.SafeTx");
        let text = |document: &mut Value| document["types"]["SafeTx"][2]["type"] = json!("string");
        assert_eq!(types(changed(text)), "types.SafeTx");
        let none = |document: &mut Value| document["types"] = Value::Null;
        assert_eq!(types(changed(none)), "types.SafeTx");
        let named = |document: &mut Value| document["domain"]["name"] = json!("Safe");
        assert_eq!(types(changed(named)), "domain");
        let without = |document: &mut Value| document["domain"]["chainId"] = Value::Null;
        assert_eq!(types(changed(without)), "types.EIP712Domain");
        let untold = |document: &mut Value| {
            document["types"].as_object_mut().unwrap().remove("EIP712Domain");
        };
        assert!(changed(untold).is_ok());
    }

    #[test]
    fn i_what_is_no_transaction_is_refused() {
        assert!(matches!(given(b"{"), Err(GivenError::Json(_))));
        assert!(matches!(
            given(b"{\"safeTxHash\":1,\"safeTxHash\":2}"),
            Err(GivenError::Json(_))
        ));
        assert!(matches!(given(&[0xff]), Err(GivenError::NotUtf8)));
        assert!(matches!(
            given(&vec![b' '; MAX_BYTES + 1]),
            Err(GivenError::TooLong { .. })
        ));
        assert!(matches!(read(&json!({"a": 1})), Err(GivenError::NotRecognised)));
        assert!(matches!(read(&json!([])), Err(GivenError::NotRecognised)));
        let mut broken = service();
        broken["nonce"] = json!("seven");
        assert!(matches!(read(&broken), Err(GivenError::Malformed(_))));
        let mut typed = tx().typed_data();
        typed["message"].as_object_mut().unwrap().remove("to");
        assert!(matches!(read(&typed), Err(GivenError::Malformed(_))));
        let mut typed = tx().typed_data();
        typed["domain"]["verifyingContract"] = json!("0x12");
        assert!(matches!(read(&typed), Err(GivenError::Domain(_))));
    }
}
