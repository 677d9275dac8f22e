//! Proposals, confirmations and delegates as they come in: every check of the real serializers, in their order.

use alloy::primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use super::chain::{self, Question};
use super::model::{Confirmation, Delegate, Fields, Proposal};
use super::record;
use super::routes::{Answer, Context, checksummed, wrong_checksum};
use crate::support::cloud::Request;

/// What a serializer says about one field, or about all of them.
struct Invalid(String, String);

fn invalid(text: impl Into<String>) -> Invalid {
    Invalid("nonFieldErrors".to_owned(), text.into())
}

impl Invalid {
    fn answer(self, status: u16) -> Answer {
        Answer::new(status, json!({ self.0: [self.1] }))
    }
}

/// A body, read field by field.
struct Body<'a>(&'a Value);

impl Body<'_> {
    fn field(&self, name: &str) -> Result<&Value, Invalid> {
        let value = self.0.get(name).ok_or("This field is required.");
        value.map_err(|text| Invalid(name.to_owned(), text.to_owned()))
    }
    fn address(&self, name: &str) -> Result<Address, Invalid> {
        let text = self.field(name)?.as_str().unwrap_or_default().to_owned();
        checksummed(&text).ok_or_else(|| Invalid(name.to_owned(), format!("Address {text} is not checksumed")))
    }
    fn optional_address(&self, name: &str) -> Result<Option<Address>, Invalid> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.address(name).map(Some),
        }
    }
    fn number(&self, name: &str) -> Result<U256, Invalid> {
        let read = match self.field(name)? {
            Value::String(text) => U256::from_str_radix(text, 10).ok(),
            Value::Number(number) => number.as_u64().map(U256::from),
            _ => None,
        };
        read.ok_or_else(|| Invalid(name.to_owned(), "A valid integer is required.".to_owned()))
    }
    fn bytes(&self, name: &str) -> Result<Bytes, Invalid> {
        let text = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(Bytes::new()),
            Some(value) => value.as_str().unwrap_or("?"),
        };
        let parsed = text.parse().ok();
        parsed.ok_or_else(|| Invalid(name.to_owned(), format!("{text} is not a hexadecimal value.")))
    }
    /// Signatures of at least one owner.
    fn signature(&self) -> Result<Bytes, Invalid> {
        let bytes = self.bytes("signature")?;
        if !bytes.is_empty() && bytes.len() < 65 {
            let text = "Ensure this field has at least 65 hexadecimal chars (not counting 0x).";
            return Err(Invalid("signature".to_owned(), text.to_owned()));
        }
        Ok(bytes)
    }
    fn text(&self, name: &str, most: usize) -> Result<Option<String>, Invalid> {
        let text = self.0.get(name).and_then(Value::as_str).map(str::to_owned);
        match text {
            Some(text) if text.chars().count() > most => {
                let said = format!("Ensure this field has no more than {most} characters.");
                Err(Invalid(name.to_owned(), said))
            }
            other => Ok(other),
        }
    }
    fn fields(&self) -> Result<Fields, Invalid> {
        let operation = self.number("operation")?;
        let operation = u8::try_from(operation).ok().filter(|number| *number < 2);
        Ok(Fields {
            to: self.address("to")?,
            value: self.number("value")?,
            data: self.bytes("data")?,
            operation: operation.ok_or_else(|| Invalid("operation".to_owned(), "Unknown operation".to_owned()))?,
            safe_tx_gas: self.number("safeTxGas")?,
            base_gas: self.number("baseGas")?,
            gas_price: self.number("gasPrice")?,
            gas_token: self.optional_address("gasToken")?.unwrap_or_default(),
            refund_receiver: self.optional_address("refundReceiver")?.unwrap_or_default(),
            nonce: self.number("nonce")?,
        })
    }
}

fn read(request: &Request) -> Result<Value, Answer> {
    serde_json::from_slice(&request.body).map_err(|e| Answer::detail(400, &format!("JSON parse error - {e}")))
}

