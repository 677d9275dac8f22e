//! Encrypted keystores (Web3 Secret Storage v3), Foundry's folder among them.
//!
//! Pure: bytes and a password in, a key out. Every parameter is checked before it costs memory or time, because
//! the file may come from anywhere.

use aes::Aes128;
use alloy::primitives::{Address, keccak256};
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::Hmac;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// Most memory that scrypt may take, bytes: four times what geth's default takes.
const MAX_SCRYPT_MEMORY: u64 = 1 << 30;
/// Most work that scrypt may do, in blocks mixed: four times geth's default, which takes seconds.
const MAX_SCRYPT_WORK: u64 = 1 << 23;
/// Most blocks that scrypt begins with, where n says nothing of the work: geth's default has eight.
const MAX_SCRYPT_BLOCKS: u64 = 1 << 10;
/// Most rounds of PBKDF2: some forty times geth's default.
const MAX_ROUNDS: u32 = 10_000_000;
/// Length of the key that is derived from the password.
const DERIVED: usize = 32;

/// A keystore whose every parameter is one that this tool can use.
pub(super) struct Keystore {
    derivation: Derivation,
    iv: [u8; 16],
    ciphertext: [u8; 32],
    mac: [u8; 32],
    /// Whose key it says it is.
    pub(super) address: Option<Address>,
}

enum Derivation {
    Scrypt { params: scrypt::Params, salt: Vec<u8> },
    Pbkdf2 { rounds: u32, salt: Vec<u8> },
}

impl Keystore {
    /// Reads a keystore; the error says why it is none, and quotes nothing of it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| not_json(&error))?;
        if file.version != 3 {
            return Err(format!("its version is {}, and 3 is known", file.version));
        }
        let crypto = file.crypto;
        if crypto.cipher != "aes-128-ctr" {
            return Err("its cipher is not aes-128-ctr".to_owned());
        }
        Ok(Self {
            derivation: Derivation::parse(&crypto.kdf, crypto.kdfparams)?,
            iv: sized(&crypto.cipherparams.iv, "iv")?,
            ciphertext: sized(&crypto.ciphertext, "ciphertext")?,
            mac: sized(&crypto.mac, "mac")?,
            address: match file.address.as_deref() {
                None | Some([]) => None,
                Some(address) => Some(Address::from(sized(address, "address")?)),
            },
        })
    }

    /// Decrypts the key; `None` when the password is wrong.
    pub(super) fn decrypt(&self, password: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let mut derived = Zeroizing::new([0; DERIVED]);
        self.derivation.derive(password, &mut derived)?;
        let (cipher_key, mac_key) = derived.split_first_chunk::<16>()?;
        if keccak256([mac_key, &self.ciphertext].concat()) != self.mac {
            return None;
        }
        let mut key = Zeroizing::new(self.ciphertext);
        ctr::Ctr128BE::<Aes128>::new(cipher_key.into(), &self.iv.into()).apply_keystream(key.as_mut());
        Some(key)
    }
}

impl Derivation {
    fn parse(kdf: &str, params: KdfParams) -> Result<Self, String> {
        if params.dklen != DERIVED {
            return Err(format!("its dklen is {}, and {DERIVED} is known", params.dklen));
        }
        match (kdf, params) {
            (
                "scrypt",
                KdfParams {
                    n: Some(n),
                    r: Some(r),
                    p: Some(p),
                    salt,
                    ..
                },
            ) => Ok(Self::Scrypt {
                params: scrypt_params(n, r, p)?,
                salt,
            }),
            (
                "pbkdf2",
                KdfParams {
                    c: Some(rounds),
                    prf: Some(prf),
                    salt,
                    ..
                },
            ) => {
                if prf != "hmac-sha256" {
                    return Err("its prf is not hmac-sha256".to_owned());
                }
                if !(1..=MAX_ROUNDS).contains(&rounds) {
                    return Err(format!("{rounds} rounds of pbkdf2 are out of bounds"));
                }
                Ok(Self::Pbkdf2 { rounds, salt })
            }
            _ => Err("its kdf is neither scrypt nor pbkdf2 with their parameters".to_owned()),
        }
    }

