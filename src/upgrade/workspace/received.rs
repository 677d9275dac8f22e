//! Begins an upgrade with an update that somebody else prepared.

use std::path::Path;

use crate::code::Code;
use crate::fsutil::{self, point};
use crate::upgrade::{
    Acceptance, Limits, UpgradeError, Warning,
    files::{TOKEN_FILE, digest_of},
    model::Plan,
    planning::adoption::Received,
    record::event::{Event, Preparation},
    workspace::upgrade::Upgrade,
};

impl Upgrade {
    /// Starts the upgrade of `plan` with what was prepared already: nothing is asked of the cloud, and no token ends. With a
    /// token, what its commit carries out besides the manifest has to be agreed to by name, since nobody can show it.
    ///
    /// # Errors
    /// As [`Self::begin`]; the doubt about what nobody can see.
    pub fn begin_received(
        dir: &Path,
        mut plan: Plan,
        limits: &Limits,
        received: &Received,
    ) -> Result<Self, UpgradeError> {
        let value = Some(received.hash.to_string());
        if received.token.is_some() && !limits.accepted.covers(Code::AdoptUnseen, value.as_deref()) {
            return Err(UpgradeError::decide(
                Code::AdoptUnseen,
                format!(
                    "the commit with this token also carries out what nobody here can see of the update {}: its sealed \
                     environment, resources, OS image, user_config",
                    received.hash
                ),
            ));
        }
        // Nothing that waits ends by this.
        let ends = |warning: &Warning| matches!(warning.code, Code::UpdatePending | Code::OwnUpdatePending);
        plan.blockers.retain(|blocker| !ends(blocker));
        if let Some(code) = &mut plan.code {
            code.prepared_elsewhere = true;
        }
        let mut upgrade = Self::begin(dir, plan, limits)?;
        if received.token.is_some() {
            let code = Code::AdoptUnseen;
            upgrade.agree(Acceptance { code, value })?;
        }
        upgrade.receive(received)?;
        Ok(upgrade)
    }

    /// Keeps the token, and records the preparation once.
    fn receive(&mut self, received: &Received) -> Result<(), UpgradeError> {
        let token = received.token.as_ref();
        let token_sha256 = token.map(digest_of);
        let known = self.state().prepare.answer.as_ref();
        if known.is_some_and(|known| token_sha256.is_none() || known.token_sha256 == token_sha256) {
            return Ok(());
        }
        point("adopt.a");
        if let Some(token) = token {
            fsutil::write(&self.dir().join(TOKEN_FILE), token.expose().as_bytes(), 0o600)?;
        }
        point("adopt.b");
        self.record(Event::PrepareOk(Preparation {
            hash: received.hash,
            token_sha256,
            at: received.at,
            expires: received.expires,
            request_id: None,
            adopted: true,
        }))?;
        point("adopt.e");
        Ok(())
    }
}
