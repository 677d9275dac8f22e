//! Next step and hint of what happens on this machine: keys, journals, files, signals and the program itself.

use super::row::{hints, with};
use crate::cli::failure::verdict::Next::{Again, Command, List, Look, Resume, Signer, Step};

hints! {
    Ok, Look, "nothing is left to do for this command";
    Declined, Resume, "run again when you want to agree";
    Defect, Look, "report it with this place and the version; the journal holds what was done";
    StartFailed, Again, "close other programs, or raise the limits of threads and open files, and try again";
    Locked, Again, "wait until the other run is over; it frees the upgrade when it ends, however it ends";
    StepTooEarly, Resume,
        "the step that has to come first is the one that the message names; `countersign resume` takes all of them \
         in order";
    Abandoned, List,
        "what was given up stays so: begin the change anew with `countersign prepare`, in a directory of its own";
    OutcomeNotStored, Resume,
        "make room for the journal, or give it its permissions back, then run again: it reads what became of the \
         effect and repeats nothing";
    TerminalLost, Resume, "nothing was agreed to: run it again at a terminal that stays";
    SignalHangup, Resume,
        "the terminal went away: run again where it stays, such as in tmux, and it goes on where it stood";
    SignalInterrupt, Resume, "run again when you want to go on: it starts where it stood";
    SignalQuit, Resume, "run again: what was begun stands in the journal, and nothing is repeated";
    SignalTerminate, Resume,
        "see who stops this process, such as a service's time limit, then run again: it goes on where it stood";
    KmsAnswer, Again, "make sure that the endpoint is AWS's own: AWS_ENDPOINT_URL may name another";
    KmsNotConfigured, Again,
        "give this machine credentials and a region as for the `aws` command, for example by AWS_PROFILE and \
         AWS_REGION";
    KmsNoKey, Again, "check key id and region, and that the key is enabled";
    KmsOtherKind, Again, "name a key with the spec ECC_SECG_P256K1 and the usage SIGN_VERIFY";
    KmsRefused, Again, "allow the credentials kms:GetPublicKey and kms:Sign on this key, or renew them";
    KmsUnavailable, Again, "this was not signed; run again once AWS answers";
    NoSigningRecord, Again, "set `XDG_STATE_HOME` or `HOME`: without a record of what was signed, nothing is signed";
    RecordDamaged, Again,
        "this was not signed; restore `{path}` from a backup, or move it away once you are certain which nonces it \
         was about: without it nobody keeps you from signing twice";
    SignatureMismatch, Look,
        "nothing was given out; look at the key, and at what stands between it and this tool, before it signs again";
    SignerMismatch, Again, "the key that was named is not that of {expected}: name that one by --signer";
    SignerNeeded, Signer, "no key was named: name the owner's by --signer";
    DelegateOfAllSafes, with("--all-safes"),
        "take that away as well with --all-safes, which the owner's other Safes lose too";
    SignerIsOwner, Command("sign"),
        "sign it with `countersign sign` and propose it without --signer: an owner's signature of it is an agreement, \
         also where it is only meant to propose";
    SignerNotDelegate, Look,
        "have an owner add the key's address by `countersign safe delegates add`, or name a delegate's key by --signer";
    SignerNotOwner, Signer, "name the key of {expected} by --signer: only owners can sign for the Safe";
    SignerNotProposer, Signer,
        "name the key of {expected} by --signer: that one was chosen to schedule and cancel at the timelock";
    SignerNotSender, Signer, "name the key of {expected} by --signer: the plan has it send the transaction";
    AuthApiKey, Again,
        "the key that is in PHALA_CLOUD_API_KEY is refused: set it to a key of the workspace that owns the CVM";
    AuthNoAccount, Again, "name the file of account `{name}` by --signer keystore:PATH";
    AuthNoApiKey, Again,
        "set PHALA_CLOUD_API_KEY, which is not set: a key of the CVM's workspace is made on Phala Cloud's site";
    AuthNoVariable, Again, "set `{name}`, or name another place by --signer";
    AuthPassword, Again, "try again with the right password";
    AuthServiceKey, Again,
        "set SAFE_TRANSACTION_SERVICE_API_KEY to a key of the service, or unset it to go without one";
    AuthUnsigned, Again, "this was not signed: look at the message for the key's reason, then run again";
    AuthWebhookSecret, Command("--help"), "take the secret again from Phala Cloud, without white space in it";
    LedgerAbsent, Again, "plug the Ledger in, and close other programs that use it";
    LedgerAnswer, Again, "plug it in again, and make sure that it is a Ledger with the newest Ethereum app";
    LedgerAppOld, Again, "update the Ethereum app on it, to 1.6.0 or later";
    LedgerAway, Again, "plug the Ledger in again, and leave it in until it has signed";
    LedgerBlindSigning, Again,
        "allow blind signing in the settings of its Ethereum app, and compare the hashes on its screen with those \
         shown here";
    LedgerLocked, Again, "enter the Ledger's PIN";
    LedgerOtherApp, Again, "open the Ethereum app on the Ledger";
    LedgerPermission, Again, "this user may not use the device: install Ledger's udev rules, and plug it in again";
    LedgerRefused, Again, "you refused on the Ledger, and this was not signed; run again when you want to agree";
    LedgerTimeout, Again, "this was not signed; confirm on the Ledger when it asks";
    PageClosed, Again, "run it again, and leave the page open until it says that it is done";
    PageTimeout, with("--timeout 1h"), "run it again, and answer on the page in time; --timeout gives more of it";
    PageUnserved, Again, "another program has the port: name another one by --listen, or leave it out for a free one";
    WalletAnswer, Again, "what the wallet gave back counts for nothing: run it again, with another wallet if this one does \
         the same";
    WalletAskedBefore, Look,
        "look into the wallet: refuse what it still asks, and see that it sent nothing; if so, agree to it with {option}";
    WalletBusy, Again, "answer the request that the wallet has open, or close its window, then run it again";
    WalletFailed, Again, "look at the wallet's message; nothing that it gave back was taken, and running again asks it again";
    WalletRefused, Again, "you refused in the wallet, and no signature came back; run again when you want to agree";
    WalletUnknown, Again,
        "look into the wallet, and refuse what it still asks; then run it again: what was sent is found on the chain, and \
         asked for again only where nothing was";
    NetNoTls, Again,
        "install the system's root certificates (often `ca-certificates`), or name a file of them by SSL_CERT_FILE; where neither \
         it nor SSL_CERT_DIR is set, a list that is built in stands in";
    JournalDamaged, Look,
        "move the directory of `{path}` away and start again: what chain and cloud show is found there";
    JournalForeign, with("--dir DIR"), "name another directory by --dir for this upgrade";
    JournalNewer, Again, "use the version of countersign that wrote it";
    JournalRolledBack, Step("execute", "--new-nonce"),
        "put the newest copy of the directory back; where there is none, and nothing that the key signed since can \
         still be mined, agree to a new nonce with --new-nonce";
    StorageFailed, Resume, "check the disk that holds `{path}`";
    StorageFull, Resume, "make room for `{path}`";
    StorageMissing, Again, "put `{path}` back, or begin where it is made: nothing else may move files of an upgrade";
    StoragePermission, Resume, "`{path}` has to be yours alone: chmod 600 {argument} (700 for a directory)";
    StorageReadOnly, Resume, "`{path}` has to be writable: mount it so, or name another place";
    StorageStdout, Look, "what was done is done; make room where stdout goes";
    StorageTooManyOpen, Resume, "close other programs, or raise `ulimit -n`";
    StateInGit, Look,
        "take the files out of git with `git rm --cached`, and change every secret that was committed or pushed";
    NeighboursUnread, List,
        "look at the directories that the message names: an upgrade in one of them may be about the same CVM or \
         nonce";
}
