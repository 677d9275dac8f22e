//! The Phala Cloud API: the simulated one by the official clients' word, its faults and lies.

pub mod api_openapi;
pub mod api_peers;
pub mod api_python;
pub mod api_table;
pub mod cvm;
pub mod cvm_wait;
pub mod faults;
pub mod inventory;
pub mod lies;
pub mod peers;
pub mod tls;
pub mod tokens;
pub mod versions;
pub mod webhooks;
pub mod word;
