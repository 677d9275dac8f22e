pub(crate) mod attestation;
pub(crate) mod builder_file;
pub(crate) mod cloud_answer;
pub(crate) mod compose_text;
pub(crate) mod dotenv;
pub(crate) mod event_log;
pub(crate) mod evidence;
pub(crate) mod journal;
pub(crate) mod manifest;
pub(crate) mod proposal;
pub(crate) mod rpc_answer;
pub(crate) mod service_answer;
pub(crate) mod signatures;
pub(crate) mod webhook_body;

/// A runtime whose time passes only while nothing else happens: no pause is waited for.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap()
}
