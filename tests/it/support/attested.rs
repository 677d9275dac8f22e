//! A world whose CVM can be attested: a guest's agent, a server of Intel's collateral and an app that answers numbers, on one
//! loopback server; what they show, and what the simulated cloud shows, comes from one generator.
//!
//! The guest measures what the cloud runs, until it is told to lie.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use alloy::primitives::B256;
use axum::response::Response;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::attestation::{self, Cvm, DAY, Event};
use super::cloud::{self, Request, SimCloud};
use super::contracts::abi;
use super::world::CVM;
use super::{World, block};

/// What a server does with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Serves {
    /// What it should.
    #[default]
    Honestly,
    /// This status and nothing.
    Status(u16),
    /// A redirect to this place.
    Redirect(String),
    /// A text that is none of its own.
    Rubbish,
}

/// How the parts of it behave.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// `Info` of the guest.
    pub info: Serves,
    /// `GetAttestationForAppKey` of the guest.
    pub quote: Serves,
    /// The server of collateral.
    pub pccs: Serves,
    /// The guest's certificate is not signed yet.
    pub no_certificate: bool,
    /// The manifest keeps measurements private.
    pub private: bool,
    /// The log that the guest shows in place of what it measured.
    pub shown_log: Option<Vec<Event>>,
    /// The app answers with this in place of the number.
    pub answers: Option<[u8; 64]>,
}

struct State {
    cvm: Cvm,
    /// Whether the guest measures what the cloud runs.
    follows: bool,
    behaviour: Behaviour,
    requests: Vec<Request>,
    cloud: SimCloud,
}

/// The servers; dropping them stops them.
pub struct Attested {
    state: Arc<Mutex<State>>,
    address: std::net::SocketAddr,
    task: tokio::task::JoinHandle<()>,
    root: PathBuf,
}

impl Attested {
    /// Makes the CVM of a world one that can be attested: its machine is on the app's list, its KMS's key in the contract.
    pub fn of(world: &World) -> Self {
        let mut cvm = Cvm::default();
        cvm.intel.issued = jiff::Timestamp::now().as_second() - DAY;
        let record = world.cloud.cvm(CVM);
        cvm.chain.app_id = world.app.into_array();
        cvm.chain.authority_id = world.app.into_array();
        cvm.measure("app-id", world.app.as_slice());
        cvm.measure("instance-id", &hex::decode(&record.instance_id).unwrap());
        cvm.measure("os-image-hash", record.os_image.as_slice());
        let device = B256::from(cvm.intel.device_id());
        world.as_owner(&abi::addDeviceCall { deviceId: device });
        world.cloud.change_cvm(CVM, |record| record.device = device);
        world.publish_ca(cvm.chain.kms_key());
        let root = world.folder().join("root.der");
        std::fs::write(&root, cvm.intel.root()).unwrap();
        let state = Arc::new(Mutex::new(State {
            cvm,
            follows: true,
            behaviour: Behaviour::default(),
            requests: Vec::new(),
            cloud: world.cloud.clone(),
        }));
        // The cloud passes on what its guest shows. It holds no handle of itself.
        let shown = Arc::downgrade(&state);
        world.cloud.lie(|lies| {
            lies.edit_attestation = Some(Arc::new(move |body: &mut Value| {
                if let Some(state) = shown.upgrade() {
                    pass_on(&mut state.lock().unwrap(), body);
                }
            }));
        });
        let listener = block(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::clone(&state);
        let router = axum::Router::new().fallback(move |request| answer(Arc::clone(&served), request));
        let task = super::runtime().spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            state,
            address,
            task,
            root,
        }
    }

    /// Address of the guest's agent.
    pub fn guest(&self) -> String {
        format!("http://{}/guest", self.address)
    }
    /// Address of the server of collateral.
    pub fn pccs(&self) -> String {
        format!("http://{}/pccs", self.address)
    }
    /// Address of the app, which answers numbers.
    pub fn app(&self) -> String {
        format!("http://{}/app/{{nonce}}", self.address)
    }
    /// The root that stands in Intel's place, in a file.
    pub fn root(&self) -> &PathBuf {
        &self.root
    }
    /// Behaves like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }
    /// The CVM is changed, and measures nothing anew from now on.
    pub fn lie(&self, lie: impl FnOnce(&mut Cvm)) {
        let mut state = self.lock();
        follow(&mut state);
        state.follows = false;
        lie(&mut state.cvm);
    }
    /// What the CVM measured.
    pub fn log(&self) -> Vec<Event> {
        let mut state = self.lock();
        follow(&mut state);
        state.cvm.log.clone()
    }
    /// Collateral as `dcap-qvl` keeps it.
    pub fn collateral(&self) -> Value {
        self.lock().cvm.intel.collateral()
    }
    /// Every request that came, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Attested {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The guest boots what the cloud runs.
fn follow(state: &mut State) {
    if state.follows {
        let record = state.cloud.cvm(CVM);
        boot(&mut state.cvm, cloud::canonical(&record.manifest).into_bytes());
    }
}

/// The CVM boots with this manifest.
pub fn boot(cvm: &mut Cvm, manifest: Vec<u8>) {
    let hash = Sha256::digest(&manifest);
    cvm.measure("compose-hash", &hash);
    cvm.config_id = [0; 48];
    cvm.config_id[0] = 1;
    cvm.config_id[1..33].copy_from_slice(&hash);
    cvm.manifest = manifest;
}

fn log(state: &State) -> Vec<Event> {
    let shown = &state.behaviour.shown_log;
    shown.clone().unwrap_or_else(|| state.cvm.log.clone())
}

fn log_json(state: &State) -> Value {
    serde_json::from_slice(&attestation::written(&log(state))).unwrap()
}

/// What the cloud shows of the guest: parsed fields of its certificate and no key.
fn pass_on(state: &mut State, body: &mut Value) {
    follow(state);
    body["app_certificates"] = json!([{"subject": "CN=demo-cert", "quote": hex::encode(state.cvm.quote())}]);
    body["tcb_info"]["event_log"] = log_json(state);
    body["tcb_info"]["app_compose"] = String::from_utf8(state.cvm.manifest.clone()).unwrap().into();
}

async fn answer(state: Arc<Mutex<State>>, request: axum::extract::Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 16).await.unwrap();
    let headers = head.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: body.to_vec(),
        status: 0,
    };
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    follow(&mut state);
    let behaviour = state.behaviour.clone();
    let (serves, honest): (Serves, fn(&mut State, &Request) -> Response) = match request.path.as_str() {
        "/guest/prpc/Info" => (behaviour.info, info),
        "/guest/prpc/GetAttestationForAppKey" => (behaviour.quote, quote),
        path if path.starts_with("/pccs/") => (behaviour.pccs, pccs),
        path if path.starts_with("/app/") => (Serves::Honestly, app),
        _ => (Serves::Status(404), info),
    };
    match serves {
        Serves::Honestly => honest(&mut state, &request),
        Serves::Status(status) => text(status, String::new()),
        Serves::Rubbish => text(200, "<html>it works</html>".to_owned()),
        Serves::Redirect(to) => Response::builder()
            .status(307)
            .header("location", to)
            .body(String::new().into())
            .unwrap(),
    }
}

