//! What was typed: clap definitions shared by the commands. No I/O, no environment; the settings add the
//! rest.

pub(super) mod also;
pub(in crate::cli) mod attesting;
pub(in crate::cli) mod besides;
pub(super) mod groups;
pub(super) mod owner_name;
pub(in crate::cli) mod probing;
pub(super) mod takes;
pub(super) mod tree;
pub(super) mod values;
pub(super) mod vouched;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use clap::{Args, ValueEnum};
use url::Url;

use also::Also;
use besides::Besides;

use crate::chain::Finality;
use crate::cloud::{self, CvmId};
use crate::compose::ComposeHash;
use crate::env::{EnvName, RootKey};
use crate::signer::Source;

/// Which CVM, and what changes.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Change {
    /// CVM: name, UUID, app id or instance id [default: what phala.toml names]
    #[arg(long, value_name = "ID", help_heading = "What changes", value_parser = values::cvm)]
    pub(in crate::cli) cvm: Option<CvmId>,
    /// Docker Compose file to run [default: what phala.toml names]
    #[arg(short, long, value_name = "FILE", help_heading = "What changes")]
    pub(in crate::cli) compose: Option<PathBuf>,
    /// Script that runs before the containers
    #[arg(long, value_name = "FILE", help_heading = "What changes", hide_short_help = true)]
    pub(in crate::cli) pre_launch_script: Option<PathBuf>,
    /// Environment variable that the guest may receive; repeat it, the order counts
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "What changes",
        hide_short_help = true
    )]
    pub(in crate::cli) allowed_env: Option<Vec<EnvName>>,
    #[command(flatten)]
    pub(in crate::cli) workload: Workload,
    /// Whether anybody may read the logs
    #[arg(long, value_name = "BOOL", help_heading = "What changes", hide_short_help = true)]
    pub(in crate::cli) public_logs: Option<bool>,
    /// Whether anybody may read system information
    #[arg(long, value_name = "BOOL", help_heading = "What changes", hide_short_help = true)]
    pub(in crate::cli) public_sysinfo: Option<bool>,
    /// Whether anybody may read TCB information
    #[arg(long, value_name = "BOOL", help_heading = "What changes", hide_short_help = true)]
    pub(in crate::cli) public_tcbinfo: Option<bool>,
    /// Virtual CPUs
    #[arg(long, value_name = "N", help_heading = "What changes", value_parser = values::whole::<u32>(1..))]
    pub(in crate::cli) vcpu: Option<u32>,
    /// Memory, MB
    #[arg(long, value_name = "MB", value_parser = megabytes, help_heading = "What changes")]
    pub(in crate::cli) memory: Option<u32>,
    /// Disk, GB
    #[arg(long, value_name = "GB", value_parser = gigabytes, help_heading = "What changes")]
    pub(in crate::cli) disk_size: Option<u32>,
    /// OS image
    #[arg(long, value_name = "NAME", help_heading = "What changes", value_parser = values::filled, hide_short_help = true)]
    pub(in crate::cli) image: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) besides: Besides,
    /// Let this device run the app, by the same Safe transaction; repeat it
    #[arg(long, value_name = "ID", help_heading = "What changes", value_parser = values::word, hide_short_help = true)]
    pub(in crate::cli) add_device: Vec<B256>,
    /// Take this earlier compose hash from the app's list, by the same Safe transaction; repeat it
    #[arg(long, value_name = "HASH", help_heading = "What changes", value_parser = values::compose_hash, hide_short_help = true)]
    pub(in crate::cli) remove_hash: Vec<ComposeHash>,
    /// Take every older compose hash from the app's list, by the same transaction, but for those that its CVMs run
    #[arg(long, help_heading = "What changes", hide_short_help = true)]
    pub(in crate::cli) revoke_old: bool,
    /// End with the hash and transaction in two headers instead of the commit token
    #[arg(
        long = "without-token",
        alias = "confirm",
        help_heading = "What changes",
        hide_short_help = true
    )]
    pub(in crate::cli) confirm: bool,
    #[command(flatten)]
    pub(in crate::cli) expect: Expect,
}

