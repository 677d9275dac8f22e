//! An event log of a guest. Where it shows a boot, every digest of it is that of its event by another computation, the register is
//! what they fold to, and what it says was booted stands once before `system-ready`.

use countersign::attest::{EventLog, Register};
use countersign_fuzz::Bases;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha384};

pub(crate) struct Target(Bases);

impl Target {
    pub(crate) fn new() -> Self {
        let near = Bases::read(&["tests/vectors/attestation/near-mpc/tcb_info.json"]);
        let cases = Bases::read(&["tests/vectors/attestation/synthetic/eventlog-cases.json"]);
        let made = cases.all()[0]["cases"].as_array().unwrap().iter();
        let made = made.filter(|case| is_base(case)).map(|case| case["event_log"].clone());
        Self(Bases::of(made.chain([near.all()[0]["event_log"].clone()]).collect()))
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let text = self.0.text(input);
        for (log, is_second) in [
            (EventLog::parse(&text), false),
            (EventLog::parse_second_version(&text), true),
        ] {
            let Ok(log) = log else { continue };
            let written: Vec<Value> = serde_json::from_slice(&text).expect("a log that other readers refuse");
            let digests: Vec<Vec<u8>> = written.iter().map(|event| digest(event, is_second)).collect();
            for (event, digest) in log.events().iter().zip(&digests) {
                assert_eq!(event.digest.as_slice(), &digest[..], "{event:?}");
            }
            let register = log.replay(3);
            let own = written
                .iter()
                .zip(&digests)
                .filter(|(event, _)| event["imr"] == json!(3));
            let folded = own.clone().fold(vec![0; 48], |value, (_, digest)| {
                Sha384::digest([&value[..], digest].concat()).to_vec()
            });
            assert_eq!(register.as_slice(), &folded[..]);
            let Ok(boot) = log.boot(&register) else { continue };
            let before: Vec<&Value> = own
                .map(|(event, _)| event)
                .take_while(|event| event["event"] != "system-ready")
                .collect();
            let payloads = |name: &str| -> Vec<Vec<u8>> {
                let named = before.iter().filter(|event| event["event"] == name);
                named.map(|event| hex(&event["event_payload"])).collect()
            };
            assert_eq!(payloads("compose-hash"), [boot.compose_hash.as_bytes().to_vec()]);
            assert_eq!(payloads("app-id"), [boot.app_id.to_vec()]);
            assert_eq!(payloads("key-provider"), [boot.key_provider.payload]);
            assert!(boot.uncovered.is_empty(), "the register is at the end");
            assert!(log.boot(&Register::ZERO).is_err());
        }
    }
}

fn is_base(case: &Value) -> bool {
    let names = [
        "v1 log",
        "v2 log with preimages",
        "app emits an approved compose-hash after system-ready",
    ];
    names.iter().any(|name| case["name"] == *name)
}

fn digest(event: &Value, is_second: bool) -> Vec<u8> {
    if event["event_type"] != json!(0x0800_0001) {
        return hex(&event["digest"]);
    }
    let (name, payload) = (event["event"].as_str().unwrap(), hex(&event["event_payload"]));
    let text = match is_second || event["version"] == json!(2) {
        true => json!({"name": name, "payload": alloy::hex::encode(&payload), "type": 0x0800_0001})
            .to_string()
            .into_bytes(),
        false => [&[1, 0, 0, 8, b':'], name.as_bytes(), b":", &payload].concat(),
    };
    Sha384::digest(text).to_vec()
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    assert!(!text.starts_with("0x"), "other readers refuse it");
    alloy::hex::decode(text).unwrap()
}
