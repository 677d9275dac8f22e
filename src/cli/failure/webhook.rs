//! Deliveries of webhooks that are not taken.

use super::hints::said;
use super::verdict::Verdict;
use crate::code::Code;
use crate::webhook::WebhookError;

/// What a refused delivery means for whoever has to act.
pub(super) fn delivery(error: &WebhookError) -> Verdict {
    said(match error {
        WebhookError::Secret => Code::AuthWebhookSecret,
        WebhookError::Missing { .. } | WebhookError::Repeated { .. } | WebhookError::Signature => {
            Code::WebhookSignature
        }
        WebhookError::Contradiction { .. } => Code::WebhookContradiction,
        WebhookError::Stale { .. } => Code::WebhookStale,
        WebhookError::Ahead { .. } => Code::WebhookAhead,
        WebhookError::Timestamp | WebhookError::BodyTooLong { .. } | WebhookError::Body { .. } => Code::InputWebhook,
    })
}
