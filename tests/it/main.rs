//! Everything that needs more than one module: the real binary and library against a real chain, a simulated cloud and
//! the official clients. `make setup` has to run once before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "test harness: a broken world fails the test that met it"
)]

mod absent;
mod api_openapi;
mod api_peers;
mod api_python;
mod api_table;
mod app_deploy;
mod app_lists;
mod app_send;
mod apps;
mod arguments;
mod canaries;
mod carried;
mod chain;
mod chain_faults;
mod cli;
mod cloud_faults;
mod cloud_word;
mod codes;
mod compose_oracle;
mod concurrency;
mod consents;
mod cvm;
mod cvm_wait;
mod dependencies;
mod docs;
mod doors;
mod endpoints;
mod environment;
mod factory;
mod figures;
mod fleet;
mod flow;
mod fresh_eyes;
mod golden;
mod governance;
mod hash_agreement;
mod hostile;
mod images;
mod imports;
mod journals;
mod judge;
mod keys;
mod kills;
mod kms_trust;
mod layering;
mod library_examples;
mod lies;
mod money;
mod newcomers;
mod next_steps;
mod older_contracts;
mod one_digest;
mod one_verdict;
mod own_knowledge;
mod owners;
mod peers;
mod pins;
mod policy;
mod policy_history;
mod proof_gone;
mod proxy;
mod reached;
mod record_faults;
mod rehearsal;
mod review;
mod review_board;
mod run_time;
mod safe_chain;
mod safe_commands;
mod safe_delegates;
mod safe_files;
mod safe_kills;
mod safe_matrix;
mod safe_notices;
mod safe_pitfalls;
mod safe_pure;
mod safe_queue;
mod safe_service;
mod safe_together;
mod safe_upgrade;
mod sealing;
mod signals;
mod sources;
mod storage;
mod strangers;
mod support;
mod tamper;
mod timelock;
mod timelock_pending;
mod timelock_route;
mod timelock_storage;
mod timelock_trust;
mod tls;
mod tokens;
mod trust;
mod tutorials;
mod upgrade;
mod verdict;
mod versions;
mod webhooks;
mod world;
