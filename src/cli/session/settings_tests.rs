//! What settings are made of, by rank.

use clap::Parser as _;

use super::*;
use crate::chain::Finality;
use crate::cli::args::Multisig;
use crate::cli::root::{Cli, Command};
use crate::cloud::patch::Gpus;
use crate::fsutil;

#[derive(clap::Parser)]
struct Only {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    safe: Multisig,
}

fn typed(words: &[&str]) -> Only {
    Only::parse_from(std::iter::once("x").chain(words.iter().copied()))
}

fn gather(words: &[&str], env: &[(&str, &str)]) -> Result<Settings, CliError> {
    let only = typed(words);
    let typed = SharedOptions {
        reach: Some(&only.reach),
        ..SharedOptions::default()
    };
    Settings::gather(typed, &Environment::fixed(env), &Own::default())
}

fn project(text: &str) -> Project {
    Project::parse(text.as_bytes()).unwrap()
}

#[test]
fn a_flag_ranks_before_the_environment() {
    let env = [(RPC_URL, "https://env.example")];
    let settings = gather(
        &["--rpc-url", "https://a.example", "--rpc-url", "https://b.example"],
        &env,
    )
    .unwrap();
    let hosts: Vec<_> = settings
        .endpoints
        .iter()
        .map(|endpoint| endpoint.value.host_str().unwrap())
        .collect();
    assert_eq!(hosts, ["a.example", "b.example"]);
    assert!(
        settings
            .endpoints
            .iter()
            .all(|endpoint| endpoint.origin == Origin::Flag("--rpc-url"))
    );
}

#[test]
fn the_environment_ranks_before_the_default() {
    let settings = gather(
        &[],
        &[
            (RPC_URL, "https://env.example"),
            (API_PREFIX, "https://c.example/api/v1"),
        ],
    )
    .unwrap();
    assert_eq!(settings.endpoints[0].origin, Origin::Variable(RPC_URL));
    assert_eq!(settings.prefix.value.as_str(), "https://c.example/api/v1");
    assert_eq!(settings.prefix.origin, Origin::Variable(API_PREFIX));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let settings = gather(&[], &[(RPC_URL, ""), (API_PREFIX, ""), (API_KEY, "")]).unwrap();
    assert!(settings.endpoints.is_empty() && settings.api_key.is_none());
    assert_eq!(settings.prefix.value.as_str(), DEFAULT_PREFIX);
    assert_eq!(settings.prefix.origin, Origin::Default);
}

#[test]
fn v23_a_malformed_address_is_refused_without_repeating_it() {
    for name in [RPC_URL, API_PREFIX] {
        for bad in ["CANARY", "ftp://CANARY.example", "https://", "file:///CANARY"] {
            let error = gather(&[], &[(name, bad)]).unwrap_err();
            assert!(matches!(error, CliError::Input { .. }));
            assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
        }
    }
}

#[test]
fn v23_settings_never_show_the_api_key() {
    let settings = gather(&[], &[(API_KEY, "phak_CANARY")]).unwrap();
    assert!(settings.api_key.is_some());
    assert!(!format!("{settings:?}").contains("CANARY"));
}

#[test]
fn the_project_file_names_the_cvm_when_no_flag_does() {
    let file = project("app_id = \"app_0123456789012345678901234567890123456789\"\nname = \"other\"\n");
    let found = cvm(None, &file).unwrap();
    assert_eq!(found.origin, Origin::Project);
    assert_eq!(
        found.value,
        "app_0123456789012345678901234567890123456789".parse().unwrap()
    );
    let id = "my-app".parse().unwrap();
    let flagged = cvm(Some(&id), &file).unwrap();
    assert_eq!((flagged.value, flagged.origin), (id, Origin::Flag("--cvm")));
}

#[test]
fn the_project_file_is_read_leniently_and_names_in_the_ecosystems_order() {
    let file = project("name = \"n-name\"\nuuid = \"u\"\nprofile = \"p\"\ngateway_port = 1\n[unknown]\nx = [1]\n");
    assert_eq!(file.cvm(), Some("u"));
    assert_eq!(project("").cvm(), None);
    assert!(Project::parse(b"name = ").is_err() && Project::parse(b"name = 3").is_err());
    assert!(Project::parse(&[0xff]).is_err());
}

fn wanted(words: &[&str]) -> Result<Sourced<Intent>, CliError> {
    let wanted = Wanted {
        change: &typed(words).change,
        project: &Project::default(),
        trust: &Trust::default(),
        governor: &Governor::default(),
    };
    intent(&wanted, &Environment::fixed(&[]), &|_| {})
}

