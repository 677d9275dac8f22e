//! Reading a Safe, and what its chain says of one transaction's signatures: everything at one block, in three round
//! trips; two more where owners are contracts. What it means is judged elsewhere.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};

use super::approvals::{Facts, SignatureSet};
use super::deployments::Contract;
use super::info::{FALLBACK_HANDLER_SLOT, GUARD_SLOT, MODULE_GUARD_SLOT, SENTINEL, SINGLETON_SLOT, SafeInfo};
use super::owners;
use super::probe::{self, LEGACY_MAGIC, MAGIC};
use super::signature::OwnerSignature;
use super::strangers::{Obedient, is_known};
use super::tx::{SafeTx, SafeTxFields};
use super::version::SafeVersion;
use crate::abi::erc1271::{ByHash, ByMessage};
use crate::abi::old_safe::OldSafe;
use crate::abi::safe::Safe;
use crate::chain::{BlockRef, Chain, ChainError, Fact, Question, Reading};

/// Modules that are asked for at once: more than nearly every Safe has.
const PAGE: u64 = 50;
/// Pages after which a contract that goes on naming modules is taken for no Safe.
const PAGES: u32 = 20;

/// A Safe, and what its chain says about the owners' agreement to one transaction, at one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The Safe.
    pub info: SafeInfo,
    /// Whose signatures count.
    pub facts: Facts,
    /// The safeTxHash as the Safe itself computes it (`getTransactionHash`); `None` when it does not answer that. Another
    /// one than [`SafeTx::hash`] means that owners would sign something that the Safe does not take.
    pub hash_on_chain: Option<B256>,
}

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No code, or it does not answer as a Safe.
    #[error("{address} on chain {chain_id} is not a Safe")]
    NotASafe {
        /// Address.
        address: Address,
        /// Chain id.
        chain_id: u64,
    },
    /// The transaction is one of another chain.
    #[error("the transaction is one for chain {expected}, not for chain {found}")]
    WrongChain {
        /// The transaction's.
        expected: u64,
        /// Of the endpoints.
        found: u64,
    },
    /// The signatures are those of another transaction.
    #[error("the signatures are those of {found}, not of {expected}")]
    OtherHash {
        /// The transaction's.
        expected: B256,
        /// The set's.
        found: B256,
    },
}

impl SafeInfo {
    /// Reads the Safe at the newest agreed block. Three round trips: the head, the Safe, and the code of what it names;
    /// one more for every further page of modules, and two for owners that are contracts, and again for theirs.
    ///
    /// `None`: there is no code, or it does not answer as a Safe does: `VERSION()`, owners, threshold, nonce and modules.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn read(chain: &Chain, safe: Address) -> Result<Option<Self>, ChainError> {
        let block = chain.head().await?;
        Self::read_at(chain, safe, &block).await
    }
    /// Reads the Safe as it was after `block`. Two round trips, as [`Self::read`].
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn read_at(chain: &Chain, safe: Address, block: &BlockRef) -> Result<Option<Self>, ChainError> {
        let survey = Survey { chain, safe, block };
        Ok(survey.run(None, |_| Vec::new()).await?.map(|found| found.info))
    }
}

/// Reads the Safe, and the safeTxHash that it computes itself for any ten fields (`getTransactionHash`), whoever should
/// or should not sign them; the hash is `None` when it does not answer that. Three round trips, as [`SafeInfo::read`].
///
/// # Errors
/// See [`ChainError`].
pub async fn read_with_hash(
    chain: &Chain,
    safe: Address,
    fields: &SafeTxFields,
) -> Result<Option<(SafeInfo, Option<B256>)>, ChainError> {
    let block = chain.head().await?;
    let survey = Survey {
        chain,
        safe,
        block: &block,
    };
    let found = survey.run(Some(hash_question(safe, fields)), |_| Vec::new()).await?;
    Ok(found.map(|found| (found.info, found.extra.value::<Safe::getTransactionHashCall>())))
}

