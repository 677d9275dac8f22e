//! The way to servers: a proxy on it, and whom TLS trusts besides whom the system does.

use reqwest::{Certificate, ClientBuilder, NoProxy, Proxy};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::Endpoint;

/// The way to servers. Plain `http`, which never leaves this machine, takes no proxy.
#[derive(Debug, Clone)]
pub struct Network {
    /// Proxy to servers that are not reached directly; it sees which, and nothing of what is said.
    pub proxy: Option<Endpoint>,
    /// Servers without a proxy, as `NO_PROXY` lists them: names with what is below them, addresses, networks, `*` for all.
    pub direct: Option<String>,
    /// Certificates of authorities that are trusted besides those of the system.
    pub roots: Vec<Root>,
    /// Whether Mozilla's list stands in where the system has no authorities.
    pub built_in: bool,
}

/// Certificate of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(CertificateDer<'static>);

impl Default for Network {
    /// Directly, and as the system trusts.
    fn default() -> Self {
        Self {
            proxy: None,
            direct: None,
            roots: Vec::new(),
            built_in: true,
        }
    }
}

impl Root {
    /// The certificates in a PEM file, as `curl --cacert` takes one. Empty where it holds none that can be read.
    pub fn list(pem: &[u8]) -> Vec<Self> {
        let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let sound = found.ok().filter(|list| list.iter().all(is_certificate));
        sound.unwrap_or_default().into_iter().map(Self).collect()
    }
}

/// Whether it can be trusted as an authority's at all.
fn is_certificate(der: &CertificateDer<'_>) -> bool {
    rustls::RootCertStore::empty().add(der.clone().into_owned()).is_ok()
}

impl Network {
    /// Builds a client that goes this way; `base` makes one that trusts nobody yet and has no proxy.
    ///
    /// # Errors
    /// The proxy's address is none, or nobody is trusted.
    pub(super) fn build(&self, base: impl Fn() -> ClientBuilder) -> reqwest::Result<reqwest::Client> {
        let all_direct = self
            .direct
            .iter()
            .flat_map(|list| list.split(','))
            .any(|one| one.trim() == "*");
        let proxy = self.proxy.as_ref().filter(|_| !all_direct);
        let proxy = proxy.map(|proxy| Proxy::https(proxy.url().clone()));
        let direct = self.direct.as_deref().and_then(NoProxy::from_string);
        let proxy = proxy.transpose()?.map(|proxy| proxy.no_proxy(direct));
        let base = || match &proxy {
            Some(proxy) => base().proxy(proxy.clone()),
            None => base(),
        };
        let own = self.roots.iter().map(|root| Certificate::from_der(&root.0));
        let own = own.collect::<reqwest::Result<Vec<_>>>()?;
        // Fails where the system has none, which is not seen once there are others.
        let usual = base().build();
        match usual {
            Ok(usual) if own.is_empty() => Ok(usual),
            Ok(_) => base().tls_certs_merge(own).build(),
            Err(_) if self.built_in => base().tls_certs_only(mozilla()?.into_iter().chain(own)).build(),
            Err(_) if !own.is_empty() => base().tls_certs_only(own).build(),
            Err(none) => Err(none),
        }
    }
}

/// The authorities of Mozilla's list.
fn mozilla() -> reqwest::Result<Vec<Certificate>> {
    let list = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    list.map(|root| Certificate::from_der(root)).collect()
}
