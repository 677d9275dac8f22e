//! Taking a witness: endpoints are asked one after the other, and what checks out stays, whoever gave it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy::consensus::Header;
use alloy::primitives::{Address, B256, Bytes, U64, keccak256};
use alloy::rpc::types::EIP1186AccountProofResponse as AccountProof;
use futures_util::future::join3;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::super::error::whole;
use super::super::rpc::{Ask, Node, Reply};
use super::super::storage::state_root;
use super::super::trie::ordered;
use super::super::{BlockRef, Chain, ChainError, Proof};
use super::wire::{WireReceipt, transaction_bytes};
use super::{BlockWitness, ContractSlots, Fault, Lack, MOST_CONTRACTS, MOST_SLOTS, Part, Witness, merged};

/// When no further endpoint is asked: an upgrade goes on without what is missing then.
const TIME: Duration = Duration::from_secs(30);

impl Chain {
    /// What anybody can check later of a proof that was just made, by its block's hash alone: the transaction and its
    /// receipt, and these contracts with their slots, all of the proof's block. Contracts whose state no endpoint has any
    /// more are taken at the head that the proof names.
    ///
    /// It asks one endpoint after the other until nothing is missing: whatever one gives is checked, so one is enough. One
    /// round trip where the first one gives all (`eth_getBlockByHash`, `eth_getBlockReceipts` and `eth_getProof`).
    ///
    /// It never fails: what could not be had stands in [`Witness::missing`], with the reason.
    pub async fn witness(&self, proof: &Proof, wanted: &[ContractSlots]) -> Witness {
        self.witness_of(&Moment::of(proof), wanted).await
    }

    async fn witness_of(&self, moment: &Moment, wanted: &[ContractSlots]) -> Witness {
        let until = Instant::now() + TIME;
        let mut at_block = Taking::new(moment.block, moment.transaction, wanted);
        self.take(&mut at_block, until).await;
        let forgotten: Vec<ContractSlots> = at_block.open_contracts().cloned().collect();
        let mut at_head = Taking::new(moment.head, None, &forgotten);
        if moment.head.hash != moment.block.hash && !forgotten.is_empty() {
            self.take(&mut at_head, until).await;
        }
        let shown_later = |part: &Part| {
            at_head
                .taken
                .contracts
                .iter()
                .any(|one| *part == Part::Contract(one.contract))
        };
        let missing = at_block.open().into_iter().filter(|part| !shown_later(part));
        let missing = missing.map(|part| Lack {
            part,
            why: at_block.why(part),
        });
        Witness {
            genesis: self.genesis(),
            missing: missing.collect(),
            block: at_block.witness(),
            head: at_head.witness().filter(|head| !head.contracts.is_empty()),
        }
    }

    /// Asks one endpoint after the other until nothing is missing; those that failed a moment ago last.
    async fn take(&self, taking: &mut Taking, until: Instant) {
        let (later, first): (Vec<&Node>, Vec<&Node>) = self.nodes.iter().partition(|node| node.is_aside());
        for node in first.into_iter().chain(later) {
            if taking.open().is_empty() || Instant::now() >= until {
                return;
            }
            taking.ask(node).await;
        }
    }
}

/// What a witness is of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moment {
    block: BlockRef,
    transaction: Option<B256>,
    /// Where the state is taken that no endpoint has at the block any more.
    head: BlockRef,
}

impl Moment {
    fn of(proof: &Proof) -> Self {
        Self {
            block: proof.block,
            transaction: proof.transaction,
            head: proof.head,
        }
    }

    fn is_same_block(&self, other: &Self) -> bool {
        (self.block, self.transaction) == (other.block, other.transaction)
    }
}

/// The witness that was taken last: the members of a fleet have one in common.
#[derive(Debug, Clone, Default)]
pub struct LastTaken(Arc<Mutex<Option<Known>>>);

/// A witness with what it is of.
#[derive(Debug)]
struct Known {
    of: Moment,
    wanted: Vec<ContractSlots>,
    taken: Arc<OnceCell<Witness>>,
}

