//! A proposal. One that is read and that nothing forbids asks for the calls and the hash, and shows the images, of a
//! proposal that somebody made: what else was changed in it, its verdict or its reading says.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use alloy::primitives::{B256, Bytes, U256, keccak256};
use alloy::sol;
use alloy::sol_types::{SolStruct as _, eip712_domain};
use countersign::chain::quorum::Quorum;
use countersign::cloud::{ApiVersion, Client, DEFAULT_PREFIX, Options};
use countersign::compose::{ComposeHash, Form, Manifest, Verification};
use countersign::http::{Http, Limits as HttpLimits};
use countersign::safe::service::Services;
use countersign::signer::{Ask, AskError, Consent, Unlock};
use countersign::upgrade::model::Proposal;
use countersign::upgrade::review::{ImageChange, Question, Review, review};
use countersign::upgrade::workspace::Document;
use countersign::upgrade::{Limits, Reached, World};
use countersign_fuzz::{Bases, scratch};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

sol! {
    /// A Safe's transaction, as its contract hashes it.
    struct SafeTx {
        address to;
        uint256 value;
        bytes data;
        uint8 operation;
        uint256 safeTxGas;
        uint256 baseGas;
        uint256 gasPrice;
        address gasToken;
        address refundReceiver;
        uint256 nonce;
    }
}

pub(crate) struct Target {
    bases: Bases,
    made: Vec<Asked>,
    file: PathBuf,
    outside: Outside,
    runtime: Runtime,
    _dir: tempfile::TempDir,
}

/// What whoever approves a proposal agrees to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    hashes: Vec<Option<ComposeHash>>,
    calls: Vec<(String, U256, Bytes)>,
    images: Vec<BTreeSet<String>>,
    safe_tx: Option<B256>,
}

/// What a review could ask.
struct Outside {
    http: Http,
    cloud: Client,
    quorum: Quorum,
    services: Services,
    unlock: Unlock,
}

struct Nobody;

impl Ask for Nobody {
    fn secret(&self, prompt: &str) -> Result<zeroize::Zeroizing<String>, AskError> {
        Err(AskError::Nobody(prompt.to_owned()))
    }
    fn variable(&self, _: &str) -> Option<zeroize::Zeroizing<String>> {
        None
    }
    fn consent(&self, _: &Consent) -> Result<bool, AskError> {
        Ok(false)
    }
    fn tell(&self, _: &str) {}
}

/// Proposals that this program wrote.
pub(crate) const MADE: [&str; 5] = [
    "tests/vectors/proposals-0.1.0/several-apps.json",
    "tests/vectors/proposals-0.1.0/timelock.json",
    "tests/vectors/proposals-0.1.0/uncovered.json",
    "tests/vectors/proposal_gives_away.json",
    "tests/vectors/proposal_gives_away_only.json",
];

impl Target {
    pub(crate) fn new() -> Self {
        let dir = scratch();
        let http = Http::new(HttpLimits::default());
        let options = Options {
            prefix: DEFAULT_PREFIX.parse().unwrap(),
            api_key: None,
            version: ApiVersion::NEWEST,
        };
        let mut target = Self {
            bases: Bases::read(&MADE),
            made: Vec::new(),
            file: dir.path().join("proposal.json"),
            outside: Outside {
                cloud: Client::new(http.clone(), options),
                http,
                quorum: Quorum::default(),
                services: Services::default(),
                unlock: Unlock::default(),
            },
            runtime: super::runtime(),
            _dir: dir,
        };
        let made = target
            .bases
            .all()
            .iter()
            .filter_map(|base| target.read(base.to_string().as_bytes()));
        target.made = made.map(|(proposal, _)| asked(&proposal)).collect();
        assert!(!target.made.is_empty(), "no proposal of those that were made is read");
        target
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let text = self.bases.text(input);
        let Some((proposal, review)) = self.read(&text) else {
            return;
        };
        self.check_sums(&proposal);
        let asked = asked(&proposal);
        let shown: BTreeSet<String> = review
            .images
            .iter()
            .filter(|image| image.change != ImageChange::Gone)
            .map(|image| image.name.clone())
            .collect();
        assert_eq!(Some(&shown), asked.images.first(), "the review shows other images");
        let calls = review
            .transaction
            .calls
            .iter()
            .map(|call| (call.to.to_string(), call.value, call.data.clone()));
        let calls: Vec<_> = calls.collect();
        let signed = proposal.ceremony().expect("a ceremony that contradicts itself");
        if let Some(ceremony) = signed {
            let hashes = review.hashes.expect("no hashes beside what is signed");
            assert_eq!(hashes.safe_tx, ceremony.approval.tx.hash());
            let own = ceremony
                .approval
                .tx
                .calls()
                .iter()
                .map(|call| (call.to.to_string(), call.value, call.data.clone()));
            assert_eq!(
                calls,
                own.collect::<Vec<_>>(),
                "the review shows other calls than are signed"
            );
        }
        if review.verdict.forbidding().is_none() && review.problems.is_empty() {
            assert!(
                self.made.contains(&asked),
                "nothing forbids what nobody proposed: {asked:#?}"
            );
        }
    }

