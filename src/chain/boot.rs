//! What the contracts say of a CVM that was measured: the KMS's key, the images and machines that may run it, and the
//! question that the KMS itself asks before it gives keys (DstackKms, DstackApp).

use alloy::primitives::{Address, B256, Bytes, FixedBytes};

use super::read::{Fact, Question};
use super::rpc::printable;
use super::{BlockRef, Chain, ChainError};
use crate::abi::app::DstackApp as A;
use crate::abi::app::IAppAuth::AppBootInfo;
use crate::abi::kms::DstackKms as K;

/// What was measured, as `isAppAllowed` takes it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The app.
    pub app: Address,
    /// The manifest.
    pub compose_hash: B256,
    /// The instance; zeros where there is none.
    pub instance: FixedBytes<20>,
    /// The machine.
    pub device: B256,
    /// All that was measured up to the end of the boot.
    pub mr_aggregated: B256,
    /// Firmware, image and key provider.
    pub mr_system: B256,
    /// The image.
    pub os_image: B256,
    /// How safe the machine is, in Intel's word.
    pub tcb_status: String,
    /// Intel's advisories.
    pub advisories: Vec<String>,
}

/// What to ask.
#[derive(Debug, Clone)]
pub struct BootQuery {
    /// DstackApp = app id.
    pub app: Address,
    /// DstackKms.
    pub kms: Address,
    /// The compose hash that should run.
    pub hash: B256,
    /// The machine, where it is known.
    pub device: Option<B256>,
    /// Images to ask about.
    pub images: Vec<B256>,
    /// What was measured, where all of it was.
    pub measured: Option<Measured>,
}

/// What the contracts say, all at one block.
#[derive(Debug, Clone)]
pub struct BootPolicy {
    /// The block.
    pub block: BlockRef,
    /// `kmsInfo().caPubkey`; empty where nobody published it.
    pub kms_key: Bytes,
    /// `allowedComposeHashes(hash)`.
    pub hash_allowed: bool,
    /// `allowAnyDevice()`.
    pub any_device: bool,
    /// `allowedDeviceIds(device)`, when asked.
    pub device_allowed: Option<bool>,
    /// `requireTcbUpToDate()`; older apps have none.
    pub require_tcb_up_to_date: Option<bool>,
    /// Those of the images that `allowedOsImages` has.
    pub images: Vec<B256>,
    /// `isAppAllowed` of the KMS's contract, when asked; nothing where it gave no answer.
    pub is_allowed: Option<bool>,
    /// Its reason, escaped.
    pub reason: String,
}

impl Chain {
    /// Asks the contracts at the newest agreed block. Two round trips.
    ///
    /// # Errors
    /// See [`ChainError`]; a contract without the functions of a DstackApp or a DstackKms is told as such.
    pub async fn boot_policy(&self, query: &BootQuery) -> Result<BootPolicy, ChainError> {
        let block = self.head().await?;
        let questions = query.questions();
        let mut facts = self.read(&block, &questions).await?;
        let info = facts.next().value::<K::kmsInfoCall>();
        let info = info.ok_or(ChainError::NotAKms {
            address: query.kms,
            chain: self.id(),
        })?;
        let missing = |function: &str| ChainError::NotAnApp {
            address: query.app,
            why: format!("it does not answer `{function}`"),
        };
        let hash_allowed = facts.next().value::<A::allowedComposeHashesCall>();
        let any_device = facts.next().value::<A::allowAnyDeviceCall>();
        let require_tcb_up_to_date = facts.next().value::<A::requireTcbUpToDateCall>();
        let device_allowed = query
            .device
            .and_then(|_| facts.next().value::<A::allowedDeviceIdsCall>());
        let is_on_list = |_: &&B256| facts.next().value::<K::allowedOsImagesCall>() == Some(true);
        let images = query.images.iter().filter(is_on_list).copied().collect();
        let answer = query.measured.as_ref().map(|_| facts.next());
        let (is_allowed, reason) = answer.map_or((None, String::new()), |answer| said(&answer));
        Ok(BootPolicy {
            block,
            kms_key: info.caPubkey,
            hash_allowed: hash_allowed.ok_or_else(|| missing("allowedComposeHashes(bytes32)"))?,
            any_device: any_device.ok_or_else(|| missing("allowAnyDevice()"))?,
            device_allowed,
            require_tcb_up_to_date,
            images,
            is_allowed,
            reason,
        })
    }
}

impl BootQuery {
    fn questions(&self) -> Vec<Question> {
        let (app, kms) = (self.app, self.kms);
        let hash = A::allowedComposeHashesCall { composeHash: self.hash };
        let mut list = vec![
            Question::call(kms, &K::kmsInfoCall {}),
            Question::call(app, &hash),
            Question::call(app, &A::allowAnyDeviceCall {}),
            Question::call(app, &A::requireTcbUpToDateCall {}),
        ];
        let device = self.device.map(|id| A::allowedDeviceIdsCall { deviceId: id });
        list.extend(device.map(|call| Question::call(app, &call)));
        let images = self.images.iter();
        let images = images.map(|image| K::allowedOsImagesCall { osImageHash: *image });
        list.extend(images.map(|call| Question::call(kms, &call).optional()));
        let asked = self.measured.as_ref().map(Measured::question);
        list.extend(asked.map(|call| Question::call(kms, &call)));
        list
    }
}

/// The answer to the KMS's own question. One that refuses to answer says neither yes nor no.
fn said(answer: &Fact) -> (Option<bool>, String) {
    match (answer.value::<A::isAppAllowedCall>(), answer) {
        (Some(said), _) => (Some(said.isAllowed), printable(&said.reason)),
        (None, Fact::Reverted(why)) => (None, why.reason.clone()),
        (None, _) => (None, String::new()),
    }
}

impl Measured {
    fn question(&self) -> A::isAppAllowedCall {
        let info = AppBootInfo {
            appId: self.app,
            composeHash: self.compose_hash,
            instanceId: Address::from(self.instance.0),
            deviceId: self.device,
            mrAggregated: self.mr_aggregated,
            mrSystem: self.mr_system,
            osImageHash: self.os_image,
            tcbStatus: self.tcb_status.clone(),
            advisoryIds: self.advisories.clone(),
        };
        A::isAppAllowedCall { bootInfo: info }
    }
}