/// The guest's environment.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Workload {
    /// File with the guest's environment (as npm dotenv reads it); it replaces all of it; repeat it
    #[arg(short, long, value_name = "FILE", help_heading = "What changes")]
    pub(in crate::cli) env_file: Vec<PathBuf>,
    /// Variable of the guest's environment whose value is in the variable of the same name here; repeat it
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "What changes",
        hide_short_help = true
    )]
    pub(in crate::cli) env: Vec<EnvName>,
    /// Root key that the KMS's contract has to name, when it is known by other means
    #[arg(long, value_name = "KEY", help_heading = "What changes", value_parser = values::root_key, hide_short_help = true)]
    pub(in crate::cli) kms_root_key: Option<RootKey>,
}

/// What somebody knows from elsewhere.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Expect {
    /// App id = address of the app's contract; another one ends with 5 [default: `app` in phala.toml]
    #[arg(long, value_name = "ADDRESS", help_heading = "What has to hold", value_parser = values::address, hide_short_help = true)]
    pub(in crate::cli) app: Option<Address>,
    /// Whom an ownership transfer under way goes to; another one, or none, ends with 5
    #[arg(long, value_name = "ADDRESS", help_heading = "What has to hold", value_parser = values::address, hide_short_help = true)]
    pub(in crate::cli) expect_pending_owner: Option<Address>,
    /// No older hash stays allowed; otherwise it ends with 6
    #[arg(long, help_heading = "What has to hold", hide_short_help = true)]
    pub(in crate::cli) strict: bool,
}

/// The reviewer's own values, to compare a proposal with.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Files {
    /// Your own Docker Compose file; the proposal has to have the very same text
    #[arg(short, long, value_name = "FILE", help_heading = "What you expect")]
    pub(in crate::cli) compose: Option<PathBuf>,
    /// Your own Docker Compose file for another app of the proposal, by the name of its CVM; repeat it
    #[arg(
        long,
        value_name = "CVM=FILE",
        value_delimiter = ',',
        help_heading = "What you expect",
        hide_short_help = true
    )]
    pub(in crate::cli) also: Vec<Also>,
    /// Your own script that runs before the containers
    #[arg(long, value_name = "FILE", help_heading = "What you expect", hide_short_help = true)]
    pub(in crate::cli) pre_launch_script: Option<PathBuf>,
    /// Environment variable that the guest may receive; repeat it, the order counts
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "What you expect",
        hide_short_help = true
    )]
    pub(in crate::cli) allowed_env: Option<Vec<EnvName>>,
    /// Whether anybody may read the logs
    #[arg(long, value_name = "BOOL", help_heading = "What you expect", hide_short_help = true)]
    pub(in crate::cli) public_logs: Option<bool>,
    /// Whether anybody may read system information
    #[arg(long, value_name = "BOOL", help_heading = "What you expect", hide_short_help = true)]
    pub(in crate::cli) public_sysinfo: Option<bool>,
    /// Whether anybody may read TCB information
    #[arg(long, value_name = "BOOL", help_heading = "What you expect", hide_short_help = true)]
    pub(in crate::cli) public_tcbinfo: Option<bool>,
}

/// A transaction at the Safe Transaction Service.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Posted {
    /// Safe whose transaction it is, with or without its chain's prefix [default: that of the proposal]
    #[arg(long, value_name = "ADDRESS", help_heading = "Safe Transaction Service", value_parser = values::safe_address)]
    pub(in crate::cli) safe: Option<String>,
    /// Chain of the Safe [default: that of the proposal, or of the prefix]
    #[arg(
        long,
        value_name = "ID",
        requires = "safe",
        help_heading = "Safe Transaction Service", value_parser = values::whole::<u64>(1..), hide_short_help = true)]
    pub(in crate::cli) chain_id: Option<u64>,
    /// Review the transaction that the service shows under this hash
    #[arg(long, conflicts_with = "safe_nonce", value_name = "HASH", help_heading = "Safe Transaction Service", value_parser = values::word)]
    pub(in crate::cli) safe_tx_hash: Option<B256>,
    /// Review every transaction that the service shows at this nonce, as --safe-nonce does
    #[arg(long, value_name = "N", hide = true, conflicts_with_all = ["safe_tx_hash", "safe_nonce"], value_parser = values::amount)]
    pub(in crate::cli) nonce: Option<U256>,
    #[command(flatten)]
    pub(in crate::cli) notices: Notices,
}

