//! Whole upgrades: every release and singleton of the Safe, three shapes of owners, three ways in which their agreement gets to
//! the chain, one call and two. That makes 108; the sample is the 36 in which each pair of these meets.

use alloy::primitives::{Address, B256, keccak256};
use alloy::sol_types::SolCall as _;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{each, is_thorough};
use crate::safe::upgrade::{Person, execute, proposal, signer};
use crate::support::contracts::abi;
use crate::support::outsider::{BatchFile, Outsider};
use crate::support::safe_service::SERVICE_KEY;
use crate::support::safes::RELEASES;
use crate::support::world::CVM;
use crate::support::{AppVariant, SafeOptions, SafeService, World, WorldOptions};

/// One release and singleton, with one app that changes hands between Safes of three shapes, and the chain's service.
struct Stage {
    world: World,
    safes: Vec<(SafeOptions, Address)>,
    service: SafeService,
}

const TRANSPORTS: [Transport; 3] = [Transport::Files, Transport::BuilderFile, Transport::Service];
const SHAPES: [(u64, usize); 3] = [(1, 1), (2, 3), (3, 5)];

impl Stage {
    fn new(release: usize, l2: bool) -> Self {
        let shape = |(threshold, owners)| SafeOptions {
            release,
            l2,
            threshold,
            owners,
        };
        let world = World::with(WorldOptions {
            safe: Some(shape(SHAPES[0])),
            app: AppVariant::OneStep,
            ..WorldOptions::default()
        });
        let mut safes = vec![(shape(SHAPES[0]), world.safe.unwrap())];
        for other in &SHAPES[1..] {
            let options = shape(*other);
            safes.push((options, options.create(&world.rpc())));
        }
        let service = SafeService::start(&world.rpc());
        for (_, safe) in &safes {
            service.index(*safe);
        }
        Self { world, safes, service }
    }
    /// The app is the Safe's of this shape from now on.
    fn give_to(&self, safe: Address) {
        let owner = self.world.rpc().read(self.world.app, &abi::ownerCall {});
        if owner != safe {
            let call = abi::transferOwnershipCall { to: safe };
            self.world.rpc().execute_as(owner, self.world.app, &call);
        }
    }
    /// An upgrade of its own, number `which` on this stage.
    fn flow(&self, which: usize) -> Flow<'_> {
        let text = format!("services:\n  web:\n    image: nginx:1.{which}\n");
        let mut flow = Flow::new(&self.world);
        flow.dir = self.world.folder().join(format!("upgrade-{which}"));
        flow.compose = self.world.file(&format!("compose-{which}.yml"), &text);
        flow.hash = self.world.hash_with(&text);
        flow.env
            .push(("SAFE_TRANSACTION_SERVICE_API_KEY".to_owned(), SERVICE_KEY.to_owned()));
        flow
    }
}

/// How the owners' agreement gets to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    /// Every owner signs a copy of the proposal, the copies come back, and somebody who is no owner executes.
    Files,
    /// A batch file goes to an outside tool, which gives it a nonce of its own, signs and executes.
    BuilderFile,
    /// Owners meet at the Safe Transaction Service, with this tool and with a wallet.
    Service,
}

#[test]
fn every_release_shape_transport_and_number_of_calls_goes_from_prepare_to_the_new_hash() {
    let stages: Vec<(usize, bool)> = (0..3).flat_map(|release| [(release, false), (release, true)]).collect();
    each(&stages, |(release, l2)| {
        let stage = Stage::new(*release, *l2);
        let mut which = 1;
        for (shape, (options, safe)) in stage.safes.iter().enumerate() {
            stage.give_to(*safe);
            for (way, transport) in TRANSPORTS.into_iter().enumerate() {
                for calls in [1, 2] {
                    if !is_thorough() && (shape + way + 3 * calls + release + usize::from(*l2)) % 6 != 0 {
                        continue;
                    }
                    let case = Case {
                        stage: &stage,
                        options,
                        safe: *safe,
                        which,
                    };
                    case.run(transport, calls);
                    which += 1;
                }
            }
        }
        assert_eq!(which, if is_thorough() { 19 } else { 4 }, "on each of the six stages");
    });
}

/// One of the upgrades.
struct Case<'s> {
    stage: &'s Stage,
    options: &'s SafeOptions,
    safe: Address,
    which: usize,
}

