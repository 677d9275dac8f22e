//! Next step and hint of what stands in an upgrade's way: its hash, its app, what may run, transactions, proofs, values of
//! the environment and fleets; and of what it waits for.

use super::row::{hints, with};
use crate::cli::failure::verdict::Next::{
    Again, Command, Cvm, FleetStatus, Look, NewNonce, Resume, ResumeWithKey, Step, Without,
};

hints! {
    HashMismatch, Look, "do not approve {found}; find out who changed what, before anything else";
    LineEndsDiffer, Again,
        "nobody changed what the text says: give your file the proposal's line ends (git changes them on checkout, see \
         core.autocrlf and .gitattributes), and review again";
    HashChanged, Look,
        "the same change gave {found} this time: approve it for nothing, and find out what Phala Cloud changed since \
         the first time";
    HashUnverifiable, with("--accept-unverified-hash"),
        "compute the hash of the manifest by other means; if it is right, agree to it with {option}";
    HashAlreadyAllowed, Command("wait"),
        "nothing is left to sign: `countersign wait` proves that the change is in force";
    HashRemoved, NewNonce,
        "the owner withdrew it, and committing now would stop the CVM at its next boot: ask why; if it is still \
         wanted, ask for the approval again with --new-nonce";
    HashNotAllowed, Command("execute"), "the owner has to allow the hash first";
    HashWasRevoked, Look,
        "ask the app's owner why this hash was taken away, since what it stands for may be known to be bad; if it \
         may run again, agree to it with {option}";
    BaseNeverAllowed, Look,
        "nobody approved what the CVM is said to run: find out how it came to run, and read the whole manifest as if \
         all of it were new";
    BaseRevoked, Look,
        "ask the app's owner why what runs now was taken away, before it is taken for the known part of the change";
    BaseUnknown, Look,
        "read the whole manifest, not only what changes; if all of it is right, agree to it with {option}";
    HashOfOldHelper, Look,
        "have the owner allow the hash that `countersign hash` computes in the form `sorted`, and remove the other one: no CVM \
         boots with it";
    ManifestFormUnknown, Look,
        "take the manifest for what Phala Cloud says and no more: what the record's hash stands for cannot be shown \
         by it";
    ImageNotPinned, Again,
        "name each image with its digest, as name@sha256:…, so that nobody can put other code behind the same name";
    ScriptLineEnds, Again,
        "save the script with line feeds alone (LF) before anybody approves it";
    ImagesNotAllKnown, Look,
        "read those lines of the Docker Compose text as what they are, code that runs: an image with its digest in their \
         place can be checked by anybody";
    DigestRequired, Look,
        "name the image as name@sha256:… and its digest, and take out what builds or starts others; if it may run all \
         the same, agree to it with {option}";
    NothingToApprove, Again, "change something that the compose hash covers, or use Phala Cloud's own tools";
    AdoptNothing, Command("plan"),
        "look at what waits with `countersign plan`: the update was committed, replaced or has expired, or is another CVM's";
    AdoptWhich, with("--compose-hash HASH"), "name the one that you mean by --compose-hash";
    AdoptOwn, Look, "go on in that directory with `countersign resume --dir DIR`: its token is there";
    AdoptNoText, with("--compose FILE"),
        "ask whoever prepared it for the files, and name them by --compose and --pre-launch-script";
    AdoptTokenOther, Look,
        "commit nothing with it: ask whoever gave you the token which update it belongs to";
    AdoptTokenDead, Look,
        "go on without it: an approval stays good, and `countersign commit` prepares the same hash again";
    AdoptTokenUnchecked, Look,
        "ask whoever gave it to you whether it is the newest of this CVM; where the commit refuses it, the same hash is \
         prepared again";
    AdoptUnseen, Look,
        "ask whoever prepared it what else it changes and agree to that with {option}; or prepare the same hash again with \
         --prepare-again, which carries out nothing else";
    RollbackTo, Look,
        "read what changes as of any upgrade: what was allowed once may have been replaced for a reason";
    RollbackNothing, with("--list"),
        "name the hash by --to, and a file that has its manifest by --manifest: what the history does not name was \
         pruned, or never ran";
    RollbackNotAllowed, with("--list"),
        "go back to a hash that the app allows, or have this one approved like any upgrade, by `countersign prepare` \
         with the files of that time";
    RollbackNoText, with("--manifest FILE"),
        "name a file that has it by --manifest: an app-compose.json, or the evidence of the upgrade to it";
    RollbackOtherFields, with("--list"),
        "go back to another hash, or provision the whole manifest with `countersign cvm compose-file`";
    RollbackEnvironment, with("--env-file FILE"),
        "give the whole environment that it needs by --env-file: values of that time are nowhere but with you";
    Drift, Again,
        "find out who changed what runs, then release the files again, or bring the files to what runs";
    DriftUnknown, Without("--require-all"),
        "keep the evidence of finished upgrades below .countersign, or leave --require-all out: what is not on record is \
         compared with nothing";
    NothingToChange, Command("--help"), "name at least one change";
    NoCodeChange, Look,
        "go on with `countersign wait`, which proves a change of policy: there is no CVM to commit or to watch";
    OlderHashesUnknown, with("--logs-rpc-url URL"),
        "name an endpoint that gives the app's events from its first one by --logs-rpc-url; nothing but the whole list tells \
         that no older hash is on it";
    OlderHashesAllowed, Look,
        "the owner has to take them away: by `countersign app hashes remove HASH`, or, where a Safe or a timelock \
         owns the app, in the same approval by --revoke-old";
    HashInUse, with("--remove-in-use"),
        "upgrade the CVM that runs the hash first; if it may stop for good, agree to that with --remove-in-use";
    DeviceInUse, with("--remove-in-use"),
        "move the CVM to another device first; if it may stop for good, agree to that with --remove-in-use";
    InUseUnknown, Look,
        "look with `countersign app instances list` at what the app's CVMs run before anything is taken away";
    HashKept, Look, "after the commit, take the hash that ran before away with `countersign app hashes remove`";
    RevokeUnknown, Without("--revoke-old"), "leave --revoke-old out, and name the hashes by --remove-hash";
    HistoryIncomplete, Look,
        "name an --rpc-url that keeps all events of the app's contract: entries that were made early may be missing";
    AppCodeChanged, Look,
        "sign nothing: ask the app's owner who changed the contract's code, and begin the upgrade anew once the new \
         code is known to be right";
    AppMismatch, Look,
        "check the address and the chain, and what Phala Cloud says of the CVM: nothing can be approved for another \
         app than the one that was named";
    AppInterface, Look,
        "ask whoever wrote the app's contract: one that this tool can change announces dstack's own interface, and a \
         new app has it";
    AppsById, Look,
        "this version upgrades CVMs of KMS contracts since July 2025; the lists of the app's own contract can be \
         changed by --app";
    AppPassthrough, Look,
        "no command here takes such an app on yet: have the owner of the cluster's contract call `addComposeHash` there, \
         and prepare and commit the update with Phala Cloud's own tools";
    AppNoticePeriod, Look,
        "no command here takes such an app on yet: have its owner call `proposeComposeHash`, and after the notice \
         anybody `activateComposeHash`; prepare and commit the update with Phala Cloud's own tools";
    AppNotRegistered, Look,
        "check the chain and the KMS contract: an app that the KMS does not know never boots; one is registered by \
         `countersign app deploy`";
    AppUndone, Look, "ask who changed that app back, and begin its change anew if it is still wanted";
    AnyDevice, Look,
        "where only some machines are meant to run the app, list those and take that back with `countersign app \
         allow-any-device false`";
    OwnerChanged, Look,
        "sign nothing: ask the owner of before who took the app over, and begin the upgrade anew with the new owner \
         if that is right";
    OwnerMismatch, Look,
        "sign nothing: this Safe does not own the app, so its signatures would change nothing, or something else";
    PendingOwnerMismatch, Look,
        "ask the app's owner why it is offered to {found}: whoever accepts decides from then on what runs";
    OwnerPending, Look,
        "make sure that the transfer is meant, since whoever accepts it decides what runs; the approval has to come \
         from the owner of then";
    OwnerRenounced, Look, "nobody can allow a new hash for this app: deploy a new one";
    OwnerDelegates, Look,
        "make sure that the contract which the key delegates to is the key holder's choice: it can act for the owner";
    OwnerIsAContract, Look, "read the rules of that contract, or ask whoever runs it, who may approve and how";
    OwnerGovernor, Look,
        "ask who may propose at the Governor; a description that ends in `#proposer=ADDRESS` lets nobody else make the \
         proposal, and so nobody else take it back";
    OwnerUnknown, Look,
        "find out what the contract that owns the app is: this tool shows it the calls to make, and cannot say who \
         may make them";
    OneStepOwnership, Again,
        "nothing has to be accepted: the owner gives the app away at once, by `countersign app owner transfer`";
    NothingOffered, Again, "the owner has to offer the app first, by `countersign app owner transfer`";
    AppGivenAway, Look,
        "make sure that whoever gets control is meant to have it, since nobody else can take that back; if so, agree \
         to it with {option}";
    UpgradesDisabled, Look,
        "make sure that the code of the app's contract never has to be mended again; if so, agree to it with \
         {option}";
    NewOwnerCannotAct, with("--accept-new-owner"),
        "check the address and its chain: nothing stands there, and an app that goes there is lost; if somebody will \
         make a contract there that can act, agree to it with {option}";
    NewOwnerUnknown, with("--accept-new-owner"),
        "find out what the contract at the new owner's address is, and who may act for it; if it can accept and own \
         an app, agree to it with {option}";
    NewOwnerUnseen, with("--accept-new-owner"),
        "let the new owner send something on this chain first, or sign a message, to show that the key is there; if \
         you know that it is, agree to it with {option}";
    PolicyConflict, Again, "leave one of the two out, or make them one after the other";
    PolicyInForce, Again, "nothing is left to do: the app's policy is as it was asked for";
    DeviceNotAllowed, Look,
        "the owner has to let the device in: first by `countersign app devices add DEVICE`, or in the same approval \
         by --add-device DEVICE, where that is all that is missing, or a Safe or a timelock owns the app";
    DeviceMismatch, Look,
        "ask Phala Cloud whether it moved the CVM to {found}; if that is right, begin the upgrade anew, since the \
         device has to be allowed too";
    NotAnApp, Look,
        "sign nothing: the call goes to {found}, where no app's contract stands; check the chain, and ask whoever \
         made the file";
    CvmRunsAnother, Look,
        "look with `countersign cvm operations` at who replaced it; to have this change run, prepare it anew";
    LiveNotSeenAgain, Look, "look again once Phala Cloud answers: `countersign status` asks it what the CVM runs";
    KmsOffchain, Look,
        "nobody can approve anything here: `countersign plan` shows what would change, and `countersign upgrade \
         --without-approval` applies it at once";
    ApplyUnknown, Again,
        "run the same command again: it reads what the CVM runs and does, and sends the change only if nothing came of it";
    KmsMismatch, Look,
        "ask whoever runs the KMS which contract is right: {found} would decide what boots; where `kms` in \
         phala.toml is wrong, correct it";
    KmsNotKnown, Look,
        "compare the KMS contract with the one that whoever runs the KMS publishes, and name it as `kms` in \
         phala.toml; or agree to it with {option}";
    KmsChanged, Look,
        "ask whoever runs the KMS whether its contract was replaced: values would be sealed for another one; if that \
         is right, agree to it with {option}";
    KmsNotAsked, Look, "ask the KMS again once the device is allowed, with `countersign app check`";
    KmsWouldRefuse, Look,
        "read the KMS's reason: often its operator has to allow the OS image, or the app's owner the device; prepare \
         again once that is done";
    KmsRootMismatch, Look,
        "send no value sealed: the KMS's root key is {found} and not the pinned {expected}; ask whoever runs the \
         KMS, by another way than Phala Cloud";
    OsImageNotAllowed, Look,
        "ask whoever owns the KMS contract to allow the image (addOsImageHash), or choose one that it allows: `countersign cvm \
         os-images` lists what there is";
    ImageTooOld, Look,
        "move the CVM to a newer OS image first, which `countersign cvm os-images` lists, or give a manifest that \
         this one can read";
    TcbNotKnown, Look,
        "ask Phala Cloud whether the machine's firmware is up to date: where it is not, the KMS refuses the next \
         boot";
    BootRefused, Look,
        "the app's owner has to allow what is missing, with `countersign app hashes add` or `countersign app devices \
         add`";
    ProposalCarriesEnv, Look,
        "sign nothing of it: a proposal never brings an environment, since values are sealed by whoever has them; \
         ask whoever made it";
    ProposalChanged, Look,
        "sign nothing of it: compare it with the copy that the others have, and ask whoever sent it for the one that \
         was made";
    CallRefused, Look,
        "sign nothing: the call is none that this upgrade needs; ask whoever made the file what it is for";
    CallWouldFail, Look,
        "look with `countersign app show` at what the app's owner and lists are now; where the change is in force \
         already, nothing is left to send";
    ForeignTarget, Look,
        "sign nothing: one of the calls goes to {found}, which is not the app; ask whoever made the file why";
    BatchDiffers, Look,
        "neither import nor sign this file, which makes other calls than it should; ask whoever made it where they come \
         from";
    BatchNeedsSafe, Again, "make one change after the other, each with a directory of its own";
    CvmDeleted, Look,
        "be sure that nothing on the CVM's disk is needed, since it is gone for good; if so, agree to it with \
         {option}";
    UncoveredChange, Look,
        "ask whoever made the proposal why it changes what no signature covers; if it may, agree to each by its name \
         with {option}";
    AppsChosen, Look,
        "finish or reject what was begun for the other apps, or take another --dir for what is wanted now";
    AppsMismatch, Look,
        "one transaction is for apps of one owner on one chain: name only such; where somebody's proposal says \
         otherwise, approve nothing of it";
    AppsNeedSafe, Without("--also"),
        "prepare each app by itself, in a directory of its own; a Safe or a timelock as the owner approves all of \
         them at once";
    AppsTooLate, Look,
        "give the other apps an approval of their own, in another --dir, or reject this one and begin with all of \
         them";
    AppsTooMany, Again, "name fewer apps, and approve the others by another transaction";
    AppNotInProposal, Without("--also"),
        "name the CVM as the proposal names it; `countersign review` without --also shows all of them";
    FleetAppMismatch, Again,
        "this fleet is of {expected}: leave that CVM out, and give those of its app a fleet of their own";
    FleetEmpty, Command("--help"), "name at least one CVM that does not run the change already";
    FleetHash, Resume,
        "the member was not prepared to its end: go on with it in its own directory, then with the fleet";
    FleetHashMismatch, Look,
        "one approval is for one hash: compare this CVM's manifest with the others' by `countersign cvm manifest`, \
         and upgrade it by itself where it is meant to differ";
    FleetMemberBegun, FleetStatus,
        "take that member to its end, or give it up with `countersign reject` in its own directory";
    FleetMemberPending, FleetStatus, "run again once that member is done: what it waits for stands in the message";
    FleetMemberUnnamed, Look,
        "name the CVMs that belong to it one by one, by --also, or run again once Phala Cloud lists them whole";
    FleetName, Again, "name that CVM by its UUID, since its name is that of a file of the fleet";
    AlreadyApproved, Command("wait"),
        "it took effect, and rejecting would change nothing: prove it with `countersign wait`, or have the owner \
         take the hash away";
    AlreadyLive, Look, "nothing is left to give up: to go back, upgrade the CVM to what it ran before";
    BroadcastUnknown, Resume, "run again: it looks for the transaction on chain first, and sends only the same bytes";
    FeeTooLow, ResumeWithKey,
        "name the owner's key by --signer, to sign with higher fees; where it was named, wait until fees fall, or \
         name another endpoint by --rpc-url";
    CostAboveLimit, with("--max-cost AMOUNT"),
        "this was not signed; compare fees and gas with what others say, since an endpoint may lie; then wait until \
         fees fall, or raise --max-cost";
    CostNotLimited, with("--max-cost AMOUNT"),
        "this was not signed; say by --max-cost what all transactions of the upgrade may cost together, or leave \
         --yes out and look";
    Funds, Resume,
        "the signed transaction waits for money: send its key what is missing, and the same bytes are sent again";
    TxFunds, Resume, "this was not signed: send the key what is missing first";
    TxBlockGasLimit, Look, "no block can hold this call; check the app's contract";
    TxForged, Look, "the bytes are not the call that was planned; do not send them by other means";
    TxGone, Step("execute", "--new-nonce"),
        "if nothing of this upgrade can still be mined, agree to a new nonce with --new-nonce";
    TxHashMismatch, Look,
        "believe nothing more of this endpoint, which names another transaction than the one it was given; go on \
         with another --rpc-url";
    TxInFlight, Resume,
        "wait for the key's other transaction, cancel it in the wallet that sent it, or choose: --nonce N goes \
         behind it, or replaces it";
    TxMismatch, Look,
        "send nothing: the transaction in the journal is not the one that the plan asks for; find out who wrote it \
         there";
    TxNonceGap, Resume, "it was not signed with this nonce; leave --nonce out, or choose the first free one";
    TxNonceUsed, Resume, "it was not signed with this nonce; leave --nonce out, or choose one that is not used";
    TxRejected, Resume,
        "read why the endpoint refused it, or name another --rpc-url: the same bytes are sent again, and nothing new \
         is signed";
    TxReplaced, Step("execute", "--new-nonce"),
        "look at what the key sent with that nonce; if it is not this change, sign it anew with --new-nonce";
    TxReverted, Look, "the fee is spent and nothing changed; read the reason before signing again";
    TxWouldRevert, Look, "this call was not sent; check with `countersign app show` who owns the app";
    ProofNoEffect, Look, "the transaction did something else than was planned; find out what before going on";
    ProofNotChecked, Look,
        "run it again when the endpoints answer: what was proved before stands in the journal as it was seen then";
    ProofGone, Resume, "run `countersign resume`: it proves the change anew, in the block that stayed";
    PolicyBesides, Look,
        "look with `countersign app show` at what else the transaction changed, and ask whoever sent it";
    DeployMismatch, Look,
        "do not use such an app: find out what the KMS's contract and the transaction did, before anything else";
    DeployRefused, Look,
        "read the contract's reason, and check that it is the KMS contract of this chain: whoever runs it may allow \
         only some to make apps";
    NoDeployment, Look,
        "this directory is of an upgrade: go on with `countersign resume`, or name the directory in which the app is \
         made";
    CommittedButNotAllowed, Look,
        "have the owner allow the hash again with `countersign app hashes add`, or upgrade to one that is allowed, \
         before the CVM boots next";
    NothingToCommit, Resume,
        "once the change is in force on chain nothing comes after it; `countersign wait` proves that";
    EnvChanged, Look,
        "send nothing of it: look who else writes into the directory, and prepare again with your own file";
    EnvHashRequired, Look,
        "names changed too, or Phala Cloud sees it so: prepare the change as an upgrade, with `countersign prepare \
         --env-file FILE`";
    EnvKeyMismatch, Look,
        "send no values: the KMS does not vouch for the key that they would be sealed for; ask whoever runs it";
    EnvKmsKeyMissing, Look,
        "ask whoever runs the KMS to publish its root key in the contract: without it nothing shows whose key the \
         values are sealed for";
    EnvKmsUnknown, Look,
        "ask Phala Cloud why it names no KMS contract for this CVM: without one nobody vouches for the key that \
         values are sealed for";
    EnvNamesAdded, Look, "make sure that the code which is approved may read these names";
    EnvNamesPending, Look, "ask whoever prepared the waiting update whether the guest still needs these names";
    EnvNamesPendingUnknown, Look, "ask whoever prepared the waiting update which names it lets the guest have";
    EnvNamesUnsupplied, Look,
        "supply these variables with the environment, give each a default in the Docker Compose text, or take the \
         references out";
    EnvNamesUnused, Look,
        "compare these names with the ones that the Docker Compose text refers to: one of them may be misspelt";
    EnvValuesBlank, Look,
        "a secret that is missing where this runs gives an empty value: set it and run again; if the value is meant to \
         be empty, agree to it with {option}";
    EnvChoosesImage, Look,
        "write the image with its digest into the Docker Compose text and have that approved; if this value may choose \
         what runs, agree to it with {option}";
    EnvNamesRemoved, Look, "make sure that nothing in the guest needs these names any more, or name them again";
    EnvNamesReordered, Look, "name the variables in the order of now to need no approval for them";
    EnvNameNotAllowed, Again, "name these variables by --allowed-env as well, or leave --allowed-env out";
    EnvNeeded, Step("prepare", "--env-file FILE"),
        "prepare again with the same change and the file with the environment";
    EnvNotSealed, Resume, "run again: the system gave no randomness, or the key could not be used; nothing was sent";
    EnvSealedElsewhere, Look,
        "ask whoever sealed it which names it holds and for which key: nothing of that can be seen here";
    EnvShellNames, Look, "rename these variables unless the guest's shell is meant to change by them";
    EnvValuesAltered, Look,
        "write these values without backslashes and carriage returns, for example as base64 that the program decodes";
    EnvValuesLate, Command("resume"),
        "take the update to its end, then give the other values to `countersign upgrade`: they need no approval";
    EnvValuesMissing, Look, "give these names values too, since the environment is replaced as a whole";
    EnvValuesOnly, Again,
        "send them with `countersign upgrade`, or change something that the compose hash covers as well";
    EnvValuesUnknown, Again, "run again: it looks whether they were taken, and sends them only if not";
    PendingApproval, Resume,
        "ask the app's owner when the change will be made, then run again: it sees that by itself";
    PendingConfirmations, Resume, "run again: the block may still be replaced, and what stands in its place is read";
    PendingDelay, Command("resume"), "run again when the delay is over";
    PendingExecution, Step("execute", "--signer SOURCE"),
        "anybody may execute it now: name a key that pays for that by --signer";
    PendingEndpoints, Resume,
        "run again when it answers, name another endpoint in its place with --rpc-url, or let fewer agree with \
         --quorum";
    PendingFees, Resume, "wait until fees fall, or raise --max-fee";
    PendingFinality, Resume, "run again once the block is final, which the chain decides";
    PendingNonce, Step("execute", "--new-nonce"),
        "send what the key's earlier nonces are for, or, where nothing of yours uses them, sign with the next one by \
         --new-nonce";
    PendingInclusion, Resume,
        "run again: the same bytes are sent again until a block takes them; higher fees need the key again";
    PendingInstanceId, Cvm, "look at the CVM in some minutes: its record names the instance id once it has started";
    PendingOperation, Resume, "run again once the operation that is under way on the CVM is over";
    PendingGovernor, Command("wait"),
        "have the calls that the message names proposed at the Governor, voted on, queued where it has a timelock, and \
         executed; `countersign wait` sees when they are in force";
    PendingOwner, Command("wait"),
        "have the owner, which is a contract, make the calls that the message names; `countersign wait` sees when it \
         did";
    PendingQueue, Resume, "have the Safe's owners execute or reject the transactions before this one, then run again";
    PendingRejection, Command("reject"),
        "have the owners who have not signed sign the rejection with `countersign sign --reject`, then run this \
         again";
    PendingRestart, Resume,
        "run again: the commit was accepted, and the CVM takes some minutes to come up with the new hash";
    PendingSignatures, Command("review"),
        "send the proposal to the owners who have not signed: each reviews it and signs it with `countersign sign`";
    PendingStatus, Cvm, "look at the CVM again, or wait longer with a longer --timeout";
}