/// Which upgrade.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Which {
    /// Proposal file that names the upgrade
    #[arg(value_name = "PROPOSAL", conflicts_with_all = ["dir", "cvm"])]
    pub(in crate::cli) proposal: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) dir: Dir,
}

/// The directory of an upgrade.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Dir {
    /// Directory of the upgrade [default: the only unfinished one below .countersign]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) dir: Option<PathBuf>,
    /// CVM whose unfinished upgrade it is
    #[arg(long, value_name = "ID", value_parser = values::cvm, conflicts_with_all = ["dir", "proposal"])]
    pub(in crate::cli) cvm: Option<CvmId>,
}

/// The directory of an upgrade that begins.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct NewDir {
    /// Directory for the upgrade; one that holds the same upgrade is gone on with [default:
    /// .countersign/CVM-HASH]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) dir: Option<PathBuf>,
}

/// How the chain is reached and how long is waited.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Reach {
    /// JSON-RPC endpoint; repeat it, and endpoints must agree [env: ETH_RPC_URL]
    #[arg(long, value_name = "URL", help_heading = "Chain", value_parser = values::web_address)]
    pub(in crate::cli) rpc_url: Vec<Url>,
    /// How many of the endpoints have to agree [default: all that were named] [env: ETH_RPC_QUORUM]
    #[arg(long, value_name = "N", help_heading = "Chain", value_parser = values::whole::<usize>(1..), hide_short_help = true)]
    pub(in crate::cli) quorum: Option<usize>,
    /// Endpoint to ask for long histories of a contract besides the others; it counts for nothing else
    #[arg(long, value_name = "URL", help_heading = "Chain", value_parser = values::web_address, hide_short_help = true)]
    pub(in crate::cli) logs_rpc_url: Option<Url>,
    /// How long to wait in all, for example 90s, 10m, 1h
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = values::duration, help_heading = "Chain")]
    pub(in crate::cli) timeout: Duration,
    /// Accept a known chain id with another genesis block
    #[cfg(feature = "failpoints")]
    #[arg(long, hide = true)]
    pub(in crate::cli) allow_unpinned_chain: bool,
}

/// When a block is taken to stay.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Settle {
    /// Blocks that have to bury the transaction [default: what suits the chain]
    #[arg(long, value_name = "N", value_parser = values::whole::<u64>(1..), help_heading = "Chain", hide_short_help = true)]
    pub(in crate::cli) confirmations: Option<u64>,
    /// Wait for the chain's own tag instead of counting blocks
    #[arg(
        long,
        value_enum,
        conflicts_with = "confirmations",
        help_heading = "Chain",
        hide_short_help = true
    )]
    pub(in crate::cli) finality: Option<Tag>,
}

/// Which key signs.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct KeySource {
    // No doc comment: rustdoc takes the brackets for a link.
    #[arg(
        long,
        value_name = "SOURCE",
        help_heading = "Signing",
        help = "Key that signs: browser[:ADDRESS], prompt, env:NAME, file:PATH, keystore:PATH, account:NAME, ledger[:PATH] or aws:KEY-ID \
                (never the key itself)"
    )]
    pub(in crate::cli) signer: Option<Source>,
    /// File (mode 0600) with the keystore's password
    #[arg(long, value_name = "FILE", help_heading = "Signing", hide_short_help = true)]
    pub(in crate::cli) password_file: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) page: PageOptions,
}