/// Looks at the Safe of `tx` and at the agreement of its owners at the newest agreed block: approvals on chain of every
/// owner, what contract owners say to their signatures in `set`, and the hash as the Safe computes it. Three round
/// trips, as [`SafeInfo::read`]. `executor`, whose own transaction needs no other agreement of theirs, is passed on.
///
/// # Errors
/// See [`LookError`].
pub async fn look(
    chain: &Chain,
    tx: &SafeTx,
    set: &SignatureSet,
    executor: Option<Address>,
) -> Result<Look, LookError> {
    let (domain, hash) = (tx.domain(), tx.hash());
    if domain.chain_id != chain.id() {
        return Err(LookError::WrongChain {
            expected: domain.chain_id,
            found: chain.id(),
        });
    }
    if set.hash() != hash {
        return Err(LookError::OtherHash {
            expected: hash,
            found: set.hash(),
        });
    }
    let block = chain.head().await?;
    let survey = Survey {
        chain,
        safe: domain.safe,
        block: &block,
    };
    let found = survey
        .run(Some(hash_question(domain.safe, tx.fields())), |info| {
            agreement_questions(tx, set, info)
        })
        .await?;
    let Some(Surveyed { info, extra, mut rest }) = found else {
        return Err(LookError::NotASafe {
            address: domain.safe,
            chain_id: domain.chain_id,
        });
    };
    let mut facts = Facts {
        owners: info.owner_set(),
        threshold: info.threshold,
        executor,
        ..Facts::default()
    };
    for &owner in &info.owners {
        let approved = rest.next().value::<Safe::approvedHashesCall>();
        if approved.is_some_and(|approved| !approved.is_zero()) {
            facts.approved.insert(owner);
        }
    }
    for (owner, data) in contract_signatures(set, &info) {
        if confirms(&rest.next(), info.version) {
            facts.confirmed.insert((owner, data.clone()));
        }
    }
    let hash_on_chain = extra.value::<Safe::getTransactionHashCall>();
    Ok(Look {
        info,
        facts,
        hash_on_chain,
    })
}

/// `getTransactionHash` with these fields.
fn hash_question(safe: Address, fields: &SafeTxFields) -> Question {
    let call = Safe::getTransactionHashCall {
        to: fields.to,
        value: fields.value,
        data: fields.data.clone(),
        operation: fields.operation.into(),
        safeTxGas: fields.safe_tx_gas,
        baseGas: fields.base_gas,
        gasPrice: fields.gas_price,
        gasToken: fields.gas_token,
        refundReceiver: fields.refund_receiver,
        _nonce: fields.nonce,
    };
    Question::call(safe, &call)
}

/// Which of these owners approved which of these hashes on chain, at the newest agreed block. Two round trips.
///
/// # Errors
/// See [`ChainError`].
pub async fn approved(
    chain: &Chain,
    safe: Address,
    asked: &[(Address, B256)],
) -> Result<Vec<(Address, B256)>, ChainError> {
    let block = chain.head().await?;
    let call = |(owner, hash): &(Address, B256)| Safe::approvedHashesCall { _0: *owner, _1: *hash };
    let questions: Vec<Question> = asked.iter().map(|one| Question::call(safe, &call(one))).collect();
    let mut facts = chain.read(&block, &questions).await?;
    let mut is_approved = |_: &&(Address, B256)| {
        let answer = facts.next().value::<Safe::approvedHashesCall>();
        answer.is_some_and(|answer| !answer.is_zero())
    };
    Ok(asked.iter().filter(|one| is_approved(one)).copied().collect())
}

/// Approvals of all owners, in their order, then the contracts' signatures in the order of [`contract_signatures`].
fn agreement_questions(tx: &SafeTx, set: &SignatureSet, info: &SafeInfo) -> Vec<Question> {
    let approved = |owner: &Address| Safe::approvedHashesCall {
        _0: *owner,
        _1: tx.hash(),
    };
    let approvals = info.owners.iter().map(approved);
    let mut questions: Vec<Question> = approvals.map(|call| Question::call(info.address, &call)).collect();
    for (owner, data) in contract_signatures(set, info) {
        questions.push(contract_question(info, &tx.preimage(), owner, data));
    }
    questions
}

/// What a contract says to its signature of these 66 bytes. The version that the Safe has now decides whom it asks how, and
/// it is the Safe that asks.
fn contract_question(info: &SafeInfo, preimage: &[u8; 66], owner: Address, data: &Bytes) -> Question {
    let signature = data.clone();
    let question = if info.version.asks_owners_by_hash() {
        let hash = keccak256(preimage);
        Question::call(owner, &ByHash::isValidSignatureCall { hash, signature })
    } else {
        let message = preimage.to_vec().into();
        Question::call(owner, &ByMessage::isValidSignatureCall { message, signature })
    };
    question.from(info.address)
}

