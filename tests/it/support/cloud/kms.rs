//! The KMS behind the simulated cloud: an app's key pair, the root key's word for it, and what a guest makes of an
//! encrypted environment. Written from dstack's description, apart from the library's own code.

use std::collections::BTreeMap;

use alloy::primitives::{Address, keccak256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use serde_json::Value;
use x25519_dalek::{PublicKey, StaticSecret};

use super::model::Manifest;
use crate::support::guest;

/// The keys of a KMS.
#[derive(Debug, Clone)]
pub struct KmsKeys {
    /// The root key.
    pub root: PrivateKeySigner,
    /// What the apps' keys are made from.
    pub seed: [u8; 32],
}

impl KmsKeys {
    /// The keys of the KMS with this name.
    pub fn named(name: &str) -> Self {
        let seed = keccak256(name).0;
        Self {
            root: PrivateKeySigner::from_bytes(&keccak256(seed)).unwrap(),
            seed,
        }
    }
    /// The root key's public half, compressed.
    pub fn root_key(&self) -> Vec<u8> {
        self.root
            .credential()
            .verifying_key()
            .to_encoded_point(true)
            .as_bytes()
            .to_vec()
    }
    /// The private key of an app's guests.
    pub fn secret(&self, app: Address) -> [u8; 32] {
        keccak256([&self.seed[..], app.as_slice()].concat()).0
    }
    /// The key that an app's environment is sealed for.
    pub fn public(&self, app: Address) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(self.secret(app))).to_bytes()
    }
    /// The root key's word for `key`, with a date or without.
    pub fn sign(&self, app: Address, key: &[u8; 32], time: Option<u64>) -> String {
        let mut message = b"dstack-env-encrypt-pubkey:".to_vec();
        message.extend_from_slice(app.as_slice());
        message.extend(time.iter().flat_map(|time| time.to_be_bytes()));
        message.extend_from_slice(key);
        let signature = self.root.sign_hash_sync(&keccak256(message)).unwrap();
        format!(
            "{}{:02x}",
            hex::encode(&signature.as_bytes()[..64]),
            u8::from(signature.v())
        )
    }
    /// What a guest finds in its environment: what it can decrypt, and its manifest allows.
    pub fn boot(&self, app: Address, blob: &str, manifest: &Manifest) -> Result<BTreeMap<String, String>, String> {
        let plain = guest::open(&self.secret(app), blob).ok_or("Failed to decrypt env")?;
        let said: Value = serde_json::from_slice(&plain).ok().ok_or("Failed to parse env")?;
        let pairs = said["env"].as_array().ok_or("Failed to parse env")?;
        let allowed = |name: &str| {
            let list = manifest.get("allowed_envs").and_then(Value::as_array);
            list.is_some_and(|list| list.iter().any(|one| one == name))
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pairs = pairs.iter().map(|pair| (text(&pair["key"]), text(&pair["value"])));
        Ok(pairs.filter(|(name, _)| allowed(name)).collect())
    }
}