impl LastTaken {
    /// [`Chain::witness`], which is not asked again where the last one was of the same block, transaction and slots.
    pub async fn witness(&self, chain: &Chain, proof: &Proof, wanted: &[ContractSlots]) -> Witness {
        let moment = Moment::of(proof);
        let (taken, head) = self.known(&moment, wanted);
        let witness = taken.get_or_init(|| chain.witness_of(&moment, wanted)).await;
        // What was taken at another head, or is to be had at this one alone, does not show this proof's.
        let lacks_state = witness
            .missing
            .iter()
            .any(|lack| matches!(lack.part, Part::Contract(_)));
        match (witness.head.is_some() || lacks_state) && head != moment.head {
            true => chain.witness_of(&moment, wanted).await,
            false => witness.clone(),
        }
    }

    /// Takes what a proof of a transaction in this block will want, while it is proved.
    pub async fn take_ahead(&self, chain: &Chain, at: (BlockRef, Option<B256>), wanted: &[ContractSlots]) {
        let (block, transaction) = at;
        let moment = Moment {
            block,
            transaction,
            head: block,
        };
        let (taken, _) = self.known(&moment, wanted);
        taken.get_or_init(|| chain.witness_of(&moment, wanted)).await;
    }

    /// What was taken, or is to be, of this block; and at which head.
    fn known(&self, moment: &Moment, wanted: &[ContractSlots]) -> (Arc<OnceCell<Witness>>, BlockRef) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.take();
        let known = known.filter(|known| known.of.is_same_block(moment) && known.wanted == wanted);
        let known = last.insert(known.unwrap_or_else(|| Known {
            of: moment.clone(),
            wanted: wanted.to_vec(),
            taken: Arc::default(),
        }));
        (Arc::clone(&known.taken), known.of.head)
    }
}

/// What is taken of one block.
struct Taking {
    block: BlockRef,
    transaction: Option<B256>,
    wanted: Vec<ContractSlots>,
    /// Contracts that are not asked for, since there are more than a witness has.
    too_many: BTreeSet<Address>,
    /// What was shown so far; its nodes stand apart.
    taken: BlockWitness,
    nodes: BTreeSet<Bytes>,
    header: Option<Header>,
    why: BTreeMap<Part, String>,
}

/// A block with its transactions.
#[derive(Deserialize)]
struct Full {
    transactions: Vec<Box<RawValue>>,
}

impl Taking {
    fn new(block: BlockRef, transaction: Option<B256>, wanted: &[ContractSlots]) -> Self {
        let each = merged(wanted).into_iter().map(|(contract, slots)| ContractSlots {
            contract,
            slots: slots.into_iter().collect(),
        });
        let mut this = Self {
            block,
            transaction,
            wanted: each.collect(),
            too_many: BTreeSet::new(),
            taken: bare(Bytes::new()),
            nodes: BTreeSet::new(),
            header: None,
            why: BTreeMap::new(),
        };
        let mut slots = 0;
        for (index, one) in this.wanted.iter().enumerate() {
            slots += one.slots.len();
            if index >= MOST_CONTRACTS || slots > MOST_SLOTS {
                this.too_many.insert(one.contract);
                this.why
                    .insert(Part::Contract(one.contract), Fault::TooMany.to_string());
            }
        }
        this
    }

    /// What is wanted and was not shown.
    fn open(&self) -> Vec<Part> {
        let parts = [
            (Part::Header, self.header.is_none()),
            (
                Part::Transaction,
                self.transaction.is_some() && self.taken.transaction.is_none(),
            ),
            (
                Part::Receipt,
                self.transaction.is_some() && self.taken.receipt.is_none(),
            ),
        ];
        let open = parts.into_iter().filter(|(_, is_open)| *is_open).map(|(part, _)| part);
        open.chain(self.open_contracts().map(|one| Part::Contract(one.contract)))
            .collect()
    }

