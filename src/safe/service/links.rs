//! Which chains the Safe Transaction Service and Safe{Wallet} know, and how an address is named there (ERC-3770). Pure.

use std::str::FromStr;

use alloy::primitives::{Address, B256};
use url::Url;

use crate::text::shorten;

/// Chain id, slug in the service's URLs, and the wallet's prefix where it is known to be that of ERC-3770.
///
/// The slugs are those of `@safe-global/api-kit` 5.0.3, the prefixes those of `@safe-global/protocol-kit` 8.0.7. Where
/// the two disagree and it is not known which one the wallet follows, there is no prefix.
const CHAINS: &[(u64, &str, Option<&str>)] = &[
    (1, "eth", Some("eth")),
    (10, "oeth", Some("oeth")),
    (50, "xdc", Some("xdc")),
    (56, "bnb", Some("bnb")),
    (100, "gno", Some("gno")),
    (130, "unichain", Some("unichain")),
    (137, "pol", Some("matic")),
    (143, "monad", None),
    (146, "sonic", Some("sonic")),
    (196, "okb", Some("okb")),
    (204, "opbnb", Some("opbnb")),
    (232, "lens", Some("lens")),
    (324, "zksync", Some("zksync")),
    (480, "wc", Some("wc")),
    (677, "bot", Some("bot")),
    (988, "stable", Some("stable")),
    (999, "hyper", None),
    (1001, "kairos", None),
    (1672, "pharos", Some("pharos")),
    (1874, "wch-sepolia", Some("wch-sepolia")),
    (3338, "peaq", None),
    (4217, "tempo", Some("tempo")),
    (4326, "mega", None),
    (4663, "robinhood", None),
    (5000, "mantle", Some("mantle")),
    (5003, "mnt-sep", Some("mnt-sep")),
    (5042, "arc", Some("arc")),
    (8217, "kaia", None),
    (8453, "base", Some("base")),
    (9745, "plasma", Some("plasma")),
    (10143, "monad-testnet", None),
    (10200, "chi", Some("chi")),
    (16661, "0g", Some("0g")),
    (25363, "fluent", Some("fluent")),
    (42161, "arb1", Some("arb1")),
    (42220, "celo", Some("celo")),
    (42431, "tempo-moderato", Some("tempo-moderato")),
    (43111, "hemi", Some("hemi")),
    (43114, "avax", Some("avax")),
    (46630, "robinhood-testnet", None),
    (57073, "ink", Some("ink")),
    (59144, "linea", Some("linea")),
    (80069, "bep", None),
    (80094, "berachain", Some("berachain")),
    (84532, "basesep", Some("basesep")),
    (102_030, "ctc", Some("ctc")),
    (534_352, "scr", Some("scr")),
    (747_474, "katana", Some("katana")),
    (5_042_002, "arc-testnet", Some("arc-testnet")),
    (11_142_220, "celo-sep", Some("celo-sep")),
    (11_155_111, "sep", Some("sep")),
    (1_313_161_554, "aurora", Some("aurora")),
];

/// The chain whose service reads traces.
const MAINNET: u64 = 1;
/// Where Safe runs its services.
const SERVICES: &str = "https://api.safe.global/tx-service";

/// Where Safe{Wallet} is.
const WALLET: &str = "https://app.safe.global";

/// Longest part of a wrong text that a message repeats.
const SHOWN: usize = 64;

/// Why a text does not name an address on a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// The prefix is that of another chain.
    #[error("the prefix `{found}` is not that of chain {chain_id}, which is `{expected}`")]
    OtherChain {
        /// What stands there, escaped.
        found: String,
        /// The chain's own.
        expected: &'static str,
        /// The chain.
        chain_id: u64,
    },
    /// The chain has no prefix that is known here, so any could be another chain's.
    #[error("no prefix is known for chain {chain_id}, and the address has the prefix `{found}`")]
    NoPrefix {
        /// What stands there, escaped.
        found: String,
        /// The chain.
        chain_id: u64,
    },
    /// No address.
    #[error("`{found}` is no address")]
    NotAnAddress {
        /// The text, escaped.
        found: String,
    },
    /// Its capitals are not those of its checksum (ERC-55): a digit of it is wrong.
    #[error("the capitals of `{found}` do not match its checksum")]
    Checksum {
        /// The text, escaped.
        found: String,
    },
}

/// Name of a chain in the URLs of Safe's own services, which is mostly its ERC-3770 short name.
pub fn slug(chain_id: u64) -> Option<&'static str> {
    let known = CHAINS.iter().find(|(id, ..)| *id == chain_id);
    known.map(|(_, slug, _)| *slug)
}

/// The prefix of addresses on a chain (ERC-3770), where Safe{Wallet} is known to use it.
pub fn prefix(chain_id: u64) -> Option<&'static str> {
    let known = CHAINS.iter().find(|(id, ..)| *id == chain_id);
    known.and_then(|(.., prefix)| *prefix)
}

/// The chain of a prefix, where Safe{Wallet} is known to use it.
pub fn chain_of(prefix: &str) -> Option<u64> {
    let known = CHAINS.iter().find(|(.., known)| *known == Some(prefix));
    known.map(|(id, ..)| *id)
}

