//! Upgrades: whole ones, their directories, their proposals, and what breaks them.

pub mod absent;
pub mod adopt;
pub mod app_deploy;
pub mod app_lists;
pub mod app_send;
pub mod apps;
pub mod carried;
pub mod concurrency;
pub mod fleet;
pub mod governance;
pub mod journals;
pub mod kills;
pub mod kinds_of_owner;
pub mod newcomers;
pub mod one_verdict;
pub mod own_knowledge;
pub mod owners;
pub mod pins;
pub mod policy;
pub mod review;
pub mod review_board;
pub mod rollback;
pub mod storage;
pub mod tamper;
pub mod verdict;
pub mod whole;