    fn open_contracts(&self) -> impl Iterator<Item = &ContractSlots> {
        let is_taken = |one: &&ContractSlots| self.taken.contracts.iter().any(|taken| taken.contract == one.contract);
        self.wanted.iter().filter(move |one| !is_taken(one))
    }

    fn why(&self, part: Part) -> String {
        let own = self.why.get(&part).or_else(|| self.why.get(&Part::Header));
        own.map_or("no endpoint was asked", String::as_str).to_owned()
    }

    /// What was shown; `None` without a header.
    fn witness(self) -> Option<BlockWitness> {
        self.header.is_some().then(|| BlockWitness {
            nodes: self.nodes.into_iter().collect(),
            ..self.taken
        })
    }

    /// Asks one endpoint for all that is missing, at once.
    async fn ask(&mut self, node: &Node) {
        let asked: Vec<ContractSlots> = self
            .open_contracts()
            .filter(|one| !self.too_many.contains(&one.contract))
            .cloned()
            .collect();
        let number = U64::from(self.block.number);
        let mut asks = vec![Ask::new("eth_getBlockByHash", json!([self.block.hash, false]))];
        let proofs = asked.iter().map(|one| json!([one.contract, one.slots, number]));
        asks.extend(proofs.map(|params| Ask::new("eth_getProof", params)));
        let full = Ask::new("eth_getBlockByHash", json!([self.block.hash, true]));
        let receipts = Ask::new("eth_getBlockReceipts", json!([number]));
        let open = self.open();
        let alone = async |ask: &Ask, part| match open.contains(&part) {
            true => Some(node.ask_for_much(ask).await),
            false => None,
        };
        let (small, full, receipts) = join3(
            node.ask(&asks),
            alone(&full, Part::Transaction),
            alone(&receipts, Part::Receipt),
        )
        .await;
        match small {
            Ok(mut small) => {
                let found = small.reply().map(|(_, reply)| reply);
                self.read_header(node, found);
                for one in asked {
                    let found = small.reply().map(|(_, reply)| reply);
                    self.read_contract(node, found, one);
                }
            }
            Err(error) => {
                let lacks = asked
                    .iter()
                    .map(|one| Part::Contract(one.contract))
                    .chain([Part::Header]);
                lacks.for_each(|part| self.lacks(part, whole(&error)));
            }
        }
        if let Some(full) = full {
            self.read_transaction(node, full);
        }
        if let Some(receipts) = receipts {
            self.read_receipt(node, receipts);
        }
    }

    /// The first reason stays: that of the endpoint that is asked first.
    fn lacks(&mut self, part: Part, why: String) {
        self.why.entry(part).or_insert(why);
    }

    fn read_header(&mut self, node: &Node, found: Result<Reply, ChainError>) {
        let header = read::<Header>(node, found).and_then(|header| match state_root(&header, &self.block) {
            Ok(_) => Ok(header),
            Err(_) => Err(format!(
                "{}: its header does not hash to the block's hash",
                node.label()
            )),
        });
        match header {
            Ok(header) => {
                self.taken.header = alloy::rlp::encode(&header).into();
                self.header = Some(header);
            }
            Err(why) => self.lacks(Part::Header, why),
        }
    }

    fn read_contract(&mut self, node: &Node, found: Result<Reply, ChainError>, wanted: ContractSlots) {
        let part = Part::Contract(wanted.contract);
        let shown = read::<AccountProof>(node, found).and_then(|proof| {
            let slots = proof.storage_proof.into_iter().flat_map(|one| one.proof);
            let candidate = BlockWitness {
                contracts: vec![wanted.clone()],
                nodes: proof.account_proof.into_iter().chain(slots).collect(),
                ..bare(self.taken.header.clone())
            };
            self.checked(node, candidate)
        });
        match shown {
            Ok(nodes) => {
                self.nodes.extend(nodes);
                self.taken.contracts.push(wanted);
            }
            Err(why) => self.lacks(part, why),
        }
    }