/// How the page of a wallet in a browser is reached.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(in crate::cli) struct PageOptions {
    /// Print the address of the page for a browser, and open it nowhere
    #[arg(long, help_heading = "Browser", hide_short_help = true)]
    pub(in crate::cli) no_open: bool,
    /// Where the page is served, for a tunnel with the same port at both ends [default: a free port]
    #[arg(long, value_name = "127.0.0.1:PORT", value_parser = values::loopback_port, help_heading = "Browser", hide_short_help = true)]
    pub(in crate::cli) listen: Option<u16>,
}

/// What transactions may cost.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct Caps {
    /// Highest fee per gas [default: five times the recent median]
    #[arg(long, value_name = "GWEI", help_heading = "Signing", hide_short_help = true)]
    pub(in crate::cli) max_fee: Option<Gwei>,
    /// Most that all transactions of the upgrade may cost together, in the chain's coin [default: 0.05 on Ethereum, 0.005 on
    /// Base; --yes needs it elsewhere]
    #[arg(long, value_name = "AMOUNT", help_heading = "Signing", hide_short_help = true)]
    pub(in crate::cli) max_cost: Option<Coins>,
}

/// Which key signs, and what it may cost.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Key {
    #[command(flatten)]
    pub(in crate::cli) source: KeySource,
    #[command(flatten)]
    pub(in crate::cli) caps: Caps,
    /// Nonce of the key's transaction: behind others that are in flight, or in place of one of them [default: the next one,
    /// once none is]
    #[arg(long, value_name = "N", help_heading = "Signing", value_parser = values::whole::<u64>(0..))]
    pub(in crate::cli) nonce: Option<u64>,
    /// Sign with the next nonce although an earlier transaction of this upgrade lost its own
    #[arg(long, help_heading = "Signing", hide_short_help = true)]
    pub(in crate::cli) new_nonce: bool,
}

/// What holds for a Safe that owns the app.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Multisig {
    /// Nonce of the Safe transaction [default: the first one that nothing holds]
    #[arg(long, value_name = "N", help_heading = "Safe", value_parser = values::amount, hide_short_help = true)]
    pub(in crate::cli) safe_nonce: Option<U256>,
    /// Take code with this keccak256 for that of a Safe; repeat it
    #[arg(long, value_name = "HASH", help_heading = "Safe", value_parser = values::word, hide_short_help = true)]
    pub(in crate::cli) trust_code: Vec<B256>,
    /// Accept a Safe before 1.3.0, whose signatures are good on every chain
    #[arg(long, help_heading = "Safe", hide_short_help = true)]
    pub(in crate::cli) accept_old_safe: bool,
    /// Go on although owners, threshold, modules, guard or fallback handler changed since they were read
    #[arg(long, help_heading = "Safe", hide_short_help = true)]
    pub(in crate::cli) accept_safe_changes: bool,
}

/// Which Safe transaction is agreed to.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Reviewed {
    /// The safeTxHash that was reviewed; another one ends with 5, before any key is used
    #[arg(long, value_name = "HASH", value_parser = values::word, help_heading = "What has to hold")]
    pub(in crate::cli) expect_safe_tx_hash: Option<B256>,
}

/// How a timelock that owns the app is asked.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Governor {
    /// Who proposes to the timelock, a key or a Safe [default: the only one who may]
    #[arg(long, value_name = "ADDRESS", help_heading = "Timelock", value_parser = values::address, hide_short_help = true)]
    pub(in crate::cli) proposer: Option<Address>,
    /// Delay to ask for [default: the least that the timelock takes]
    #[arg(long, value_name = "SECONDS", help_heading = "Timelock", value_parser = values::whole::<u64>(0..), hide_short_help = true)]
    pub(in crate::cli) delay: Option<u64>,
}

