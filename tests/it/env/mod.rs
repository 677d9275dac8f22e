//! The workload environment: sealed, opened, compared.

pub mod environment;
pub mod sealing;
