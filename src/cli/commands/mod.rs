//! The commands, one file each: arguments, the call into the library, the report. None calls another; what several do
//! stands a floor below.

pub(super) mod adopt;
pub(super) mod app;
pub(super) mod attest;
pub(super) mod attestations;
pub(super) mod commit;
pub(super) mod completions;
pub(super) mod cvm;
pub(super) mod execute;
pub(super) mod explain;
pub(super) mod export;
pub(super) mod fleet;
pub(super) mod hash;
pub(super) mod import;
pub(super) mod init;
pub(super) mod instance_types;
pub(super) mod kms;
pub(super) mod man;
pub(super) mod nodes;
pub(super) mod plan;
pub(super) mod power;
pub(super) mod prepare;
pub(super) mod propose;
pub(super) mod reject;
pub(super) mod resume;
pub(super) mod review;
pub(super) mod rollback;
pub(super) mod safe;
pub(super) mod schema;
pub(super) mod sign;
pub(super) mod status;
pub(super) mod upgrade;
pub(super) mod verify;
pub(super) mod wait;
pub(super) mod webhook;
pub(super) mod workspace;
