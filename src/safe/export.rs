//! A Safe transaction as other tools take it: the Transaction Builder's file, the document for `eth_signTypedData_v4`,
//! calldata, and what `eip712sign` reads. The same bytes whenever it is written. Pure.

use std::fmt;
use std::str::FromStr;

use alloy::primitives::{B256, Bytes, hex};
use jiff::Timestamp;
use serde::Serialize;

use super::approvals::Packed;
use super::builder_file::{self, Batch, BuilderFileError, Form};
use super::tx::SafeTx;
use crate::text::shorten;

/// What a calldata file says that it is.
const CALLDATA: &str = "countersign.calldata/1";

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For Safe{Wallet}'s Transaction Builder.
    BuilderFile {
        /// Calldata only, no method names.
        raw: bool,
    },
    /// The EIP-712 document: for wallets, `cast wallet sign --data --from-file`, `safe-hash typed`.
    TypedData,
    /// The call that executes the transaction, or what it will do as long as it lacks signatures.
    Calldata,
    /// The 66 bytes that are hashed, between the marks that `eip712sign` looks for.
    Eip712sign,
}

/// A text that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no format: it is one of {names}", names = Format::NAMES.join(", "))]
pub struct NotAFormat(String);

/// What a Transaction Builder file says beside the calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// What the wallet shows as the batch's name.
    pub name: String,
    /// A description; the wallet does not show it.
    pub description: String,
    /// When the transaction was made, so that the file is the same later.
    pub created_at: Timestamp,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [
        Self::BuilderFile { raw: false },
        Self::BuilderFile { raw: true },
        Self::TypedData,
        Self::Calldata,
        Self::Eip712sign,
    ];
    /// Their names.
    pub const NAMES: [&'static str; 5] = [
        "builder-file",
        "builder-file-raw",
        "typed-data",
        "calldata",
        "eip712sign",
    ];
}

impl FromStr for Format {
    type Err = NotAFormat;
    fn from_str(text: &str) -> Result<Self, NotAFormat> {
        match text {
            "builder-file" => Ok(Self::BuilderFile { raw: false }),
            "builder-file-raw" => Ok(Self::BuilderFile { raw: true }),
            "typed-data" => Ok(Self::TypedData),
            "calldata" => Ok(Self::Calldata),
            "eip712sign" => Ok(Self::Eip712sign),
            other => Err(NotAFormat(shorten(other, 32))),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuilderFile { raw: false } => "builder-file",
            Self::BuilderFile { raw: true } => "builder-file-raw",
            Self::TypedData => "typed-data",
            Self::Calldata => "calldata",
            Self::Eip712sign => "eip712sign",
        })
    }
}

/// Calldata with what it takes to send and to compare it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calldata {
    schema: &'static str,
    /// `execTransaction`, which anybody may send, or `inner`, which only the Safe can.
    call: &'static str,
    chain_id: String,
    to: String,
    value: String,
    operation: u8,
    data: Bytes,
    /// ERC-8213.
    digest: B256,
}

/// `tx` in `format`. `signatures` are those of [`SignatureSet::pack`](super::approvals::SignatureSet::pack), once enough of them
/// count; only [`Format::Calldata`] holds them.
///
/// # Errors
/// The Transaction Builder's file would be longer than anybody reads.
pub fn export(
    tx: &SafeTx,
    signatures: Option<&Packed>,
    format: Format,
    label: &Label,
) -> Result<Vec<u8>, BuilderFileError> {
    let text = match format {
        Format::BuilderFile { raw } => builder(tx, label, if raw { Form::Raw } else { Form::Method })?,
        Format::TypedData => format!("{:#}\n", tx.typed_data()),
        Format::Calldata => calldata(tx, signatures),
        Format::Eip712sign => format!("vvvvvvvv\n{}\n^^^^^^^^\n", hex::encode_prefixed(tx.preimage())),
    };
    Ok(text.into_bytes())
}

fn builder(tx: &SafeTx, label: &Label, form: Form) -> Result<String, BuilderFileError> {
    let batch = Batch {
        chain_id: tx.domain().chain_id,
        safe: Some(tx.domain().safe),
        name: label.name.clone(),
        description: label.description.clone(),
        created_at: Some(label.created_at),
        calls: tx.calls().to_vec(),
    };
    builder_file::export(&batch, form)
}

fn calldata(tx: &SafeTx, signatures: Option<&Packed>) -> String {
    let (digests, fields) = (tx.digests(), tx.fields());
    let chain_id = tx.domain().chain_id.to_string();
    let file = match signatures.map(|packed| tx.exec_call(&packed.bytes)) {
        Some(call) => Calldata {
            schema: CALLDATA,
            call: "execTransaction",
            chain_id,
            to: call.to.to_checksum(None),
            value: call.value.to_string(),
            operation: 0,
            digest: call.digest(),
            data: call.data,
        },
        None => Calldata {
            schema: CALLDATA,
            call: "inner",
            chain_id,
            to: fields.to.to_checksum(None),
            value: fields.value.to_string(),
            operation: fields.operation.into(),
            digest: digests.data,
            data: fields.data.clone(),
        },
    };
    // Strings and one small number: there is nothing that could fail.
    let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
