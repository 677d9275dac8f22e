//! `safe hash`: the hashes of a Safe transaction, from a file or from its fields.

use std::path::PathBuf;

use alloy::primitives::{Address, B256, Bytes, U256};
use clap::Args;
use serde_json::{Value, json};

use super::place::{address, not_a_safe};
use crate::cli::args::values;
use crate::cli::args::{Offline, Reach, SharedOptions};
use crate::cli::failure::error::CliError;
use crate::cli::failure::{Next, told};
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::fsutil;
use crate::safe::{
    Digests, Operation, SafeDomain, SafeTx, SafeTxFields,
    builder_file::Remark,
    decode::decode,
    deployments,
    given::{Content, Given, GivenError, given},
    info::SafeInfo,
    libraries::batcher_on,
    read_with_hash,
    version::SafeVersion,
};
use crate::upgrade::{PROPOSAL_FILE, Stop, UpgradeError, Warning, model::Proposal};

/// Largest file that is read; a proposal holds two manifests.
const MAX_FILE: u64 = 2 << 20;
/// How a proposal's format begins.
const PROPOSAL: &str = "countersign.proposal/";

/// Compute the domain hash, message hash and safeTxHash of a Safe transaction
///
/// They are what hardware wallets and Safe{Wallet} show. The transaction comes from a file (a proposal, a Transaction
/// Builder file, an EIP-712 document, one transaction of a Safe Transaction Service) or from its fields. Unless --offline
/// is given, the Safe itself is asked for its hash; ends with 5 when that, or the one in the file, is another.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign safe hash proposal.json\n  \
    countersign safe hash batch.json --safe-nonce 7\n  \
    countersign safe hash --safe base:0x1234... --chain-id 8453 --to 0x5678... --data 0xdfc77223... --safe-nonce 7\n  \
    countersign safe hash typed-data.json --offline --safe-version 1.4.1")]
pub(super) struct Hash {
    /// File with the transaction
    #[arg(value_name = "FILE", conflicts_with = "to")]
    file: Option<PathBuf>,
    /// Address of the Safe, with or without its chain's prefix [default: what the file says]
    #[arg(long, value_name = "ADDRESS", value_parser = values::safe_address)]
    safe: Option<String>,
    /// Chain of the Safe [default: what the file says]
    #[arg(long, value_name = "N", value_parser = values::whole::<u64>(1..))]
    chain_id: Option<u64>,
    /// Version of the Safe [default: what the chain says]
    #[arg(long, value_name = "VERSION", requires = "offline")]
    safe_version: Option<SafeVersion>,
    /// Library that makes several calls one [default: the one that belongs to the Safe]
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    library: Option<Address>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    offline: Offline,
}

/// The fields that a Safe hashes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Transaction")]
struct Fields {
    /// Target
    #[arg(long, value_name = "ADDRESS", required_unless_present = "file", value_parser = values::address)]
    to: Option<Address>,
    /// Wei
    #[arg(
        long,
        value_name = "WEI",
        default_value = "0",
        hide_default_value = true,
        requires = "to", value_parser = values::amount)]
    value: U256,
    /// Calldata
    #[arg(
        long,
        value_name = "HEX",
        default_value = "0x",
        hide_default_value = true,
        requires = "to", value_parser = values::data)]
    data: Bytes,
    /// 0 for a call, 1 for a delegate call
    #[arg(long, value_name = "N", default_value = "0", value_parser = operation, requires = "to")]
    operation: Operation,
    /// Nonce of the Safe; a Transaction Builder file names none
    #[arg(long = "safe-nonce", alias = "nonce", value_name = "N", required_unless_present = "file", value_parser = values::amount)]
    nonce: Option<U256>,
    /// Gas for the call inside
    #[arg(
        long,
        value_name = "GAS",
        default_value = "0",
        hide_default_value = true,
        requires = "to", value_parser = values::amount)]
    safe_tx_gas: U256,
    /// Gas that is refunded on top
    #[arg(
        long,
        value_name = "GAS",
        default_value = "0",
        hide_default_value = true,
        requires = "to", value_parser = values::amount)]
    base_gas: U256,
    /// What the Safe pays for gas
    #[arg(
        long,
        value_name = "WEI",
        default_value = "0",
        hide_default_value = true,
        requires = "to", value_parser = values::amount)]
    gas_price: U256,
    /// What the refund is paid in
    #[arg(long, value_name = "ADDRESS", requires = "to", value_parser = values::address)]
    gas_token: Option<Address>,
    /// Who gets the refund
    #[arg(long, value_name = "ADDRESS", requires = "to", value_parser = values::address)]
    refund_receiver: Option<Address>,
}