/// `POST /v2/safes/{safe}/multisig-transactions/`.
pub(super) async fn propose(context: &Context, safe: Address, request: &Request) -> Answer {
    let body = match read(request) {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    match proposal(context, safe, &Body(&body)).await {
        Ok(proposal) => {
            store(context, proposal);
            Answer::new(201, Value::Null)
        }
        Err(Ok(invalid)) => invalid.answer(422),
        Err(Err(answer)) => answer,
    }
}

/// Why something is not taken: a serializer's word, or another answer.
type No = Result<Invalid, Answer>;

async fn proposal(context: &Context, safe: Address, body: &Body<'_>) -> Result<Proposal, No> {
    let node = |error: String| Err(Answer::node(&error));
    let fields = body.fields().map_err(Ok)?;
    let claimed: Bytes = body.bytes("contractTransactionHash").map_err(Ok)?;
    let sender = body.address("sender").map_err(Ok)?;
    let signature = body.signature().map_err(Ok)?;
    let origin = body.text("origin", 200).map_err(Ok)?;
    let hash = chain::hash(&context.rpc, safe, &fields).await.map_err(node)?;
    if *claimed != hash.as_slice() {
        return Err(Ok(invalid(format!(
            "Contract-transaction-hash={hash} does not match provided contract-tx-hash={claimed}"
        ))));
    }
    not_executed(context, safe, &fields, hash).await.map_err(Ok)?;
    let owners = chain::owners(&context.rpc, safe).await.map_err(node)?;
    let delegates = context.lock().delegates_of(safe, &owners);
    let who = Who { owners, delegates };
    if !who.may_propose(&sender) {
        return Err(Ok(invalid(format!("Sender={sender} {}", who.not_one()))));
    }
    let signatures = chain::parse(&signature, hash).map_err(|e| Ok(invalid(e)))?;
    let about = Question {
        safe,
        hash,
        fields: &fields,
    };
    let signers = who.judge(context, &signatures, &about).await;
    let signers = signers.map_err(|text| Ok(invalid(text)))?;
    if !signers.is_empty() && !signers.contains(&sender) {
        return Err(Ok(invalid(format!(
            "Signature does not match sender={sender}. Calculated owners={signers:?}"
        ))));
    }
    let Who { owners, delegates } = who;
    let by_delegate = (!owners.contains(&sender)).then_some(sender);
    let delegator = delegates.iter().find(|one| Some(one.delegate) == by_delegate);
    Ok(Proposal {
        hash,
        safe,
        fields,
        origin: origin
            .map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)))
            .unwrap_or_else(|| json!({})),
        trusted: !signatures.is_empty(),
        proposer: delegator.map_or(sender, |one| one.delegator),
        by_delegate,
        confirmations: signatures
            .into_iter()
            .filter(|one| owners.contains(&one.owner))
            .collect(),
        created: jiff::Timestamp::now(),
    })
}

/// Whose signatures make a proposal visible.
struct Who {
    owners: Vec<Address>,
    delegates: Vec<Delegate>,
}

impl Who {
    fn is_delegate(&self, who: &Address) -> bool {
        self.delegates.iter().any(|one| one.delegate == *who)
    }
    fn may_propose(&self, who: &Address) -> bool {
        self.owners.contains(who) || self.is_delegate(who)
    }
    fn not_one(&self) -> String {
        let Self { owners, delegates } = self;
        format!("is not an owner or delegate. Current owners={owners:?}. Delegates={delegates:?}")
    }
    /// Whose `signatures` are, or what is wrong with the first bad one.
    async fn judge(
        &self,
        context: &Context,
        signatures: &[Confirmation],
        about: &Question<'_>,
    ) -> Result<Vec<Address>, String> {
        let mut signers = Vec::new();
        for one in signatures {
            let owner = one.owner;
            if !chain::is_valid(&context.rpc, one, about).await {
                return Err(format!("Signature={} for owner={owner} is not valid", one.signature));
            }
            if self.is_delegate(&owner) && !self.owners.contains(&owner) && signatures.len() > 1 {
                return Err("Just one signature is expected if using delegates".to_owned());
            }
            if !self.may_propose(&owner) {
                return Err(format!("Signer={owner} {}", self.not_one()));
            }
            if signers.contains(&owner) {
                return Err(format!("Signature for owner={owner} is duplicated"));
            }
            signers.push(owner);
        }
        Ok(signers)
    }
}

async fn not_executed(context: &Context, safe: Address, fields: &Fields, hash: B256) -> Result<(), Invalid> {
    let known: Vec<Proposal> = context.lock().proposals.clone();
    for one in known
        .iter()
        .filter(|one| one.safe == safe && one.fields.nonce == fields.nonce)
    {
        let Some(execution) = chain::execution(&context.rpc, safe, one.hash).await else {
            continue;
        };
        let place = execution.transaction.as_str().unwrap_or_default();
        return Err(invalid(if one.hash == hash {
            format!("Tx with safe-tx-hash={hash} for safe={safe} was already executed in tx-hash={place}")
        } else {
            format!(
                "Tx with nonce={} for safe={safe} already executed in tx-hash={place}",
                fields.nonce
            )
        }));
    }
    Ok(())
}

