//! What a KMS's contract (DstackKms) says of the KMS itself.

use alloy::primitives::{Address, B256, Bytes, address};

use super::read::Question;
use super::{Chain, ChainError};
use crate::abi::kms::DstackKms as K;

/// The KMS contracts that Phala runs (phala-docs, 2026-06-26), by chain.
const KNOWN: [(u64, Address); 2] = [
    (1, address!("d343a3f5593b93D8056aB5D60c433622d7D65a80")),
    (8453, address!("2f83172A49584C017F2B256F0FB2Dca14126Ba9C")),
];

/// Whether `kms` is a contract that Phala runs on that chain. Others are no less good; somebody has to know them.
pub fn is_known_kms(chain_id: u64, kms: Address) -> bool {
    KNOWN.contains(&(chain_id, kms))
}

/// The KMS contract that Phala runs on a chain.
#[cfg(feature = "cli")]
pub(crate) fn known_kms(chain_id: u64) -> Option<Address> {
    KNOWN.iter().find(|(chain, _)| *chain == chain_id).map(|(_, kms)| *kms)
}

impl Chain {
    /// `DstackKms.kmsInfo().k256Pubkey` at the newest agreed block: the root key of the KMS, as the contract holds it;
    /// empty when nobody published it. One round trip.
    ///
    /// # Errors
    /// See [`ChainError`]; a contract without that function is [`ChainError::NotAKms`].
    pub async fn kms_root_key(&self, kms: Address) -> Result<Bytes, ChainError> {
        let block = self.head().await?;
        let mut facts = self.read(&block, &[Question::call(kms, &K::kmsInfoCall {})]).await?;
        let info = facts.next().value::<K::kmsInfoCall>();
        info.map(|info| info.k256Pubkey).ok_or(ChainError::NotAKms {
            address: kms,
            chain: self.id(),
        })
    }

    /// `DstackKms.allowedOsImages(image)` at the newest agreed block; nothing where it has no such function. Two round trips.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn os_image_allowed(&self, kms: Address, image: B256) -> Result<Option<bool>, ChainError> {
        let block = self.head().await?;
        let call = K::allowedOsImagesCall { osImageHash: image };
        let mut facts = self.read(&block, &[Question::call(kms, &call).optional()]).await?;
        Ok(facts.next().value::<K::allowedOsImagesCall>())
    }
}