    fn read_transaction(&mut self, node: &Node, found: Result<Reply, ChainError>) {
        let shown = read::<Full>(node, found).and_then(|full| {
            let items = full.transactions.iter().enumerate().map(|(index, json)| {
                let unknown = || {
                    format!(
                        "{}: transaction {index} of the block is of an unknown form",
                        node.label()
                    )
                };
                transaction_bytes(json).ok_or_else(unknown)
            });
            let items: Vec<Vec<u8>> = items.collect::<Result<_, _>>()?;
            let is_ours = |item: &Vec<u8>| Some(keccak256(item)) == self.transaction;
            let index = items.iter().position(is_ours).ok_or_else(|| does_not_hold(node))?;
            let candidate = BlockWitness {
                transaction: u64::try_from(index).ok(),
                nodes: ordered(&items, index).1,
                ..bare(self.taken.header.clone())
            };
            Ok((candidate.transaction, self.checked(node, candidate)?))
        });
        match shown {
            Ok((index, nodes)) => {
                self.nodes.extend(nodes);
                self.taken.transaction = index;
            }
            Err(why) => self.lacks(Part::Transaction, why),
        }
    }

    fn read_receipt(&mut self, node: &Node, found: Result<Reply, ChainError>) {
        let shown = read::<Vec<WireReceipt>>(node, found).and_then(|receipts| {
            let is_ours = |receipt: &WireReceipt| Some(receipt.transaction_hash) == self.transaction;
            let index = receipts.iter().position(is_ours).ok_or_else(|| does_not_hold(node))?;
            let items = receipts.iter().map(WireReceipt::bytes);
            let unknown = || format!("{}: a receipt of the block is of an unknown form", node.label());
            let items: Vec<Vec<u8>> = items.collect::<Option<_>>().ok_or_else(unknown)?;
            let candidate = BlockWitness {
                receipt: u64::try_from(index).ok(),
                nodes: ordered(&items, index).1,
                ..bare(self.taken.header.clone())
            };
            if self
                .taken
                .transaction
                .is_some_and(|other| Some(other) != candidate.receipt)
            {
                return Err(format!("{}: {}", node.label(), Fault::Apart));
            }
            Ok((candidate.receipt, self.checked(node, candidate)?))
        });
        match shown {
            Ok((index, nodes)) => {
                self.nodes.extend(nodes);
                self.taken.receipt = index;
            }
            Err(why) => self.lacks(Part::Receipt, why),
        }
    }

    /// The nodes that are needed to show what `candidate` names, where it shows it.
    fn checked(&self, node: &Node, candidate: BlockWitness) -> Result<Vec<Bytes>, String> {
        if self.header.is_none() {
            return Err("no endpoint gave the block's header".to_owned());
        }
        let walked = candidate.walk(self.block.hash);
        let shown = walked.and_then(|(shown, nodes)| shown.fault().map_or(Ok(nodes), Err));
        shown.map_err(|fault| format!("{}: {fault}", node.label()))
    }
}

/// A header alone.
const fn bare(header: Bytes) -> BlockWitness {
    BlockWitness {
        header,
        transaction: None,
        receipt: None,
        contracts: Vec::new(),
        nodes: Vec::new(),
    }
}

fn does_not_hold(node: &Node) -> String {
    format!("{}: the transaction is not in what it gives of the block", node.label())
}

/// A reply as a value; why it is none.
fn read<T: DeserializeOwned>(node: &Node, found: Result<Reply, ChainError>) -> Result<T, String> {
    let label = node.label();
    match found {
        Ok(Reply::Result(raw)) if raw.get() == "null" => Err(format!("{label} does not have the block")),
        Ok(Reply::Result(raw)) => {
            serde_json::from_str(raw.get()).map_err(|_shape| format!("{label}: the answer has the wrong shape"))
        }
        Ok(Reply::Refused(refusal)) => Err(format!("{label} {refusal}")),
        Err(error) => Err(whole(&error)),
    }
}
