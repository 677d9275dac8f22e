//! The way to servers, as the environment names it: proxies and certificates of authorities, as curl and cast take them.

use std::path::Path;

use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::session::environment::Environment;
use crate::code::Code;
use crate::fsutil;
use crate::http::{Endpoint, Network, Root};

/// Proxies, the first that is set, in curl's order.
const PROXIES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const DIRECT: [&str; 2] = ["no_proxy", "NO_PROXY"];
/// Where somebody says whom to trust.
const TRUSTED: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Largest file of certificates.
const MAX_CERTIFICATES: u64 = 4 * 1024 * 1024;

/// The way to servers.
///
/// # Errors
/// A proxy's address is none, or the file holds no certificates.
pub(super) fn network(ca_file: Option<&Path>, env: &Environment) -> Result<Network, CliError> {
    let proxy = PROXIES
        .iter()
        .find_map(|name| Some((*name, env.text(name)?)))
        .map(|(name, text)| proxy(name, &text))
        .transpose()?;
    Ok(Network {
        proxy,
        direct: DIRECT.iter().find_map(|name| env.text(name)),
        roots: ca_file.map(roots).transpose()?.unwrap_or_default(),
        built_in: TRUSTED.iter().all(|name| env.text(name).is_none()),
    })
}

/// The address of a proxy; without a scheme it is plain http, as elsewhere. Its text is not repeated: it may hold a password.
fn proxy(name: &'static str, text: &str) -> Result<Endpoint, CliError> {
    let text = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url = values::web_address(text.trim_end_matches(['\r', '\n']));
    url.map(Endpoint::new).map_err(|_why| CliError::Input {
        code: Code::InputProxy,
        message: format!("`{name}` holds no http or https address of a proxy"),
        hint: format!("set `{name}` to an address such as http://proxy.example:3128, or unset it"),
    })
}

fn roots(path: &Path) -> Result<Vec<Root>, CliError> {
    let bytes = fsutil::read(path, MAX_CERTIFICATES).map_err(CliError::UserFile)?;
    let found = Root::list(&bytes);
    if found.is_empty() {
        return Err(CliError::Input {
            code: Code::InputCaFile,
            message: format!("`{}` holds no certificates that can be read", path.display()),
            hint: "name a file in PEM, with lines `-----BEGIN CERTIFICATE-----`".to_owned(),
        });
    }
    Ok(found)
}
