//! Next step and hint of what the outside answers: Phala Cloud, the network, Safe Transaction Services, endpoints and
//! deliveries of webhooks.

use super::row::{hints, with};
use crate::cli::failure::verdict::Next::{Again, Command, Cvm, Look, Resume, Signer, Step};

hints! {
    ApiBusy, Resume, "wait until the other operation of this CVM is over, then run again";
    ApiNotFound, Again, "check the name that was given, and that the API key belongs to the workspace that owns it";
    ApiRefused, Look, "read the server's words; the request id helps its support";
    ApiRefusedInput, Again, "correct what the server names";
    ApiUnavailable, Resume, "Phala Cloud cannot answer now: run again in some minutes";
    ApiUnexpected, Resume, "check PHALA_CLOUD_API_PREFIX and any proxy in between, then run again";
    ApiUnknown, Resume, "the request may have had its effect; run again, it reads what became of it";
    IdentityMalformed, Look, "approve nothing that this server names before you know why it sends such a value";
    SecondFactorNeeded, with("--second-factor-from SOURCE"),
        "give your second factor on Phala Cloud's site, then name where the cookie of that session is: env:NAME, \
         file:PATH or prompt";
    CommitNotAllowed, Command("wait"),
        "the server does not see the hash allowed on chain yet: wait until the change is proved, then commit";
    CommitRefused, Resume,
        "read the server's reason and mend it: the approval on chain stays valid, and `countersign resume` commits \
         with it";
    CommitRejected466, Resume,
        "the token is used, replaced or expired; an approval on chain stays good, and running again prepares for the \
         same hash";
    CommitRejected467, Resume,
        "the server does not accept the transaction as proof: run again, and where it stays so, tell its support the \
         transaction";
    CommitMayStand, Look,
        "look at the CVM with `countersign cvm get` and ask Phala Cloud what became of the commit; if nothing did, \
         agree to preparing and committing once more with {option}";
    CommitUnknown, Resume, "run again: it asks Phala Cloud what became of the commit before it sends anything";
    CommitWithoutEffect, Resume,
        "run again later: it asks again what the CVM runs; where this stays so, ask Phala Cloud's support what \
         became of the commit";
    PrepareUnheard, Resume,
        "run again: preparing has no lasting effect, and doing it again replaces what the lost answer made";
    CloudBehindChain, Resume,
        "run again in some minutes: Phala Cloud reads the chain later than this tool, and the approval stays";
    CloudSaysNotAllowed, Look,
        "ask the chain with `countersign app check`: Phala Cloud may lag behind it; what is missing is proposed with \
         `countersign app hashes add` or `countersign app devices add`";
    CvmsNotStopped, Look, "see with `countersign cvm status` which of them still run, and why they were left";
    ImageLetsLogIn, Look,
        "run a production OS image (`countersign cvm os-images`) where nobody is to look inside, or have the owner agree to the keys \
         that `countersign cvm ssh-keys` lists";
    LoginUncovered, Look,
        "tell the app's owner who may log in now; `countersign cvm ssh-keys` lists them, and a production OS image lets in nobody";
    KmsUrlsUncovered, Cvm,
        "prove with `countersign attest` that the guest's keys come from the KMS that you know, once it has started anew";
    RedeployUnproved, Cvm,
        "prove with `countersign attest` what the CVM runs now; `countersign prepare` goes back by an approval that is proved";
    ScriptNotOfficial, Look,
        "get the script from Phala itself and compare it line by line; approve nothing before the two are the same";
    CloudVersionUnknown, Look,
        "look for a newer countersign; until then, hold what Phala Cloud says against `countersign app show`, which asks the chain";
    CommitHostMismatch, Look,
        "send no token to that host: ask Phala Cloud why the link of its own answer leads to {found}";
    CloudMismatch, Again, "the upgrade was begun at {expected}: set PHALA_CLOUD_API_PREFIX to that";
    CvmMismatch, Look,
        "Phala Cloud answers for {found} where {expected} was named: approve nothing until you know why";
    AppUnknown, Again,
        "name a CVM that an app's contract guards, or look with `countersign cvm get` at what Phala Cloud knows of \
         this one";
    AppIdConflict, Again, "this app id runs another compose hash: commit the hash that runs, or use another app id";
    AppNeeded, Look,
        "deploy the app's contract with `countersign app deploy`, then commit the CVM to it with `countersign cvm \
         create --commit`";
    AppliedAtOnce, Look,
        "nobody was asked to approve: look with `countersign cvm get` at what the CVM runs, have the hash allowed or \
         put the change back, and ask Phala Cloud why";
    OperationFailed, Cvm,
        "read why in `countersign cvm operations`; the order can be given again once the reason is gone";
    OperationInProgress, Again, "wait until the operation that is under way on this CVM is over";
    InstanceIdUnsettled, Again, "another id is there already: look at it, then agree to it with --overwrite";
    NodeUnknown, Command("nodes"), "name a node that `countersign nodes` lists";
    NewCvmChange, Command("--help"), "name a node, an environment, and for an instance the texts that it runs";
    NewCvmExists, with("--supersede"),
        "look at the app's CVMs with `countersign app instances list`; if it is the one that was asked for, nothing \
         is left to do; to make another one all the same, agree to that with --supersede";
    NewCvmUnseen, with("--supersede"),
        "look at the app's CVMs with `countersign app instances list`; if none was made, agree to another try with \
         --supersede";
    NewCvmAmbiguous, Look,
        "look at the app's CVMs with `countersign app instances list` and delete the one too many; nothing is made \
         again";
    NewCvmOtherHash, Look,
        "stop the new CVM with `countersign cvm stop`, since it runs what nobody approved, and ask Phala Cloud why";
    NewCvmTwin, Look,
        "look with `countersign app instances list` whether the CVM on that node is the one that you want";
    ProbeFailed, Look,
        "what was committed stays committed: look at the app's logs, then correct the app, or go back with `countersign rollback`";
    BootFailed, Look,
        "read what the CVM said with `countersign cvm operations`, mend that, and upgrade again: what ran before was \
         allowed, and still is unless it was taken away";
    TokenMissing, Resume,
        "run again: it prepares again for the same hash, and a new CVM is made once Phala Cloud gives a token";
    TokenExpiring, Look,
        "ask whoever has to approve it, or prepare again with `countersign resume` once the token is dead: an approval stays good";
    TokenExpired, Step("resume", "--yes"),
        "agree to preparing again by --yes: the hash has to come out the same, and no new signature is needed";
    TokenChanged, Look,
        "commit nothing with that token; look who else writes into the directory, and prepare again in one of your \
         own";
    TokenOutlived, Look,
        "keep the files of the change: before the commit the same change is prepared again, and the same hash has to \
         come out";
    UpdatePending, with("--supersede"),
        "ask whoever prepared the other update, or take it on with `countersign adopt`; if it may end by this one, agree to \
         that with --supersede";
    OwnUpdatePending, with("--supersede"),
        "take the other upgrade of this machine to its end first, or, if it may end by this one, agree to that with \
         --supersede";
    PendingUnknown, Look,
        "ask the others of your workspace whether an update of this CVM waits: preparing this one would end it";
    HashRequired, with("--dir DIR"), "go on as an upgrade: it recomputes the hash, has it approved and proves it";
    NetBroken, Resume, "the connection broke on the way: run again, at once or over another network";
    NetNoConnection, Resume, "check the network and the address, then run again";
    NetTimeout, Resume, "no answer came in time: run again later, or with a longer --timeout";
    NetTooLarge, Resume, "check the address: no answer of this service is that long";
    RedirectRefused, Look, "the service does not redirect; check the address and the network in between";
    TlsIdentity, Look, "somebody may stand between you and the server; do not go on through this network";
    ServiceBanned, Look,
        "the service does not serve this Safe; a proposal needs none, since it can be passed on as a file";
    ServiceDiffers, Look,
        "sign nothing that the service shows: compare safeTxHash and calls with those of the proposal, and tell the \
         other owners";
    ServiceIncomplete, Again,
        "pass the proposal on as a file, since it holds all signatures, or propose again to add those that are \
         missing";
    ServiceNotFound, Again,
        "check --service-url, whether it is the service of this Safe's chain; a proposal needs none, since it can be \
         passed on as a file";
    ServiceNotProposer, Signer,
        "name the key of who proposed it by --signer: a service takes a withdrawal from nobody else";
    ServiceNoSignature, Command("sign"),
        "sign first: wallets do not show what nobody signed; or pass the proposal on as a file, which needs no \
         service";
    ServiceNoTx, Command("propose"),
        "put it there with `countersign propose` once an owner has signed, review the proposal itself, which is a file, \
         or name the transaction that you mean by --safe-tx-hash";
    ServiceOtherHash, Look,
        "agree with the other owners which of the two is signed, and reject or withdraw the other one";
    ServiceRefused, Look,
        "read the service's words; a proposal needs no service, since it can be passed on as a file";
    ServiceTampered, Look,
        "sign nothing that was found at this service; compare the safeTxHash with the other owners";
    ServiceTooMany, Look,
        "name the transaction by --safe-tx-hash, since nobody can look through so many; or pass the proposal on as a \
         file";
    ServiceUnavailable, Again,
        "run again later; a proposal needs no service, since it can be passed on as a file";
    ServiceUnexpected, Again,
        "check --service-url and any proxy in between; a proposal needs no service, since it can be passed on as a file";
    ServiceUnknown, Again, "run again: it reads what is there and posts only what is missing";
    ServiceForeignWords, Look,
        "nobody vouches for these words: tell the other owners to go by the calls and the safeTxHash, and not by what a \
         wallet shows as the source";
    ServiceNotTheirs, Look,
        "these owners have not agreed: ask them whether they signed, and the service's operator where the signatures come \
         from";
    ServiceUnasked, Look,
        "look with `countersign safe delegates list` at the Safe and the owner that you mean; what was left out is not \
         theirs";
    ServiceUnsignedUnseen, Look,
        "nothing is left to do: anybody can post what nobody signed, and what owners signed was read without it";
    ServiceUnsigned, Look, "nobody signed it, so it is in nobody's way; do not sign it by mistake for yours";
    ChainMismatch, Again, "give an --rpc-url of the chain that the app's KMS is on";
    ChainNotTrustworthy, Look,
        "commit nothing; ask other endpoints with --rpc-url whether the chain itself went back";
    GenesisMismatch, Again, "this endpoint is not the chain that it claims to be; use another --rpc-url";
    RpcDisagreement, Look, "one of the endpoints is wrong: ask a third one before you believe either";
    RpcImpossible, Look, "do not believe this endpoint, whose answer cannot be true; use another --rpc-url";
    RpcNoFinalityTag, with("--confirmations 12"), "count blocks instead, or use an endpoint that has the tag";
    RpcStale, Resume, "the endpoint is behind the chain: name another --rpc-url, or run again once it caught up";
    RpcUnavailable, Resume, "try another --rpc-url, or run again later";
    EndpointMissing, Look, "see why that endpoint gave no answer before you rely on what the others say alone";
    AttestationBroken, Cvm,
        "trust nothing that this CVM says: keep the saved attestation, stop the CVM, and ask who runs its server why it differs";
    EvidenceDiffers, Again,
        "rely on nothing in it: ask for the evidence again from whoever wrote it, and prove the upgrade on chain yourself";
    EvidenceNotChecked, with("--rpc-url URL"),
        "name an endpoint of the chain; what the evidence does not hold at all has to come from its writer";
    NotProven, Again,
        "mend what keeps that link from being known, then run again; nothing contradicts the CVM so far";
    TcbStatus, Look,
        "read at Intel what this status leaves open; if you take the risk, agree to it with {option}";
    PendingAttestation, Again,
        "run again in some minutes: a CVM takes that long to come up, and to get its certificate from the KMS";
    CollateralUnreachable, Again,
        "run again later, or name another server of Intel's collateral by --pccs";
    WebhookAhead, Command("--help"), "set this machine's clock, then have Phala Cloud send it again";
    WebhookContradiction, Command("--help"), "act on nothing it says; look at the update in Phala Cloud and on chain";
    WebhookSignature, Command("--help"),
        "act on nothing it says; check that the secret is this endpoint's and that the body is byte for byte what \
         came";
    WebhookStale, Command("--help"),
        "act on nothing it says: it may be an old delivery sent again; a new one can be sent from Phala Cloud";
    NothingToWaitFor, Look,
        "leave --wait out: the change waits for its approval, and whoever commits it waits for the CVM";
}