/// Whether Safe's own service of a chain reads events and no traces, so that it sees only what Safes execute whose
/// singleton is one "L2". All do but the main network's (`@safe-global/protocol-kit` 8.0.7: `safeDeploymentsL1ChainIds`).
pub fn reads_events_only(chain_id: u64) -> bool {
    chain_id != MAINNET && slug(chain_id).is_some()
}
/// URL of Safe's own service for a chain.
pub fn default_base(chain_id: u64) -> Option<Url> {
    let slug = slug(chain_id)?;
    format!("{SERVICES}/{slug}").parse().ok()
}

/// Page of Safe{Wallet} with the queue of `safe`; nothing for a chain whose prefix is not known.
pub fn queue(chain_id: u64, safe: Address) -> Option<Url> {
    page("/transactions/queue", chain_id, safe)
}

/// Page of Safe{Wallet} with one transaction of `safe`.
pub fn transaction(chain_id: u64, safe: Address, safe_tx_hash: B256) -> Option<Url> {
    let mut url = page("/transactions/tx", chain_id, safe)?;
    let id = format!("multisig_{safe}_{safe_tx_hash}");
    url.query_pairs_mut().append_pair("id", &id);
    Some(url)
}

fn page(path: &str, chain_id: u64, safe: Address) -> Option<Url> {
    // The colon stays as it is, as the wallet writes it.
    format!("{WALLET}{path}?safe={}:{safe}", prefix(chain_id)?).parse().ok()
}

/// Reads an address with or without the prefix of its chain (ERC-3770). Capitals, where there are both kinds of
/// letters, are the checksum of ERC-55.
///
/// # Errors
/// The prefix of another chain, a wrong checksum, or no address.
pub fn parse_prefixed_address(text: &str, chain_id: u64) -> Result<Address, PrefixError> {
    let (found, bare) = match text.split_once(':') {
        Some((found, bare)) => (Some(found), bare),
        None => (None, text),
    };
    if let Some(found) = found {
        let found = shorten(found, SHOWN);
        match prefix(chain_id) {
            Some(expected) if expected == found => {}
            Some(expected) => {
                return Err(PrefixError::OtherChain {
                    found,
                    expected,
                    chain_id,
                });
            }
            None => return Err(PrefixError::NoPrefix { found, chain_id }),
        }
    }
    let shown = || shorten(bare, SHOWN);
    let digits = bare
        .strip_prefix("0x")
        .ok_or_else(|| PrefixError::NotAnAddress { found: shown() })?;
    let Ok(address) = Address::from_str(bare) else {
        return Err(PrefixError::NotAnAddress { found: shown() });
    };
    let mixed = digits.bytes().any(|digit| digit.is_ascii_lowercase())
        && digits.bytes().any(|digit| digit.is_ascii_uppercase());
    if mixed && address.to_checksum(None) != bare {
        return Err(PrefixError::Checksum { found: shown() });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::{address, b256};

    const SAFE: Address = address!("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed");
    const TEXT: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    #[test]
    fn links_name_the_safe_as_the_wallet_does() {
        let hash = b256!("2c4a1da8f4ec2ccd79cd520c8ee06119e7b5812006167ae13ac693834860368a");
        assert_eq!(
            queue(8453, SAFE).unwrap().as_str(),
            format!("https://app.safe.global/transactions/queue?safe=base:{TEXT}")
        );
        assert_eq!(
            transaction(1, SAFE, hash).unwrap().as_str(),
            format!("https://app.safe.global/transactions/tx?safe=eth:{TEXT}&id=multisig_{TEXT}_{hash}")
        );
        assert_eq!(queue(31337, SAFE), None, "a development chain is in no wallet");
    }

    #[test]
    fn the_service_and_the_wallet_name_polygon_differently() {
        assert_eq!(slug(137), Some("pol"));
        assert_eq!(prefix(137), Some("matic"));
        assert_eq!(
            (chain_of("matic"), chain_of("pol"), chain_of("")),
            (Some(137), None, None)
        );
        assert_eq!(
            default_base(8453).unwrap().as_str(),
            "https://api.safe.global/tx-service/base"
        );
        assert_eq!(default_base(31337), None);
    }

    #[test]
    fn pitfall_28_a_prefix_of_another_chain_is_refused() {
        assert_eq!(parse_prefixed_address(&format!("base:{TEXT}"), 8453), Ok(SAFE));
        assert_eq!(parse_prefixed_address(TEXT, 8453), Ok(SAFE));
        for wrong in [
            format!("eth:{TEXT}"),
            format!(":{TEXT}"),
            format!("BASE:{TEXT}"),
            format!("base:base:{TEXT}"),
        ] {
            assert!(parse_prefixed_address(&wrong, 8453).is_err(), "{wrong}");
        }
        let unknown = parse_prefixed_address(&format!("base:{TEXT}"), 31337);
        assert!(matches!(unknown, Err(PrefixError::NoPrefix { .. })), "{unknown:?}");
    }

    #[test]
    fn pitfall_34_a_wrong_checksum_is_refused_and_one_kind_of_letters_is_none() {
        let wrong = TEXT.replace("BeAed", "beAed");
        assert!(matches!(
            parse_prefixed_address(&wrong, 1),
            Err(PrefixError::Checksum { .. })
        ));
        assert_eq!(parse_prefixed_address(&TEXT.to_lowercase(), 1), Ok(SAFE));
        for text in [
            "",
            "0x",
            "0x12",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0x5aAeb\u{202e}",
        ] {
            let refused = parse_prefixed_address(text, 1).unwrap_err();
            assert!(!refused.to_string().contains('\u{202e}'), "{refused}");
        }
    }
}
