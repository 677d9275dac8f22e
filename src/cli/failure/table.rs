//! What can be done about a failure of which the code says nearly everything: next step and hint, one row a code.
//!
//! `{name}` in a hint stands for a value of the failure at hand.

use std::borrow::Cow;

use super::verdict::{Next, Verdict, verdict};
use crate::cli::exit::Exit;
use crate::code::Code;

/// Code, next step, hint.
static ROWS: &[(Code, Next, &str)] = &[
    (
        Code::UsageSecretArgument,
        Next::Command("--help"),
        "change that secret if it was a real one, then name its place: --signer env:NAME, file:PATH, \
         keystore:PATH or account:NAME; the API key belongs in PHALA_CLOUD_API_KEY",
    ),
    (
        Code::StorageStdout,
        Next::Look,
        "what was done is done; make room where stdout goes",
    ),
    (
        Code::Defect,
        Next::Look,
        "report it with this place and the version; the journal holds what was done",
    ),
    (
        Code::StartFailed,
        Next::Again,
        "the system gave no thread or file handle; try again",
    ),
    (Code::Declined, Next::Resume, "run again when you want to agree"),
    (
        Code::InputCompose,
        Next::Again,
        "a manifest is one JSON object, and a hash has 64 hex digits",
    ),
    (
        Code::HashRequired,
        Next::With(Cow::Borrowed("--dir DIR")),
        "go on as an upgrade: it recomputes the hash, has it approved and proves it",
    ),
    (
        Code::AuthApiKey,
        Next::Again,
        "set PHALA_CLOUD_API_KEY to a key of the workspace that owns the CVM",
    ),
    (
        Code::ApiNotFound,
        Next::Again,
        "check the CVM's name, and that the API key belongs to its workspace",
    ),
    (Code::ApiBusy, Next::Resume, "wait until the other operation is over"),
    (Code::ApiUnavailable, Next::Resume, "run again later"),
    (
        Code::ApiUnknown,
        Next::Resume,
        "the request may have had its effect; run again, it reads what became of it",
    ),
    (
        Code::ApiUnexpected,
        Next::Resume,
        "check PHALA_CLOUD_API_PREFIX and any proxy in between, then run again",
    ),
    (
        Code::IdentityMalformed,
        Next::Look,
        "approve nothing that this server names before you know why it sends such a value",
    ),
    (
        Code::AuthNoApiKey,
        Next::Again,
        "set PHALA_CLOUD_API_KEY to a key of the workspace that owns the CVM",
    ),
    (
        Code::InputCvm,
        Next::Again,
        "name the CVM by its name, UUID, app id or instance id",
    ),
    (
        Code::AuthServiceKey,
        Next::Again,
        "set SAFE_TRANSACTION_SERVICE_API_KEY to a key of the service, or unset it to go without one",
    ),
    (
        Code::InputServiceKey,
        Next::Again,
        "set SAFE_TRANSACTION_SERVICE_API_KEY again, without quotes or line breaks inside it",
    ),
    (
        Code::UsageServiceUrl,
        Next::Again,
        "--service-url takes an https address",
    ),
    (
        Code::ServiceUnknown,
        Next::Again,
        "run again: it reads what is there and posts only what is missing",
    ),
    (
        Code::ServiceTampered,
        Next::Look,
        "sign nothing that was found at this service; compare the safeTxHash with the other owners",
    ),
    (Code::ApiRefusedInput, Next::Again, "correct what the server names"),
    (
        Code::CommitNotAllowed,
        Next::Command("wait"),
        "the server does not see the hash allowed on chain yet",
    ),
    (
        Code::CommitRejected466,
        Next::Resume,
        "the token is used, replaced or expired; an approval on chain stays good",
    ),
    (
        Code::CommitRejected467,
        Next::Resume,
        "the server does not accept the transaction as proof",
    ),
    (
        Code::ApiRefused,
        Next::Look,
        "read the server's words; the request id helps its support",
    ),
    (
        Code::NetNoConnection,
        Next::Resume,
        "check the network and the address, then run again",
    ),
    (
        Code::TlsIdentity,
        Next::Look,
        "somebody may stand between you and the server; do not go on through this network",
    ),
    (
        Code::NetNoTls,
        Next::Again,
        "install the system's root certificates (often `ca-certificates`), or name a file of them by \
         SSL_CERT_FILE",
    ),
    (Code::NetTimeout, Next::Resume, "run again later"),
    (Code::NetBroken, Next::Resume, "run again later"),
    (
        Code::NetTooLarge,
        Next::Resume,
        "check the address: no answer of this service is that long",
    ),
    (
        Code::RedirectRefused,
        Next::Look,
        "the service does not redirect; check the address and the network in between",
    ),
    (Code::UsagePlainHttp, Next::Again, "use an https address"),
    (
        Code::PendingConfirmations,
        Next::Resume,
        "a block that was read is not on the chain any more: run again, and what stands in its place is read",
    ),
    (
        Code::RpcUnavailable,
        Next::Resume,
        "try another --rpc-url, or run again later",
    ),
    (
        Code::ChainMismatch,
        Next::Again,
        "give an --rpc-url of the chain that the app's KMS is on",
    ),
    (
        Code::GenesisMismatch,
        Next::Again,
        "this endpoint is not the chain that it claims to be; use another --rpc-url",
    ),
    (
        Code::RpcDisagreement,
        Next::Look,
        "one of the endpoints is wrong: ask a third one before you believe either",
    ),
    (
        Code::RpcStale,
        Next::Resume,
        "try another --rpc-url, or run again later",
    ),
    (
        Code::RpcNoFinalityTag,
        Next::With(Cow::Borrowed("--confirmations 12")),
        "count blocks instead, or use an endpoint that has the tag",
    ),
    (
        Code::RpcImpossible,
        Next::Look,
        "do not believe this endpoint; use another --rpc-url",
    ),
    (
        Code::PendingEndpoints,
        Next::Resume,
        "run again when it answers, name another endpoint in its place with --rpc-url, or let fewer agree \
         with --quorum",
    ),
    (
        Code::UsageNoRpc,
        Next::With(Cow::Borrowed("--rpc-url https://…")),
        "give --rpc-url, or set ETH_RPC_URL",
    ),
    (
        Code::AppsById,
        Next::Look,
        "this version upgrades CVMs of KMS contracts since July 2025; the lists of the app's own contract can \
         be changed by --app",
    ),
    (
        Code::TxWouldRevert,
        Next::Look,
        "this call was not sent; check with `countersign app show` who owns the app",
    ),
    (
        Code::TxInFlight,
        Next::Resume,
        "wait for the key's other transaction, cancel it in the wallet that sent it, or choose: --nonce N \
         goes behind it, or replaces it",
    ),
    (
        Code::TxNonceUsed,
        Next::Resume,
        "it was not signed with this nonce; leave --nonce out, or choose one that is not used",
    ),
    (
        Code::TxNonceGap,
        Next::Resume,
        "it was not signed with this nonce; leave --nonce out, or choose the first free one",
    ),
    (Code::TxFunds, Next::Resume, "send the key what is missing"),
    (
        Code::FeeTooLow,
        Next::ResumeWithKey,
        "name the owner's key by --signer, to sign with higher fees; where it was named, wait until fees fall, \
         or name another endpoint by --rpc-url",
    ),
    (
        Code::PendingFees,
        Next::Resume,
        "wait until fees fall, or raise --max-fee",
    ),
    (
        Code::TxForged,
        Next::Look,
        "the bytes are not the call that was planned; do not send them by other means",
    ),
    (
        Code::TxBlockGasLimit,
        Next::Look,
        "no block can hold this call; check the app's contract",
    ),
    (
        Code::TxReverted,
        Next::Look,
        "the fee is spent and nothing changed; read the reason before signing again",
    ),
    (Code::PendingFinality, Next::Resume, "run again later"),
    (
        Code::ProofNoEffect,
        Next::Look,
        "the transaction did something else than was planned; find out what before going on",
    ),
    (
        Code::HashRemoved,
        Next::NewNonce,
        "the owner withdrew it, and committing now would stop the CVM at its next boot: ask why; if it is still wanted, ask for \
         the approval again with --new-nonce",
    ),
    (
        Code::HashNotAllowed,
        Next::Command("execute"),
        "the owner has to allow the hash first",
    ),
    (
        Code::SignatureMismatch,
        Next::Look,
        "nothing was given out; look at the key, and at what stands between it and this tool, before it signs \
         again",
    ),
    (Code::TerminalLost, Next::Resume, "nothing was agreed to; run again"),
    (
        Code::UsageNoUpgrade,
        Next::List,
        "name the directory of an upgrade by --dir, or start one with `countersign prepare`",
    ),
    (
        Code::UsageFleet,
        Next::FleetStatus,
        "name the directory of one of its CVMs, which is below that of the fleet, or use the commands of \
         `countersign fleet`",
    ),
    (
        Code::JournalNewer,
        Next::Again,
        "use the version of countersign that wrote it",
    ),
    (
        Code::JournalForeign,
        Next::With(Cow::Borrowed("--dir DIR")),
        "name another directory by --dir for this upgrade",
    ),
    (Code::Locked, Next::Again, "wait until the other run is over"),
    (
        Code::StorageTooManyOpen,
        Next::Resume,
        "close other programs, or raise `ulimit -n`",
    ),
    (
        Code::UsageSigner,
        Next::Again,
        "write --signer prompt, env:NAME, file:PATH, keystore:PATH, account:NAME, ledger[:PATH] or aws:KEY-ID",
    ),
    (Code::AuthPassword, Next::Again, "try again with the right password"),
    (Code::AuthUnsigned, Next::Again, "this was not signed; run again"),
    (
        Code::LedgerAbsent,
        Next::Again,
        "plug it in, and close other programs that use it",
    ),
    (
        Code::LedgerPermission,
        Next::Again,
        "this user may not use the device: install Ledger's udev rules, and plug it in again",
    ),
    (
        Code::LedgerAway,
        Next::Again,
        "plug it in again, and close other programs that use it",
    ),
    (Code::LedgerLocked, Next::Again, "enter its PIN"),
    (Code::LedgerOtherApp, Next::Again, "open the Ethereum app on it"),
    (
        Code::LedgerRefused,
        Next::Again,
        "this was not signed; run again when you want to agree",
    ),
    (
        Code::LedgerBlindSigning,
        Next::Again,
        "allow blind signing in the settings of its Ethereum app, and compare the hashes on its screen with \
         those shown here",
    ),
    (
        Code::LedgerAppOld,
        Next::Again,
        "update the Ethereum app on it, to 1.6.0 or later",
    ),
    (
        Code::LedgerTimeout,
        Next::Again,
        "this was not signed; confirm on the device when it asks",
    ),
    (
        Code::LedgerAnswer,
        Next::Again,
        "plug it in again, and make sure that it is a Ledger with the newest Ethereum app",
    ),
    (
        Code::KmsNotConfigured,
        Next::Again,
        "give this machine credentials and a region as for the `aws` command, for example by AWS_PROFILE and \
         AWS_REGION",
    ),
    (
        Code::KmsRefused,
        Next::Again,
        "allow the credentials kms:GetPublicKey and kms:Sign on this key, or renew them",
    ),
    (
        Code::KmsNoKey,
        Next::Again,
        "check key id and region, and that the key is enabled",
    ),
    (
        Code::KmsOtherKind,
        Next::Again,
        "name a key with the spec ECC_SECG_P256K1 and the usage SIGN_VERIFY",
    ),
    (
        Code::KmsUnavailable,
        Next::Again,
        "this was not signed; run again later",
    ),
    (
        Code::KmsAnswer,
        Next::Again,
        "make sure that the endpoint is AWS's own: AWS_ENDPOINT_URL may name another",
    ),
    (
        Code::ServiceUnavailable,
        Next::Again,
        "run again later, or pass the proposal on as a file, which needs no service",
    ),
    (
        Code::ServiceUnexpected,
        Next::Again,
        "check --service-url and any proxy in between, or pass the proposal on as a file, which needs no \
         service",
    ),
    (
        Code::ServiceNotFound,
        Next::Again,
        "check --service-url; or pass the proposal on as a file, which needs no service",
    ),
    (
        Code::ServiceBanned,
        Next::Look,
        "the service does not serve this Safe; or pass the proposal on as a file, which needs no service",
    ),
    (
        Code::ServiceRefused,
        Next::Look,
        "read the service's words; or pass the proposal on as a file, which needs no service",
    ),
    (
        Code::ServiceTooMany,
        Next::Look,
        "nobody can look through so many; or pass the proposal on as a file, which needs no service",
    ),
    (
        Code::ServiceNoSignature,
        Next::Command("sign"),
        "sign first: wallets do not show what nobody signed; or pass the proposal on as a file, which needs \
         no service",
    ),
    (
        Code::CostAboveLimit,
        Next::With(Cow::Borrowed("--max-cost AMOUNT")),
        "this was not signed; compare fees and gas with what others say, since an endpoint may lie; then wait \
         until fees fall, or raise --max-cost",
    ),
    (
        Code::CostNotLimited,
        Next::With(Cow::Borrowed("--max-cost AMOUNT")),
        "this was not signed; say by --max-cost what all transactions of the upgrade may cost together, or \
         leave --yes out and look",
    ),
    (
        Code::UsageFeature,
        Next::Again,
        "install with `cargo install --locked --path . --features {feature}`, or name another key",
    ),
    (
        Code::InputKey,
        Next::Again,
        "{place} has to hold 64 hex digits and nothing else",
    ),
    (
        Code::AuthNoVariable,
        Next::Again,
        "set `{name}`, or name another place by --signer",
    ),
    (
        Code::AuthNoAccount,
        Next::Again,
        "name the file of account `{name}` by --signer keystore:PATH",
    ),
    (
        Code::InputKeystore,
        Next::Again,
        "restore `{path}` from a backup, or name another one by --signer",
    ),
    (
        Code::SignerMismatch,
        Next::Again,
        "name the key of {expected} by --signer",
    ),
    (
        Code::AlreadySigned,
        Next::Look,
        "agree to nothing else for nonce {nonce}: whoever has the first agreement can still use it; to give \
         that one up, sign the rejection of nonce {nonce}; `--accept ALREADY_SIGNED={digest}` goes on \
         although that one was agreed to",
    ),
    (
        Code::RecordDamaged,
        Next::Again,
        "this was not signed; restore `{path}` from a backup, or move it away once you are certain which \
         nonces it was about: without it nobody keeps you from signing twice",
    ),
    (
        Code::JournalDamaged,
        Next::Look,
        "move the directory of `{path}` away and start again: what chain and cloud show is found there",
    ),
    (
        Code::UsageConsent,
        Next::With(Cow::Borrowed("--yes")),
        "agree in advance with --yes, or run it at a terminal without --json",
    ),
    (
        Code::UsageNobodyToAsk,
        Next::Signer,
        "run it at a terminal without --json, name the password's file by --password-file, or another key by \
         --signer",
    ),
    (Code::InputFile, Next::Again, "check `{path}`"),
    (Code::StorageFull, Next::Resume, "make room for `{path}`"),
    (
        Code::StoragePermission,
        Next::Resume,
        "`{path}` has to be yours alone: chmod 600 {argument} (700 for a directory)",
    ),
    (Code::StorageReadOnly, Next::Resume, "`{path}` has to be writable"),
    (Code::StorageMissing, Next::Again, "check `{path}`"),
    (Code::StorageFailed, Next::Resume, "check the disk that holds `{path}`"),
];

