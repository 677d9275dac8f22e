//! Intel's collateral for one kind of machines, from any server of it (Intel PCS API 4, PCCS). Intel signed what it answers;
//! which server that is does not matter, but that an old answer hides what was found since.

use url::Url;

use super::super::collateral::{Collateral, CollateralAnswers};
use super::super::quote::PlatformIdentity;
use super::{FetchError, ask, below, impatient, malformed};
use crate::http::{Answer, Http};

/// The server that is asked where nobody names another.
pub const DEFAULT_PCCS: &str = "https://pccs.phala.network";
/// Intel's own, which has the root's list of revoked certificates elsewhere.
const INTEL: &str = "api.trustedservices.intel.com";
/// Where that is (Intel SGX Root CA, CRL distribution point).
const INTEL_ROOT_CRL: &str = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";
/// Longest answer that is read, bytes: real ones have 20 kB.
const MAX_BYTES: usize = 512 * 1024;

/// The collateral for a machine: four reads.
///
/// # Errors
/// An answer is missing, or cannot be read.
pub async fn collateral(http: &Http, base: &Url, machine: &PlatformIdentity) -> Result<Collateral, FetchError> {
    let to = |path: &str, query: &str| {
        let mut url = below(base, path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        url
    };
    let (authority, fmspc) = (machine.authority, hex::encode_upper(machine.fmspc));
    let list = to("/sgx/certification/v4/pckcrl", &format!("ca={authority}&encoding=der"));
    let levels = to("/tdx/certification/v4/tcb", &format!("fmspc={fmspc}&update=standard"));
    let enclave = to("/tdx/certification/v4/qe/identity", "update=standard");
    let root = match (base.host_str(), Url::parse(INTEL_ROOT_CRL)) {
        (Some(INTEL), Ok(url)) => url,
        _ => to("/sgx/certification/v4/rootcacrl", ""),
    };
    let http = impatient(http);
    let get = |url: &Url| ask(&http, url.clone(), None, MAX_BYTES);
    let (got_list, got_levels, got_enclave, got_root) =
        tokio::join!(get(&list), get(&levels), get(&enclave), get(&root));
    let (got_list, got_levels, got_enclave, got_root) = (got_list?, got_levels?, got_enclave?, got_root?);
    let answers = CollateralAnswers {
        pck_crl: &got_list.body,
        pck_crl_chain: chain(&got_list, &list, &["SGX-PCK-CRL-Issuer-Chain"])?,
        tcb_info: &got_levels.body,
        tcb_info_chain: chain(
            &got_levels,
            &levels,
            &["TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"],
        )?,
        enclave: &got_enclave.body,
        enclave_chain: chain(&got_enclave, &enclave, &["SGX-Enclave-Identity-Issuer-Chain"])?,
        root_crl: &got_root.body,
    };
    Collateral::from_answers(&answers).map_err(|error| malformed(base, error))
}

/// The chain of certificates in the first of these headers that is there.
fn chain<'a>(answer: &'a Answer, url: &Url, names: &[&'static str]) -> Result<&'a str, FetchError> {
    let found = names.iter().find_map(|name| answer.header(name));
    found.ok_or_else(|| malformed(url, format!("it has no header `{}`", names.first().unwrap_or(&""))))
}
