//! Every stable code once: its name, what kind of outcome it is, the exit code that follows, and one line about it.
//!
//! A leaf: nothing here knows another room, and nothing is read or written. What a person should do about a code (hint
//! and next step) is the command line's business. The list only grows: a name that was published keeps its meaning, and
//! one that nothing raises any more stays readable, since journals and proposals hold names.
//!
//! ```
//! use countersign::code::{Code, Severity};
//!
//! let code: Code = "HASH_MISMATCH".parse()?;
//! assert_eq!((code.name(), code.kind().exit()), ("HASH_MISMATCH", Some(5)));
//! assert_eq!(code.severity(), Severity::Stop);
//! # Ok::<(), countersign::code::UnknownCode>(())
//! ```

mod kind;
mod list;
mod named;

pub use kind::{Kind, Severity};
pub use named::UnknownCode;

use list::codes;

codes! {
    Ok = "OK", Done, "The goal of the command is reached.";
    Declined = "DECLINED", State, "A person was asked and did not agree; nothing was done.";
    Defect = "DEFECT", Bug, "This program broke one of its own rules.";
    StartFailed = "START_FAILED", Later, "The operating system gave no thread or file handle.";
    Locked = "LOCKED", Locked, "Another run holds the upgrade or the record.";
    StepTooEarly = "STEP_TOO_EARLY", State, "A step was asked for before the one that has to come first.";
    Abandoned = "ABANDONED", State, "The upgrade was given up.";
    OutcomeNotStored = "OUTCOME_NOT_STORED", Unknown, "An effect happened and could not be written down.";
    TerminalLost = "TERMINAL_LOST", Later, "The terminal went away while it was asked.";
    SignalHangup = "SIGNAL_HANGUP", Signal, "SIGHUP ended the run after a checkpoint.";
    SignalInterrupt = "SIGNAL_INTERRUPT", Signal, "SIGINT ended the run after a checkpoint.";
    SignalQuit = "SIGNAL_QUIT", Signal, "SIGQUIT ended the run after a checkpoint.";
    SignalTerminate = "SIGNAL_TERMINATE", Signal, "SIGTERM ended the run after a checkpoint.";
    HashMismatch = "HASH_MISMATCH", Stop, "The compose hash is not that of the manifest shown, or of the reader's own files.";
    LineEndsDiffer = "LINE_ENDS_DIFFER", Stop, "The reader's own file differs from the proposal's text by its line ends alone.";
    HashChanged = "HASH_CHANGED", Stop, "Preparing the same change again gave another compose hash.";
    HashUnverifiable = "HASH_UNVERIFIABLE", Decision, "The compose hash cannot be recomputed, since no known form of the manifest gives the hash that runs.";
    HashAlreadyAllowed = "HASH_ALREADY_ALLOWED", State, "The change is in force already, so nobody has to sign.";
    HashRemoved = "HASH_REMOVED", State, "The owner took the hash away again before the commit.";
    HashNotAllowed = "HASH_NOT_ALLOWED", State, "The app's owner has to allow the hash first.";
    HashRequired = "HASH_REQUIRED", State, "Phala Cloud asks for an approval of the hash that it names.";
    HashWasRevoked = "HASH_WAS_REVOKED", Decision, "The app allowed this hash before and took it away again.";
    BaseNeverAllowed = "BASE_NEVER_ALLOWED", Stop, "The app never allowed the manifest that the change is shown against.";
    BaseRevoked = "BASE_REVOKED", Note, "The app allowed the manifest that the change is shown against, and does not any more.";
    BaseUnknown = "BASE_UNKNOWN", Decision, "Whether the app ever allowed the manifest that the change is shown against is not known.";
    HashOfOldHelper = "HASH_OF_OLD_HELPER", Note, "The app allows a hash that an old helper computed wrongly, which no guest measures.";
    ManifestFormUnknown = "MANIFEST_FORM_UNKNOWN", Note, "No known form of the manifest gives the compose hash that the record names.";
    ImageNotPinned = "IMAGE_NOT_PINNED", Note, "An image is named without a digest, so the compose hash does not fix what runs.";
    ScriptLineEnds = "SCRIPT_LINE_ENDS", Note, "The pre-launch script has line ends of Windows, which the guest's shell takes for a part of its commands.";
    ImagesNotAllKnown = "IMAGES_NOT_ALL_KNOWN", Note, "Something runs that the list of images does not name.";
    EnvNamesUnsupplied = "ENV_NAMES_UNSUPPLIED", Note, "The Docker Compose text refers to variables that nobody supplies.";
    EnvNamesUnused = "ENV_NAMES_UNUSED", Note, "Nothing refers to variables that the environment may set.";
    EnvValuesBlank = "ENV_VALUES_BLANK", Decision, "Values of the environment are empty; where only values change, they take the place of those that are there.";
    EnvChoosesImage = "ENV_CHOOSES_IMAGE", Decision, "The environment chooses what runs, so other values are other code that nobody approves.";
    DigestRequired = "DIGEST_REQUIRED", Decision, "Something runs that no digest fixes, and --require-digests was given.";
    NothingToApprove = "NOTHING_TO_APPROVE", State, "Nothing changes that the compose hash covers.";
    Drift = "DRIFT", State, "What runs is not what the files or the last release on record say.";
    DriftUnknown = "DRIFT_UNKNOWN", State, "Something could not be compared with what runs, and --require-all asks for all of it.";
    NothingToChange = "NOTHING_TO_CHANGE", State, "No change was named.";
    NoCodeChange = "NO_CODE_CHANGE", State, "Only the app's policy changes, so there is no CVM to upgrade.";
    OlderHashesUnknown = "OLDER_HASHES_UNKNOWN", State, "Whether hashes other than the one that runs are still allowed is not known.";
    OlderHashesAllowed = "OLDER_HASHES_ALLOWED", State, "Hashes other than the one that runs are still allowed.";
    HashInUse = "HASH_IN_USE", Decision, "A CVM runs the hash that is taken away.";
    DeviceInUse = "DEVICE_IN_USE", Decision, "A CVM is on the device that is taken away.";
    InUseUnknown = "IN_USE_UNKNOWN", Note, "Which CVM needs what is taken away is not known.";
    HashKept = "HASH_KEPT", Note, "The hash that runs stays allowed until the commit.";
    RevokeUnknown = "REVOKE_UNKNOWN", State, "Which hashes are older is not known.";
    HistoryIncomplete = "HISTORY_INCOMPLETE", Note, "The app's history is not known whole.";
    AppCodeChanged = "APP_CODE_CHANGED", Stop, "The app's code is not what was read when the upgrade was prepared.";
    AppMismatch = "APP_MISMATCH", Stop, "The app is not the one that was named or planned.";
    AppInterface = "APP_INTERFACE", State, "The app does not announce the interface that the change needs.";
    AppsById = "APPS_BY_ID", State, "The KMS contract is of before July 2025 and knows apps by ids that are not the addresses of their contracts.";
    AppPassthrough = "APP_PASSTHROUGH", State, "The app passes its policy on to another contract, to which no route leads.";
    AppNoticePeriod = "APP_NOTICE_PERIOD", State, "The app allows a compose hash only after a notice, to which no route leads.";
    AppNotRegistered = "APP_NOT_REGISTERED", State, "The KMS contract does not know the app.";
    AppUnknown = "APP_UNKNOWN", State, "Phala Cloud names no app for the CVM.";
    AppNeeded = "APP_NEEDED", State, "The app's contract has to be deployed first.";
    AppUndone = "APP_UNDONE", Note, "An app of the same transaction was changed back.";
    AppIdConflict = "APP_ID_CONFLICT", State, "The app id runs another compose hash.";
    AnyDevice = "ANY_DEVICE", Note, "Every device may run the app.";
    OwnerChanged = "OWNER_CHANGED", Stop, "The app's owner is not the one that was read.";
    OwnerMismatch = "OWNER_MISMATCH", Stop, "The app has another owner than the transaction's sender.";
    OwnerPending = "OWNER_PENDING", Note, "An ownership transfer is under way.";
    UnknownContract = "UNKNOWN_CONTRACT", Note, "Nobody here knows what a contract does that may act for an app.";
    PowerLimit = "POWER_LIMIT", Note, "Who may act for an app is more than is looked at, so that anybody may be among them.";
    PowerNotClosed = "POWER_NOT_CLOSED", State, "Not every contract that may act for the app is known with nothing hidden in its storage.";
    PowerGrew = "POWER_GREW", State, "Fewer people, or the same ones sooner, can change what the app runs than in the answer that was named.";
    NoticeTooShort = "NOTICE_TOO_SHORT", State, "Other code can be allowed with less notice than was asked for.";
    ManifestUnknown = "MANIFEST_UNKNOWN", Note, "The app allows a hash whose manifest nobody showed, so what it leaves to the operator is not known.";
    OsImageUnclassified = "OS_IMAGE_UNCLASSIFIED", Note, "Whether an OS image that the KMS allows has a login is not known.";
    PendingOwnerMismatch = "PENDING_OWNER_MISMATCH", Stop, "The app is offered to somebody else than expected.";
    OwnerRenounced = "OWNER_RENOUNCED", State, "The app has no owner, so its policy can never change.";
    OwnerDelegates = "OWNER_DELEGATES", Note, "The owner is a key that delegates to a contract (EIP-7702).";
    OwnerIsAContract = "OWNER_IS_A_CONTRACT", Note, "The owner is a contract with rules of its own.";
    OwnerUnknown = "OWNER_UNKNOWN", Note, "The owner is a contract that is neither a Safe nor a timelock.";
    OwnerGovernor = "OWNER_GOVERNOR", Note, "A Governor owns the app or proposes to the timelock that does, so its voters decide.";
    OneStepOwnership = "ONE_STEP_OWNERSHIP", State, "The app changes hands in one step, so there is nothing to accept.";
    NothingOffered = "NOTHING_OFFERED", State, "The app was offered to nobody.";
    AppGivenAway = "APP_GIVEN_AWAY", Decision, "What is signed hands control over an app, a Safe or a timelock to somebody, or gives it up.";
    UpgradesDisabled = "UPGRADES_DISABLED", Decision, "What is signed freezes the code of an app's contract for ever.";
    NewOwnerCannotAct = "NEW_OWNER_CANNOT_ACT", Decision, "Nothing stands at the new owner's address that could act.";
    NewOwnerUnknown = "NEW_OWNER_UNKNOWN", Decision, "The new owner is a contract that this version does not know.";
    NewOwnerUnseen = "NEW_OWNER_UNSEEN", Decision, "The new owner never did anything on this chain.";
    PolicyConflict = "POLICY_CONFLICT", State, "Two changes set the same thing.";
    PolicyInForce = "POLICY_IN_FORCE", State, "The app's policy is what was asked for already.";
    DeviceNotAllowed = "DEVICE_NOT_ALLOWED", State, "The app does not allow the device that runs the CVM.";
    DeviceMismatch = "DEVICE_MISMATCH", Stop, "The device is not the one that was read.";
    NotAnApp = "NOT_AN_APP", Stop, "There is no app's contract at the target.";
    CommitWithoutEffect = "COMMIT_WITHOUT_EFFECT", Later, "Phala Cloud accepted the commit, or reported the hash, and nothing came of it.";
    CvmRunsAnother = "CVM_RUNS_ANOTHER", State, "The CVM runs another hash than the one that this upgrade gave it.";
    LiveNotSeenAgain = "LIVE_NOT_SEEN_AGAIN", Note, "Whether the CVM still runs the hash was not seen again.";
    KmsOffchain = "KMS_OFFCHAIN", State, "An off-chain KMS guards the CVM, so nobody has to approve.";
    KmsMismatch = "KMS_MISMATCH", Stop, "The KMS contract is not the one that was read.";
    KmsNotKnown = "KMS_NOT_KNOWN", Decision, "This version does not know the KMS contract, and only Phala Cloud names it.";
    KmsChanged = "KMS_CHANGED", Decision, "Phala Cloud names another KMS contract than that of the app's last upgrade that was proved here.";
    KmsNotAsked = "KMS_NOT_ASKED", Note, "What the KMS will say is not known yet.";
    KmsWouldRefuse = "KMS_WOULD_REFUSE", State, "With the hash allowed the KMS would still refuse the boot.";
    KmsRootMismatch = "KMS_ROOT_MISMATCH", Stop, "The KMS contract publishes another root key than the pinned one.";
    OsImageNotAllowed = "OS_IMAGE_NOT_ALLOWED", State, "The KMS does not allow the OS image that the CVM is to be given.";
    ImageTooOld = "IMAGE_TOO_OLD", State, "The OS image would not come up with the manifest.";
    TcbNotKnown = "TCB_NOT_KNOWN", Note, "Whether the machine's firmware is up to date is not known.";
    AttestationBroken = "ATTESTATION_BROKEN", Stop, "What the hardware measured contradicts what was approved.";
    EvidenceDiffers = "EVIDENCE_DIFFERS", Stop, "A claim of the evidence is contradicted by what the evidence holds, or by the chain.";
    EvidenceNotChecked = "EVIDENCE_NOT_CHECKED", State, "A claim of the evidence was not checked, and --require-all asks for all of them.";
    NotProven = "NOT_PROVEN", State, "Something that the proof needs could not be found out.";
    TcbStatus = "TCB_STATUS", Decision, "Intel does not call the machine up to date.";
    CollateralUnreachable = "COLLATERAL_UNREACHABLE", Later, "The server of Intel's collateral gave no answer.";
    BootRefused = "BOOT_REFUSED", State, "The KMS would not let the CVM boot.";
    KmsAnswer = "KMS_ANSWER", Input, "The answer of AWS KMS cannot be used.";
    KmsNotConfigured = "KMS_NOT_CONFIGURED", Auth, "AWS has no credentials or no region for this machine.";
    KmsNoKey = "KMS_NO_KEY", Auth, "AWS KMS has no usable key of this name.";
    KmsOtherKind = "KMS_OTHER_KIND", Input, "The key in AWS KMS is not one of Ethereum's kind.";
    KmsRefused = "KMS_REFUSED", Auth, "AWS KMS refused.";
    KmsUnavailable = "KMS_UNAVAILABLE", Later, "AWS KMS cannot be used now.";
    ProposalCarriesEnv = "PROPOSAL_CARRIES_ENV", Stop, "The proposal brings a sealed environment of its own.";
    ProposalChanged = "PROPOSAL_CHANGED", Stop, "The proposal contradicts itself or the upgrade that is known.";
    CallRefused = "CALL_REFUSED", Stop, "A call is none that the upgrade needs.";
    CallWouldFail = "CALL_WOULD_FAIL", State, "The owner's call would fail now.";
    ForeignTarget = "FOREIGN_TARGET", Stop, "A call goes to another contract than the app.";
    BatchDiffers = "BATCH_DIFFERS", Stop, "The file makes other calls than the proposal.";
    BatchNeedsSafe = "BATCH_NEEDS_SAFE", State, "A key makes one call in one transaction.";
    BuilderChecksumMissing = "BUILDER_CHECKSUM_MISSING", Note, "The Transaction Builder file has no checksum.";
    BuilderFileOdd = "BUILDER_FILE_ODD", Note, "The Transaction Builder file is not as the builder writes it.";
    NoChecksum = "NO_CHECKSUM", Note, "The file has no checksum.";
    NoSafeNamed = "NO_SAFE_NAMED", Note, "The file does not say for which Safe it is.";
    CloudMismatch = "CLOUD_MISMATCH", Stop, "The upgrade belongs to another host of the API.";
    CvmDeleted = "CVM_DELETED", Decision, "A CVM is to be deleted with all its data, for good.";
    CvmMismatch = "CVM_MISMATCH", Stop, "The CVM is not the one that was named.";
    CommitHostMismatch = "COMMIT_HOST_MISMATCH", Stop, "The commit link leads to another host.";
    UpdatePending = "UPDATE_PENDING", Decision, "Another update of the CVM waits for its commit, and preparing this one ends it.";
    AdoptNothing = "ADOPT_NOTHING", State, "No such update of the CVM waits for its commit.";
    AdoptWhich = "ADOPT_WHICH", State, "Several updates of the CVM wait for their commit.";
    AdoptOwn = "ADOPT_OWN", State, "The update was prepared by an upgrade of this machine.";
    AdoptNoText = "ADOPT_NO_TEXT", State, "Nobody shows the texts of the update, so that its hash cannot be recomputed.";
    AdoptTokenOther = "ADOPT_TOKEN_OTHER", Stop, "The commit token is that of another update.";
    AdoptTokenDead = "ADOPT_TOKEN_DEAD", Note, "The commit token that was given on is of no use any more.";
    AdoptTokenUnchecked = "ADOPT_TOKEN_UNCHECKED", Note, "Phala Cloud does not say whether the commit token that was given on is good.";
    AdoptUnseen = "ADOPT_UNSEEN", Decision, "The commit with somebody else's token also carries out what nobody here can see.";
    RollbackTo = "ROLLBACK_TO", Note, "The CVM goes back to something that the app allows already, so nobody approves it again.";
    RollbackNothing = "ROLLBACK_NOTHING", State, "Phala Cloud's history names nothing to go back to.";
    RollbackNotAllowed = "ROLLBACK_NOT_ALLOWED", State, "The app does not allow the hash to go back to.";
    RollbackNoText = "ROLLBACK_NO_TEXT", State, "Nothing gives the manifest of the hash to go back to.";
    RollbackOtherFields = "ROLLBACK_OTHER_FIELDS", State, "No update puts the CVM back: fields differ that an update cannot change.";
    RollbackEnvironment = "ROLLBACK_ENVIRONMENT", State, "What the CVM would go back to is given variables that it has no values for.";
    StateInGit = "STATE_IN_GIT", Note, "Git tracks files of a state directory that may hold secrets.";
    OwnUpdatePending = "OWN_UPDATE_PENDING", Decision, "Another upgrade of this machine waits for its commit on the same CVM, and preparing this one ends it.";
    NeighboursUnread = "NEIGHBOURS_UNREAD", Note, "Some directories of other upgrades here could not be read.";
    SafeNonceTakenHere = "SAFE_NONCE_TAKEN_HERE", Decision, "Another upgrade of this machine has chosen the Safe's nonce.";
    SafeNonceFar = "SAFE_NONCE_FAR", Decision, "The nonce is far ahead of the Safe's own, and waits for all that come before it.";
    PendingUnknown = "PENDING_UNKNOWN", Note, "Phala Cloud does not say which updates wait for their commit.";
    OperationInProgress = "OPERATION_IN_PROGRESS", State, "An operation is under way on the CVM.";
    ApplyUnknown = "APPLY_UNKNOWN", Unknown, "A change that nobody has to approve may or may not have been applied.";
    AppliedAtOnce = "APPLIED_AT_ONCE", Failed, "Phala Cloud carried the change out at once instead of preparing it.";
    PrepareUnheard = "PREPARE_UNHEARD", Later, "No usable answer came to prepare.";
    AppsChosen = "APPS_CHOSEN", State, "The approval is for other apps than those named now.";
    AppsMismatch = "APPS_MISMATCH", Stop, "The apps of one transaction do not belong together.";
    AppsNeedSafe = "APPS_NEED_SAFE", State, "Only a Safe or a timelock changes several apps in one transaction.";
    AppsTooLate = "APPS_TOO_LATE", State, "The approval was begun without the other apps.";
    AppsTooMany = "APPS_TOO_MANY", State, "The apps' proposals do not fit into one.";
    AppNotInProposal = "APP_NOT_IN_PROPOSAL", State, "The proposal has no other app with that CVM.";
    FleetAppMismatch = "FLEET_APP_MISMATCH", Stop, "A CVM of the fleet belongs to another app.";
    FleetEmpty = "FLEET_EMPTY", State, "No CVM was named.";
    FleetHash = "FLEET_HASH", State, "A member of the fleet has no hash yet.";
    FleetHashMismatch = "FLEET_HASH_MISMATCH", Stop, "A member of the fleet gives another compose hash.";
    FleetMemberBegun = "FLEET_MEMBER_BEGUN", State, "A member of the fleet is being prepared already.";
    FleetMemberPending = "FLEET_MEMBER_PENDING", Later, "A member of the fleet is not done.";
    FleetMemberUnnamed = "FLEET_MEMBER_UNNAMED", State, "Phala Cloud lists a CVM under no name that tells it from others.";
    FleetName = "FLEET_NAME", State, "A CVM would be named like a file of the fleet.";
    NewCvmAmbiguous = "NEW_CVM_AMBIGUOUS", State, "Which of several new CVMs was made is not known.";
    NewCvmChange = "NEW_CVM_CHANGE", State, "A new CVM can only be given a node and an environment.";
    NewCvmExists = "NEW_CVM_EXISTS", Decision, "The new CVM seems to be there already.";
    NewCvmOtherHash = "NEW_CVM_OTHER_HASH", Failed, "The new CVM reports another hash than the approved one.";
    NewCvmTwin = "NEW_CVM_TWIN", Note, "The app has a CVM on that node already.";
    NewCvmUnseen = "NEW_CVM_UNSEEN", Decision, "The commit token was used and no new CVM is seen.";
    NodeUnknown = "NODE_UNKNOWN", State, "There is no such node.";
    InstanceIdUnsettled = "INSTANCE_ID_UNSETTLED", State, "An instance id could not be settled.";
    NoSafe = "NO_SAFE", State, "No Safe owns the app.";
    NotASafe = "NOT_A_SAFE", State, "There is no Safe at the address.";
    SafeChanged = "SAFE_CHANGED", Stop, "The Safe is not what was read when the transaction was chosen.";
    SafeOwnersChanged = "SAFE_OWNERS_CHANGED", Decision, "Owners or threshold of the Safe changed since the transaction was chosen.";
    SafeHelpersChanged = "SAFE_HELPERS_CHANGED", Decision, "Modules, guards or the fallback handler of the Safe changed since the transaction was chosen.";
    SafeCodeContradicted = "SAFE_CODE_CONTRADICTED", Stop, "The Safe reports another version than its code is.";
    SafeNotASingleton = "SAFE_NOT_A_SINGLETON", Stop, "The code behind the Safe's address is none of a Safe.";
    SafeMismatch = "SAFE_MISMATCH", Stop, "The proposal is for another Safe.";
    SafeOldVersion = "SAFE_OLD_VERSION", Decision, "The Safe's version binds no chain or is older than 1.3.0.";
    UncoveredChange = "UNCOVERED_CHANGE", Decision, "A proposal from elsewhere changes what no hash covers.";
    SafeVersion = "SAFE_VERSION", Decision, "The Safe reports a version that this build does not know.";
    SafeUnknownCode = "SAFE_UNKNOWN_CODE", Decision, "The Safe runs code that this build does not know.";
    SafeUnlisted = "SAFE_UNLISTED", Note, "The Safe's singleton is known code at an address that is not listed.";
    SafeNotIndexed = "SAFE_NOT_INDEXED", Note, "The Safe Transaction Service may not see the Safe.";
    SafeOwners = "SAFE_OWNERS", Stop, "The Safe's owners or threshold are impossible.";
    SafeModule = "SAFE_MODULE", Note, "A module can act for the Safe without its owners.";
    SafeGuard = "SAFE_GUARD", Note, "A guard can refuse the Safe's transactions.";
    SafeTimelockGuard = "SAFE_TIMELOCK_GUARD", State, "The Safe's guard lets a transaction through only some time after it was scheduled there.";
    SafeDelayModule = "SAFE_DELAY_MODULE", Note, "A Delay module acts for the Safe after a while, without its owners.";
    SafeHandler = "SAFE_HANDLER", Note, "The Safe has no fallback handler or one that this build does not know.";
    SafeHandlerObeys = "SAFE_HANDLER_OBEYS", Stop, "The Safe's fallback handler does what the Safe says, so anybody can have it done.";
    SafeOwnerTakesAnything = "SAFE_OWNER_TAKES_ANYTHING", Stop, "An owner of the Safe is a contract that takes signatures nobody made.";
    SafeOwnerUnknown = "SAFE_OWNER_UNKNOWN", Decision, "An owner of the Safe is a Safe for which code answers that this build does not know.";
    StorageNotClosed = "STORAGE_NOT_CLOSED", Decision, "A contract's storage holds something that no function and no event of it names.";
    SafeStandingApproval = "SAFE_STANDING_APPROVAL", Decision, "An approval stands in a Safe's storage that nothing accounts for, and counts without a signature.";
    StorageUnknown = "STORAGE_UNKNOWN", Note, "Whether a contract's storage holds more than it shows was not checked.";
    SafeNote = "SAFE_NOTE", Note, "Something about the Safe is remarkable.";
    SafeNonceTaken = "SAFE_NONCE_TAKEN", State, "The nonce of the Safe transaction is used up.";
    SafeNonceGap = "SAFE_NONCE_GAP", Note, "Nonces before the chosen one are free.";
    SafeNonceUnknown = "SAFE_NONCE_UNKNOWN", Unknown, "By which Safe transaction the nonce was used up is not shown.";
    SafeNonceNotInFile = "SAFE_NONCE_NOT_IN_FILE", Note, "The wallet gives the batch a nonce of its own.";
    SafeCompetitors = "SAFE_COMPETITORS", State, "Other transactions were proposed for the nonce.";
    SafeOwnersQueued = "SAFE_OWNERS_QUEUED", Note, "A queued transaction changes the Safe's owners.";
    SafeQueueBefore = "SAFE_QUEUE_BEFORE", Note, "Signed transactions of the Safe come first.";
    SafeQueueSame = "SAFE_QUEUE_SAME", Note, "The queue holds the transaction already.";
    SafeQueueUnseen = "SAFE_QUEUE_UNSEEN", Note, "No Safe Transaction Service was asked what waits.";
    SafeTxUnexpected = "SAFE_TX_UNEXPECTED", Stop, "The Safe transaction is not the one that was reviewed.";
    SignatureNormalised = "SIGNATURE_NORMALISED", Note, "A signature had the upper of the two values of s, and counts with the lower.";
    SafeNonceChosen = "SAFE_NONCE_CHOSEN", State, "The Safe transaction has another nonce than the one that was named.";
    SafeRejecting = "SAFE_REJECTING", State, "Somebody decided to reject the Safe transaction.";
    SafeSignaturesMissing = "SAFE_SIGNATURES_MISSING", Note, "Fewer signatures are here than the Safe asks for.";
    SafeSignaturesStay = "SAFE_SIGNATURES_STAY", Note, "Whoever kept the signatures can execute the transaction until its nonce is used up.";
    SafeTxFailed = "SAFE_TX_FAILED", Failed, "The Safe transaction was executed and failed inside.";
    SafeTxGone = "SAFE_TX_GONE", State, "The nonce of the Safe transaction was used up by another one.";
    SafeTxHash = "SAFE_TX_HASH", Stop, "The Safe computes another hash than the one shown.";
    SafeTxPlace = "SAFE_TX_PLACE", Stop, "The transaction is for another Safe or chain than named.";
    SafeTxRefused = "SAFE_TX_REFUSED", Stop, "The Safe transaction holds what no upgrade needs.";
    SafeTxRejected = "SAFE_TX_REJECTED", State, "The owners rejected the Safe transaction.";
    SafeNotExecuted = "SAFE_NOT_EXECUTED", Stop, "The transaction did not execute the Safe transaction.";
    SafeNoBatcher = "SAFE_NO_BATCHER", State, "The Safe has no library for several calls that this build knows.";
    SafeWouldFail = "SAFE_WOULD_FAIL", State, "Executing the Safe transaction would fail now.";
    AlreadyApproved = "ALREADY_APPROVED", State, "The approval took effect before it could be rejected.";
    AlreadyLive = "ALREADY_LIVE", State, "The CVM runs the hash already.";
    AlreadySigned = "ALREADY_SIGNED", Decision, "The owner agreed to another digest for the same nonce of the Safe before.";
    ApprovalFailed = "APPROVAL_FAILED", Failed, "The transaction did not make the owner approve.";
    RejectionFailed = "REJECTION_FAILED", Failed, "The transaction did not reject the Safe transaction.";
    NestedNotASafe = "NESTED_NOT_A_SAFE", State, "The owner is no Safe.";
    NestedNotChosen = "NESTED_NOT_CHOSEN", State, "The transaction of the owner that is a Safe was not chosen yet.";
    NestedNotOwner = "NESTED_NOT_OWNER", Stop, "The nested Safe is no owner of the Safe.";
    SignatureMismatch = "SIGNATURE_MISMATCH", Stop, "The key gave a signature that is not its own.";
    SignatureRefused = "SIGNATURE_REFUSED", Stop, "Signatures do not count for what is to be signed.";
    SignerMismatch = "SIGNER_MISMATCH", Stop, "The key has another address than named.";
    SignerNeeded = "SIGNER_NEEDED", State, "No key was named.";
    DelegateOfAllSafes = "DELEGATE_OF_ALL_SAFES", State, "The delegate may still propose, for all Safes of the owner.";
    SignerIsOwner = "SIGNER_IS_OWNER", State, "The key is an owner's, who signs and does not only propose.";
    SignerNotDelegate = "SIGNER_NOT_DELEGATE", State, "The service names no owner in whose name the key may propose.";
    SignerNotOwner = "SIGNER_NOT_OWNER", Stop, "The key is no owner's.";
    SignerNotProposer = "SIGNER_NOT_PROPOSER", Stop, "The key is not the timelock's chosen proposer.";
    SignerNotSender = "SIGNER_NOT_SENDER", Stop, "The key is not the transaction's sender.";
    NoSigningRecord = "NO_SIGNING_RECORD", State, "There is no place for the record of signatures.";
    RecordDamaged = "RECORD_DAMAGED", Journal, "The record of signatures is damaged.";
    OperationNumbersSpent = "OPERATION_NUMBERS_SPENT", State, "The timelock has made these calls as often as numbers go.";
    OperationPendingOverlaps = "OPERATION_PENDING_OVERLAPS", Note, "An operation that waits at the timelock makes a part of this too.";
    OperationPendingSame = "OPERATION_PENDING_SAME", Decision, "An operation that waits at the timelock makes the same calls and cannot be taken over.";
    OperationPendingUndoes = "OPERATION_PENDING_UNDOES", Note, "An operation that waits at the timelock would undo a part of this.";
    OperationTakenOver = "OPERATION_TAKEN_OVER", Note, "An operation that waits at the timelock makes the same calls, and is taken over.";
    OperationsUnknown = "OPERATIONS_UNKNOWN", Note, "Whether more operations wait at the timelock was not checked.";
    NoTimelock = "NO_TIMELOCK", State, "No timelock acts for the app.";
    NotAProposer = "NOT_A_PROPOSER", State, "The address may not propose to the timelock.";
    WhichProposer = "WHICH_PROPOSER", State, "Several may propose to the timelock.";
    TimelockAdmin = "TIMELOCK_ADMIN", Note, "Somebody can change the timelock's roles without its delay.";
    TimelockCodeUnknown = "TIMELOCK_CODE_UNKNOWN", Decision, "The timelock's code is no OpenZeppelin release that this build knows.";
    TimelockDiffers = "TIMELOCK_DIFFERS", Note, "The timelock is not as it was when this was prepared.";
    PolicyBesides = "POLICY_BESIDES", Note, "The transaction that was proved changed more of the app's policy.";
    ProofNotChecked = "PROOF_NOT_CHECKED", Note, "Whether what was proved still stands was not checked.";
    ProofGone = "PROOF_GONE", Note, "The block that held the proof was replaced, or never had the change in force.";
    SchedulingNotFound = "SCHEDULING_NOT_FOUND", Note, "What is recorded as the scheduling of the operation is not that.";
    TimelockCallFailed = "TIMELOCK_CALL_FAILED", Failed, "The call to the timelock failed.";
    TimelockChanged = "TIMELOCK_CHANGED", Stop, "The timelock's code is not what was read.";
    TimelockDelay = "TIMELOCK_DELAY", State, "The timelock takes no delay this short.";
    TimelockNoProposer = "TIMELOCK_NO_PROPOSER", State, "Nobody may propose to the timelock, or none is known.";
    TimelockRolesUnknown = "TIMELOCK_ROLES_UNKNOWN", Note, "Who may act for the timelock is not known whole.";
    TimelockRoleMissing = "TIMELOCK_ROLE_MISSING", State, "The account lacks the role that the step needs.";
    TimelockWouldFail = "TIMELOCK_WOULD_FAIL", State, "Executing the operation would fail now.";
    OperationCancelled = "OPERATION_CANCELLED", Failed, "The timelock's operation was cancelled.";
    OperationFailed = "OPERATION_FAILED", Failed, "The operation of the cloud failed.";
    OperationMismatch = "OPERATION_MISMATCH", Stop, "The transaction did something else at the timelock.";
    OperationUnseen = "OPERATION_UNSEEN", Unknown, "The timelock does not know the operation that was scheduled.";
    OperationWithoutEffect = "OPERATION_WITHOUT_EFFECT", State, "The operation was executed and its effect is not there.";
    TokenOutlived = "TOKEN_OUTLIVED", Note, "The timelock waits longer than the commit token lives.";
    BroadcastUnknown = "BROADCAST_UNKNOWN", Unknown, "The transaction may or may not have been taken.";
    FeeTooLow = "FEE_TOO_LOW", State, "Fees rose since the transaction was signed.";
    CostAboveLimit = "COST_ABOVE_LIMIT", State, "The transactions of one upgrade would cost more than they may together.";
    CostNotLimited = "COST_NOT_LIMITED", State, "Nothing limits what the transactions of one upgrade may cost on this chain.";
    Funds = "FUNDS", State, "The key has too little money.";
    TxFunds = "TX_FUNDS", State, "The key has too little money.";
    TxBlockGasLimit = "TX_BLOCK_GAS_LIMIT", State, "No block can hold the call.";
    TxForged = "TX_FORGED", Stop, "The signed bytes are not the planned call.";
    TxGone = "TX_GONE", State, "The transaction lost its nonce for good.";
    TxHashMismatch = "TX_HASH_MISMATCH", Stop, "The endpoint names another hash for the transaction.";
    TxInFlight = "TX_IN_FLIGHT", State, "Another transaction of the key is under way.";
    TxMismatch = "TX_MISMATCH", Stop, "The recorded transaction is not what the plan asks for.";
    TxNonceGap = "TX_NONCE_GAP", State, "The nonce leaves a gap.";
    TxNonceUsed = "TX_NONCE_USED", State, "The nonce is used up.";
    TxRejected = "TX_REJECTED", State, "The endpoint refused the transaction.";
    TxReplaced = "TX_REPLACED", State, "Another transaction took the nonce.";
    TxReverted = "TX_REVERTED", Failed, "The transaction failed on chain.";
    TxWouldRevert = "TX_WOULD_REVERT", State, "The transaction would fail.";
    ProofNoEffect = "PROOF_NO_EFFECT", Stop, "The transaction did something else than was planned.";
    DeployMismatch = "DEPLOY_MISMATCH", Stop, "The app that was made is not the one that was asked for.";
    DeployRefused = "DEPLOY_REFUSED", State, "The KMS contract would not make the app.";
    NoDeployment = "NO_DEPLOYMENT", State, "No app was to be made.";
    ChainMismatch = "CHAIN_MISMATCH", Stop, "The endpoint or the record is of another chain.";
    ChainNotTrustworthy = "CHAIN_NOT_TRUSTWORTHY", Stop, "A block that was called final is gone.";
    GenesisMismatch = "GENESIS_MISMATCH", Stop, "The endpoint is not the chain that it claims to be.";
    RpcDisagreement = "RPC_DISAGREEMENT", Stop, "Two endpoints contradict each other.";
    RpcImpossible = "RPC_IMPOSSIBLE", Stop, "An endpoint gave an answer that cannot be true.";
    RpcNoFinalityTag = "RPC_NO_FINALITY_TAG", State, "The endpoint has no such finality tag.";
    RpcStale = "RPC_STALE", Later, "The endpoint is behind.";
    EndpointMissing = "ENDPOINT_MISSING", Note, "An endpoint gave no answer, so fewer than were named say what was read.";
    RpcUnavailable = "RPC_UNAVAILABLE", Later, "No endpoint gave a usable answer.";
    PendingAttestation = "PENDING_ATTESTATION", Pending, "The CVM is not up yet, or still runs what it ran before.";
    PendingApproval = "PENDING_APPROVAL", Pending, "The change is not in force yet.";
    PendingConfirmations = "PENDING_CONFIRMATIONS", Pending, "The block may still be replaced.";
    PendingDelay = "PENDING_DELAY", Pending, "The timelock's delay is not over.";
    PendingExecution = "PENDING_EXECUTION", Pending, "Enough owners signed and nobody executed.";
    PendingEndpoints = "PENDING_ENDPOINTS", Pending, "Fewer endpoints answer than have to agree.";
    PendingFees = "PENDING_FEES", Pending, "Fees are above the limit.";
    PendingFinality = "PENDING_FINALITY", Pending, "The block is not final yet.";
    PendingNonce = "PENDING_NONCE", Pending, "The transaction waits behind nonces of its key that nothing uses yet.";
    PendingInclusion = "PENDING_INCLUSION", Pending, "The transaction is in no block yet.";
    PendingInstanceId = "PENDING_INSTANCE_ID", Pending, "The record names no instance id yet.";
    PendingOperation = "PENDING_OPERATION", Pending, "The operation is not carried out yet.";
    PendingGovernor = "PENDING_GOVERNOR", Pending, "A Governor has to vote on the call and make it.";
    PendingOwner = "PENDING_OWNER", Pending, "The owner is a contract that has to make the call.";
    PendingQueue = "PENDING_QUEUE", Pending, "Transactions of the Safe before it come first.";
    PendingRejection = "PENDING_REJECTION", Pending, "The rejection is not executed yet.";
    PendingRestart = "PENDING_RESTART", Pending, "The CVM does not report the new hash yet.";
    PendingSignatures = "PENDING_SIGNATURES", Pending, "Signatures of owners are missing.";
    PendingStatus = "PENDING_STATUS", Pending, "The CVM has not the asked status yet.";
    NothingToWaitFor = "NOTHING_TO_WAIT_FOR", Note, "Whoever commits waits for the CVM.";
    ProbeFailed = "PROBE_FAILED", Failed, "The CVM runs the new hash and its app does not answer as expected.";
    BootFailed = "BOOT_FAILED", Failed, "The commit was accepted and the CVM did not come up.";
    CloudSaysNotAllowed = "CLOUD_SAYS_NOT_ALLOWED", State, "Phala Cloud says that the chain does not allow a CVM what it runs, or did not look.";
    CvmsNotStopped = "CVMS_NOT_STOPPED", State, "Not every CVM that was named stops.";
    ImageLetsLogIn = "IMAGE_LETS_LOG_IN", Note, "The OS image is one for development and lets people log in, whose keys no hash covers.";
    LoginUncovered = "LOGIN_UNCOVERED", Note, "Who may log in to the CVM changed, which no hash covers.";
    KmsUrlsUncovered = "KMS_URLS_UNCOVERED", Note, "Where the guest fetches its keys changed, which no hash covers.";
    RedeployUnproved = "REDEPLOY_UNPROVED", Note, "Phala Cloud went back to a revision at once, without a proof.";
    ScriptNotOfficial = "SCRIPT_NOT_OFFICIAL", Stop, "The file is not the script that Phala Cloud calls its newest official one.";
    CloudVersionUnknown = "CLOUD_VERSION_UNKNOWN", Note, "Phala Cloud answers in a version of its API that this program does not know.";
    CloudBehindChain = "CLOUD_BEHIND_CHAIN", Later, "Phala Cloud does not see the hash yet that the chain allows.";
    CommittedButNotAllowed = "COMMITTED_BUT_NOT_ALLOWED", Failed, "The CVM runs a hash that the app does not allow any more.";
    CommitNotAllowed = "COMMIT_NOT_ALLOWED", State, "Phala Cloud does not see the hash allowed.";
    CommitRefused = "COMMIT_REFUSED", State, "Phala Cloud did not take the commit.";
    CommitMayStand = "COMMIT_MAY_STAND", Decision, "A commit was sent, and nothing shows that it was not carried out.";
    CommitRejected466 = "COMMIT_REJECTED_466", State, "The commit token is used, replaced or expired.";
    CommitRejected467 = "COMMIT_REJECTED_467", State, "Phala Cloud does not take the transaction as proof.";
    CommitUnknown = "COMMIT_UNKNOWN", Unknown, "The commit may or may not have been accepted.";
    NothingToCommit = "NOTHING_TO_COMMIT", State, "There is nothing to commit.";
    TokenChanged = "TOKEN_CHANGED", Stop, "The commit token on disk is another one.";
    TokenExpiring = "TOKEN_EXPIRING", State, "A commit token that is still needed expires within the time that was named.";
    TokenExpired = "TOKEN_EXPIRED", State, "The commit token expired.";
    TokenMissing = "TOKEN_MISSING", State, "Phala Cloud gave no commit token.";
    EnvChanged = "ENV_CHANGED", Stop, "The sealed environment on disk is another one.";
    EnvHashRequired = "ENV_HASH_REQUIRED", State, "Phala Cloud asks for an approval although only values change.";
    EnvKeyMismatch = "ENV_KEY_MISMATCH", Stop, "The key for the environment is not vouched for by the KMS.";
    EnvKmsKeyMissing = "ENV_KMS_KEY_MISSING", State, "The KMS contract publishes no root key.";
    EnvKmsUnknown = "ENV_KMS_UNKNOWN", State, "Phala Cloud names no KMS contract.";
    EnvNamesAdded = "ENV_NAMES_ADDED", Note, "Environment variables reach the guest for the first time.";
    EnvNamesPending = "ENV_NAMES_PENDING", Note, "A waiting update lets the guest have names that this one does not.";
    EnvNamesPendingUnknown = "ENV_NAMES_PENDING_UNKNOWN", Note, "What a waiting update lets the guest have is not known.";
    EnvNamesRemoved = "ENV_NAMES_REMOVED", Note, "Environment variables no longer reach the guest.";
    EnvNamesReordered = "ENV_NAMES_REORDERED", Note, "The environment variables are the same in another order.";
    EnvNameNotAllowed = "ENV_NAME_NOT_ALLOWED", State, "The guest would skip variables that are not on its list.";
    EnvNeeded = "ENV_NEEDED", State, "The sealed environment is not on this machine.";
    EnvNotSealed = "ENV_NOT_SEALED", Later, "The environment could not be sealed.";
    EnvSealedElsewhere = "ENV_SEALED_ELSEWHERE", Note, "The environment was sealed elsewhere and was not checked.";
    EnvShellNames = "ENV_SHELL_NAMES", Note, "Names change what the guest's own shell does.";
    EnvValuesAltered = "ENV_VALUES_ALTERED", Note, "The guest may change some values.";
    EnvValuesLate = "ENV_VALUES_LATE", State, "The update is under way with other values.";
    EnvValuesMissing = "ENV_VALUES_MISSING", Note, "Names get no value.";
    EnvValuesOnly = "ENV_VALUES_ONLY", State, "Only values of the environment change.";
    EnvValuesUnknown = "ENV_VALUES_UNKNOWN", Unknown, "The values may or may not have been taken.";
    ApiBusy = "API_BUSY", Later, "Another operation of the CVM is under way.";
    ApiNotFound = "API_NOT_FOUND", State, "Phala Cloud does not know what was named.";
    ApiRefused = "API_REFUSED", State, "Phala Cloud refused.";
    ApiRefusedInput = "API_REFUSED_INPUT", Input, "Phala Cloud names something malformed.";
    ApiUnavailable = "API_UNAVAILABLE", Later, "Phala Cloud cannot answer now.";
    ApiUnexpected = "API_UNEXPECTED", Later, "The answer is none of Phala Cloud's.";
    ApiUnknown = "API_UNKNOWN", Unknown, "The request may have had its effect.";
    IdentityMalformed = "IDENTITY_MALFORMED", Stop, "Phala Cloud names a malformed address or hash.";
    SecondFactorNeeded = "SECOND_FACTOR_NEEDED", Auth, "Phala Cloud asks for a second factor.";
    ServiceBanned = "SERVICE_BANNED", State, "The service does not serve the Safe.";
    ServiceDiffers = "SERVICE_DIFFERS", Stop, "The service shows another transaction than the proposal's.";
    ServiceIncomplete = "SERVICE_INCOMPLETE", State, "The service does not hold all signatures.";
    ServiceNotFound = "SERVICE_NOT_FOUND", State, "The service does not know the address.";
    ServiceNotProposer = "SERVICE_NOT_PROPOSER", State, "Only who proposed the transaction can withdraw it.";
    ServiceNoSignature = "SERVICE_NO_SIGNATURE", State, "Wallets do not show what nobody signed.";
    ServiceNoTx = "SERVICE_NO_TX", State, "The service shows no such transaction.";
    ServiceOtherHash = "SERVICE_OTHER_HASH", Note, "The service shows the same calls under another hash.";
    ServiceRefused = "SERVICE_REFUSED", State, "The service refused.";
    ServiceTampered = "SERVICE_TAMPERED", Stop, "A record of the service is not what it claims to be.";
    ServiceTooMany = "SERVICE_TOO_MANY", State, "The service shows more than can be looked through.";
    ServiceUnavailable = "SERVICE_UNAVAILABLE", Later, "The service cannot answer now.";
    ServiceUnexpected = "SERVICE_UNEXPECTED", Later, "The answer is none of a Safe Transaction Service.";
    ServiceUnknown = "SERVICE_UNKNOWN", Unknown, "What was posted may or may not be there.";
    ProposalOnlyRejected = "PROPOSAL_ONLY_REJECTED", Note, "The proposal is wrong, and only its rejection is read of it.";
    SignatureUnproven = "SIGNATURE_UNPROVEN", Note, "What was handed in for an owner counts for nothing before a chain confirms it.";
    ServiceForeignWords = "SERVICE_FOREIGN_WORDS", Note, "The service names another proposer or origin than was sent.";
    ServiceNotTheirs = "SERVICE_NOT_THEIRS", Note, "The service names owners of signatures that are not theirs.";
    ServiceUnasked = "SERVICE_UNASKED", Note, "The service lists delegates that it was not asked for.";
    ServiceUnsignedUnseen = "SERVICE_UNSIGNED_UNSEEN", Note, "What nobody has signed could not be read at the service.";
    ServiceUnsigned = "SERVICE_UNSIGNED", Note, "The service shows other transactions that nobody signed.";
    AuthApiKey = "AUTH_API_KEY", Auth, "The API key is refused.";
    AuthNoAccount = "AUTH_NO_ACCOUNT", Auth, "There is no account of this name.";
    AuthNoApiKey = "AUTH_NO_API_KEY", Auth, "No API key was given.";
    AuthNoVariable = "AUTH_NO_VARIABLE", Auth, "The variable with the key is not set.";
    AuthPassword = "AUTH_PASSWORD", Auth, "The password is wrong.";
    AuthServiceKey = "AUTH_SERVICE_KEY", Auth, "The service's API key is refused.";
    AuthUnsigned = "AUTH_UNSIGNED", Auth, "The key did not sign.";
    AuthWebhookSecret = "AUTH_WEBHOOK_SECRET", Auth, "The webhook's secret cannot be used.";
    LedgerAbsent = "LEDGER_ABSENT", Later, "No Ledger is plugged in.";
    LedgerAnswer = "LEDGER_ANSWER", Input, "The Ledger's answer cannot be used.";
    LedgerAppOld = "LEDGER_APP_OLD", State, "The Ledger's Ethereum app is too old.";
    LedgerAway = "LEDGER_AWAY", Later, "The Ledger was unplugged or is in use.";
    LedgerBlindSigning = "LEDGER_BLIND_SIGNING", State, "The Ledger does not allow blind signing.";
    LedgerLocked = "LEDGER_LOCKED", Auth, "The Ledger is locked.";
    LedgerOtherApp = "LEDGER_OTHER_APP", Auth, "Another app is open on the Ledger.";
    LedgerPermission = "LEDGER_PERMISSION", Auth, "This user may not use the Ledger.";
    LedgerRefused = "LEDGER_REFUSED", State, "The request was refused on the Ledger.";
    LedgerTimeout = "LEDGER_TIMEOUT", Later, "Nobody confirmed on the Ledger.";
    PageClosed = "PAGE_CLOSED", Pending, "The page in the browser was closed before it was done.";
    PageTimeout = "PAGE_TIMEOUT", Pending, "Nobody answered on the page in the browser in time.";
    PageUnserved = "PAGE_UNSERVED", Input, "No page can be served at this port.";
    WalletAnswer = "WALLET_ANSWER", Input, "The answer of the browser's wallet cannot be used.";
    WalletAskedBefore = "WALLET_ASKED_BEFORE", Decision, "A wallet was asked for the same before and may send it still, which would make a second app.";
    WalletBusy = "WALLET_BUSY", State, "The browser's wallet has another request open.";
    WalletFailed = "WALLET_FAILED", Later, "The browser's wallet gave an error.";
    WalletRefused = "WALLET_REFUSED", State, "The request was refused in the browser's wallet.";
    WalletUnknown = "WALLET_UNKNOWN", Unknown, "A wallet may or may not have sent a transaction.";
    NetBroken = "NET_BROKEN", Later, "The connection broke.";
    NetNoConnection = "NET_NO_CONNECTION", Later, "There was no connection.";
    NetNoTls = "NET_NO_TLS", Storage, "No root certificates are installed.";
    NetTimeout = "NET_TIMEOUT", Later, "No answer came in time.";
    NetTooLarge = "NET_TOO_LARGE", Later, "The answer is longer than any of this service.";
    RedirectRefused = "REDIRECT_REFUSED", Stop, "The service redirects, which it never does.";
    TlsIdentity = "TLS_IDENTITY", Stop, "The server's certificate is not its own.";
    JournalDamaged = "JOURNAL_DAMAGED", Journal, "The journal is damaged.";
    JournalForeign = "JOURNAL_FOREIGN", Journal, "The directory holds another upgrade.";
    JournalNewer = "JOURNAL_NEWER", Journal, "A newer version wrote the journal.";
    JournalRolledBack = "JOURNAL_ROLLED_BACK", State, "The journal is an older copy.";
    StorageFailed = "STORAGE_FAILED", Storage, "The disk failed.";
    StorageFull = "STORAGE_FULL", Storage, "The disk is full.";
    StorageMissing = "STORAGE_MISSING", Storage, "A file is missing.";
    StoragePermission = "STORAGE_PERMISSION", Storage, "A permission is missing or a file mode is not safe.";
    StorageReadOnly = "STORAGE_READ_ONLY", Storage, "The file system cannot be written.";
    StorageStdout = "STORAGE_STDOUT", Storage, "The result could not be printed.";
    StorageTooManyOpen = "STORAGE_TOO_MANY_OPEN", Later, "Too many files are open.";
    InputCaFile = "INPUT_CA_FILE", Input, "The file of authorities that are to be trusted holds no certificates.";
    InputProxy = "INPUT_PROXY", Input, "The address of the proxy cannot be used.";
    InputAddress = "INPUT_ADDRESS", Input, "An address of a server cannot be used.";
    InputApiKey = "INPUT_API_KEY", Input, "The API key holds characters that no key has.";
    InputEvidence = "INPUT_EVIDENCE", Input, "The file is no evidence of an upgrade.";
    InputAttestation = "INPUT_ATTESTATION", Input, "The file holds no attestation, or no collateral of Intel.";
    InputBuilderFile = "INPUT_BUILDER_FILE", Input, "The file is no batch that could be reviewed.";
    InputCompose = "INPUT_COMPOSE", Input, "A manifest or hash is malformed.";
    InputComposeText = "INPUT_COMPOSE_TEXT", Input, "The file is none that Docker Compose runs, or another file than it was taken for.";
    InputCvm = "INPUT_CVM", Input, "The CVM's name is malformed.";
    InputEnv = "INPUT_ENV", Input, "The file cannot be the guest's environment.";
    InputEnvVariable = "INPUT_ENV_VARIABLE", Input, "A variable is not set here.";
    InputFile = "INPUT_FILE", Input, "A file cannot be read.";
    InputFileExists = "INPUT_FILE_EXISTS", Input, "A file that a result should go to is there already, and holds something else.";
    InputDelivery = "INPUT_DELIVERY", Input, "The delivery tells of no update that waits.";
    InputHeaders = "INPUT_HEADERS", Input, "The file does not hold headers.";
    InputKey = "INPUT_KEY", Input, "The place holds no private key.";
    InputKeystore = "INPUT_KEYSTORE", Input, "The keystore cannot be read.";
    InputListen = "INPUT_LISTEN", Input, "The address to listen on cannot be used.";
    InputManifest = "INPUT_MANIFEST", Input, "The file is no manifest.";
    InputPowerAnswer = "INPUT_POWER_ANSWER", Input, "The earlier answer about who can change an app cannot be read, or is about another app.";
    InputNoApp = "INPUT_NO_APP", Input, "Phala Cloud names no app.";
    InputProjectFile = "INPUT_PROJECT_FILE", Input, "Phala.toml cannot be read.";
    InputProposal = "INPUT_PROPOSAL", Input, "The file is no proposal.";
    InputSafeTx = "INPUT_SAFE_TX", Input, "The file holds no Safe transaction.";
    InputSealedEnv = "INPUT_SEALED_ENV", Input, "The file is no sealed environment.";
    InputSecondFactor = "INPUT_SECOND_FACTOR", Input, "The second factor is no cookie.";
    InputServiceKey = "INPUT_SERVICE_KEY", Input, "The service's API key is malformed.";
    InputSignatures = "INPUT_SIGNATURES", Input, "The file holds no signatures.";
    InputStdin = "INPUT_STDIN", Input, "Stdin cannot be read.";
    InputTextFile = "INPUT_TEXT_FILE", Input, "The text file cannot be used.";
    InputToken = "INPUT_TOKEN", Input, "The file holds no commit token.";
    InputTooLong = "INPUT_TOO_LONG", Input, "The value is too long for this format.";
    InputWebhook = "INPUT_WEBHOOK", Input, "The delivery is malformed.";
    InputWebhookSecret = "INPUT_WEBHOOK_SECRET", Input, "The webhook's secret cannot be read.";
    WebhookAhead = "WEBHOOK_AHEAD", State, "The delivery's time is in the future.";
    WebhookContradiction = "WEBHOOK_CONTRADICTION", Stop, "Headers and body of the delivery contradict each other.";
    WebhookSignature = "WEBHOOK_SIGNATURE", Stop, "The delivery's signature is not the endpoint's.";
    WebhookStale = "WEBHOOK_STALE", State, "The delivery is too old.";
    UsageArguments = "USAGE_ARGUMENTS", Usage, "The arguments are wrong.";
    UsageConflict = "USAGE_CONFLICT", Usage, "Two arguments exclude each other.";
    UsageConsent = "USAGE_CONSENT", Usage, "Nobody can be asked, and nobody agreed in advance.";
    UsageEnvValue = "USAGE_ENV_VALUE", Usage, "A variable's value stands in the arguments.";
    UsageFeature = "USAGE_FEATURE", Usage, "This build lacks a feature.";
    UsageFleet = "USAGE_FLEET", Usage, "The command is about one CVM of a fleet.";
    UsageInvalidValue = "USAGE_INVALID_VALUE", Usage, "An argument's value is malformed.";
    UsageJsonStream = "USAGE_JSON_STREAM", Usage, "--json needs an end.";
    UsageKmsOnchain = "USAGE_KMS_ONCHAIN", Usage, "A KMS on a chain guards the CVM, so somebody has to approve.";
    UsageKmsOffchain = "USAGE_KMS_OFFCHAIN", Usage, "No on-chain KMS guards the CVM.";
    UsageManifestUpgrade = "USAGE_MANIFEST_UPGRADE", Usage, "An upgrade cannot change these fields.";
    UsageMissingArgument = "USAGE_MISSING_ARGUMENT", Usage, "An argument is missing.";
    UsageMissingCommand = "USAGE_MISSING_COMMAND", Usage, "A command is missing.";
    UsageNeedsDir = "USAGE_NEEDS_DIR", Usage, "A directory is needed.";
    UsageNobodyToAsk = "USAGE_NOBODY_TO_ASK", Usage, "Nobody can be asked for a secret.";
    UsageNothingToChange = "USAGE_NOTHING_TO_CHANGE", Usage, "No change was named.";
    UsageNothingToWaitFor = "USAGE_NOTHING_TO_WAIT_FOR", Usage, "There is nothing to wait for.";
    UsageNoChain = "USAGE_NO_CHAIN", Usage, "No chain was named.";
    UsageNoCvm = "USAGE_NO_CVM", Usage, "No CVM was named.";
    UsageNoFile = "USAGE_NO_FILE", Usage, "No file was named.";
    UsageNoHome = "USAGE_NO_HOME", Usage, "There is no place for the record of signatures.";
    UsageNoRunner = "USAGE_NO_RUNNER", Usage, "--github was given, and no runner named a file for outputs.";
    UsageNoRpc = "USAGE_NO_RPC", Usage, "No JSON-RPC endpoint was named.";
    UsageNoService = "USAGE_NO_SERVICE", Usage, "There is no Transaction Service for the chain.";
    UsageNoWorkspace = "USAGE_NO_WORKSPACE", Usage, "No workspace was named.";
    UsageNoUpgrade = "USAGE_NO_UPGRADE", Usage, "There is no upgrade here.";
    UsageOffline = "USAGE_OFFLINE", Usage, "The command needs the network.";
    UsageOneFile = "USAGE_ONE_FILE", Usage, "An app has one Docker Compose file.";
    UsagePlainHttp = "USAGE_PLAIN_HTTP", Usage, "The address is not https.";
    InputQuorum = "INPUT_QUORUM", Input, "The number of endpoints that have to agree is malformed.";
    UsageQuorum = "USAGE_QUORUM", Usage, "More endpoints have to agree than were named.";
    UsageOneServer = "USAGE_ONE_SERVER", Usage, "Two endpoints are of one server.";
    UsageRejectionFile = "USAGE_REJECTION_FILE", Usage, "A builder file cannot reject.";
    UsageSafe = "USAGE_SAFE", Usage, "A value of the Safe transaction is missing.";
    UsageSecondPhase = "USAGE_SECOND_PHASE", Usage, "The second phase names the hash alone.";
    UsageSecretArgument = "USAGE_SECRET_ARGUMENT", Usage, "An argument is a secret.";
    UsageService = "USAGE_SERVICE", Usage, "A value for the service is missing.";
    UsageServiceUrl = "USAGE_SERVICE_URL", Usage, "The service's address cannot be used.";
    UsageSigner = "USAGE_SIGNER", Usage, "The key's source is malformed.";
    UsageUnknownArgument = "USAGE_UNKNOWN_ARGUMENT", Usage, "There is no such argument.";
    UsageUnknownCommand = "USAGE_UNKNOWN_COMMAND", Usage, "There is no such command.";
    UsageWhichUpgrade = "USAGE_WHICH_UPGRADE", Usage, "There are several upgrades.";
}

