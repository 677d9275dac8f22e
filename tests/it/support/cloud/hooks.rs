//! The workspace's webhooks, their secrets and deliveries.

use serde_json::{Value, json};

use super::configure::object;
use super::model::State;
use super::routes::{Answer, Context};
use super::{Request, updates};

/// What the cookie of a session that gave its second factor holds.
pub const STEP_UP: &str = "step_up=canary-second-factor-51c0";

/// Routes below `/workspace/webhooks`; `None` when it has none for them.
pub(super) fn route(context: &Context, (verb, rest): (&str, &[&str]), request: &Request) -> Option<Answer> {
    let mut state = context.lock();
    Some(match (verb, rest) {
        ("GET", []) => {
            let public = |hook: &Value| {
                let mut hook = hook.clone();
                hook["secret"] = Value::Null;
                hook
            };
            Answer::ok(state.webhooks.iter().map(public).collect())
        }
        ("POST", []) => {
            let body = object(request).unwrap_or_default();
            let https = body
                .get("url")
                .and_then(Value::as_str)
                .is_some_and(|url| url.starts_with("https://"));
            if !https {
                return Some(updates::invalid("url", "Input should be an https URL"));
            }
            let id = format!("wh_{}", state.next());
            let secret = body
                .get("secret")
                .cloned()
                .unwrap_or_else(|| json!(format!("whsec_{id}_0123456789abcdef")));
            let hook = json!({"id": id, "url": body.get("url"), "secret": secret, "events": body.get("events"),
                "name": body.get("name"), "enabled": true, "created_at": "2026-11-21T00:00:00Z",
                "updated_at": "2026-11-21T00:00:00Z"});
            state.webhooks.push(hook.clone());
            Answer {
                status: 201,
                body: hook,
            }
        }
        (_, [id, ..]) if !state.webhooks.iter().any(|hook| hook["id"] == *id) => {
            Answer::detail(404, "Webhook not found")
        }
        ("DELETE", [id]) => {
            state.webhooks.retain(|hook| hook["id"] != *id);
            Answer {
                status: 204,
                body: Value::Null,
            }
        }
        (_, [id, rest @ ..]) if matches!(rest, [] | ["reveal-secret" | "rotate-secret"]) && verb != "DELETE" => {
            return one(&mut state, (verb, *id, rest), request);
        }
        ("GET", [_, "stats"]) => Answer::ok(json!({"total": 4, "success_count": 3, "failed_count": 1,
            "success_rate": 0.75, "avg_duration_ms": 120, "max_duration_ms": 300,
            "last_delivery_at": "2026-11-21T00:00:00Z"})),
        ("POST", [_, "test"]) => Answer::ok(json!({"success": true})),
        ("POST", [_, "deliveries", "evt_0123456789abcdef", "resend"]) => Answer::ok(json!({"success": true})),
        ("GET", [_, "deliveries"]) => Answer::ok(json!([{"snowflake_id": 1, "event_id": "evt_0123456789abcdef",
            "event_type": "cvm.updated", "status": "failed", "attempts": 3, "request_url": "https://x.invalid",
            "response_status": 500, "error_message": "no", "duration_ms": 5, "created_at": "2026-11-21T00:00:00Z",
            "delivered_at": null, "original_event_id": ""}])),
        _ => return None,
    })
}

/// What is asked of one webhook and its secret.
fn one(state: &mut State, (verb, id, rest): (&str, &str, &[&str]), request: &Request) -> Option<Answer> {
    let number = state.next();
    let hook = state.webhooks.iter_mut().find(|hook| hook["id"] == id)?;
    let public = |hook: &Value| {
        let mut shown = hook.clone();
        shown["secret"] = Value::Null;
        Answer::ok(shown)
    };
    Some(match (verb, rest) {
        ("GET", []) => public(hook),
        ("PUT", []) => {
            let body = object(request).unwrap_or_default();
            if body.get("events").is_some_and(|events| !events.is_array()) {
                return Some(updates::invalid("events", "Input should be a valid list"));
            }
            for name in ["url", "events", "name", "enabled"] {
                if let Some(value) = body.get(name).filter(|value| !value.is_null()) {
                    hook[name] = value.clone();
                }
            }
            public(hook)
        }
        ("POST", [what]) => {
            // The session's cookie stands for the second factor; an API key alone is not enough.
            if !request.header("cookie").is_some_and(|cookie| cookie.contains(STEP_UP)) {
                return Some(Answer::detail(428, "Step-up verification required"));
            }
            if *what == "rotate-secret" {
                hook["secret"] = json!(format!("whsec_{number}_rotated0123456789"));
            }
            Answer::ok(json!({"secret": hook["secret"]}))
        }
        _ => return None,
    })
}
