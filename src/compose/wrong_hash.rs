//! Hashes that helpers of before dstack 0.6.0 computed for a manifest, where the guest measures another one: an app that
//! allows one of them allows nothing that ever boots.
//!
//! Pure. Upstream: "Upgrading from 0.5.x to 0.6.0" of Dstack-TEE/dstack; `sdk/go/dstack/compose_hash.go` and
//! `sdk/python/src/dstack_sdk/get_compose_hash.py` of the releases before it.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::canonical::{self, Form};
use super::hash::ComposeHash;
use super::manifest::Manifest;

/// A helper that computes another hash than the guest measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrongHelper {
    /// dstack's Go SDK before 0.6.0: leaves out the fields that it does not know, and writes `<`, `>` and `&` as escapes.
    Go,
    /// dstack's Python SDK before 0.6.0: leaves out fields that are null, also among the registry's credentials.
    Python,
    /// A version of dstack's Python SDK that leaves out the fields that it does not know as well.
    PythonKnown,
    /// dstack's Python SDK asked twice about one object: the first answer takes the registry's credentials, and in later
    /// versions the requirements, out of it.
    PythonAgain,
}

impl fmt::Display for WrongHelper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Go => "dstack's Go SDK before 0.6.0, which escapes `<`, `>` and `&` and leaves out fields",
            Self::Python => "dstack's Python SDK before 0.6.0, which leaves out fields that are null",
            Self::PythonKnown => "dstack's Python SDK before 0.6.0, which leaves out fields that it does not know",
            Self::PythonAgain => {
                "dstack's Python SDK before 0.6.0, asked twice, which leaves out `docker_config` and `requirements`"
            }
        })
    }
}

/// What the Python SDK has a place for.
const PYTHON_FIELDS: [&str; 22] = [
    "allowed_envs",
    "bash_script",
    "docker_compose_file",
    "docker_config",
    "features",
    "gateway_enabled",
    "key_provider",
    "key_provider_id",
    "kms_enabled",
    "local_key_provider_enabled",
    "manifest_version",
    "name",
    "no_instance_id",
    "pre_launch_script",
    "public_logs",
    "public_sysinfo",
    "public_tcbinfo",
    "requirements",
    "runner",
    "secure_time",
    "snapshotter",
    "tproxy_enabled",
];
/// What its versions take out of the object that they are asked about.
const PYTHON_TAKES: [&[&str]; 2] = [&["docker_config"], &["docker_config", "requirements"]];

impl Manifest {
    /// The helper that computes `hash` for this manifest, where that is not what a guest of Phala Cloud's measures.
    pub fn wrong_helper(&self, hash: ComposeHash) -> Option<WrongHelper> {
        let right = self.hash(Form::Sorted);
        let computed = self.computed().into_iter();
        let mut wrong = computed.filter(|(_, computed)| *computed != right);
        wrong.find(|(_, computed)| *computed == hash).map(|(helper, _)| helper)
    }

    /// What each of them computes.
    fn computed(&self) -> Vec<(WrongHelper, ComposeHash)> {
        let python = |keep: &dyn Fn(&str) -> bool| {
            let fields = self.0.iter().filter(|(name, value)| !value.is_null() && keep(name));
            let fields: Map<String, Value> = fields
                .map(|(name, value)| (name.clone(), stated(name, value)))
                .collect();
            ComposeHash::of(canonical::text(&fields, Form::Sorted).as_bytes())
        };
        let again = PYTHON_TAKES.map(|taken| (WrongHelper::PythonAgain, python(&|name| !taken.contains(&name))));
        let first = [
            (WrongHelper::Go, self.hash(Form::Go)),
            (WrongHelper::Python, python(&|_| true)),
            (WrongHelper::PythonKnown, python(&|name| PYTHON_FIELDS.contains(&name))),
        ];
        first.into_iter().chain(again).collect()
    }
}

/// The registry's credentials without what is null; everything else as it is.
fn stated(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) if name == "docker_config" => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            members.map(|(name, value)| (name.clone(), value.clone())).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        input: String,
        sorted: String,
        python: String,
        python_again: String,
    }

    #[derive(Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    fn vectors() -> Vec<(Case, Manifest)> {
        let text = include_str!("../../tests/vectors/compose_hash_v3.json");
        let vectors: Vectors = serde_json::from_str(text).unwrap();
        let read = |case: Case| {
            let manifest = Manifest::parse(case.input.as_bytes()).unwrap();
            (case, manifest)
        };
        vectors.cases.into_iter().map(read).collect()
    }

    fn hash(text: &str) -> ComposeHash {
        text.parse().unwrap()
    }

    #[test]
    fn manifests_of_version_3_have_the_hashes_of_the_official_sdks() {
        let vectors = vectors();
        assert!(vectors.len() >= 6);
        for (case, manifest) in vectors {
            assert_eq!(manifest.hash(Form::Sorted), hash(&case.sorted), "{}", case.name);
            assert_eq!(
                manifest.get("manifest_version"),
                Some(&Value::from("3")),
                "{}",
                case.name
            );
            assert_eq!(manifest.wrong_helper(hash(&case.sorted)), None, "{}", case.name);
        }
    }

    #[test]
    fn what_the_python_sdk_computes_otherwise_is_known_by_its_name() {
        let mut seen = Vec::new();
        for (case, manifest) in vectors() {
            for (text, helper) in [
                (case.python, WrongHelper::Python),
                (case.python_again, WrongHelper::PythonAgain),
            ] {
                let expected = (text != case.sorted).then_some(helper);
                assert_eq!(manifest.wrong_helper(hash(&text)), expected, "{}", case.name);
                seen.extend(expected);
            }
        }
        assert_eq!(seen, [WrongHelper::Python, WrongHelper::PythonAgain]);
    }

    #[test]
    fn what_the_go_sdk_computes_otherwise_is_known_by_its_name_and_a_strangers_hash_by_none() {
        let text = r#"{"manifest_version":2,"name":"a","runner":"docker-compose","docker_compose_file":"a && b","salt":"s","x":null}"#;
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.wrong_helper(manifest.hash(Form::Go)), Some(WrongHelper::Go));
        let known = r#"{"docker_compose_file":"a && b","manifest_version":2,"name":"a","runner":"docker-compose"}"#;
        let known = ComposeHash::of(known.as_bytes());
        assert_eq!(manifest.wrong_helper(known), Some(WrongHelper::PythonKnown));
        assert_eq!(manifest.wrong_helper(ComposeHash::new([7; 32])), None);
    }
}
