//! A manifest (`app-compose.json`). Where it is taken, the text that is hashed says the same again: it is read as a manifest
//! with the same hash and images, and its hash is the SHA-256 of those bytes.

use countersign::compose::{Changes, Form, Manifest};
use countersign_fuzz::Bases;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub(crate) struct Target(Bases);

impl Target {
    pub(crate) fn new() -> Self {
        let vectors = Bases::read(&[
            "tests/vectors/proposals-0.1.0/several-apps.json",
            "tests/vectors/compose_hash.json",
        ]);
        let mut manifests = Vec::new();
        vectors.all().iter().for_each(|value| find(value, &mut manifests));
        Self(Bases::of(manifests))
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let text = self.0.text(input);
        let Ok(manifest) = Manifest::parse(&text) else { return };
        // One meaning: no reader that takes the last of two members sees another document.
        let loose: Value = serde_json::from_slice(&text).expect("a manifest that other readers refuse");
        for (field, value) in loose.as_object().expect("a manifest that is no object") {
            assert_eq!(manifest.get(field), Some(value));
        }
        for form in Form::ALL {
            let canonical = manifest.canonical(form);
            let hash = manifest.hash(form);
            assert_eq!(hash.as_bytes(), &*Sha256::digest(canonical.as_bytes()));
            let found = manifest.calibrate(hash).expect("a hash that is not found again");
            assert_eq!(manifest.hash(found), hash);
        }
        let again = Manifest::parse(manifest.canonical(Form::Sorted).as_bytes()).expect("the hashed text is refused");
        // JavaScript has one zero and no integers beyond its floats, so values may differ where their text does not.
        for form in Form::ALL {
            assert_eq!(
                again.hash(form),
                manifest.hash(form),
                "the hashed text is another manifest"
            );
        }
        assert_eq!(again.image_list(), manifest.image_list());
        let unchanged = manifest.with(&Changes::default());
        assert_eq!(unchanged.hash(Form::Sorted), manifest.hash(Form::Sorted));
    }
}

/// Every object that has a compose text.
fn find(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) if members.contains_key("docker_compose_file") => found.push(value.clone()),
        Value::Object(members) => members.values().for_each(|one| find(one, found)),
        Value::Array(items) => items.iter().for_each(|one| find(one, found)),
        _ => {}
    }
}
