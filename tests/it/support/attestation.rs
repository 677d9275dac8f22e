//! Evidence of CVMs that were never there: a maker of machines, machines, a KMS, guests, and what each of them signs. Every
//! part can be made to lie.
//!
//! It knows nothing of how evidence is read: what it writes, it writes by the formats of Intel and dstack.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _, RevokedCertParams, SerialNumber, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A time at which everything that is made here is good: 2026-11-15.
pub const NOW: i64 = 1_794_700_800;
/// Seconds of a day.
pub const DAY: i64 = 24 * 3600;
/// The type of events that a guest extends into RTMR3.
const RUNTIME_EVENT: u32 = 0x0800_0001;
/// A kind of machines.
const FMSPC: [u8; 6] = [0xc0, 0xff, 0xee, 0, 0, 0];

/// Who makes machines, and one machine.
pub struct Intel {
    root: Authority,
    platform: Authority,
    signer: Authority,
    machine: KeyPair,
    attestation: KeyPair,
    /// The machine's own identifier.
    pub ppid: [u8; 16],
    /// What the collateral says of machines like it.
    pub status: &'static str,
    /// Advisories that come with that.
    pub advisories: Vec<&'static str>,
    /// What it says of the quoting enclave.
    pub enclave: &'static str,
    /// Number of the evaluation that says so.
    pub evaluation: u32,
    /// Whether the machine's certificate is revoked.
    pub is_revoked: bool,
    /// When the collateral was issued, seconds since 1970; it is good for thirty days.
    pub issued: i64,
}

struct Authority {
    key: KeyPair,
    params: CertificateParams,
    pem: String,
    der: Vec<u8>,
}

/// One event of a guest's log.
#[derive(Clone)]
pub struct Event {
    pub register: u32,
    pub kind: u32,
    pub name: String,
    pub payload: Vec<u8>,
    pub digest: Vec<u8>,
}

/// The authorities above a guest, and its key.
pub struct Chain {
    pub kms: KeyPair,
    pub app: KeyPair,
    pub guest: KeyPair,
    pub app_id: [u8; 20],
    /// App id of the authority above.
    pub authority_id: [u8; 20],
    pub usage: &'static [u8],
    /// Last arc of dstack's extensions, and what is inside both octet strings.
    pub extensions: Vec<(u64, Vec<u8>)>,
    pub app_is_authority: bool,
    /// Whether the guest's certificate is signed by another key than that of the authority above.
    pub guest_is_signed_by_itself: bool,
}

/// A CVM, and all that it shows of itself.
pub struct Cvm {
    pub intel: Intel,
    pub chain: Chain,
    pub manifest: Vec<u8>,
    pub log: Vec<Event>,
    pub mrtd: [u8; 48],
    pub config_id: [u8; 48],
    pub td_attributes: u64,
    /// What the guest has signed; its key where nothing else is said.
    pub report_data: Option<[u8; 64]>,
    /// Whether its KMS writes an attestation in one piece.
    pub in_one_piece: bool,
}

impl Authority {
    fn new(name: &str, below: Option<u8>, above: Option<&Self>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2049, 1, 1);
        if let Some(below) = below {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
        let made = match above {
            Some(above) => params.signed_by(&key, &above.issuer()).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        Self {
            pem: made.pem(),
            der: made.der().to_vec(),
            key,
            params,
        }
    }
    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
    fn list(&self, revoked: Vec<RevokedCertParams>, issued: i64) -> Vec<u8> {
        let at = |seconds: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.try_into().unwrap());
        let params = CertificateRevocationListParams {
            this_update: at(issued),
            next_update: at(issued + 30 * DAY),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().der().to_vec()
    }
}

impl Default for Intel {
    fn default() -> Self {
        let root = Authority::new("Test Intel SGX Root CA", Some(1), None);
        Self {
            platform: Authority::new("Test Intel SGX PCK Platform CA", Some(0), Some(&root)),
            signer: Authority::new("Test Intel SGX TCB Signing", None, Some(&root)),
            root,
            machine: KeyPair::generate().unwrap(),
            attestation: KeyPair::generate().unwrap(),
            ppid: [0xab; 16],
            status: "UpToDate",
            advisories: Vec::new(),
            enclave: "UpToDate",
            evaluation: 20,
            is_revoked: false,
            issued: NOW - 14 * DAY,
        }
    }
}

impl Intel {
    /// The root certificate.
    pub fn root(&self) -> Vec<u8> {
        self.root.der.clone()
    }

