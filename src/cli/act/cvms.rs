//! Which CVMs there are, where the one that was named is none of them.

use crate::cli::act::api::Api;
use crate::cli::failure::cvms::unknown;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;

/// A failure with the names that there are, where Phala Cloud does not know the CVM that it was asked for. What cannot be
/// had leaves the failure as it is.
pub(in crate::cli) async fn with_cvms(session: &Session, error: CliError) -> CliError {
    let Some(named) = unknown(&error) else { return error };
    let Ok(api) = Api::new(session, None) else { return error };
    let Ok(all) = api.cloud.all_cvms().await else {
        return error;
    };
    CliError::NoCvm {
        named,
        known: all.into_iter().filter_map(|cvm| cvm.name).collect(),
        refusal: Box::new(error),
    }
}
