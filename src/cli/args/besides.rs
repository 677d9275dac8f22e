//! What an update changes beside the manifest, where no option of its own kind stands elsewhere; no hash covers it.

use std::path::PathBuf;

use clap::Args;

use super::values;

/// What an update changes beside the manifest; no hash covers it.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Besides {
    /// File with text that the guest is given as it is; no hash covers it
    #[arg(long, value_name = "FILE", help_heading = "What changes", hide_short_help = true)]
    pub(in crate::cli) user_config: Option<PathBuf>,
    /// How many GPUs
    #[arg(long, value_name = "N", help_heading = "What changes", value_parser = values::whole::<u32>(0..), hide_short_help = true)]
    pub(in crate::cli) gpus: Option<u32>,
    /// Which GPUs, for example H200
    #[arg(long, value_name = "NAME", requires = "gpus", help_heading = "What changes", value_parser = values::filled, hide_short_help = true)]
    pub(in crate::cli) gpu_product: Option<String>,
    /// How long a graceful shutdown may take, seconds; `none` for as long as it takes
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = "What changes", hide_short_help = true)]
    pub(in crate::cli) shutdown_timeout: Option<ShutdownTimeout>,
    /// Whether a shutdown that takes longer is forced [default without BOOL: true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "What changes", hide_short_help = true)]
    pub(in crate::cli) allow_force_stop: Option<bool>,
}

/// A shutdown's time in seconds; `None` for as long as it takes.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct ShutdownTimeout(pub(in crate::cli) Option<u64>);

impl Besides {
    /// The words of a command line that ask for the same.
    pub(in crate::cli) fn words(&self) -> Vec<String> {
        let path = self.user_config.as_ref().map(|path| path.display().to_string());
        let timeout = self.shutdown_timeout.map(|ShutdownTimeout(time)| match time {
            Some(seconds) => seconds.to_string(),
            None => NO_END.to_owned(),
        });
        let all = [
            ("--user-config", path),
            ("--gpus", self.gpus.map(|count| count.to_string())),
            ("--gpu-product", self.gpu_product.clone()),
            ("--shutdown-timeout", timeout),
        ];
        let named = all
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value?]));
        let force = self.allow_force_stop.map(|may| format!("--allow-force-stop={may}"));
        named.flatten().chain(force).collect()
    }
}

/// What stands for as long as it takes.
const NO_END: &str = "none";

fn seconds(text: &str) -> Result<ShutdownTimeout, &'static str> {
    match text {
        NO_END => Ok(ShutdownTimeout(None)),
        _ => match values::whole(0..)(text) {
            Ok(seconds) => Ok(ShutdownTimeout(Some(seconds))),
            Err(_) => Err("a whole number of seconds in decimal digits, or none"),
        },
    }
}
