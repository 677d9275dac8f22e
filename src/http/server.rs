//! Which server a URL names, as far as the URL itself tells. Pure.
//!
//! Two names of one machine are not known for that; spellings of one name are. What stands behind the host, a path, a query or
//! who asks, tells accounts of a server from each other and never two servers.

use url::{Host, Url};

use super::Endpoint;

/// This machine, by whichever of its names.
const HERE: &str = "localhost";

impl Endpoint {
    /// Host and port of the server, whatever its spelling: host names in one case and without the dot at their end, this
    /// machine by one name, and the port also where it is the usual one.
    pub fn server(&self) -> (String, Option<u16>) {
        let url = self.url();
        let host = url.host().map_or_else(String::new, |host| spelled(&host));
        (host, url.port_or_known_default())
    }

    /// Whether both ask the same server for the same: what is never sent, and a slash at the end, make no difference.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.server() == other.server() && sent(self.url()) == sent(other.url())
    }
}

fn spelled(host: &Host<&str>) -> String {
    let here = || HERE.to_owned();
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let is_here = name == HERE || name.ends_with(".localhost");
            if is_here { here() } else { name }
        }
        Host::Ipv4(address) if address.is_loopback() => here(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => spelled(&Host::Ipv4(mapped)),
            None if address.is_loopback() => here(),
            None => address.to_string(),
        },
    }
}

/// What a request carries of a URL besides the server.
fn sent(url: &Url) -> (&str, &str, Option<&str>, &str, Option<&str>) {
    let query = url.query().filter(|query| !query.is_empty());
    let path = url.path().trim_end_matches('/');
    (url.scheme(), url.username(), url.password(), path, query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::new(text.parse().unwrap())
    }

    #[test]
    fn spellings_of_one_server_are_one() {
        let spellings = [
            "https://rpc.example/key",
            "https://RPC.Example/key",
            "https://rpc.example./key",
            "https://rpc.example:443/key",
            "https://rpc.example/key/",
            "https://rpc.example/key?",
            "https://rpc.example/key#fragment",
        ];
        for spelling in spellings {
            assert!(endpoint(spellings[0]).is_same_as(&endpoint(spelling)), "{spelling}");
        }
        let here = [
            "http://127.0.0.1:8545",
            "http://localhost:8545/",
            "http://LOCALHOST.:8545",
            "http://rpc.localhost:8545",
            "http://127.0.0.2:8545",
            "http://127.1:8545",
            "http://2130706433:8545",
            "http://[::1]:8545",
            "http://[::ffff:127.0.0.1]:8545",
        ];
        for spelling in here {
            assert!(endpoint(here[0]).is_same_as(&endpoint(spelling)), "{spelling}");
        }
    }

    #[test]
    fn accounts_of_one_server_are_no_two_servers() {
        let one = endpoint("https://rpc.example/key");
        for account in [
            "https://rpc.example/other",
            "https://rpc.example/key?id=2",
            "https://user@rpc.example/key",
            "https://user:word@rpc.example/key",
            "http://rpc.example:443/key",
        ] {
            let account = endpoint(account);
            assert!(
                one.server() == account.server() && !one.is_same_as(&account),
                "{account:?}"
            );
        }
        for other in [
            "https://rpc2.example/key",
            "https://rpc.example:8443/key",
            "http://rpc.example/key",
            "https://8.8.8.8/key",
        ] {
            assert_ne!(one.server(), endpoint(other).server(), "{other}");
        }
    }
}
