//! The command line as a process: arguments, words on their way out, signals, the next step.

pub mod arguments;
pub mod canaries;
pub mod completion;
pub mod consents;
pub mod doors;
pub mod fresh_eyes;
pub mod guiding;
pub mod hostile;
pub mod init;
pub mod next_steps;
pub mod pipelines;
pub mod process;
pub mod reached;
pub mod reading;
pub mod run_time;
pub mod signals;
pub mod workflows;