/// The transaction to hash, and what is said about it beside its fields.
struct Question {
    domain: SafeDomain,
    fields: SafeTxFields,
    claimed: Option<B256>,
    /// What the chain says, if it was asked: the hash, or nothing.
    asked: Option<Option<B256>>,
    unsummed: bool,
    remarks: Vec<Remark>,
}

impl Hash {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            offline: Some(&self.offline),
            ..SharedOptions::default()
        };
        let settings = session.settings(typed)?;
        let (given, version) = self.given()?;
        let (safe, chain_id) = self.place(&given)?;
        let question = if self.offline.offline {
            let version = version.ok_or_else(|| missing("no version of the Safe was named", "--safe-version 1.4.1"))?;
            let domain = SafeDomain {
                chain_id,
                safe,
                version,
            };
            self.offline_question(&given, domain)?
        } else {
            let outside = session.outside(&settings);
            let chain = outside.world().chain(chain_id).await?;
            let info = SafeInfo::read(&chain, safe).await?;
            let info = info.ok_or_else(|| not_a_safe(safe, chain_id))?;
            let library = match (self.library, &given.content) {
                (None, Content::Calls(calls)) if calls.len() > 1 => batcher_on(&chain, &info).await?,
                (named, _) => named,
            };
            let domain = domain(&info);
            let fields = self.transaction(&given, &domain, library)?;
            let (info, hash) = read_with_hash(&chain, safe, &fields)
                .await?
                .ok_or_else(|| not_a_safe(safe, chain_id))?;
            Question {
                domain: self::domain(&info),
                fields,
                claimed: given.hash,
                asked: Some(hash),
                unsummed: given.unsummed,
                remarks: given.remarks,
            }
        };
        question.report()
    }

    /// What the file or the arguments say, and the Safe's version if they say that too.
    fn given(&self) -> Result<(Given, Option<SafeVersion>), CliError> {
        let Some(file) = &self.file else {
            let given = Given {
                kind: "arguments",
                content: Content::Fields(Box::new(self.fields.typed())),
                safe: None,
                chain_id: None,
                hash: None,
                unsummed: false,
                remarks: Vec::new(),
                mislabelled: Vec::new(),
            };
            return Ok((given, self.safe_version));
        };
        let file = &match file.is_dir() {
            true => file.join(PROPOSAL_FILE),
            false => file.clone(),
        };
        let bytes = fsutil::read(file, MAX_FILE).map_err(CliError::UserFile)?;
        let schema = serde_json::from_slice::<Value>(&bytes).ok();
        let schema = schema.as_ref().and_then(|value| value.get("schema")?.as_str());
        if schema.is_some_and(|schema| schema.starts_with(PROPOSAL)) {
            return self.proposal(file);
        }
        let given = given(&bytes).map_err(|error| CliError::Input {
            code: Code::InputSafeTx,
            message: format!("`{}` holds no Safe transaction: {}", file.display(), told(&error)),
            hint: match error {
                GivenError::Builder(_) => "ask whoever sent it to export it again from the Transaction Builder",
                _ => {
                    "give a proposal, a Transaction Builder file, an EIP-712 document, or one transaction of a service"
                }
            }
            .to_owned(),
        })?;
        refuse_mislabelled(&given)?;
        Ok((given, self.safe_version))
    }

    fn proposal(&self, file: &std::path::Path) -> Result<(Given, Option<SafeVersion>), CliError> {
        let proposal = Proposal::read(file)?;
        let Some(section) = proposal.safe else {
            return Err(CliError::Input {
                code: Code::InputSafeTx,
                message: format!("`{}` holds no Safe transaction", file.display()),
                hint: "a proposal holds one once `countersign prepare` has chosen it, for an app that a Safe owns"
                    .to_owned(),
            });
        };
        let (domain, fields) = (section.frozen.domain, section.frozen.transaction);
        let given = Given {
            kind: "proposal",
            content: Content::Fields(Box::new(fields)),
            safe: Some(domain.safe),
            chain_id: Some(domain.chain_id),
            hash: Some(section.digests.safe_tx),
            unsummed: false,
            remarks: Vec::new(),
            mislabelled: Vec::new(),
        };
        Ok((given, self.safe_version.or(Some(domain.version))))
    }

    /// Safe and chain: the arguments may not contradict the file.
    fn place(&self, given: &Given) -> Result<(Address, u64), CliError> {
        let chain_id = self.chain_id.or(given.chain_id);
        let chain_id = chain_id.ok_or_else(|| missing("no chain was named", "--chain-id N"))?;
        let safe = match &self.safe {
            Some(text) => Some(address(text, chain_id)?),
            None => given.safe,
        };
        let safe = safe.ok_or_else(|| missing("no Safe was named", "--safe ADDRESS"))?;
        let other = |what: &str, named: String, found: String| {
            stop(Code::SafeTxPlace, &format!("{what} of the transaction"), &named, &found)
        };
        match (given.safe, given.chain_id) {
            (Some(found), _) if found != safe => Err(other("Safe", safe.to_string(), found.to_string())),
            (_, Some(found)) if found != chain_id => Err(other("chain", chain_id.to_string(), found.to_string())),
            _ => Ok((safe, chain_id)),
        }
    }

    fn offline_question(&self, given: &Given, domain: SafeDomain) -> Result<Question, CliError> {
        let fields = self.transaction(given, &domain, self.library)?;
        Ok(Question {
            domain,
            fields,
            claimed: given.hash,
            asked: None,
            unsummed: given.unsummed,
            remarks: given.remarks.clone(),
        })
    }

    fn transaction(
        &self,
        given: &Given,
        domain: &SafeDomain,
        library: Option<Address>,
    ) -> Result<SafeTxFields, CliError> {
        let calls = match &given.content {
            Content::Fields(fields) => return Ok(SafeTxFields::clone(fields)),
            Content::Calls(calls) => calls.clone(),
        };
        let nonce = self
            .fields
            .nonce
            .ok_or_else(|| missing("the file names no nonce", "--safe-nonce N"))?;
        if calls.len() > 1 && library.is_none() {
            let known = deployments::batchers(domain.version, deployments::Build::Canonical);
            let first = known
                .first()
                .map_or_else(|| "ADDRESS".to_owned(), |known| known.address.to_string());
            return Err(missing(
                "several calls need the library that makes them one",
                &format!("--library {first}"),
            ));
        }
        let intent = crate::safe::Intent {
            domain: *domain,
            nonce,
            calls,
            batcher: library,
            old_versions: true,
        };
        let tx = SafeTx::freeze(&intent).map_err(|error| CliError::Input {
            code: Code::InputSafeTx,
            message: format!("no transaction is made of these calls: {}", told(&error)),
            hint: "nothing that an upgrade needs is refused; look at the calls".to_owned(),
        })?;
        Ok(tx.fields().clone())
    }
}