/// Decisions whose doubt is about a value: whoever agrees has to name it.
const ABOUT_A_VALUE: &[Code] = &[
    Code::AlreadySigned,
    Code::AppGivenAway,
    Code::BaseUnknown,
    Code::DigestRequired,
    Code::EnvChoosesImage,
    Code::EnvValuesBlank,
    Code::HashUnverifiable,
    Code::HashWasRevoked,
    Code::KmsChanged,
    Code::KmsNotKnown,
    Code::OperationPendingSame,
    Code::SafeNonceFar,
    Code::SafeNonceTakenHere,
    Code::SafeOwnerUnknown,
    Code::SafeUnknownCode,
    Code::StorageNotClosed,
    Code::TcbStatus,
    Code::SafeStandingApproval,
    Code::TimelockCodeUnknown,
    Code::UpgradesDisabled,
    Code::CvmDeleted,
    Code::UncoveredChange,
    Code::WalletAskedBefore,
];

impl Code {
    /// How much it weighs for whoever is about to sign. What only concerns other steps weighs nothing here.
    pub const fn severity(self) -> Severity {
        match self.kind() {
            Kind::Stop => Severity::Stop,
            Kind::Decision => Severity::Decision,
            Kind::State => Severity::State,
            _ => Severity::Note,
        }
    }

    /// Whether whoever agrees to it has to name the value that the doubt is about.
    pub fn needs_value(self) -> bool {
        ABOUT_A_VALUE.contains(&self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_stands_once_and_reads_back() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(code.name().parse(), Ok(*code));
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
            assert!(
                code.name()
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'),
                "{code}"
            );
            assert!(code.about().ends_with('.') && code.about().len() < 120, "{code}");
        }
        assert_eq!("NO_SUCH_CODE".parse::<Code>(), Err(UnknownCode));
    }

    #[test]
    fn only_what_somebody_may_agree_to_needs_a_value() {
        assert!(ABOUT_A_VALUE.iter().all(|code| code.kind() == Kind::Decision));
    }

    #[test]
    fn what_weighs_for_a_signer_ends_with_five_or_six() {
        for code in Code::ALL {
            match code.severity() {
                Severity::Stop => assert_eq!(code.kind().exit(), Some(5), "{code}"),
                Severity::Decision | Severity::State => assert_eq!(code.kind().exit(), Some(6), "{code}"),
                Severity::Note => {}
            }
        }
    }
}