#[test]
fn without_a_cvm_or_a_change_the_arguments_are_refused() {
    let none = wanted(&["--compose", "x"]).unwrap_err();
    assert!(matches!(
        none,
        CliError::Usage {
            code: Code::UsageNoCvm,
            ..
        }
    ));
    let nothing = wanted(&["--cvm", "my-app"]).unwrap_err();
    assert!(matches!(
        nothing,
        CliError::Usage {
            code: Code::UsageNothingToChange,
            ..
        }
    ));
}

#[test]
fn flags_become_exactly_the_fields_of_the_patch() {
    let words = [
        "--cvm=my-app",
        "--allowed-env=B,A",
        "--allowed-env",
        "C",
        "--public-logs",
        "false",
        "--vcpu",
        "2",
        "--memory",
        "4096",
        "--disk-size",
        "40",
        "--image",
        "dstack-0.5.5",
        "--gpus",
        "2",
        "--gpu-product",
        "H200",
        "--shutdown-timeout",
        "none",
        "--allow-force-stop=false",
        "--confirm",
    ];
    let intent = wanted(&words).unwrap().value;
    let expected = Patch {
        changes: Changes {
            allowed_envs: Some(["B", "A", "C"].map(str::to_owned).to_vec()),
            public_logs: Some(false),
            ..Changes::default()
        },
        vcpu: Some(2),
        memory: Some(4096),
        disk_size: Some(40),
        image: Some("dstack-0.5.5".to_owned()),
        gpus: Some(Gpus::Count {
            count: 2,
            product_name: Some("H200".to_owned()),
        }),
        shutdown_timeout: Some(None),
        allow_force_stop: Some(false),
        ..Patch::default()
    };
    assert_eq!(intent.patch, expected);
    assert!(intent.confirm);
}

#[test]
fn i1_i4_a_compose_file_is_taken_byte_for_byte_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker-compose.yml");
    let read = |bytes: &[u8]| {
        fsutil::write(&path, bytes, 0o644).unwrap();
        text_file(&path)
    };
    assert_eq!(read(b"services: {}\r\n").unwrap(), "services: {}\r\n");
    for bad in [&b""[..], b" \n", b"\xef\xbb\xbfservices: {}", b"\xff\xfe"] {
        assert!(matches!(read(bad), Err(CliError::Input { .. })), "{bad:?}");
    }
    assert!(matches!(read(&vec![b'x'; 200 * 1024 + 1]), Err(CliError::UserFile(_))));
    assert!(matches!(text_file(dir.path()), Err(CliError::UserFile(_))));
}

#[test]
fn limits_say_what_was_typed() {
    let words = [
        "x",
        "upgrade",
        "--timeout",
        "10m",
        "--finality",
        "safe",
        "--max-fee",
        "0.5",
        "--max-cost",
        "0.25",
        "--supersede",
        "--new-nonce",
        "--accept-unverified-hash",
        "--no-wait",
        "--yes",
    ];
    let Command::Upgrade(upgrade) = Cli::parse_from(words).command else {
        panic!("another command")
    };
    let settings = Settings::gather(upgrade.typed(), &Environment::fixed(&[]), &Own::default()).unwrap();
    assert_eq!(settings.limits.timeout, Duration::from_secs(600));
    assert_eq!(settings.limits.finality, Some(crate::chain::Finality::Safe));
    assert_eq!(settings.limits.fees.ceiling, Some(500_000_000));
    assert_eq!(
        settings.limits.fees.limit(10),
        Some(alloy::primitives::U256::from(250_000_000_000_000_000_u64))
    );
    assert!(settings.yes && settings.limits.supersede && settings.limits.new_nonce);
    assert!(settings.limits.no_wait && settings.limits.accepted.covers(Code::HashUnverifiable, Some("0x1")));
}

#[test]
fn consent_and_risks_are_off_until_they_are_typed() {
    let Command::Upgrade(upgrade) = Cli::parse_from(["x", "upgrade", "--json"]).command else {
        panic!("another command")
    };
    let settings = Settings::gather(upgrade.typed(), &Environment::fixed(&[]), &Own::default()).unwrap();
    let limits = settings.limits;
    assert!(!settings.yes && !settings.allow_unpinned && settings.signer.is_none());
    assert!(!limits.supersede && !limits.new_nonce && limits.accepted.iter().next().is_none() && !limits.no_wait);
    assert_eq!(limits.finality, None);
}

fn own(text: &str) -> Own {
    project(&format!("name = \"my-app\"\n[countersign]\n{text}")).countersign
}