/// Where owners of a Safe leave word for each other.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Notices {
    /// Address of the service [default: Safe's own for the chain; for choosing a nonce only if its API key is set]
    #[arg(long, value_name = "URL", help_heading = "Safe Transaction Service", value_parser = values::web_address, hide_short_help = true)]
    pub(in crate::cli) service_url: Option<Url>,
}

/// Whether the chain is asked.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Offline {
    /// Ask no chain; what cannot be checked without one is said
    #[arg(long, help_heading = "Chain")]
    pub(in crate::cli) offline: bool,
}

/// What may be prepared.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Allow {
    /// Prepare although another update of this CVM is pending: its commit token is replaced
    #[arg(long, help_heading = "Consent", hide_short_help = true)]
    pub(in crate::cli) supersede: bool,
    /// Go on although the compose hash cannot be recomputed here
    #[arg(long, help_heading = "Consent", hide_short_help = true)]
    pub(in crate::cli) accept_unverified_hash: bool,
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Overwrite {
    /// Replace the file of --out, whatever it holds
    #[arg(long, visible_alias = "force", requires = "out")]
    pub(in crate::cli) overwrite: bool,
}

/// Consent given in advance.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Agree {
    /// Agree in advance to what would be asked
    #[arg(long, help_heading = "Consent")]
    pub(in crate::cli) yes: bool,
}

/// How the page is written.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(in crate::cli) struct Written {
    /// How the page is written: for a terminal, or as Markdown for a pull request or a summary. With --json it is in `page`
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, hide_default_value = true)]
    pub(in crate::cli) format: PageFormat,
}

/// A form of the page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PageFormat {
    /// Lines for a terminal
    #[default]
    Text,
    /// Markdown
    Markdown,
}

/// Whether to watch the restart.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Watch {
    /// Return when the commit is accepted, without waiting for the CVM
    #[arg(long, overrides_with = "does_wait")]
    pub(in crate::cli) no_wait: bool,
    /// Wait for the CVM, as it does anyway
    #[arg(long = "wait", id = "does_wait", hide = true, overrides_with = "no_wait")]
    pub(in crate::cli) does_wait: bool,
}

/// What a command's arguments have, of what settings are made from.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::cli) struct SharedOptions<'a> {
    pub(in crate::cli) reach: Option<&'a Reach>,
    pub(in crate::cli) settle: Option<&'a Settle>,
    pub(in crate::cli) key: Option<&'a Key>,
    /// The key that signs, for commands that send no transaction.
    pub(in crate::cli) source: Option<&'a KeySource>,
    pub(in crate::cli) allow: Option<&'a Allow>,
    pub(in crate::cli) agree: Option<&'a Agree>,
    pub(in crate::cli) watch: Option<&'a Watch>,
    /// Whether it is proven at the hardware in the end.
    pub(in crate::cli) attesting: Option<&'a attesting::Attesting>,
    pub(in crate::cli) safe: Option<&'a Multisig>,
    pub(in crate::cli) offline: Option<&'a Offline>,
    pub(in crate::cli) notices: Option<&'a Notices>,
    pub(in crate::cli) reviewed: Option<&'a Reviewed>,
}

/// A chain's own tag for settled blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Tag {
    /// The chain's `safe` block
    Safe,
    /// The chain's `finalized` block
    Finalized,
}

/// wei per gas, written in gwei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Gwei(pub(in crate::cli) u128);

/// wei, written in whole coins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Coins(pub(in crate::cli) U256);

impl Settle {
    /// The finality that was asked for.
    pub(in crate::cli) fn finality(&self) -> Option<Finality> {
        match (self.confirmations, self.finality) {
            (Some(blocks), _) => Some(Finality::Confirmations(blocks)),
            (None, Some(Tag::Safe)) => Some(Finality::Safe),
            (None, Some(Tag::Finalized)) => Some(Finality::Finalized),
            (None, None) => None,
        }
    }
}

impl Workload {
    /// Whether nothing was named.
    pub(in crate::cli) const fn is_empty(&self) -> bool {
        self.env_file.is_empty() && self.env.is_empty()
    }
}