/// Get or create: what is there is kept, signatures add up.
fn store(context: &Context, proposal: Proposal) {
    let mut state = context.lock();
    match state.proposals.iter_mut().find(|one| one.hash == proposal.hash) {
        None => state.proposals.push(proposal),
        Some(known) => {
            if proposal.trusted && !known.trusted {
                known.trusted = true;
                known.origin = proposal.origin;
            }
            add(known, proposal.confirmations);
        }
    }
}

fn add(known: &mut Proposal, confirmations: Vec<Confirmation>) {
    for one in confirmations {
        if !known.confirmations.iter().any(|it| it.owner == one.owner) {
            known.confirmations.push(one);
        }
    }
}

/// `POST /v1/multisig-transactions/{hash}/confirmations/`.
pub(super) async fn confirm(context: &Context, hash: &str, request: &Request) -> Answer {
    let body = match read(request) {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let body = Body(&body);
    let signature = match body.field("signature").and_then(|_| body.signature()) {
        Ok(signature) if !signature.is_empty() => signature,
        Ok(_) => return Invalid("signature".to_owned(), "This field may not be blank.".to_owned()).answer(400),
        Err(invalid) => return invalid.answer(400),
    };
    let known = hash.parse::<B256>().ok();
    let Some(known) = known.and_then(|hash| context.lock().proposal(hash).cloned()) else {
        let said = format!("Multisig transaction with safe-tx-hash={hash} was not found");
        return Answer::detail(404, &said);
    };
    match confirmations(context, &known, &signature).await {
        Ok(confirmations) => {
            let mut state = context.lock();
            let there = state.proposals.iter_mut().find(|one| one.hash == known.hash);
            let there = there.unwrap();
            there.trusted = true;
            add(there, confirmations);
            Answer::new(201, json!({ "signature": signature }))
        }
        Err(Ok(text)) => Invalid("signature".to_owned(), text).answer(400),
        Err(Err(answer)) => answer,
    }
}

async fn confirmations(
    context: &Context,
    known: &Proposal,
    signature: &[u8],
) -> Result<Vec<Confirmation>, Result<String, Answer>> {
    let (rpc, hash, safe) = (&context.rpc, known.hash, known.safe);
    if chain::execution(rpc, safe, hash).await.is_some() {
        return Err(Ok(format!("Transaction with safe-tx-hash={hash} was already executed")));
    }
    let owners = chain::owners(rpc, safe).await.map_err(|e| Err(Answer::node(&e)))?;
    let parsed = chain::parse(signature, hash).map_err(Ok)?;
    let about = Question {
        safe,
        hash,
        fields: &known.fields,
    };
    let mut signers = Vec::new();
    for one in &parsed {
        let owner = one.owner;
        if !owners.contains(&owner) {
            return Err(Ok(format!("Signer={owner} is not an owner. Current owners={owners:?}")));
        }
        if !chain::is_valid(rpc, one, &about).await {
            return Err(Ok(format!(
                "Signature={} for owner={owner} is not valid",
                one.signature
            )));
        }
        if signers.contains(&owner) {
            return Err(Ok(format!("Signature for owner={owner} is duplicated")));
        }
        signers.push(owner);
    }
    Ok(parsed)
}

/// `POST /v2/delegates/`.
pub(super) async fn add_delegate(context: &Context, request: &Request) -> Answer {
    let body = match read(request) {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let body = Body(&body);
    let parsed = (|| {
        Ok::<_, Invalid>(Delegate {
            safe: body.optional_address("safe")?,
            delegate: body.address("delegate")?,
            delegator: body.address("delegator")?,
            label: body.text("label", 50)?.unwrap_or_default().trim().to_owned(),
        })
    })();
    let one = match parsed {
        Ok(one) if one.label.is_empty() => {
            return Invalid("label".to_owned(), "This field may not be blank.".to_owned()).answer(400);
        }
        Ok(one) => one,
        Err(invalid) => return invalid.answer(400),
    };
    if let Some(refusal) = may_delegate(context, &one, &body, &[one.delegator]).await {
        return refusal.answer(400);
    }
    let mut state = context.lock();
    let same = |it: &Delegate| it.safe == one.safe && it.delegate == one.delegate && it.delegator == one.delegator;
    state.delegates.retain(|it| !same(it));
    state.delegates.push(one.clone());
    Answer::new(201, record::delegate(&one))
}

/// `DELETE /v2/delegates/{delegate}/`.
pub(super) async fn remove_delegate(context: &Context, delegate: &str, request: &Request) -> Answer {
    let Some(delegate) = checksummed(delegate) else {
        return wrong_checksum(delegate);
    };
    let body = match read(request) {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let body = Body(&body);
    let one = match (body.optional_address("safe"), body.address("delegator")) {
        (Ok(safe), Ok(delegator)) => Delegate {
            safe,
            delegate,
            delegator,
            label: String::new(),
        },
        (Err(invalid), _) | (_, Err(invalid)) => return invalid.answer(400),
    };
    if let Some(refusal) = may_delegate(context, &one, &body, &[one.delegator, delegate]).await {
        return refusal.answer(400);
    }
    let mut state = context.lock();
    let before = state.delegates.len();
    let of_safe = |it: &Delegate| one.safe.is_none() || it.safe == one.safe;
    state
        .delegates
        .retain(|it| !(of_safe(it) && it.delegate == delegate && it.delegator == one.delegator));
    let status = if state.delegates.len() < before { 204 } else { 404 };
    Answer::new(status, Value::Null)
}

/// Why one of `signers` did not agree to the delegation, in this hour or the last.
async fn may_delegate(context: &Context, one: &Delegate, body: &Body<'_>, signers: &[Address]) -> Option<Invalid> {
    if let Some(safe) = one.safe {
        if !context.lock().safes.contains(&safe) {
            return Some(invalid(format!("Safe={safe} does not exist or it's still not indexed")));
        }
        let owners = chain::owners(&context.rpc, safe).await.unwrap_or_default();
        if !owners.contains(&one.delegator) {
            let said = format!("Provided delegator={} is not an owner of Safe={safe}", one.delegator);
            return Some(invalid(said));
        }
    }
    let signature = match body.signature() {
        Ok(signature) => signature,
        Err(invalid) => return Some(invalid),
    };
    let id = context.rpc.ask("eth_chainId", json!([])).await.ok();
    let id: U256 = id.and_then(|id| serde_json::from_value(id).ok()).unwrap_or_default();
    for hours_ago in [1, 0] {
        for chain_id in [Some(id.to::<u64>()), None] {
            let hash = chain::delegation(one.delegate, chain_id, hours_ago);
            let parsed = chain::parse(&signature, hash).unwrap_or_default();
            if parsed
                .first()
                .is_some_and(|it| it.kind == "EOA" && signers.contains(&it.owner))
            {
                return None;
            }
        }
    }
    Some(invalid(format!(
        "Signature does not match provided delegator={}",
        one.delegator
    )))
}

/// `DELETE /v2/multisig-transactions/{hash}/`.
pub(super) async fn delete(context: &Context, hash: &str, request: &Request) -> Answer {
    let found = hash.parse::<B256>().ok();
    let Some(one) = found.and_then(|hash| context.lock().proposal(hash).cloned()) else {
        return Answer::detail(404, "No MultisigTransaction matches the given query.");
    };
    let body = match read(request) {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let signature = match Body(&body).signature() {
        Ok(signature) => signature,
        Err(invalid) => return invalid.answer(400),
    };
    if chain::execution(&context.rpc, one.safe, one.hash).await.is_some() {
        return invalid("Executed transactions cannot be deleted").answer(400);
    }
    let owners = chain::owners(&context.rpc, one.safe).await.unwrap_or_default();
    let still = context.lock().delegates_of(one.safe, &owners);
    let delegate = one
        .by_delegate
        .filter(|it| still.iter().any(|other| other.delegate == *it));
    let id = context.rpc.ask("eth_chainId", json!([])).await.ok();
    let id: U256 = id.and_then(|id| serde_json::from_value(id).ok()).unwrap_or_default();
    let may = [Some(one.proposer), delegate];
    for hours_ago in [1, 0] {
        let wanted = chain::deletion((one.safe, one.hash), id.to::<u64>(), hours_ago);
        let parsed = chain::parse(&signature, wanted).unwrap_or_default();
        if let [signer] = parsed.as_slice()
            && matches!(signer.kind, "EOA" | "ETH_SIGN")
            && may.contains(&Some(signer.owner))
        {
            context.lock().proposals.retain(|it| it.hash != one.hash);
            return Answer::new(204, Value::Null);
        }
    }
    invalid("Provided signer is neither the proposer nor the delegate who proposed the transaction").answer(400)
}