/// Next step and hint of a code that has a row; values are still `{name}`.
pub(super) fn row(code: Code) -> Option<(Next, &'static str)> {
    let (_, next, hint) = ROWS.iter().find(|(of, ..)| *of == code)?;
    Some((next.clone(), hint))
}

/// As [`row`], where the hint names no value.
pub(super) fn whole(code: Code) -> Option<(Next, &'static str)> {
    row(code).filter(|(_, hint)| !hint.contains('{'))
}

/// What a code means that needs no value.
pub(super) fn said(code: Code) -> Verdict {
    about(code, &[])
}

/// What a code means, with the values that its hint names.
pub(super) fn about(code: Code, values: &[(&str, &str)]) -> Verdict {
    let (next, hint) = row(code).unwrap_or((Next::Look, ""));
    let hint = values.iter().fold(hint.to_owned(), |hint, (name, value)| {
        hint.replace(&format!("{{{name}}}"), value)
    });
    verdict(Exit::of(code.kind()), code, next, hint)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_has_one_row_and_every_row_says_something() {
        let codes: BTreeSet<Code> = ROWS.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes.len(), ROWS.len());
        for (code, _, hint) in ROWS {
            assert!(
                !hint.is_empty() && !hint.ends_with('.') && !hint.contains('\n'),
                "{code}"
            );
        }
    }

    #[test]
    fn a_hint_takes_the_values_of_the_case_and_leaves_no_place_empty() {
        let said = about(Code::AlreadySigned, &[("nonce", "7"), ("digest", "0xab")]);
        assert_eq!(said.hint.matches("nonce 7").count(), 2, "{}", said.hint);
        assert!(
            said.hint.contains("ALREADY_SIGNED=0xab") && !said.hint.contains('{'),
            "{}",
            said.hint
        );
        assert_eq!(said.exit, Exit::State);
    }
}