/// An owner's agreement as somebody tells it, where only a chain can say whether it is so.
#[derive(Debug)]
pub(super) struct Claim {
    /// Whose.
    pub(super) owner: Address,
    /// The 66 bytes whose keccak256 they agreed to.
    pub(super) preimage: [u8; 66],
    /// The contract's signature; nothing for an approval on chain.
    pub(super) data: Option<Bytes>,
}

/// Which of these claims are so, in their order, at the newest agreed block. Two round trips; none where nothing is claimed.
///
/// # Errors
/// See [`ChainError`].
pub(super) async fn confirmed(chain: &Chain, info: &SafeInfo, claims: &[Claim]) -> Result<Vec<bool>, ChainError> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let question = |claim: &Claim| match &claim.data {
        Some(data) => contract_question(info, &claim.preimage, claim.owner, data),
        None => {
            let hash = keccak256(claim.preimage);
            let call = Safe::approvedHashesCall {
                _0: claim.owner,
                _1: hash,
            };
            Question::call(info.address, &call)
        }
    };
    let questions: Vec<Question> = claims.iter().map(question).collect();
    let block = chain.head().await?;
    let mut facts = chain.read(&block, &questions).await?;
    let is_so = |claim: &Claim| {
        let fact = facts.next();
        match claim.data {
            Some(_) => confirms(&fact, info.version),
            None => fact
                .value::<Safe::approvedHashesCall>()
                .is_some_and(|approved| !approved.is_zero()),
        }
    };
    Ok(claims.iter().map(is_so).collect())
}

/// Signatures of owners that only the owner's contract can judge.
fn contract_signatures<'a>(
    set: &'a SignatureSet,
    info: &'a SafeInfo,
) -> impl Iterator<Item = (Address, &'a Bytes)> + 'a {
    let all = set.by_owner().values().filter_map(|signature| match signature {
        OwnerSignature::Contract { owner, data } => Some((*owner, data)),
        _ => None,
    });
    all.filter(|(owner, _)| info.owners.contains(owner))
}

fn confirms(fact: &Fact, version: SafeVersion) -> bool {
    if version.asks_owners_by_hash() {
        fact.value::<ByHash::isValidSignatureCall>() == Some(MAGIC)
    } else {
        fact.value::<ByMessage::isValidSignatureCall>() == Some(LEGACY_MAGIC)
    }
}

/// One reading of one Safe.
pub(crate) struct Survey<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) safe: Address,
    pub(crate) block: &'a BlockRef,
}

/// What was found, and the answers to what was asked along with it.
struct Surveyed {
    info: SafeInfo,
    /// To the question beside the first ones.
    extra: Fact,
    /// To the questions that needed the first answers.
    rest: Reading,
}