impl Fields {
    fn typed(&self) -> SafeTxFields {
        SafeTxFields {
            to: self.to.unwrap_or_default(),
            value: self.value,
            data: self.data.clone(),
            operation: self.operation,
            safe_tx_gas: self.safe_tx_gas,
            base_gas: self.base_gas,
            gas_price: self.gas_price,
            gas_token: self.gas_token.unwrap_or_default(),
            refund_receiver: self.refund_receiver.unwrap_or_default(),
            nonce: self.nonce.unwrap_or_default(),
        }
    }
}

impl Question {
    fn report(self) -> Result<Report, CliError> {
        let Self { domain, fields, .. } = &self;
        let hash = fields.hash(domain);
        if let Some(claimed) = self.claimed.filter(|claimed| *claimed != hash) {
            return Err(stop(Code::SafeTxHash, "safeTxHash in the file", &hash, &claimed));
        }
        let message = match self.asked {
            None => "computed; no chain was asked",
            Some(Some(said)) if said == hash => "computed, and the Safe computes the same",
            Some(Some(said)) => return Err(stop(Code::SafeTxHash, "safeTxHash", &hash, &said)),
            Some(None) => return Err(stop(Code::SafeTxHash, "safeTxHash", &hash, &"no answer of the Safe")),
        };
        let mut report = Report::done("safe hash", message);
        let accepted = SafeTx::accept(*domain, fields.clone(), false);
        if let Err(error) = &accepted {
            report.warnings.push(Warning {
                code: Code::SafeTxRefused,
                text: format!("countersign would not sign it: {}", told(error)),
            });
        }
        if self.unsummed {
            report.warnings.push(Warning {
                code: Code::BuilderChecksumMissing,
                text: "the Transaction Builder file has no checksum: Safe{Wallet} shows a warning".to_owned(),
            });
        }
        report.warnings.extend(self.remarks.iter().map(|remark| Warning {
            code: Code::BuilderFileOdd,
            text: remark.to_string(),
        }));
        let call = crate::chain::Call {
            to: fields.to,
            value: fields.value,
            data: fields.data.clone(),
        };
        let digests = Digests {
            domain: domain.separator(),
            message: fields.message_hash(domain.version),
            safe_tx: hash,
            data: call.digest(),
        };
        self.show(&mut report, &digests, accepted.as_ref().ok());
        for warning in &report.warnings.clone() {
            report.page.line(&format!("warning: {}", warning.text));
        }
        report.facts.upgrade.chain_id = Some(domain.chain_id);
        report.data = Some(json!({
            "domain": domain,
            "transaction": fields,
            "digests": digests,
            "calls": accepted.as_ref().map(SafeTx::calls).unwrap_or_default(),
            "acceptable": accepted.is_ok(),
            "compared": self.asked.is_some(),
        }));
        Ok(report)
    }