fn text(status: u16, body: String) -> Response {
    Response::builder().status(status).body(body.into()).unwrap()
}

/// `Info`: bytes in hex, `tcb_info` and `vm_config` as texts that hold JSON.
fn info(state: &mut State, _: &Request) -> Response {
    let log = log(state);
    let certificate = match state.behaviour.no_certificate {
        true => String::new(),
        false => state.cvm.certificate(&log),
    };
    let app_compose = String::from_utf8(state.cvm.manifest.clone()).unwrap();
    let tcb_info = json!({"mrtd": "", "event_log": log_json(state), "app_compose": app_compose}).to_string();
    let (tcb_info, vm_config) = match state.behaviour.private {
        true => (String::new(), String::new()),
        false => (tcb_info, "{}".to_owned()),
    };
    let body = json!({"app_id": hex::encode(state.cvm.chain.app_id), "app_cert": certificate, "tcb_info": tcb_info,
        "app_name": "app", "vm_config": vm_config, "device_id": hex::encode(Sha256::digest([])),
        "os_image_hash": "00", "key_provider_info": "{}"});
    text(200, body.to_string())
}

fn quote(state: &mut State, request: &Request) -> Response {
    assert_eq!(
        (request.method.as_str(), request.json()),
        ("POST", json!({"algorithm": "secp256k1"}))
    );
    let mut signed = [0; 64];
    signed[..4].copy_from_slice(b"dip1");
    let log = String::from_utf8(attestation::written(&log(state))).unwrap();
    let body = json!({"quote": hex::encode(state.cvm.quote_of(signed)), "event_log": log,
        "report_data": hex::encode(signed), "vm_config": "{}"});
    text(200, body.to_string())
}

/// The four answers of a PCCS: chains percent-encoded in headers, the root's list in hex digits, Intel's bytes as they are.
fn pccs(state: &mut State, request: &Request) -> Response {
    let all = state.cvm.intel.collateral();
    let part = |name: &str| all[name].as_str().unwrap().to_owned();
    let of = |header: &str, chain: &str, body: Vec<u8>| {
        let encoded =
            percent_encoding::utf8_percent_encode(&part(chain), percent_encoding::NON_ALPHANUMERIC).to_string();
        Response::builder()
            .status(200)
            .header(header, encoded)
            .body(body.into())
            .unwrap()
    };
    let signed = |name: &str, inner: &str| {
        let (value, signature) = (part(inner), part(&format!("{inner}_signature")));
        format!("{{\"{name}\":{value},\"signature\":\"{signature}\"}}").into_bytes()
    };
    match (request.path.trim_start_matches("/pccs"), request.query.as_str()) {
        ("/sgx/certification/v4/pckcrl", "ca=platform&encoding=der") => {
            let list = hex::decode(part("pck_crl")).unwrap();
            of("SGX-PCK-CRL-Issuer-Chain", "pck_crl_issuer_chain", list)
        }
        ("/tdx/certification/v4/tcb", "fmspc=C0FFEE000000&update=standard") => of(
            "TCB-Info-Issuer-Chain",
            "tcb_info_issuer_chain",
            signed("tcbInfo", "tcb_info"),
        ),
        ("/tdx/certification/v4/qe/identity", "update=standard") => {
            let body = signed("enclaveIdentity", "qe_identity");
            of("SGX-Enclave-Identity-Issuer-Chain", "qe_identity_issuer_chain", body)
        }
        ("/sgx/certification/v4/rootcacrl", "") => text(200, part("root_ca_crl")),
        (path, query) => text(404, format!("{path}?{query}")),
    }
}

/// The app's own address: a quote over the number in it.
fn app(state: &mut State, request: &Request) -> Response {
    let nonce = hex::decode(request.path.trim_start_matches("/app/")).unwrap();
    let mut signed = [0; 64];
    signed[..nonce.len()].copy_from_slice(&nonce);
    let signed = state.behaviour.answers.unwrap_or(signed);
    text(
        200,
        json!({"quote": hex::encode(state.cvm.quote_of(signed))}).to_string(),
    )
}

/// An address of this machine at which nobody listens.
pub fn closed_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
