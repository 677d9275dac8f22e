//! Golden records: what the binary writes, says and asks in one flow of each kind, compared byte for byte with the files
//! under `tests/golden/<flow>/`. `GOLDEN=overwrite cargo test … golden` writes them anew; the difference is reviewed.
//!
//! A flow runs the real binary against the real chain, contracts, simulated cloud and Safe service. Its files are:
//!
//! - `said.txt`: each command, its exit code, stdout (JSON in the order in which it was written, broken into lines) and
//!   stderr;
//! - `cloud.txt`, `service.txt`: each request by command, with the headers that carry meaning, body and answer's status;
//! - `chain.txt`: each JSON-RPC call by command; `>` begins a request, and the lines after it are its batch;
//! - `kept/…`: every file that is left behind, with `dot.` for a leading dot: journals, proposals, evidence, exports.
//!
//! What differs between two runs of the same binary has a name in its place, and nothing else has:
//!
//! - the folder (`$FOLDER`) and the servers (`$CLOUD`, `$CHAIN`, `$SERVICE`);
//! - hashes of blocks, which hold the time (`<block 12>`); sums of records and of exports, which hold it too (`…`);
//! - times (`<time>`, `<seconds>`, `<milliseconds>`);
//! - numbers of upgrades, commit tokens and sealed environments, by order (`<update 1>`, `<token 1>`, `<sealed 1>`), and
//!   the SHA-256 of the latter two; marks of values that were sent, which a random key makes;
//! - numbers that the cloud counts up with every request (`corr_<n>`);
//! - questions about signatures that nobody made, which depend on the block's hash (`<probe 12>…`);
//! - what locks and key files hold.
//!
//! Addresses, hashes of transactions, nonces, fees, gas and signatures do not vary: anvil's accounts are fixed, signatures
//! are deterministic, and nothing but the flow uses its chain, whose proxy answers a sent transaction only when it is in a
//! block. Long data are cut in the middle and carry their SHA-256.
//!
//! Order of requests: writes stay where they are. Reads are made at once, in an order that depends on the machine: those
//! of the cloud and the service are sorted between two writes, and once a write was taken, when the cloud is asked until
//! something has happened, each stands there once; those of the chain are sorted between two transactions, and a look for a
//! transaction that repeats the one before it stands there once. In `chain.txt` a block is `@hash`, a call is its target, its data and what else it says; the app, the
//! KMS, the Safe and anvil's accounts have their names.

mod clean;
mod flows;
mod record;