impl Survey<'_> {
    /// Reads the Safe, with one more question in the first round trip and `then` in the second one.
    async fn run(
        &self,
        extra: Option<Question>,
        then: impl FnOnce(&SafeInfo) -> Vec<Question>,
    ) -> Result<Option<Surveyed>, ChainError> {
        let mut questions = self.questions();
        questions.extend(extra);
        let mut facts = self.chain.read(self.block, &questions).await?;
        let Some(mut info) = self.first(&mut facts)? else {
            return Ok(None);
        };
        let page = facts.next();
        let Some(modules) = self.modules(&page).await? else {
            return Ok(None);
        };
        info.modules = modules;
        let mut questions = vec![Question::code(info.singleton)];
        questions.extend(info.fallback_handler.map(Question::code));
        let odd = info.fallback_handler.filter(|handler| probe::is_to_be_asked(*handler));
        questions.extend(
            odd.iter()
                .flat_map(|handler| probe::handler_questions(*handler, self.safe)),
        );
        questions.extend(owners::code_questions(&info.owners));
        questions.extend(then(&info));
        let mut rest = self.chain.read(self.block, &questions).await?;
        info.singleton_code_hash = keccak256(rest.next().bytes());
        info.fallback_handler_code_hash = info.fallback_handler.map(|_| keccak256(rest.next().bytes()));
        info.fallback_handler_obeys = match odd {
            Some(_) => probe::obedient(&mut rest, self.safe),
            None => self.altered(&info).await?,
        };
        let candidates = owners::with_code(&info.owners, self.safe, &mut rest);
        info.contract_owners = owners::read(self.chain, self.block, candidates).await?;
        let extra = facts.next();
        Ok(Some(Surveyed { info, extra, rest }))
    }

    /// What a fallback handler is at whose address a listed one should be, where other code stands there.
    async fn altered(&self, info: &SafeInfo) -> Result<Option<Obedient>, ChainError> {
        let handler = info.fallback_handler.zip(info.fallback_handler_code_hash);
        let handler = handler.filter(|(handler, code)| !is_known(*handler, *code, Contract::is_handler));
        let Some((handler, _)) = handler else {
            return Ok(None);
        };
        let questions = probe::handler_questions(handler, self.safe);
        let mut facts = self.chain.read(self.block, &questions).await?;
        Ok(probe::obedient(&mut facts, self.safe))
    }

    /// What a contract is asked that may be a Safe.
    pub(crate) fn questions(&self) -> Vec<Question> {
        let safe = self.safe;
        vec![
            Question::code(safe),
            Question::slot(safe, SINGLETON_SLOT),
            Question::slot(safe, GUARD_SLOT),
            Question::slot(safe, MODULE_GUARD_SLOT),
            Question::slot(safe, FALLBACK_HANDLER_SLOT),
            Question::call(safe, &Safe::VERSIONCall {}),
            Question::call(safe, &Safe::getOwnersCall {}),
            Question::call(safe, &Safe::getThresholdCall {}),
            Question::call(safe, &Safe::nonceCall {}),
            self.page(SENTINEL),
        ]
    }

    fn page(&self, start: Address) -> Question {
        let page = Safe::getModulesPaginatedCall {
            start,
            pageSize: U256::from(PAGE),
        };
        Question::call(self.safe, &page)
    }

    /// Everything but modules and code hashes; `None` when it is no Safe.
    pub(crate) fn first(&self, facts: &mut Reading) -> Result<Option<SafeInfo>, ChainError> {
        let code = facts.next().bytes();
        let singleton = probe::address_in(facts)?;
        let guard = probe::address_in(facts)?;
        let module_guard = probe::address_in(facts)?;
        let fallback_handler = probe::address_in(facts)?;
        let version = facts.next().value::<Safe::VERSIONCall>();
        let owners = facts.next().value::<Safe::getOwnersCall>();
        let threshold = facts.next().value::<Safe::getThresholdCall>();
        let nonce = facts.next().value::<Safe::nonceCall>();
        let version = version.and_then(|text| text.parse::<SafeVersion>().ok());
        let (Some(version), Some(owners), Some(threshold), Some(nonce)) = (version, owners, threshold, nonce) else {
            return Ok(None);
        };
        let there = !code.is_empty();
        Ok(there.then(|| SafeInfo {
            block: *self.block,
            chain_id: self.chain.id(),
            address: self.safe,
            version,
            proxy_code_hash: keccak256(&code),
            singleton: singleton.unwrap_or_default(),
            singleton_code_hash: B256::ZERO,
            owners,
            // More than anybody can have: a finding says so.
            threshold: threshold.saturating_to(),
            nonce,
            guard,
            module_guard,
            modules: Vec::new(),
            fallback_handler,
            fallback_handler_code_hash: None,
            fallback_handler_obeys: None,
            contract_owners: Vec::new(),
        }))
    }

    /// All modules, given the answer about the first page. Pages go on after the last module that was named: what 1.3.0
    /// gives as the next start would leave one out.
    pub(crate) async fn modules(&self, first: &Fact) -> Result<Option<Vec<Address>>, ChainError> {
        let Some(mut page) = first.value::<Safe::getModulesPaginatedCall>() else {
            return self.old_modules().await;
        };
        let mut found: Vec<Address> = Vec::new();
        for _ in 0..PAGES {
            let full = u64::try_from(page.array.len()).is_ok_and(|count| count >= PAGE);
            found.append(&mut page.array);
            let more = full && page.next != SENTINEL && !page.next.is_zero();
            let Some(&last) = found.last().filter(|_| more) else {
                return Ok(Some(found));
            };
            let mut facts = self.chain.read(self.block, &[self.page(last)]).await?;
            match facts.next().value::<Safe::getModulesPaginatedCall>() {
                Some(next) => page = next,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Safes before 1.1.1 have no pages.
    async fn old_modules(&self) -> Result<Option<Vec<Address>>, ChainError> {
        let question = Question::call(self.safe, &OldSafe::getModulesCall {});
        let mut facts = self.chain.read(self.block, &[question]).await?;
        Ok(facts.next().value::<OldSafe::getModulesCall>())
    }
}
