//! What a webhook delivers. Nothing is taken that the secret does not sign; what is taken says what the body says, and is
//! shown without its credentials.

use countersign::webhook::{Kind, WebhookError, WebhookSecret, verify};
use countersign_fuzz::Bases;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";
const TOKEN: &str = "6f1b0a52-5b0e-4d0c-9d55-2f6f6f6f6f6f";
const TIME: &str = "1789000000";

pub(crate) struct Target {
    bases: Bases,
    secret: WebhookSecret,
}

impl Target {
    pub(crate) fn new() -> Self {
        let pending = json!({
            "id": "evt_1", "event": "cvm.update.pending_approval", "created_at": "2026-09-10T00:26:40Z",
            "workspace": {"slug": "team"},
            "data": {
                "cvm_id": "17", "cvm_name": "app", "compose_hash": format!("0x{}", "ab".repeat(32)), "app_id": "a1".repeat(20),
                "device_id": "de".repeat(32), "kms": {"chain_id": 8453, "contract_address": format!("0x{}", "5a".repeat(20))},
                "onchain_action": {"to": format!("0x{}", "a1".repeat(20)), "calldata": format!("0x{}", "ab".repeat(32))},
                "expires_at": "2026-09-24T00:26:40Z", "initiated_by": {"username": "u"}, "commit_token": TOKEN,
                "commit_url": format!("https://cloud.phala.com/commit?token={TOKEN}")
            }
        });
        let updated =
            json!({"id": "evt_2", "event": "cvm.updated", "original_event_id": "evt_1", "data": {"cvm_id": "17"}});
        Self {
            bases: Bases::of(vec![pending, updated]),
            secret: WebhookSecret::new(SECRET.to_owned().into()).unwrap(),
        }
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let body = self.bases.text(input);
        let now = jiff::Timestamp::from_second(1_789_000_000).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("{TIME}.").as_bytes());
        mac.update(&body);
        let mac = mac.finalize().into_bytes();
        let signature: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let signature = format!("sha256={signature}");
        let headers = [("X-Webhook-Timestamp", TIME), ("x-webhook-signature", &signature)];

        let longer = [&body, &b" "[..]].concat();
        let unsigned = verify(&self.secret, headers, &longer, now);
        assert!(matches!(
            unsigned,
            Err(WebhookError::Signature | WebhookError::BodyTooLong { .. })
        ));

        let Ok(event) = verify(&self.secret, headers, &body, now) else {
            return;
        };
        let said: Value = serde_json::from_slice(&body).expect("a body that is no JSON");
        assert_eq!(said["id"].as_str(), Some(event.id.as_str()));
        assert_eq!(said["event"].as_str(), Some(event.name.as_str()));
        if let Kind::PendingApproval(pending) = &event.kind {
            let plain = |field: &str| {
                let text = said["data"][field].as_str().unwrap_or_default();
                let text = text.strip_prefix("app_").unwrap_or(text);
                text.strip_prefix("0x").unwrap_or(text).to_ascii_lowercase()
            };
            assert_eq!(pending.compose_hash.to_string(), format!("0x{}", plain("compose_hash")));
            assert_eq!(
                pending.app.to_string().to_ascii_lowercase(),
                format!("0x{}", plain("app_id"))
            );
            if pending
                .commit_token
                .as_ref()
                .is_some_and(|token| token.expose() == TOKEN)
            {
                let shown = Value::Object(event.public_data()).to_string();
                assert!(!shown.contains(TOKEN), "the commit token is shown");
            }
        }
    }
}
