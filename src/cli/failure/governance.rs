//! What can be done where the change of an app's policy, its owner or a timelock needs a decision.

use super::verdict::Next;
use crate::code::Code;

/// What can be done about a failure or an unknown end at a timelock, by the code; `None`: nothing special.
pub(super) fn ended(code: Code) -> Option<(Next, &'static str)> {
    Some(match code {
        Code::OperationCancelled => (
            Next::Step("execute", "--new-nonce"),
            "ask whoever cancelled it why; if the change is still wanted, schedule it anew under another id with \
             --new-nonce",
        ),
        Code::TimelockCallFailed => (
            Next::Step("execute", "--new-nonce"),
            "the timelock did not do what the transaction asked for: read the reason; once that no longer holds, send it \
             again with --new-nonce",
        ),
        Code::OperationUnseen => (
            Next::Resume,
            "run again: a block that was replaced often comes back with the same transaction; if it does not, schedule \
             the operation anew with --new-nonce",
        ),
        _ => return None,
    })
}

/// What to do about a timelock that is not what was read, or a transaction that did something else there.
pub(super) fn mismatch(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::TimelockChanged => {
            "schedule and execute nothing: find out who changed the timelock's code, and begin the change anew once its \
             owners vouch for the new one"
        }
        Code::SafeHandlerObeys => {
            "sign nothing: anybody can act through the Safe; have its owners set another fallback handler, and look at what was \
             done to the app before that"
        }
        Code::SafeOwnerTakesAnything => {
            "sign nothing: anybody can sign for that owner; have the other owners remove it, or have it take a fallback \
             handler of the Safe team's"
        }
        Code::OperationMismatch => {
            "commit nothing: the transaction did something else at the timelock than this operation; read what it did, and \
             ask whoever sent it"
        }
        _ => return None,
    })
}

/// What comes next and a hint, by the code; `None`: it is about something else.
pub(super) fn decision(code: Code) -> Option<(Next, &'static str)> {
    of_policy(code)
        .or_else(|| of_timelock(code))
        .or_else(|| of_new_cvm(code))
        .or_else(|| of_a_nonce(code))
        .or_else(|| of_safe(code))
}

fn of_policy(code: Code) -> Option<(Next, &'static str)> {
    Some(match code {
        Code::PolicyInForce => (
            Next::Again,
            "nothing is left to do: the app's policy is as it was asked for",
        ),
        Code::PolicyConflict => (
            Next::Again,
            "leave one of the two out, or make them one after the other",
        ),
        Code::NothingToChange => (Next::Command("--help"), "name at least one change"),
        Code::NothingToCommit => (
            Next::Command("resume"),
            "once the change is in force on chain nothing comes after it; `countersign wait` proves that",
        ),
        Code::BatchNeedsSafe => (
            Next::Again,
            "make one change after the other, each with a directory of its own",
        ),
        Code::AppsNeedSafe => (
            Next::Without("--also"),
            "prepare each app by itself, in a directory of its own; a Safe or a timelock as the owner approves all of them at once",
        ),
        Code::AppsTooLate | Code::AppsChosen => (
            Next::Look,
            "finish or reject what was begun, or take another --dir for what is wanted now",
        ),
        Code::AppsTooMany => (
            Next::Again,
            "name fewer apps, and approve the others by another transaction",
        ),
        Code::AppNotInProposal => (
            Next::Without("--also"),
            "name the CVM as the proposal names it; `countersign review` without --also shows all of them",
        ),
        Code::HashInUse | Code::DeviceInUse => (
            Next::with("--remove-in-use"),
            "upgrade or move the CVM first; if it may stop for good, agree to that with --remove-in-use",
        ),
        Code::RevokeUnknown => (
            Next::Again,
            "leave --revoke-old out, and name the hashes by --remove-hash",
        ),
        Code::NewOwnerCannotAct | Code::NewOwnerUnseen | Code::NewOwnerUnknown => (
            Next::with("--accept-new-owner"),
            "check the address, and that it stands on this chain: an app that went to the wrong one is lost; if you know \
             that it can act, agree to it with --accept-new-owner",
        ),
        Code::NothingOffered => (
            Next::Again,
            "the owner has to offer the app first, by `countersign app owner transfer`",
        ),
        Code::OneStepOwnership => (
            Next::Again,
            "the owner gives the app away at once, by `countersign app owner transfer`",
        ),
        _ => return None,
    })
}