    fn show(&self, report: &mut Report, digests: &Digests, tx: Option<&SafeTx>) {
        let Self { domain, fields, .. } = self;
        let unless_zero = |number: U256| (!number.is_zero()).then(|| number.to_string());
        let named = |address: Address| (!address.is_zero()).then(|| address.to_string());
        let operation = match fields.operation {
            Operation::Call => "call",
            Operation::DelegateCall => "DELEGATE CALL",
        };
        report.page.facts(&[
            ("Safe", Some(format!("{} version {}", domain.safe, domain.version))),
            ("chain", Some(domain.chain_id.to_string())),
            ("nonce", Some(fields.nonce.to_string())),
            ("to", Some(fields.to.to_string())),
            ("value", unless_zero(fields.value)),
            ("operation", Some(operation.to_owned())),
            ("data", Some(fields.data.to_string())),
            ("safeTxGas", unless_zero(fields.safe_tx_gas)),
            ("baseGas", unless_zero(fields.base_gas)),
            ("gasPrice", unless_zero(fields.gas_price)),
            ("gasToken", named(fields.gas_token)),
            ("refundReceiver", named(fields.refund_receiver)),
        ]);
        if let Some(tx) = tx.filter(|tx| tx.calls().len() > 1) {
            report.page.heading("calls, in order");
            for call in tx.calls() {
                report.page.block(&format!("{}  {}", call.to, call.data));
            }
        }
        report.page.heading("hashes");
        report.page.facts(&[
            ("domain hash", Some(digests.domain.to_string())),
            ("message hash", Some(digests.message.to_string())),
            ("safeTxHash", Some(digests.safe_tx.to_string())),
            ("calldata digest", Some(format!("{} (ERC-8213)", digests.data))),
        ]);
    }
}

const fn domain(info: &SafeInfo) -> SafeDomain {
    SafeDomain {
        chain_id: info.chain_id,
        safe: info.address,
        version: info.version,
    }
}

fn operation(text: &str) -> Result<Operation, String> {
    let number = Some(text)
        .filter(|text| matches!(*text, "0" | "1"))
        .and_then(|text| text.parse::<u8>().ok());
    let operation = number.and_then(|number| Operation::try_from(number).ok());
    operation.ok_or_else(|| "an operation is 0 for a call, or 1 for a delegate call".to_owned())
}

fn missing(what: &str, argument: &str) -> CliError {
    CliError::Usage {
        code: Code::UsageSafe,
        message: what.to_owned(),
        hint: format!("give {argument}"),
        next: Next::with(argument.to_owned()),
    }
}

/// A batch file that shows another method than its data calls is no description of a transaction.
fn refuse_mislabelled(given: &Given) -> Result<(), CliError> {
    let (Some(first), Content::Calls(calls)) = (given.mislabelled.first(), &given.content) else {
        return Ok(());
    };
    let does = calls.get(first.index).and_then(|call| decode(&call.data));
    let does = does.map_or_else(|| "another call".to_owned(), |decoded| decoded.to_string());
    let (what, says) = (
        format!("data of call {}", first.index),
        format!("what its method says: `{}`", first.method),
    );
    Err(stop(Code::BatchDiffers, &what, &says, &does))
}

fn stop(code: Code, what: &str, expected: &dyn ToString, found: &dyn ToString) -> CliError {
    CliError::from(UpgradeError::Stop(Box::new(Stop {
        code,
        what: what.to_owned(),
        expected: expected.to_string(),
        found: found.to_string(),
        details: Vec::new(),
        origin: None,
    })))
}