#[test]
fn what_nobody_typed_and_no_variable_says_comes_from_the_file() {
    let file = own(
        "rpc_url = [\"https://a.example/key\", \"https://b.example\"]\nquorum = 1\nfinality = \"safe\"\n\
                    service_url = \"https://safe.example\"\nlogs_rpc_url = \"https://logs.example\"\nsigner = \"browser\"",
    );
    let upgrade = |words: &[&str], env: &[(&str, &str)]| {
        let words = [&["countersign", "upgrade"] as &[&str], words].concat();
        let Command::Upgrade(upgrade) = Cli::parse_from(words).command else {
            panic!("another command");
        };
        Settings::gather(upgrade.typed(), &Environment::fixed(env), &file).unwrap()
    };
    let settings = upgrade(&[], &[]);
    let hosts = |settings: &Settings| -> Vec<String> {
        settings
            .urls()
            .iter()
            .map(|url| url.host_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(hosts(&settings), ["a.example", "b.example"]);
    assert_eq!(
        (settings.quorum.needed, settings.limits.finality),
        (Some(1), Some(Finality::Safe))
    );
    assert_eq!(
        settings.histories.as_ref().and_then(Url::host_str),
        Some("logs.example")
    );
    assert_eq!(settings.signer, Some(Source::Browser(None)));
    let told: Vec<_> = settings
        .origins
        .iter()
        .map(|(name, from)| format!("{name} {from}"))
        .collect();
    assert_eq!(
        told,
        ["finality", "logs_rpc_url", "quorum", "rpc_url", "service_url", "signer"]
            .map(|name| format!("{name} phala.toml"))
    );
    let said = settings.of_the_file().unwrap();
    assert!(
        said.contains("rpc_url") && said.contains("https://a.example, https://b.example"),
        "{said}"
    );
    assert!(!said.contains("/key"), "{said}");
    // Each of the others ranks higher.
    let settings = upgrade(
        &["--confirmations", "3", "--signer", "prompt"],
        &[(RPC_URL, "https://env.example"), (RPC_QUORUM, "1")],
    );
    assert_eq!(hosts(&settings), ["env.example"]);
    assert_eq!(settings.limits.finality, Some(Finality::Confirmations(3)));
    assert_eq!(settings.signer, Some(Source::Prompt));
    for (name, from) in [
        ("rpc_url", RPC_URL),
        ("quorum", RPC_QUORUM),
        ("finality", "--confirmations"),
        ("signer", "--signer"),
    ] {
        assert_eq!(settings.origins[name], from);
    }
}

#[test]
fn a_table_that_says_what_it_cannot_is_refused_and_keys_in_it_are_not_repeated() {
    for bad in [
        "rpc_ur = \"https://a.example\"",
        "rpc_url = \"a.example/canary\"",
        "rpc_url = [\"https://a.example\", 5]",
        "ca_file = \"company.pem\"",
        "quorum = 0",
        "confirmations = -1",
        "confirmations = 3\nfinality = \"safe\"",
        "finality = \"latest\"",
        "signer = \"0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d\"",
        "service_url = \"ftp://canary\"",
        "owners = { alice = \"0x1234\" }",
        "owners = { 0x12 = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\" }",
        "owners = { \"a b\" = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\" }",
        "owners = { a = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\", b = \"0x70997970c51812dc3a010c7d01b50e0d17dc79c8\" }",
    ] {
        let why = Project::parse(format!("[countersign]\n{bad}").as_bytes()).unwrap_err();
        assert!(!why.contains("canary") && !why.contains("59c6995e"), "{why}");
    }
    let named = own("owners = { alice = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\" }");
    assert_eq!(named.owners.values().collect::<Vec<_>>(), ["alice"]);
    assert_eq!(own("rpc_url = \"https://a.example\"").rpc_url.len(), 1);
}

#[derive(clap::Parser)]
struct Asks {
    #[command(flatten)]
    notices: Notices,
}

#[test]
fn a_service_that_the_file_names_gets_no_key() {
    let file = own("service_url = \"https://safe.example\"");
    let asked = |words: &[&str], file: &Own| {
        let asks = Asks::parse_from(std::iter::once("x").chain(words.iter().copied()));
        let typed = SharedOptions {
            notices: Some(&asks.notices),
            ..SharedOptions::default()
        };
        let env = Environment::fixed(&[(SERVICE_KEY, "key-of-the-service")]);
        let settings = Settings::gather(typed, &env, file).unwrap();
        let http = crate::http::Http::new(crate::http::Limits::default());
        let service = settings.services.of(&http, 1).unwrap().unwrap();
        (service.host(), service.has_key())
    };
    assert_eq!(asked(&[], &file), ("https://safe.example".to_owned(), false));
    let typed = ["--service-url", "https://safe.example"];
    assert_eq!(asked(&typed, &file), ("https://safe.example".to_owned(), true));
    assert!(asked(&[], &Own::default()).1);
}