impl Reach {
    /// These endpoints, for this long.
    pub(in crate::cli) const fn to(rpc_url: Vec<Url>, quorum: Option<usize>, timeout: Duration) -> Self {
        Self {
            rpc_url,
            quorum,
            logs_rpc_url: None,
            timeout,
            #[cfg(feature = "failpoints")]
            allow_unpinned_chain: false,
        }
    }

    /// Whether another genesis is accepted; never outside test builds.
    #[cfg(feature = "failpoints")]
    pub(in crate::cli) const fn allow_unpinned(&self) -> bool {
        self.allow_unpinned_chain
    }

    /// Whether another genesis is accepted; never outside test builds.
    #[cfg(not(feature = "failpoints"))]
    #[expect(clippy::unused_self, reason = "the same signature as in test builds")]
    pub(in crate::cli) const fn allow_unpinned(&self) -> bool {
        false
    }
}

impl FromStr for Gwei {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHY: &str = "a fee is a positive number of gwei, for example 0.05";
        let wei = amount(text, "gwei").and_then(|wei| wei.try_into().ok());
        wei.map(Self).ok_or(WHY)
    }
}

impl FromStr for Coins {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHY: &str = "a cost is a positive number of the chain's coin, for example 0.05";
        amount(text, "ether").map(Self).ok_or(WHY)
    }
}

/// A positive decimal number in a unit, in wei.
fn amount(text: &str, unit: &str) -> Option<U256> {
    let (whole, parts) = text
        .split_once('.')
        .map_or((text, None), |(whole, parts)| (whole, Some(parts)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = whole == "0" || !whole.starts_with('0');
    if !digits(whole) || !plain || !parts.is_none_or(digits) {
        return None;
    }
    let wei = alloy::primitives::utils::parse_units(text, unit).ok()?.get_absolute();
    (!wei.is_zero()).then_some(wei)
}

/// Memory. The smallest instance type has far more than the largest has in GB.
pub(in crate::cli) fn megabytes(text: &str) -> Result<u32, String> {
    let size = number(text)?;
    if size < cloud::updates::MIN_MEMORY_MB {
        return Err(format!(
            "memory is counted in MB: {size} GB would be {}",
            u64::from(size) * 1024
        ));
    }
    Ok(size)
}

/// A disk. The largest has far less than the smallest has in MB.
pub(in crate::cli) fn gigabytes(text: &str) -> Result<u32, String> {
    let size = number(text)?;
    if size > cloud::updates::MAX_DISK_GB {
        return Err(format!("disks are counted in GB: {size} MB would be {}", size / 1024));
    }
    Ok(size)
}

fn number(text: &str) -> Result<u32, String> {
    values::whole(1..)(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_are_meant_in_another_unit_are_refused() {
        assert_eq!((megabytes("2048"), gigabytes("40")), (Ok(2048), Ok(40)));
        assert!(megabytes("8").unwrap_err().contains("8192"));
        assert!(gigabytes("40960").unwrap_err().contains("would be 40"));
        for bad in ["", "0", "-1", "4GB", "1.5"] {
            assert!(megabytes(bad).is_err() && gigabytes(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn gwei_become_wei_and_nothing_else_is_read() {
        assert_eq!("1".parse(), Ok(Gwei(1_000_000_000)));
        assert_eq!("0.05".parse(), Ok(Gwei(50_000_000)));
        for bad in [
            "",
            "0",
            "-1",
            "1e9",
            "0.0000000001",
            "1 gwei",
            ".",
            "01",
            "1.",
            ".5",
            "1_0",
            "+1",
            "1,5",
        ] {
            assert!(bad.parse::<Gwei>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_of_variables_follow_the_shell() {
        assert!("API_KEY".parse::<EnvName>().is_ok() && "_x1".parse::<EnvName>().is_ok());
        for bad in ["", "1A", "A-B", "A=B", "Ä"] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad:?}");
        }
    }
}