impl Case<'_> {
    fn run(&self, transport: Transport, calls: usize) {
        let (world, flow) = (&self.stage.world, self.stage.flow(self.which));
        let device = keccak256(format!("device {}", self.which));
        let also = ["--add-device".to_owned(), device.to_string()];
        let also: Vec<&str> = also.iter().take((calls - 1) * 2).map(String::as_str).collect();
        flow.with("prepare", &also).exits(0);
        let commits = world.cloud.commits(CVM).len();
        match transport {
            Transport::Files => self.by_files(&flow),
            Transport::BuilderFile => self.by_batch(&flow, calls),
            Transport::Service => self.by_service(&flow),
        }
        flow.step("commit").exits(0);
        world.cloud.wait_for_hash(CVM, flow.hash);
        let evidence = flow.json_file("evidence.json");
        let told = json!({"safe": evidence["safe"]["domain"]["safe"], "hash": evidence["safe"]["safe_tx_hash"]});
        let done = json!({"safe": self.safe, "hash": proposal(&flow)["safe"]["digests"]["safe_tx"]});
        assert_eq!(told, done, "{transport:?}");
        assert_eq!(flow.announcements(), 1);
        assert_eq!(world.cloud.commits(CVM).len(), commits + 1);
        let device = abi::allowedDeviceIdsCall { deviceId: device };
        assert_eq!(world.rpc().read(world.app, &device), calls == 2);
    }
    /// Not the first owners only, and not in the order of their addresses.
    fn signers(&self) -> Vec<usize> {
        let needed = usize::try_from(self.options.threshold).unwrap();
        (0..self.options.owners).rev().take(needed).collect()
    }
    /// A person with a copy of the proposal, signed by an owner's key.
    fn signed<'f>(&self, flow: &'f Flow<'f>, index: usize) -> (Person<'f>, String) {
        let person = Person::new(flow, &format!("owner-{}-{index}", self.which));
        let file = person.get(&flow.dir.join("proposal.json"), "proposal.json");
        person
            .run(&["sign", &file, "--signer", &signer(index), "--yes"])
            .exits(0);
        (person, file)
    }
    fn by_files(&self, flow: &Flow<'_>) {
        let signers = self.signers();
        let files: Vec<String> = signers.iter().map(|index| self.signed(flow, *index).1).collect();
        let mut import = vec!["import", "--dir", flow.dir.to_str().unwrap(), "--json"];
        import.extend(files.iter().map(String::as_str));
        Ran::of(&mut flow.command(&import)).exits(0);
        self.execute(flow);
    }
    /// Executes with what the upgrade holds by now; account 4 is an owner of the largest Safe only.
    fn execute(&self, flow: &Flow<'_>) {
        let held = proposal(flow)["safe"]["signatures"].as_array().unwrap().len();
        assert_eq!(held, self.signers().len(), "signatures in the proposal");
        let before = proposal(flow)["safe"]["digests"]["safe_tx"].clone();
        execute(flow, 4).exits(0);
        let waited = flow.step("wait").exits(0);
        assert_eq!(waited.fact("safe_tx_hash"), &before, "{}", waited.said);
    }
    fn by_batch(&self, flow: &Flow<'_>, calls: usize) {
        let (format, out) = (
            ["builder-file", "builder-file-raw"][calls - 1],
            flow.dir.join("batch.json"),
        );
        let dir = flow.dir.to_str().unwrap();
        let arguments = [
            "export",
            "--dir",
            dir,
            "--format",
            format,
            "--out",
            out.to_str().unwrap(),
            "--json",
        ];
        Ran::of(&mut flow.command(&arguments)).exits(0);
        let batch = BatchFile::read(&std::fs::read_to_string(&out).unwrap());
        assert_eq!((batch.chain_id.as_str(), batch.safe), ("31337", self.safe));
        let outsider = Outsider {
            rpc: self.stage.world.rpc(),
            release: &RELEASES[self.options.release],
            safe: self.safe,
            signers: &self.signers(),
        };
        // The nonce that the proposal has goes to something else, so the batch cannot have it.
        let first = outsider.use_up_a_nonce();
        let executed = outsider.execute(&batch);
        let ours: B256 = serde_json::from_value(proposal(flow)["safe"]["digests"]["safe_tx"].clone()).unwrap();
        assert!(executed.nonce > first.nonce && executed.safe_tx_hash != ours);
        let waited = flow.step("wait").exits(0);
        let known = ["transaction_hash", "safe_tx_hash", "safe_nonce"].map(|name| waited.fact(name).clone());
        let done = [
            json!(executed.transaction),
            json!(executed.safe_tx_hash),
            json!(executed.nonce.to_string()),
        ];
        assert_eq!(known, done, "{}", waited.said);
        // Only a Safe for indexed chains says whose signatures it took.
        let signed = waited.fact("signed_by").as_array().unwrap().len();
        let said = if self.options.l2 { self.signers().len() } else { 0 };
        assert_eq!(signed, said, "{}", waited.said);
    }
    /// Owners sign their copies and publish them in turn; the last one confirms in a wallet; the executor collects.
    fn by_service(&self, flow: &Flow<'_>) {
        let url = self.stage.service.url();
        let hash: B256 = serde_json::from_value(proposal(flow)["safe"]["digests"]["safe_tx"].clone()).unwrap();
        for (position, index) in self.signers().into_iter().enumerate() {
            if position == 2 {
                crate::safe::service::confirm_elsewhere(&self.stage.service, hash, index);
                continue;
            }
            let (person, file) = self.signed(flow, index);
            let published = person.run(&["propose", &file, "--service-url", &url]).exits(0);
            let data = &published.json["data"];
            assert_eq!(
                (&data["created"], &data["taken"]),
                (&json!(position == 0), &json!(position)),
                "{}",
                published.said
            );
        }
        assert_eq!(proposal(flow)["safe"]["signatures"], json!([]), "nothing came by file");
        let dir = flow.dir.to_str().unwrap();
        let collect = ["propose", "--dir", dir, "--service-url", &url, "--json"];
        let collected = Ran::of(&mut flow.command(&collect)).exits(0);
        assert_eq!(
            collected.json["data"]["taken"],
            json!(self.signers().len()),
            "{}",
            collected.said
        );
        self.execute(flow);
        let seen = self.stage.service.proposal(hash).unwrap();
        assert_eq!(seen.confirmations.len(), self.signers().len());
    }
}

