//! Next step and hint of what concerns whoever approves: Safes, their signatures and nonces, timelocks and their
//! operations.

use super::row::{hints, with};
use crate::cli::failure::verdict::Next::{Again, Command, Look, NewNonce, Resume, Step, Without};

hints! {
    NoSafe, Look,
        "the app's owner is no Safe, so no Safe transaction is signed or rejected: `countersign status` says what \
         comes next here";
    NotASafe, Again,
        "check address and chain id: what is a Safe on one chain can be nothing, or somebody else's, on another";
    SafeChanged, Look,
        "sign nothing: the code at the Safe's address is not what it was; ask the other owners who changed it, and \
         when";
    SafeOwnersChanged, Look,
        "ask the other owners whether the change of owners or threshold is meant; if it is, agree to it with \
         {option}";
    SafeHelpersChanged, Look,
        "look with `countersign safe show` at the modules, guards and handler of now; if all of them are meant, \
         agree to it with {option}";
    SafeCodeContradicted, Look,
        "sign nothing for it: a Safe that reports another version than its code has does not run what it says; ask \
         its owners";
    SafeNotASingleton, Look,
        "sign nothing for it: no Safe's code answers at that address; check the address, and on which chain the Safe \
         is";
    SafeMismatch, Look,
        "name the Safe that the proposal is for, {expected}; where the other one is meant, ask for a proposal for \
         that";
    SafeOldVersion, Look,
        "have the Safe's owners move to version 1.3.0 or later; until then, if a signature may count on another \
         chain too, agree to it with {option}";
    SafeVersion, Look,
        "look for a version of countersign that knows this one of the Safe; if the code is known to be right, agree \
         to it with {option}";
    SafeUnknownCode, Look,
        "compare the code's hash with those of the Safe team's releases; if it is one of them, agree to it with \
         {option}";
    SafeUnlisted, Look,
        "the code is a release of the Safe team's, only not where they put it: ask the Safe's owners why it was \
         deployed again";
    SafeNotIndexed, Look,
        "do not wait for a service to show this Safe's transactions: pass the proposal on as a file";
    SafeOwners, Look,
        "sign nothing for it: no Safe has such owners or such a threshold; check the address, and ask another \
         --rpc-url";
    SafeModule, Look,
        "find out what the module does and who controls it: it can act for the Safe, and nobody signs that";
    SafeGuard, Look,
        "find out what the guard refuses before the owners sign: it can keep the transaction from being executed";
    SafeTimelockGuard, Command("execute"),
        "have somebody schedule the Safe's transaction at the guard (`scheduleTransaction`) with the owners' signatures, \
         which `countersign export --format calldata` holds; once the guard's delay is over, run `countersign execute`";
    SafeDelayModule, Look,
        "ask who may queue at the module, and whether the Safe's owners watch its queue: they can take out what waits \
         there, and nobody signs it";
    SafeHandler, Look, "look whether the owners chose that handler: it answers for the Safe where contracts ask it";
    SafeHandlerObeys, Look,
        "sign nothing: anybody can act through the Safe; have its owners set another fallback handler, and look at \
         what was done to the app before that";
    SafeOwnerTakesAnything, Look,
        "sign nothing: anybody can sign for that owner; have the other owners remove it, or have it take a fallback \
         handler of the Safe team's";
    SafeOwnerUnknown, Look,
        "find out what code answers for that owner: it decides which signatures count for it; if it is right, agree \
         to it with {option}";
    UnknownContract, Again,
        "find out what the contract does, and if you have checked its code, name it with --trust-code HASH=KIND";
    PowerLimit, Look,
        "look at the contracts that are named by hand: whoever is beyond them counts as anybody here";
    PowerNotClosed, Look,
        "look at the remarks: they name the contracts whose code nobody here knows, and --trust-code HASH=KIND vouches for code \
         that you have checked";
    PowerGrew, Look,
        "ask whoever governs the app whether the change was meant; if it was, keep the new answer of --json for the next \
         comparison";
    NoticeTooShort, Look,
        "put a timelock between the app and its owner, and see to it that nobody can go around it: the paths say who can";
    ManifestUnknown, Again,
        "name the manifest of that hash with --manifest FILE, as `countersign cvm compose-file` shows it";
    OsImageUnclassified, Again,
        "find out from the image's own release whether it has a login, and say so with --os-image HASH=prod or HASH=dev";
    StorageNotClosed, Look,
        "find out what wrote it, beginning with the transaction that made the contract; if you know what it is, \
         agree to it with {option}";
    SafeStandingApproval, Look,
        "ask its owners what it is; if it is to be executed still, or does no harm, agree to it with {option}; else \
         have a transaction with its nonce executed that does nothing";
    StorageUnknown, Look, "name an --rpc-url that gives proofs of storage (eth_getProof), and look again";
    SafeNote, Look, "read what the note says of the Safe, and ask its owners where it is not what they meant";
    SafeNonceTaken, NewNonce,
        "whatever was signed for that nonce counts for nothing any more: if the change is still wanted, whoever \
         prepared it leaves --safe-nonce out, or chooses another nonce by `countersign execute --new-nonce`";
    SafeNonceGap, Look,
        "propose something for the nonces before it, or choose the first free one: until they are used, nobody can \
         execute this one";
    SafeNonceUnknown, Resume,
        "name an --rpc-url that keeps the Safe's events of that block, then run again: only they say which \
         transaction used the nonce";
    SafeNonceNotInFile, Look,
        "sign the batch in the wallet that imports it: signatures of the nonce that was chosen here do not count \
         there";
    SafeCompetitors, Look,
        "agree with the other owners which of them is executed: the others can never be once it is";
    SafeOwnersQueued, Look,
        "have the transaction that changes the Safe executed first, and sign after that: signatures of today may not \
         count then";
    SafeQueueBefore, Look, "have the transactions before it executed or rejected: a Safe takes its nonces in order";
    SafeQueueSame, Look, "sign the one that waits already, or take its place with --safe-nonce and its nonce";
    SafeQueueUnseen, Look,
        "name the Safe's service by --service-url to see what waits, or ask the other owners what they signed";
    SafeTxUnexpected, Look,
        "sign nothing: review it again, and name the hash that you reviewed then by --expect-safe-tx-hash";
    SafeTxHash, Look,
        "sign neither hash before both agree: ask the Safe through another --rpc-url, and compare with the other \
         owners";
    SafeTxPlace, Look,
        "name the Safe and the chain that the file is for, or sign nothing: the same signature is worth something \
         else elsewhere";
    SafeTxRefused, Look,
        "sign it nowhere: a delegatecall, a refund or another field that no upgrade needs can do anything; ask \
         whoever made it";
    SignatureNormalised, Look,
        "nothing is left to do: it is kept with the lower value of s, and no wallet refuses that";
    SafeNonceChosen, Without("--safe-nonce"),
        "leave --safe-nonce out: what was chosen and perhaps signed has its nonce; for another one, prepare it anew \
         in another directory, or reject this one";
    SafeNonceFar, Without("--safe-nonce"),
        "ask the owners what they want executed first, and name a nonce by --safe-nonce, or leave it out for the first \
         one that is free; if so many others are to come before, agree to it with {option}";
    SafeNonceTakenHere, Without("--safe-nonce"),
        "leave --safe-nonce out for the first nonce that is free; to compete with the other one for it, agree to \
         that with {option}";
    SafeRejecting, Command("reject"),
        "go on with the rejection by `countersign reject`; other owners sign it by `countersign sign --reject`";
    SafeSignaturesMissing, Look,
        "collect the signatures that are missing, and export it again: what is exported now is no transaction that \
         anybody can send";
    SafeSignaturesStay, Command("reject"),
        "reject it to be sure: whoever kept its signatures can execute it until its nonce is used up";
    SafeTxFailed, NewNonce,
        "read why the call failed; once that no longer holds, choose a new nonce with --new-nonce, and the owners \
         sign again";
    SafeTxGone, NewNonce,
        "another transaction took its nonce, and its signatures are worth nothing: if the change is still wanted, \
         whoever prepared it goes on with `countersign execute --new-nonce`, and the owners sign again";
    SafeTxRejected, NewNonce,
        "ask the owners why they rejected it; if the change is wanted after all, whoever prepared it goes on with \
         `countersign execute --new-nonce`, and they sign again";
    SafeNotExecuted, Look,
        "commit nothing: that transaction executed something else at the Safe, or nothing; read its events, and ask \
         whoever sent it";
    SafeNoBatcher, Again,
        "make one change after the other, each in an upgrade of its own: this Safe has no library here that could \
         make several calls at once";
    SafeWouldFail, Look,
        "read the reason: signatures, a guard, or the call itself; `countersign review` says which of them it is";
    AlreadySigned, Look,
        "agree to nothing else for nonce {nonce}: whoever has the first agreement can still use it; to give that one \
         up, sign the rejection of nonce {nonce}; `--accept {code}={digest}` goes on although that one was \
         agreed to";
    ApprovalFailed, Look,
        "read what the transaction did instead: the owner approved nothing, and the change still waits for it";
    RejectionFailed, Look,
        "read what the transaction did instead: the Safe's transaction can still be executed by whoever has enough \
         signatures";
    NestedNotASafe, Again,
        "name by --for an owner that is a Safe; an owner that is a key signs with `countersign sign`";
    NestedNotChosen, Again,
        "sign with --for SAFE once, without --offline: that chooses the transaction of the Safe that owns the Safe, from the \
         chain";
    NestedNotOwner, Again, "name by --for one of the Safe's owners: {expected}";
    SignatureRefused, Look,
        "ask whoever sent it what they signed; those that count are kept, and what is to be signed is unchanged";
    SignatureUnproven, Look, "run it again with an endpoint: only the chain says whether that owner approved";
    ProposalOnlyRejected, Look,
        "sign nothing but the rejection: the proposal itself is wrong, and the message says where";
    OperationNumbersSpent, Look,
        "make the change together with another one, so that the calls are not the same once more";
    OperationPendingOverlaps, Look,
        "decide with whoever scheduled the other operation which of the two is made: a part would be made twice";
    OperationPendingSame, Again,
        "`countersign app owner show` says what waits there; have that operation executed, or cancelled by whoever \
         may, before this one is asked for; or agree to a second one with {option}";
    OperationPendingUndoes, Look,
        "have the other operation cancelled first by whoever may, since it can be executed after this one";
    OperationTakenOver, Resume,
        "nothing has to be scheduled: `countersign resume` executes the operation that waits, once its delay is over";
    OperationsUnknown, Look,
        "name an --rpc-url that keeps all events of the timelock: an operation that nobody here sees may undo this";
    NoTimelock, Look,
        "the app's owner is no timelock: leave out what is about one, and see the owner with `countersign app owner \
         show`";
    NotAProposer, Again, "name another one by --proposer, or have the timelock give it the role first";
    WhichProposer, with("--proposer ADDRESS"), "several may schedule: name by --proposer the one that is to";
    TimelockAdmin, Look,
        "make sure that whoever can change the timelock's roles is trusted as much as its delay: that one can do \
         without it";
    TimelockCodeUnknown, Look,
        "compare the code's hash with OpenZeppelin's releases: it decides whether the delay holds; if it is right, \
         agree to it with {option}";
    TimelockDiffers, Look,
        "look with `countersign app owner show` at what changed at the timelock, and ask its admin why";
    SchedulingNotFound, Resume, "run `countersign resume`: it looks at the timelock itself for what was scheduled";
    TimelockCallFailed, Step("execute", "--new-nonce"),
        "the timelock did not do what the transaction asked for: read the reason; once that no longer holds, send it \
         again with --new-nonce";
    TimelockChanged, Look,
        "schedule and execute nothing: find out who changed the timelock's code, and begin the change anew once its \
         owners vouch for the new one";
    TimelockDelay, Again,
        "ask for a longer --delay, or leave it out for the least; what was begun with a shorter one is begun anew, \
         in a directory of its own";
    TimelockNoProposer, with("--proposer ADDRESS"),
        "nobody is known who may schedule: name by --proposer the key or Safe that has the role";
    TimelockRolesUnknown, Look,
        "name an --rpc-url that keeps all events of the timelock, to see who else may act for it";
    TimelockRoleMissing, Again,
        "name by --signer a key that has the role, or have the timelock give it first; `countersign app owner show` \
         says who has which";
    TimelockWouldFail, Again,
        "this step was not signed: read the reason, and run it again once that no longer holds; what is scheduled \
         waits";
    OperationCancelled, Step("execute", "--new-nonce"),
        "ask whoever cancelled it why; if the change is still wanted, schedule it anew under another id with \
         --new-nonce";
    OperationMismatch, Look,
        "commit nothing: the transaction did something else at the timelock than this operation; read what it did, \
         and ask whoever sent it";
    OperationUnseen, Resume,
        "run again: a block that was replaced often comes back with the same transaction; if it does not, schedule \
         the operation anew with --new-nonce";
    OperationWithoutEffect, NewNonce,
        "the operation is used up: `countersign app show` says who changed the app since; if the change is still \
         wanted, schedule it anew with --new-nonce";
    BuilderChecksumMissing, Look, "export the batch again with its checksum, so that the wallet does not warn";
    BuilderFileOdd, Look,
        "the wallet imports it all the same; compare the calls, which are what it executes, with what you expect";
    NoChecksum, Look,
        "make sure by another way that the file is what was sent: nothing shows that it was not changed";
    NoSafeNamed, Look, "look in the wallet that the file is imported into the right Safe";
}