/// Next command and hint where an approval makes a CVM, or nothing is seen of a commit; `None`: the code is about
/// something else.
fn of_new_cvm(code: Code) -> Option<(Next, &'static str)> {
    Some(match code {
        Code::NodeUnknown => (Next::Command("nodes"), "name a node that `countersign nodes` lists"),
        Code::NewCvmChange => (
            Next::Command("--help"),
            "name a node, an environment, and for an instance the texts that it runs",
        ),
        Code::NewCvmExists => (
            Next::with("--supersede"),
            "look at the app's CVMs with `countersign app instances list`; if it is the one that was asked for, nothing is \
             left to do; to make another one all the same, agree to that with --supersede",
        ),
        Code::NewCvmUnseen => (
            Next::with("--supersede"),
            "look at the app's CVMs with `countersign app instances list`; if none was made, agree to another try with \
             --supersede",
        ),
        Code::CommitMayStand => (
            Next::with("--accept COMMIT_MAY_STAND"),
            "look at the CVM with `countersign cvm get` and ask Phala Cloud what became of the commit; if nothing did, agree to \
             preparing and committing once more with --accept COMMIT_MAY_STAND",
        ),
        Code::NewCvmAmbiguous => (
            Next::Look,
            "look at the app's CVMs with `countersign app instances list` and delete the one too many; nothing is made again",
        ),
        Code::TokenMissing => (
            Next::Resume,
            "look at the app's pending updates; without a token nothing can be made",
        ),
        _ => return None,
    })
}

/// Next command and hint for a nonce of a Safe that was named; `None`: the code is about something else.
fn of_a_nonce(code: Code) -> Option<(Next, &'static str)> {
    Some(match code {
        Code::SafeNonceFar => (
            Next::Without("--safe-nonce"),
            "leave --safe-nonce out for the first nonce that is free; if others are to come before, agree to it by --accept \
             SAFE_NONCE_FAR=NONCE",
        ),
        Code::SafeNonceChosen => (
            Next::Without("--safe-nonce"),
            "leave --safe-nonce out: what was chosen and perhaps signed has its nonce; for another one, prepare it anew in \
             another directory, or reject this one",
        ),
        Code::SafeNonceTakenHere => (
            Next::Without("--safe-nonce"),
            "leave --safe-nonce out for the first nonce that is free; to compete with the other one for it, agree to that by \
             --accept SAFE_NONCE_TAKEN_HERE=NONCE",
        ),
        _ => return None,
    })
}

fn of_timelock(code: Code) -> Option<(Next, &'static str)> {
    Some(match code {
        Code::TimelockDelay => (
            Next::Again,
            "ask for a longer --delay, or leave it out for the least; what was begun with a shorter one is begun anew, in a \
             directory of its own",
        ),
        Code::TimelockNoProposer | Code::WhichProposer => (
            Next::with("--proposer ADDRESS"),
            "name by --proposer the key or Safe that schedules",
        ),
        Code::NotAProposer => (
            Next::Again,
            "name another one by --proposer, or have the timelock give it the role first",
        ),
        Code::TimelockRoleMissing => (
            Next::Again,
            "name by --signer a key that has the role, or have the timelock give it first; `countersign app owner show` \
             says who has which",
        ),
        Code::TimelockWouldFail => (
            Next::Again,
            "this step was not signed: read the reason, and run it again once that no longer holds; what is scheduled waits",
        ),
        Code::OperationWithoutEffect => (
            Next::NewNonce,
            "the operation is used up: `countersign app show` says who changed the app since; if the change is still \
             wanted, schedule it anew with --new-nonce",
        ),
        Code::OperationPendingSame => (
            Next::Again,
            "`countersign app owner show` says what waits there; have that operation executed, or cancelled by whoever may, \
             before this one is asked for; or agree to a second one by --accept OPERATION_PENDING_SAME=ID",
        ),
        Code::OperationNumbersSpent => (
            Next::Look,
            "make the change together with another one, so that the calls are not the same once more",
        ),
        Code::PendingDelay => (Next::Command("resume"), "run again when the delay is over"),
        _ => return None,
    })
}

/// Next command and hint for a Safe transaction that can never take effect, or need not any more; `None`: the code is
/// about something else.
fn of_safe(code: Code) -> Option<(Next, &'static str)> {
    Some(match code {
        Code::SafeTxGone | Code::SafeTxRejected | Code::SafeNonceTaken => (
            Next::NewNonce,
            "signatures for that nonce count for nothing any more: if the change is still wanted, whoever prepared it chooses \
             a new nonce by `countersign execute --new-nonce` (or leaves --safe-nonce out), and its owners sign again",
        ),
        Code::HashAlreadyAllowed => (
            Next::Command("wait"),
            "nothing is left to sign: `countersign wait` proves that the change is in force",
        ),
        _ => return None,
    })
}