    /// dstack's name of the machine.
    pub fn device_id(&self) -> [u8; 32] {
        Sha256::digest(self.ppid).into()
    }

    /// Collateral, as `dcap-qvl` keeps it.
    pub fn collateral(&self) -> Value {
        let components = |svn: u32| {
            let mut all = vec![json!({"svn": 0}); 16];
            all[0] = json!({"svn": svn});
            all
        };
        let zeros = "00".repeat(48);
        let module = json!({"mrsigner": zeros, "attributes": "0000000000000000", "attributesMask": "FFFFFFFFFFFFFFFF"});
        let mut identity = module.clone();
        identity["id"] = "TDX_01".into();
        identity["tcbLevels"] =
            json!([{"tcb": {"isvsvn": 3}, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": "UpToDate"}]);
        let date = |seconds| Timestamp::from_second(seconds).unwrap().to_string();
        let (from, until) = (date(self.issued), date(self.issued + 30 * DAY));
        let info = json!({
            "id": "TDX", "version": 3, "issueDate": from, "nextUpdate": until, "fmspc": hex::encode_upper(FMSPC),
            "pceId": "0000", "tcbType": 0, "tcbEvaluationDataNumber": self.evaluation,
            "tdxModule": module, "tdxModuleIdentities": [identity],
            "tcbLevels": [{
                "tcb": {"sgxtcbcomponents": components(5), "pcesvn": 13, "tdxtcbcomponents": components(5)},
                "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": self.status, "advisoryIDs": self.advisories,
            }],
        });
        let enclave = json!({
            "id": "TD_QE", "version": 2, "issueDate": from, "nextUpdate": until,
            "tcbEvaluationDataNumber": self.evaluation, "miscselect": "00000000", "miscselectMask": "FFFFFFFF",
            "attributes": "00".repeat(16), "attributesMask": "00".repeat(16), "mrsigner": "44".repeat(32),
            "isvprodid": 2,
            "tcbLevels": [{"tcb": {"isvsvn": 4}, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": self.enclave}],
        });
        let (info, enclave) = (info.to_string(), enclave.to_string());
        let signer = [self.signer.pem.as_str(), &self.root.pem].concat();
        let platform = [self.platform.pem.as_str(), &self.root.pem].concat();
        let revoked = self.is_revoked.then(|| RevokedCertParams {
            serial_number: SerialNumber::from(77),
            revocation_time: date_time_ymd(2026, 11, 1),
            reason_code: None,
            invalidity_date: None,
        });
        json!({
            "pck_crl_issuer_chain": platform,
            "root_ca_crl": hex::encode(self.root.list(Vec::new(), self.issued)),
            "pck_crl": hex::encode(self.platform.list(revoked.into_iter().collect(), self.issued)),
            "tcb_info_issuer_chain": signer,
            "tcb_info_signature": hex::encode(signed(&self.signer.key, info.as_bytes())),
            "tcb_info": info,
            "qe_identity_issuer_chain": signer,
            "qe_identity_signature": hex::encode(signed(&self.signer.key, enclave.as_bytes())),
            "qe_identity": enclave,
        })
    }

    /// A quote of format 4 around a report of 584 bytes.
    pub fn quote(&self, report: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend([4, 0, 2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(hex::decode("939a7233f79c4ca9940a0db3957f0607").unwrap());
        out.extend([0; 20]);
        assert_eq!(report.len(), 584);
        out.extend(report);
        let of_report = signed(&self.attestation, &out);
        let key = &self.attestation.public_key_raw()[1..];
        let data = [0x5a; 32];
        let mut enclave = vec![0; 384];
        enclave[128..160].fill(0x44);
        enclave[256] = 2;
        enclave[258] = 4;
        enclave[320..352].copy_from_slice(&Sha256::digest([key, &data].concat()));
        let chain = [self.certificate().as_str(), &self.platform.pem, &self.root.pem].concat();
        let of_enclave = signed(&self.machine, &enclave);
        let inner = [
            &enclave[..],
            &of_enclave,
            &[32, 0],
            &data,
            &[5, 0],
            &length(chain.len()),
            chain.as_bytes(),
        ]
        .concat();
        let auth = [&of_report[..], key, &[6, 0], &length(inner.len()), &inner].concat();
        out.extend(length(auth.len()));
        out.extend(auth);
        out.extend([0; 70]);
        out
    }

    /// The machine's certificate.
    fn certificate(&self) -> String {
        let mut params = named("Test Intel SGX PCK Certificate");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2049, 1, 1);
        params.serial_number = Some(SerialNumber::from(77));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            &[1, 2, 840, 113_741, 1, 13, 1],
            self.extension(),
        )];
        params.signed_by(&self.machine, &self.platform.issuer()).unwrap().pem()
    }

    /// Intel's extension of a machine's certificate.
    fn extension(&self) -> Vec<u8> {
        let entry = |arcs: &[u8], value: Vec<u8>| {
            let oid = [&[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 1, 13, 1][..], arcs].concat();
            der(0x30, &[der(6, &oid), value].concat())
        };
        let mut levels: Vec<u8> = (1..=16)
            .flat_map(|index| entry(&[2, index], der(2, &[if index == 1 { 5 } else { 0 }])))
            .collect();
        levels.extend(entry(&[2, 17], der(2, &[13])));
        let mut versions = [0; 16];
        versions[0] = 5;
        levels.extend(entry(&[2, 18], der(4, &versions)));
        let flags: Vec<u8> = (1..=3).flat_map(|index| entry(&[7, index], der(1, &[0xff]))).collect();
        let all = [
            entry(&[1], der(4, &self.ppid)),
            entry(&[2], der(0x30, &levels)),
            entry(&[3], der(4, &[0, 0])),
            entry(&[4], der(4, &FMSPC)),
            entry(&[5], der(0x0a, &[1])),
            entry(&[6], der(4, &[7; 16])),
            entry(&[7], der(0x30, &flags)),
        ];
        der(0x30, &all.concat())
    }
}

impl Event {
    /// An event of the guest's own, of the first version.
    pub fn runtime(name: &str, payload: &[u8]) -> Self {
        let kind = RUNTIME_EVENT.to_le_bytes();
        let digest = Sha384::digest([&kind[..], b":", name.as_bytes(), b":", payload].concat());
        Self {
            register: 3,
            kind: RUNTIME_EVENT,
            name: name.to_owned(),
            payload: payload.to_vec(),
            digest: digest.to_vec(),
        }
    }
    /// An event of the firmware's.
    pub fn firmware(register: u32, measured: &[u8]) -> Self {
        Self {
            register,
            kind: 4,
            name: String::new(),
            payload: Vec::new(),
            digest: Sha384::digest(measured).to_vec(),
        }
    }
}

/// What a register holds after these events.
pub fn register(log: &[Event], index: u32) -> [u8; 48] {
    let of = log.iter().filter(|event| event.register == index);
    of.fold([0; 48], |value, event| {
        Sha384::digest([&value[..], &event.digest].concat()).into()
    })
}

/// A log as a guest writes it.
pub fn written(log: &[Event]) -> Vec<u8> {
    let list: Vec<Value> = log
        .iter()
        .map(|event| {
            json!({"imr": event.register, "event_type": event.kind, "digest": hex::encode(&event.digest),
                "event": event.name, "event_payload": hex::encode(&event.payload)})
        })
        .collect();
    Value::from(list).to_string().into_bytes()
}

/// An attestation in one piece (SCALE, version 0) with these run-time events in its second list.
pub fn in_one_piece(quote: &[u8], log: &[Event], runtime: &[Event], config: &str) -> Vec<u8> {
    let mut out = vec![0, 0];
    counted(&mut out, quote);
    count(&mut out, log.len());
    for event in log {
        out.extend(event.register.to_le_bytes());
        out.extend(event.kind.to_le_bytes());
        counted(&mut out, &event.digest);
        counted(&mut out, event.name.as_bytes());
        counted(&mut out, &event.payload);
    }
    count(&mut out, runtime.len());
    for event in runtime {
        counted(&mut out, event.name.as_bytes());
        counted(&mut out, &event.payload);
    }
    out.extend(&quote[568..632]);
    counted(&mut out, config.as_bytes());
    out
}

impl Default for Chain {
    fn default() -> Self {
        let key = || KeyPair::generate().unwrap();
        Self {
            kms: key(),
            app: key(),
            guest: key(),
            app_id: [0xaa; 20],
            authority_id: [0xaa; 20],
            usage: b"app:custom",
            extensions: Vec::new(),
            app_is_authority: true,
            guest_is_signed_by_itself: false,
        }
    }
}

impl Chain {
    /// The KMS's public key, in DER.
    pub fn kms_key(&self) -> Vec<u8> {
        self.kms.subject_public_key_info()
    }

    /// What a quote has to sign to name the guest's key.
    pub fn report_data(&self) -> [u8; 64] {
        Sha512::digest([b"ratls-cert:", &self.guest.subject_public_key_info()[..]].concat()).into()
    }

    /// The three certificates.
    pub fn pem(&self) -> String {
        let of = |name: &str, authority: Option<u8>| {
            let mut params = named(name);
            params.serial_number = Some(SerialNumber::from(7));
            params.not_before = date_time_ymd(1975, 1, 1);
            params.not_after = date_time_ymd(2036, 6, 12);
            if let Some(below) = authority {
                params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
                params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            }
            params
        };
        let kms = of("Dstack KMS CA", Some(1));
        let root = kms.self_signed(&self.kms).unwrap();
        let mut app = of("Dstack App CA", self.app_is_authority.then_some(0));
        app.custom_extensions = vec![extension(3, &self.authority_id), extension(4, b"app:ca")];
        let authority = app.signed_by(&self.app, &Issuer::from_params(&kms, &self.kms)).unwrap();
        let mut guest = of("demo-cert", None);
        guest.custom_extensions = vec![extension(3, &self.app_id), extension(4, self.usage)];
        let more = self.extensions.iter().map(|(arc, bytes)| extension(*arc, bytes));
        guest.custom_extensions.extend(more);
        let signer = match self.guest_is_signed_by_itself {
            true => &self.guest,
            false => &self.app,
        };
        let leaf = guest
            .signed_by(&self.guest, &Issuer::from_params(&app, signer))
            .unwrap();
        [leaf.pem(), authority.pem(), root.pem()].concat()
    }
}

impl Default for Cvm {
    /// One that is as it should be.
    fn default() -> Self {
        let chain = Chain::default();
        let manifest = br#"{"manifest_version":2,"name":"app","runner":"docker-compose"}"#.to_vec();
        let hash = Sha256::digest(&manifest);
        let provider = json!({"name": "kms", "id": hex::encode(chain.kms_key())}).to_string();
        let mut config_id = [0; 48];
        config_id[0] = 1;
        config_id[1..33].copy_from_slice(&hash);
        Self {
            log: vec![
                Event::firmware(0, b"hardware"),
                Event::firmware(1, b"kernel"),
                Event::firmware(2, b"command line"),
                Event::runtime("system-preparing", b""),
                Event::runtime("app-id", &chain.app_id),
                Event::runtime("compose-hash", &hash),
                Event::runtime("instance-id", &[0xbb; 20]),
                Event::runtime("boot-mr-done", b""),
                Event::runtime("os-image-hash", &[0xcc; 32]),
                Event::runtime("key-provider", provider.as_bytes()),
                Event::runtime("storage-fs", b"zfs"),
                Event::runtime("system-ready", b""),
            ],
            intel: Intel::default(),
            chain,
            manifest,
            mrtd: [0xdd; 48],
            config_id,
            td_attributes: 1 << 28,
            report_data: None,
            in_one_piece: false,
        }
    }
}

impl Cvm {
    /// The event of the guest's own with this name.
    pub fn event(&mut self, name: &str) -> &mut Event {
        self.log.iter_mut().find(|event| event.name == name).unwrap()
    }

    /// Measures another payload under this name.
    pub fn measure(&mut self, name: &str, payload: &[u8]) {
        *self.event(name) = Event::runtime(name, payload);
    }

    /// A quote of what it measured, with this signed.
    pub fn quote_of(&self, report_data: [u8; 64]) -> Vec<u8> {
        let mut report = vec![0; 584];
        report[0] = 5;
        report[1] = 1;
        report[120..128].copy_from_slice(&self.td_attributes.to_le_bytes());
        report[136..184].copy_from_slice(&self.mrtd);
        report[184..232].copy_from_slice(&self.config_id);
        for (index, at) in (0..4).zip([328, 376, 424, 472]) {
            report[at..at + 48].copy_from_slice(&register(&self.log, index));
        }
        report[520..584].copy_from_slice(&report_data);
        self.intel.quote(&report)
    }

    /// Its quote.
    pub fn quote(&self) -> Vec<u8> {
        self.quote_of(self.report_data.unwrap_or_else(|| self.chain.report_data()))
    }

    /// Its certificate chain, with its quote and this log inside.
    pub fn certificate(&mut self, log: &[Event]) -> String {
        let quote = self.quote();
        self.chain.extensions = match self.in_one_piece {
            true => {
                let runtime: Vec<Event> = log.iter().filter(|event| event.register == 3).cloned().collect();
                vec![(8, in_one_piece(&quote, log, &runtime, "{}"))]
            }
            false => vec![(1, quote), (2, written(log))],
        };
        self.chain.pem()
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// An extension of dstack's: two octet strings around the bytes.
fn extension(arc: u64, bytes: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 62397, 1, arc], der(4, bytes))
}

/// Tag, length and value.
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    let mut out = vec![tag];
    match value.len() {
        0..0x80 => out.push(length[3]),
        0x80..0x100 => out.extend([0x81, length[3]]),
        0x100..0x1_0000 => out.extend([0x82, length[2], length[3]]),
        _ => out.extend([0x83, length[1], length[2], length[3]]),
    }
    out.extend(value);
    out
}

/// A signature as Intel writes it, of two numbers of 32 bytes.
fn signed(key: &KeyPair, bytes: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der(), &random).unwrap();
    key.sign(&random, bytes).unwrap().as_ref().to_vec()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap().to_le_bytes()
}

/// A length as SCALE writes it.
fn count(out: &mut Vec<u8>, count: usize) {
    match u32::try_from(count).unwrap() {
        count @ 0..64 => out.push(u8::try_from(count << 2).unwrap()),
        count @ 64..16384 => out.extend(u16::try_from(count << 2 | 1).unwrap().to_le_bytes()),
        count => out.extend((count << 2 | 2).to_le_bytes()),
    }
}

fn counted(out: &mut Vec<u8>, bytes: &[u8]) {
    count(out, bytes.len());
    out.extend(bytes);
}