    fn read(&self, text: &[u8]) -> Option<(Proposal, Review)> {
        fs::write(&self.file, text).unwrap();
        let proposal = Proposal::read(&self.file).ok()?;
        let written = serde_json::to_value(&proposal).unwrap();
        let given: serde_json::Value = serde_json::from_slice(text).unwrap();
        assert_eq!(written, given, "what is read is not what is written");
        let state = Document::open(&self.file).ok()?.into_state();
        let outside = &self.outside;
        let world = World {
            cloud: &outside.cloud,
            http: &outside.http,
            endpoints: &[],
            histories: None,
            quorum: &outside.quorum,
            services: &outside.services,
            reached: Reached::default(),
            allow_unpinned: false,
            signer: None,
            unlock: &outside.unlock,
            root: &self.file,
            base_tx: None,
            record: None,
            ask: &Nobody,
        };
        let limits = Limits {
            offline: true,
            ..Limits::default()
        };
        let shown = self
            .runtime
            .block_on(review(&world, &limits, &state, &Question::default()))
            .ok()?;
        Some((proposal, shown))
    }

    /// Hashes by others' means.
    fn check_sums(&self, proposal: &Proposal) {
        for one in std::iter::once(proposal).chain(&proposal.others) {
            if let (Some(after), Some(hash), Some(Verification::Verified { form: Form::Sorted })) =
                (&one.manifest_after, &one.compose_hash, &one.verified)
            {
                let plain = serde_json::to_string(after).unwrap();
                if plain.is_ascii() && !plain.contains('.') || plain == after.canonical(Form::Sorted) {
                    assert_eq!(
                        hash.as_bytes(),
                        &*Sha256::digest(plain.as_bytes()),
                        "the hash is of another manifest"
                    );
                }
            }
        }
        let apps = || std::iter::once(proposal).chain(&proposal.others);
        let shown = apps().filter_map(|one| Some((one.plan.app, one.compose_hash.as_ref()?.as_bytes().to_vec())));
        let shown: Vec<_> = shown.collect();
        for call in apps().flat_map(|one| &one.calls) {
            if let Some(hash) = call.data.strip_prefix(&[0xdf, 0xc7, 0x72, 0x23]) {
                assert!(
                    shown.contains(&(call.to, hash.to_vec())),
                    "another hash is allowed than is shown"
                );
            }
        }
        if let Ok(Some(ceremony)) = proposal.ceremony() {
            let (tx, fields) = (&ceremony.approval.tx, ceremony.approval.tx.fields());
            let theirs = SafeTx {
                to: fields.to,
                value: fields.value,
                data: fields.data.clone(),
                operation: fields.operation.into(),
                safeTxGas: fields.safe_tx_gas,
                baseGas: fields.base_gas,
                gasPrice: fields.gas_price,
                gasToken: fields.gas_token,
                refundReceiver: fields.refund_receiver,
                nonce: fields.nonce,
            };
            let domain = eip712_domain! { chain_id: tx.domain().chain_id, verifying_contract: tx.domain().safe, };
            assert_eq!(tx.hash(), theirs.eip712_signing_hash(&domain));
            assert_eq!(tx.digests().data, call_digest(&fields.data));
        }
    }
}

fn call_digest(data: &[u8]) -> B256 {
    keccak256([&U256::from(data.len()).to_be_bytes::<32>(), data].concat())
}

fn asked(proposal: &Proposal) -> Asked {
    let apps = || std::iter::once(proposal).chain(&proposal.others);
    let images = |manifest: &Manifest| {
        manifest
            .image_list()
            .images
            .into_iter()
            .map(|image| image.name)
            .collect()
    };
    let calls = apps()
        .flat_map(|one| &one.calls)
        .map(|call| (call.to.to_string(), call.value, call.data.clone()));
    Asked {
        hashes: apps().map(|one| one.compose_hash).collect(),
        calls: calls.collect(),
        images: apps()
            .map(|one| one.manifest_after.as_ref().map(images).unwrap_or_default())
            .collect(),
        safe_tx: proposal
            .ceremony()
            .ok()
            .flatten()
            .map(|ceremony| ceremony.approval.tx.hash()),
    }
}