/// The first two owners of a 2-of-3 Safe, with an outside tool.
fn outsider<'a>(world: &World, release: usize) -> Outsider<'a> {
    Outsider {
        rpc: world.rpc(),
        release: &RELEASES[release],
        safe: world.safe.unwrap(),
        signers: &[0, 1],
    }
}

fn exported(flow: &Flow<'_>) -> String {
    let dir = flow.dir.to_str().unwrap();
    let exported = Ran::of(&mut flow.command(&["export", "--dir", dir, "--format", "builder-file-raw", "--json"]));
    exported.exits(0).json["data"]["content"].as_str().unwrap().to_owned()
}

fn owned() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: false,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    })
}

#[test]
fn a_batch_that_comes_before_the_proposals_nonce_leaves_that_one_open_and_says_so() {
    let world = owned();
    let flow = Flow::new(&world);
    flow.with("prepare", &["--safe-nonce", "3"]).exits(0);
    let ours = proposal(&flow)["safe"]["digests"]["safe_tx"]
        .as_str()
        .unwrap()
        .to_owned();
    outsider(&world, 1).execute(&BatchFile::read(&exported(&flow)));
    let waited = flow.step("wait").exits(0);
    let open = format!("Safe transaction {ours} can still be executed");
    assert!(waited.said.contains(&open), "{}", waited.said);
    assert_eq!(waited.fact("safe_nonce"), "0");
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn pitfall_43_pitfall_62_an_edited_batch_is_not_taken_for_the_upgrade() {
    let world = owned();
    let (device, other) = (keccak256("device 2"), keccak256("device 3"));
    let flow = Flow::new(&world);
    flow.with("prepare", &["--add-device", &device.to_string()]).exits(0);
    let ours = proposal(&flow)["safe"]["digests"]["safe_tx"].clone();
    let outsider = outsider(&world, 1);
    outsider.use_up_a_nonce();
    // Somebody left a call out: the hash is allowed, and the upgrade is not done.
    let mut batch: Value = serde_json::from_str(&exported(&flow)).unwrap();
    let all = batch["transactions"].as_array().unwrap().clone();
    batch["transactions"] = json!([all[0]]);
    let winner = outsider.execute(&BatchFile::read(&batch.to_string()));
    assert_eq!(flow.announcements(), 1);
    let gone = flow.step("wait").exits(6).says("SAFE_NONCE_TAKEN");
    assert_ne!(gone.fact("safe_tx_hash"), &json!(winner.safe_tx_hash), "{}", gone.said);
    flow.nothing_committed();
    // The rest is approved as a new transaction.
    let dir = flow.dir.to_str().unwrap();
    let resume = |index: usize, more: &[&str]| {
        let key = signer(index);
        let arguments = [&["resume", "--dir", dir, "--signer", &key, "--yes", "--json"], more].concat();
        Ran::of(&mut flow.command(&arguments))
    };
    resume(0, &["--new-nonce"]).exits(8).says("PENDING_SIGNATURES");
    // Somebody put a call in: everything of ours happened, by a transaction that is not ours, and that is said.
    batch["transactions"] = json!([all[0], all[1], all[1]]);
    let call = abi::addDeviceCall { deviceId: other };
    batch["transactions"][2]["data"] = json!(alloy::hex::encode_prefixed(call.abi_encode()));
    outsider.execute(&BatchFile::read(&batch.to_string()));
    let waited = flow.step("wait").exits(0);
    assert!(
        waited.said.contains("did not execute Safe transaction"),
        "{}",
        waited.said
    );
    assert_ne!(waited.fact("safe_tx_hash"), &ours);
    assert!(
        world
            .rpc()
            .read(world.app, &abi::allowedDeviceIdsCall { deviceId: device })
    );
    flow.step("commit").exits(0);
    flow.committed_once();
}
