//! A server that is not who it should be: certificates that nobody signed, of another host, or expired.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::cloud::faults::{keeps_secrets, numbered};
use crate::harness::flow::{Flow, Ran};
use crate::support::{FaultProxy, World, block, runtime};

/// How the cloud names itself in its links, which have to lead where the client is.
const HOST: &str = "127.0.0.1";

/// An authority of our own; `SSL_CERT_FILE` makes it the one that is trusted.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A TLS server in front of `upstream`; gives its port.
fn serve(upstream: &str, chain: &rcgen::Certificate, key: &KeyPair) -> u16 {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = block(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = upstream.trim_start_matches("http://").to_owned();
    runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            tokio::spawn(async move {
                let mut inside = acceptor.accept(stream).await.ok()?;
                let mut outside = tokio::net::TcpStream::connect(upstream).await.ok()?;
                tokio::io::copy_bidirectional(&mut inside, &mut outside).await.ok()
            });
        }
    });
    port
}

/// A certificate of `authority` for `host` that was good until the end of `year`.
fn issued(authority: &Authority, host: &str, year: i32) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 12, 31);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a4_a_server_that_is_not_who_it_should_be_stops_at_once_and_hears_nothing() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let (ours, theirs) = (authority(), authority());
    let trusted = world.file("authority.pem", &ours.pem());
    let at = |(certificate, key): (rcgen::Certificate, KeyPair)| {
        let mut flow: Flow<'_> = numbered(&world, &proxy, 1);
        flow.env
            .push(("SSL_CERT_FILE".to_owned(), trusted.to_str().unwrap().to_owned()));
        let port = serve(&proxy.url(), &certificate, &key);
        flow.cloud_at(&format!("https://{HOST}:{port}/api/v1"))
    };
    // Last year of a certificate that outlives every run of this test.
    let late = 2200;
    let honest = at(issued(&ours, HOST, late));
    for step in ["prepare", "execute", "wait"] {
        honest.step(step).exits(0);
    }
    let before = proxy.requests();
    for (what, certificate) in [
        ("expired", issued(&ours, HOST, 2021)),
        ("of another host", issued(&ours, "cloud-api.phala.com", late)),
        ("signed by nobody we know", issued(&theirs, HOST, late)),
        (
            "self-signed",
            rcgen::generate_simple_self_signed(vec![HOST.to_owned()])
                .map(|it| (it.cert, it.signing_key))
                .unwrap(),
        ),
    ] {
        let flow = at(certificate);
        for step in ["plan", "prepare", "commit"] {
            let ran = flow.step(step);
            assert_eq!(
                (ran.exit, ran.json["code"].as_str()),
                (5, Some("TLS_IDENTITY")),
                "{what}, {step}: {}",
                ran.said
            );
            keeps_secrets(&flow, &ran);
        }
    }
    assert_eq!(proxy.requests(), before, "a request went through");
    honest.step("commit").exits(0);
    honest.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a_machine_without_root_certificates_works_offline_and_is_told_what_it_lacks_online() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        flow.env.push((name.to_owned(), "/nonexistent".to_owned()));
    }
    let file = flow.dir.join("proposal.json");
    let review = ["review", file.to_str().unwrap(), "--offline", "--json"];
    Ran::of(&mut flow.command(&review)).exits(0);
    flow.step("status").exits(0);
    let told = Ran::of(&mut flow.command(&["nodes", "--json"]))
        .exits(12)
        .says("NET_NO_TLS");
    assert!(told.said.contains("SSL_CERT_FILE"), "{}", told.said);
    flow.step("wait").exits(12).says("NET_NO_TLS");
}

/// A proxy that only connects: what it was asked, head by head; it answers with `status` where that is no 200.
struct Tunnel {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    fn open(status: u16) -> Self {
        let listener = block(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        runtime().spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(inside.read_u8().await.ok()?);
                    }
                    let head = String::from_utf8(head).ok()?;
                    let to = head.split(' ').nth(1)?.to_owned();
                    kept.lock().unwrap().push(head);
                    let answer = format!("HTTP/1.1 {status} Whatever\r\n\r\n");
                    inside.write_all(answer.as_bytes()).await.ok()?;
                    let mut outside = tokio::net::TcpStream::connect(to)
                        .await
                        .ok()
                        .filter(|_| status == 200)?;
                    tokio::io::copy_bidirectional(&mut inside, &mut outside).await.ok()
                });
            }
        });
        Self { port, heads }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }
}