    fn derive(&self, password: &[u8], derived: &mut [u8; DERIVED]) -> Option<()> {
        match self {
            Self::Scrypt { params, salt } => scrypt::scrypt(password, salt, params, derived).ok(),
            Self::Pbkdf2 { rounds, salt } => {
                pbkdf2::pbkdf2::<Hmac<sha2_for_hmac::Sha256>>(password, salt, *rounds, derived);
                Some(())
            }
        }
    }
}

fn scrypt_params(n: u64, r: u32, p: u32) -> Result<scrypt::Params, String> {
    let out_of_bounds = || format!("scrypt with n {n}, r {r}, p {p} is out of bounds");
    let log_n = n
        .checked_ilog2()
        .and_then(|log_n| u8::try_from(log_n).ok())
        .ok_or_else(out_of_bounds)?;
    let blocks = n.saturating_mul(r.into());
    let costly = blocks.saturating_mul(128) > MAX_SCRYPT_MEMORY
        || blocks.saturating_mul(p.into()) > MAX_SCRYPT_WORK
        || u64::from(r).saturating_mul(p.into()) > MAX_SCRYPT_BLOCKS;
    if !n.is_power_of_two() || costly {
        return Err(out_of_bounds());
    }
    scrypt::Params::new(log_n, r, p).ok().ok_or_else(out_of_bounds)
}

/// The position only: the file may be a bare key by mistake, and the library quotes what it finds.
fn not_json(error: &serde_json::Error) -> String {
    format!(
        "at line {}, column {} it is not what a version 3 keystore holds",
        error.line(),
        error.column()
    )
}

fn sized<const N: usize>(bytes: &[u8], field: &str) -> Result<[u8; N], String> {
    bytes
        .try_into()
        .ok()
        .ok_or_else(|| format!("its {field} has {} bytes instead of {N}", bytes.len()))
}

#[derive(Deserialize)]
struct File {
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    version: u8,
    #[serde(default, deserialize_with = "optional_hex")]
    address: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    #[serde(deserialize_with = "bytes_of_hex")]
    ciphertext: Vec<u8>,
    kdf: String,
    kdfparams: KdfParams,
    #[serde(deserialize_with = "bytes_of_hex")]
    mac: Vec<u8>,
}

#[derive(Deserialize)]
struct CipherParams {
    #[serde(deserialize_with = "bytes_of_hex")]
    iv: Vec<u8>,
}

#[derive(Deserialize)]
struct KdfParams {
    dklen: usize,
    #[serde(deserialize_with = "bytes_of_hex")]
    salt: Vec<u8>,
    n: Option<u64>,
    r: Option<u32>,
    p: Option<u32>,
    c: Option<u32>,
    prf: Option<String>,
}

fn bytes_of_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    hex::decode(text.strip_prefix("0x").unwrap_or(&text)).map_err(serde::de::Error::custom)
}

fn optional_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    bytes_of_hex(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::scrypt_params;

    #[test]
    fn se2_low_a_keystore_whose_password_takes_long_to_try_is_refused_whichever_number_is_large() {
        let usual = [
            (1 << 18, 8, 1),
            (1 << 17, 8, 1),
            (1 << 13, 8, 1),
            (1 << 12, 8, 6),
            (1 << 14, 8, 8),
            (1 << 20, 8, 1),
        ];
        for (n, r, p) in usual {
            assert!(scrypt_params(n, r, p).is_ok(), "n {n}, r {r}, p {p}");
        }
        let greedy = [
            (2, 1 << 21, 8),
            (2, 1 << 21, 1),
            (2, 1, 1 << 21),
            (2, 8, 1 << 20),
            (4, 1 << 18, 8),
            (1 << 10, 1 << 13, 1),
            (1 << 12, 8, 1 << 10),
            (1 << 18, 8, 16),
            (1 << 20, 8, 2),
            (1 << 21, 8, 1),
        ];
        for (n, r, p) in greedy {
            assert!(scrypt_params(n, r, p).is_err(), "n {n}, r {r}, p {p}");
        }
    }
}
