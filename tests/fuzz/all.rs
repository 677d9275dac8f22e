//! One target for each kind of text that somebody else writes. Each says what has to hold where a text is accepted.

mod targets;

use std::panic::AssertUnwindSafe;

use targets::{
    attestation, builder_file, cloud_answer, compose_text, dotenv, event_log, evidence, journal, manifest, proposal,
    rpc_answer, service_answer, signatures, webhook_body,
};

macro_rules! targets {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            // A target is given up with the first panic.
            let target = AssertUnwindSafe($name::Target::new());
            bolero::check!(name = stringify!($name)).for_each(|input: &[u8]| target.check(input));
        }
    )*};
}

targets!(
    attestation,
    builder_file,
    cloud_answer,
    compose_text,
    dotenv,
    event_log,
    evidence,
    journal,
    manifest,
    proposal,
    rpc_answer,
    service_answer,
    signatures,
    webhook_body,
);
