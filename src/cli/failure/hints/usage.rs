//! Next step and hint of what is wrong with arguments, files and values that the user gave.

use super::row::{hints, with};
use crate::cli::failure::verdict::Next::{Again, Command, FleetStatus, List, Signer, Without};

hints! {
    UsageArguments, Command("--help"), "write the arguments as the help of this command shows them";
    UsageConflict, Command("--help"), "keep one of the two that exclude each other, and leave the other out";
    UsageConsent, with("--yes"), "agree in advance with --yes, or run it at a terminal without --json";
    UsageEnvValue, Command("--help"),
        "write NAME=VALUE into a file (chmod 600) and name it by --env-file, or export the variable and name it by \
         --env NAME";
    UsageFeature, Again,
        "this build was made without it: a build with all features, such as `cargo install --locked --path .` makes, \
         has every kind of key; add `--features {feature}` to yours, or name another key";
    UsageFleet, FleetStatus,
        "name the directory of one of its CVMs, which is below that of the fleet, or use the commands of \
         `countersign fleet`";
    UsageInvalidValue, Command("--help"), "write the value in the form that the message names";
    UsageJsonStream, with("--count 1"),
        "leave --json out, since every event is a line of JSON anyway, or say by --count when to end";
    UsageKmsOnchain, Without("--without-approval"),
        "leave --without-approval out: the app's owner has to approve what this CVM runs";
    UsageKmsOffchain, Command("--help"), "make the replica at once: leave --prepare-only out";
    UsageManifestUpgrade, Command("--help"),
        "have the owner allow the hash that was provisioned, then commit it with --commit";
    UsageMissingArgument, Command("--help"), "give the argument that the message names";
    UsageMissingCommand, Command("--help"), "name one of the commands that its help lists";
    UsageNeedsDir, with("--dir DIR"),
        "name a directory for it by --dir: only an upgrade seals an environment or asks a timelock";
    UsageNobodyToAsk, Signer,
        "run it at a terminal without --json, name the password's file by --password-file, or another key by \
         --signer";
    UsageNothingToChange, Command("--help"),
        "name what changes, for example --compose docker-compose.yml, or --vcpu 4 of a CVM";
    UsageNothingToWaitFor, Command("--help"), "leave --wait out here, and give it to the command that commits";
    UsageNoChain, with("--chain-id N"),
        "name the chain by --chain-id, or by a prefix of the address such as base:0x…";
    UsageNoCvm, with("--cvm NAME"), "name it by --cvm, or in `phala.toml`; `countersign cvm list` shows which there are";
    UsageNoFile, Again, "name the file that you expect with it, for example --also my-api=api/docker-compose.yml";
    UsageNoHome, Again, "set `XDG_STATE_HOME` to a folder that stays: what was signed is remembered there";
    UsageNoRpc, with("--rpc-url https://…"),
        "name an endpoint of the chain by --rpc-url, or set ETH_RPC_URL; `review` and `sign` take --offline instead, and list what \
         was not checked then";
    UsageNoRunner, Without("--github"),
        "leave --github out, or name a file for the outputs of the step in GITHUB_OUTPUT, as a runner does";
    UsageNoService, with("--service-url URL"),
        "name a Safe Transaction Service by --service-url, or pass the proposal on as a file";
    UsageNoWorkspace, with("SLUG"), "name the workspace as `countersign workspace show` does, by its slug";
    UsageNoUpgrade, List, "name the directory of an upgrade by --dir, or start one with `countersign prepare`";
    UsageOffline, Again, "leave --offline out, or leave out what asks the network";
    UsageOneFile, Again, "name the same file for all CVMs of an app, since an app has one hash";
    UsagePlainHttp, Again, "use an https address";
    UsageQuorum, Again, "name more endpoints with --rpc-url, or let fewer agree with --quorum";
    UsageOneServer, Command("--help"),
        "name one address of each server by --rpc-url: what is behind the host makes no other server";
    UsageRejectionFile, Command("export"),
        "export the rejection as typed-data, calldata or eip712sign, which name the nonce";
    UsageSafe, Command("--help"), "give the value of the Safe transaction that the message names";
    UsageSecondPhase, Command("--help"), "leave the change out, or leave --compose-hash out";
    UsageSecretArgument, Command("--help"),
        "change that secret if it was a real one, then name its place: --signer env:NAME, file:PATH, keystore:PATH \
         or account:NAME; the API key belongs in PHALA_CLOUD_API_KEY";
    UsageService, Command("--help"),
        "name the Safe by --safe and the transaction by --safe-nonce or --safe-tx-hash, or review a proposal, which names \
         both";
    UsageServiceUrl, Again, "--service-url takes an https address";
    UsageSigner, Again,
        "write --signer browser[:ADDRESS], ledger[:PATH], keystore:PATH, account:NAME, aws:KEY-ID, file:PATH, env:NAME or prompt";
    UsageUnknownArgument, Command("--help"), "leave it out, or write it as the help of this command names it";
    UsageUnknownCommand, Command("--help"), "write the command as the help lists it";
    UsageWhichUpgrade, with("--dir DIR"),
        "name one by --dir, or its CVM by --cvm; `countersign status` shows where they stand";
    InputAddress, Again,
        "copy the address again, whole: an https address of a server, or a Safe's as its wallet shows it";
    InputCaFile, Again,
        "name a file in PEM by --ca-file, with lines `-----BEGIN CERTIFICATE-----`, as whoever runs the proxy or server gives it";
    InputProxy, Again,
        "set HTTPS_PROXY to an http or https address of a proxy, such as http://proxy.example:3128, or leave it out";
    InputApiKey, Again, "set PHALA_CLOUD_API_KEY again, without quotes or line breaks inside it";
    InputEvidence, Again, "name the evidence.json of an upgrade, or the directory that holds it";
    InputAttestation, Again,
        "name a file that `countersign attest` wrote by --evidence, or collateral as dcap-qvl keeps it by --collateral";
    InputBuilderFile, Again, "ask whoever sent it to export it again from the Transaction Builder";
    InputCompose, Again, "a manifest is one JSON object, and a hash has 64 hex digits";
    InputCvm, Again, "name the CVM by its name, UUID, app id or instance id";
    InputEnv, Again,
        "write NAME=VALUE on a line of its own for each variable, with quotes around values that are not plain";
    InputEnvVariable, Again,
        "set the variable in this shell, or write NAME=VALUE into a file and name that by --env-file";
    InputFile, Again, "check that `{path}` is there, that it is a file, and that you named the right one";
    InputFileExists, Again,
        "name another file, or put this one elsewhere; where the command has --overwrite, that replaces it";
    InputDelivery, Again, "name a delivery of cvm.update.pending_approval";
    InputHeaders, Again, "write a line `Name: value` for each header, or one JSON object with a text for each name";
    InputKey, Again, "{place} has to hold 64 hex digits and nothing else";
    InputKeystore, Again, "restore `{path}` from a backup, or name another one by --signer";
    InputListen, Again, "name another address by --listen; port 0 takes a free one";
    InputPowerAnswer, Again, "give what `countersign power --json` printed about the same app";
    InputManifest, Again, "give the app-compose.json of a CVM: one JSON object, every name in it once";
    InputNoApp, Again, "name the app by its address instead of its CVM";
    InputProjectFile, Again, "correct `phala.toml`, or name the CVM and the compose file by --cvm and --compose";
    InputProposal, List, "ask for the proposal again from whoever made it; nothing in it can be repaired by hand";
    InputSafeTx, Again,
        "give a proposal, a Transaction Builder file, an EIP-712 document, or one transaction of a service";
    InputSealedEnv, Again, "seal the environment for the app's key first; never give it in the clear";
    InputSecondFactor, Again, "copy the cookie that the site's session sends after it asked for the second factor";
    InputServiceKey, Again, "set SAFE_TRANSACTION_SERVICE_API_KEY again, without quotes or line breaks inside it";
    InputSignatures, Again,
        "ask for the file again after it was signed, or for the signature alone as hexadecimal digits";
    InputStdin, Again, "give the body on stdin, or name its file";
    InputComposeText, Again,
        "name the Docker Compose file itself, whole and as Compose reads it: `docker compose config` shows what that is";
    InputTextFile, Again, "save the file as UTF-8 text without a byte order mark, and with something in it";
    InputToken, Again,
        "name the file that --prepare-only wrote, or one with the token alone that whoever prepared it gave you";
    InputTooLong, Again, "choose another format, or send the calldata as it is";
    InputWebhook, Command("--help"),
        "give headers and body as they came; a body that Phala Cloud signed and this version cannot read needs a \
         newer one";
    InputWebhookSecret, Again, "put the webhook's secret into the place that was named, or name another place";
    InputQuorum, Again, "set ETH_RPC_QUORUM to how many endpoints have to agree, or leave it out: then all have to";
}
