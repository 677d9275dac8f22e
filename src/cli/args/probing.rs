//! Whether a committed app is asked if it serves.

use clap::Args;
use url::Url;

use super::values;

/// Where a committed app is asked whether it serves.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Probing {
    /// Address of the app that has to answer a GET with 2xx once it is live; otherwise it ends with 7, and stays committed
    #[arg(long, value_name = "URL", value_parser = values::private_address, conflicts_with = "no_wait", help_heading = "Probe", hide_short_help = true)]
    pub(in crate::cli) probe: Option<Url>,
    /// Text that the answer has to have in it
    #[arg(long, value_name = "TEXT", requires = "probe", value_parser = values::filled, help_heading = "Probe", hide_short_help = true)]
    pub(in crate::cli) probe_expect: Option<String>,
}