/// `nodes` at a server of `ours`, with these options and variables.
fn nodes(world: &World, port: u16, more: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut flow = Flow::new(world).cloud_at(&format!("https://{HOST}:{port}/api/v1"));
    let pairs = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    flow.env.extend(pairs);
    let words = [&["nodes", "--json"] as &[&str], more].concat();
    Ran::of(&mut flow.command(&words))
}

#[test]
fn an_authority_in_a_file_is_trusted_besides_and_nobody_else_is() {
    let world = World::start();
    let ours = authority();
    let (certificate, key) = issued(&ours, HOST, 2200);
    let port = serve(&world.cloud.prefix().replace("/api/v1", ""), &certificate, &key);
    let own = world.file("authority.pem", &ours.pem());
    let other = world.file("other.pem", &authority().pem());
    let no = world.file("no.pem", "no certificate");
    let half = world.file("half.pem", &ours.pem().replace("-----END", "AAAA\n-----END"));
    let with = |file: &std::path::Path| nodes(&world, port, &["--ca-file", file.to_str().unwrap()], &[]);
    nodes(&world, port, &[], &[]).exits(5).says("TLS_IDENTITY");
    with(&other).exits(5).says("TLS_IDENTITY");
    with(&own).exits(0);
    for file in [&no, &half] {
        with(file).exits(3).says("INPUT_CA_FILE");
    }
    with(&world.folder().join("missing.pem")).exits(3);
    // Whom the system is told to trust instead of its own is one thing, whom to trust besides is another.
    let instead = [("SSL_CERT_FILE", other.to_str().unwrap())];
    nodes(&world, port, &["--ca-file", own.to_str().unwrap()], &instead).exits(0);
}

#[test]
fn a_proxy_is_taken_as_curl_takes_it_and_its_password_is_told_to_nobody_else() {
    let world = World::start();
    let ours = authority();
    let (certificate, key) = issued(&ours, HOST, 2200);
    let port = serve(&world.cloud.prefix().replace("/api/v1", ""), &certificate, &key);
    let file = world.file("authority.pem", &ours.pem());
    let trusting = ["--ca-file", file.to_str().unwrap()];
    let tunnel = Tunnel::open(200);
    let address = |port: u16| format!("http://me:pr0xy-canary@127.0.0.1:{port}");
    let through = address(tunnel.port);
    let ran = |env: &[(&str, &str)]| nodes(&world, port, &trusting, env);
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        ran(&[(name, &through)]).exits(0);
        let asked = tunnel.asked();
        assert_eq!(asked.len(), 1, "{name}");
        assert!(asked[0].starts_with(&format!("CONNECT {HOST}:{port} ")), "{}", asked[0]);
        let said = asked[0].to_lowercase();
        assert!(
            said.contains(&"proxy-authorization: basic bWU6cHIweHktY2FuYXJ5".to_lowercase()),
            "{said}"
        );
        assert!(!said.contains("x-api-key"), "{said}");
    }
    ran(&[("HTTPS_PROXY", &format!("127.0.0.1:{}", tunnel.port))]).exits(0);
    assert_eq!(tunnel.asked().len(), 1);
    for direct in [HOST, "*", "127.0.0.0/8"] {
        ran(&[("HTTPS_PROXY", &through), ("NO_PROXY", direct)]).exits(0);
        assert!(tunnel.asked().is_empty(), "{direct}");
    }
    // What never leaves this machine takes no way around.
    ran(&[("HTTP_PROXY", &through), ("http_proxy", &through)]).exits(0);
    assert!(tunnel.asked().is_empty());
    let refusing = Tunnel::open(407);
    for proxy in [address(refusing.port), address(1)] {
        let refused = nodes(
            &world,
            port,
            &[&trusting as &[&str], &["-vv"]].concat(),
            &[("HTTPS_PROXY", &proxy)],
        );
        assert_ne!(refused.exit, 0);
        assert!(!refused.said.contains("pr0xy-canary"), "{}", refused.said);
    }
    for bad in ["socks5://me:pr0xy-canary@127.0.0.1:1", "http://", "pr0xy-canary proxy"] {
        let refused = ran(&[("HTTPS_PROXY", bad)]).exits(3).says("INPUT_PROXY");
        assert!(!refused.said.contains("pr0xy-canary"), "{}", refused.said);
    }
}
