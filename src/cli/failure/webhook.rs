//! Deliveries of webhooks that are not taken.

use super::verdict::{Next, Verdict, verdict};
use crate::cli::exit::Exit;
use crate::code::Code;
use crate::webhook::WebhookError;

/// What a refused delivery means for whoever has to act.
pub(super) fn delivery(error: &WebhookError) -> Verdict {
    let (exit, code, hint) = match error {
        WebhookError::Secret => (
            Exit::Auth,
            Code::AuthWebhookSecret,
            "take the secret again from Phala Cloud, without white space in it",
        ),
        WebhookError::Missing { .. } | WebhookError::Repeated { .. } | WebhookError::Signature => (
            Exit::Verify,
            Code::WebhookSignature,
            "act on nothing it says; check that the secret is this endpoint's and that the body is byte for byte what came",
        ),
        WebhookError::Contradiction { .. } => (
            Exit::Verify,
            Code::WebhookContradiction,
            "act on nothing it says; look at the update in Phala Cloud and on chain",
        ),
        WebhookError::Stale { .. } => (
            Exit::State,
            Code::WebhookStale,
            "act on nothing it says: it may be an old delivery sent again; a new one can be sent from Phala Cloud",
        ),
        WebhookError::Ahead { .. } => (
            Exit::State,
            Code::WebhookAhead,
            "set this machine's clock, then have Phala Cloud send it again",
        ),
        WebhookError::Timestamp | WebhookError::BodyTooLong { .. } | WebhookError::Body { .. } => (
            Exit::Input,
            Code::InputWebhook,
            "give headers and body as they came; a body that Phala Cloud signed and this version cannot read needs a newer one",
        ),
    };
    verdict(exit, code, Next::Command("--help"), hint)
}
