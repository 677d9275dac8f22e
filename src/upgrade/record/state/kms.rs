//! What the records say of the KMS: who vouched for its key, and who agreed to it. Pure.

use alloy::primitives::Address;

use crate::chain::is_known_kms;
use crate::code::Code;
use crate::upgrade::{Acceptance, model::Plan, model::environment::Vouched, record::State};

impl State {
    /// The KMS contract that values are sealed for, where this version does not know it.
    fn own_kms(&self) -> Option<&Vouched> {
        let (plan, code) = (self.plan()?, self.code()?);
        let vouched = code.environment.as_ref()?.vouched.as_ref()?;
        (!is_known_kms(plan.chain_id, vouched.kms)).then_some(vouched)
    }

    /// Whether this upgrade trusts the KMS that `plan` would seal for: the same app, contract and root key.
    fn seals_for_the_same(&self, plan: &Plan) -> bool {
        let wanted = plan.code.as_ref().and_then(|code| code.environment.as_ref());
        let wanted = wanted.and_then(|environment| environment.vouched.as_ref());
        let same_app = self
            .plan()
            .is_some_and(|own| (own.app, own.chain_id) == (plan.app, plan.chain_id));
        let keys = |vouched: &Vouched| (vouched.kms, vouched.root);
        same_app && wanted.is_some() && wanted.map(keys) == self.own_kms().map(keys)
    }

    /// Whether it is an upgrade that was proved, and that trusts the KMS of `plan`.
    pub(in crate::upgrade) fn vouches_for_kms(&self, plan: &Plan) -> bool {
        self.proof().is_some() && self.seals_for_the_same(plan)
    }

    /// The KMS contract of an upgrade of the app of `plan` that was proved, with the block that proves it.
    pub(in crate::upgrade) fn kms_when_proved(&self, plan: &Plan) -> Option<(u64, Address)> {
        let own = self.plan().filter(|own| own.code.is_some())?;
        let same_app = (own.app, own.chain_id) == (plan.app, plan.chain_id);
        Some((self.proof()?.block.number, own.kms.filter(|_| same_app)?))
    }

    /// Whether somebody agreed in this very upgrade to the KMS of `plan`.
    pub(in crate::upgrade) fn agreed_to_kms(&self, plan: &Plan) -> bool {
        let of_kms = |one: &Acceptance| one.code == Code::KmsNotKnown;
        self.accepted.iter().any(of_kms) && self.seals_for_the_same(plan)
    }

    /// The agreement to record once values are to be sealed for a KMS that this version does not know.
    pub(in crate::upgrade) fn trust_to_record(&self) -> Option<Acceptance> {
        let agreed = Acceptance {
            code: Code::KmsNotKnown,
            value: Some(self.own_kms()?.kms.to_string()),
        };
        (!self.accepted.contains(&agreed)).then_some(agreed)
    }
}
