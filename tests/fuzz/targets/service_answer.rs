//! What a Safe Transaction Service answers: to a client, and in a file that somebody kept. A transaction that is accepted
//! has the hash that the service names, under the fields that were proposed; nobody agrees who did not sign.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use alloy::primitives::{Address, Bytes, U256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use countersign::http::{Http, Limits, RetryPolicy};
use countersign::safe::SafeTx;
use countersign::safe::given::{Content, given};
use countersign::safe::service::{Service, ServiceTx};
use countersign_fuzz::{Bases, endpoint};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::signatures::{keys, posted, tx};

pub(crate) struct Target {
    bases: Bases,
    tx: SafeTx,
    signers: BTreeSet<Address>,
    said: Rc<RefCell<Vec<u8>>>,
    service: Service,
    local: LocalSet,
    runtime: Runtime,
}

impl Target {
    pub(crate) fn new() -> Self {
        let tx = tx();
        let said = Rc::new(RefCell::new(Vec::new()));
        let (runtime, local) = (super::runtime(), LocalSet::new());
        let answer = Rc::clone(&said);
        let address = local.block_on(&runtime, async move {
            let answers = move |_: &[u8]| (200, answer.borrow().clone());
            endpoint::serve(Rc::new(RefCell::new(Box::new(answers)))).await
        });
        let http = Http::new(Limits::default()).with_retries(RetryPolicy {
            attempts: 1,
            ..RetryPolicy::default()
        });
        let service = Service::new(&http, format!("http://{address}").parse().unwrap(), None).unwrap();
        Self {
            bases: Bases::of(answers(&tx)),
            signers: keys().iter().take(2).map(PrivateKeySigner::address).collect(),
            tx,
            said,
            service,
            local,
            runtime,
        }
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let text = self.bases.text(input);
        if let Ok(value) = serde_json::from_slice::<Value>(&text)
            && let Ok(found) = ServiceTx::read(&value)
        {
            self.check_tx(&found);
            if let Ok(kept) = given(&text)
                && let Content::Fields(fields) = kept.content
                && kept.kind == "service transaction"
            {
                assert!(*fields == found.fields && kept.hash == Some(found.claimed_hash));
            }
        }
        self.said.replace(text.into_owned());
        self.local.block_on(&self.runtime, async {
            let safe = self.tx.domain().safe;
            if let Ok(list) = self.service.queue(safe, U256::from(7)).await {
                for one in &list {
                    assert_eq!(one.safe, safe, "another Safe's transaction is listed");
                    self.check_tx(one);
                }
            }
            if let Ok(Some(one)) = self.service.transaction(self.tx.hash()).await {
                assert_eq!(one.claimed_hash, self.tx.hash());
                self.check_tx(&one);
            }
            if let Ok(Some(one)) = self.service.safe(safe).await {
                assert_eq!(one.address, safe);
            }
        });
    }

    fn check_tx(&self, found: &ServiceTx) {
        let accepted = found.accept(*self.tx.domain());
        if found.claimed_hash != self.tx.hash() {
            assert!(accepted.is_err(), "a hash that nobody can have found");
            return;
        }
        if let Ok(accepted) = accepted {
            assert!(accepted.hash() == self.tx.hash() && accepted.fields() == self.tx.fields());
            assert_eq!(accepted.calls(), self.tx.calls());
        }
        for owner in found.signed(self.tx.hash()) {
            assert!(self.signers.contains(&owner), "an owner agrees who did not sign");
        }
    }
}

fn answers(tx: &SafeTx) -> Vec<Value> {
    let confirmation = |key: &PrivateKeySigner| {
        let signature = key.sign_hash_sync(&tx.hash()).unwrap();
        json!({
            "owner": key.address(), "submissionDate": "2026-11-28T00:00:00Z", "transactionHash": null,
            "signature": Bytes::from(signature.as_bytes().to_vec()), "signatureType": "EOA"
        })
    };
    let confirmations: Vec<Value> = keys().iter().take(2).map(confirmation).collect();
    let mut one = posted(tx);
    one["trusted"] = json!(true);
    one["isExecuted"] = json!(false);
    one["proposer"] = json!(keys()[0].address());
    one["proposedByDelegate"] = Value::Null;
    one["origin"] = json!("{\"name\":\"a\"}");
    one["confirmations"] = json!(confirmations);
    let mut old = one.clone();
    old["nonce"] = json!(7);
    old["contractTransactionHash"] = old["safeTxHash"].take();
    old["safeTxHash"] = Value::Null;
    vec![
        one.clone(),
        old,
        json!({"count": 2, "next": null, "previous": null, "results": [one.clone(), one]}),
        json!({
            "address": tx.domain().safe, "nonce": "7", "threshold": 2, "owners": keys().iter().map(PrivateKeySigner::address).collect::<Vec<_>>(),
            "masterCopy": "0x41675C099F32341bf84BFc5382aF534df5C7461a", "modules": [], "fallbackHandler": Address::ZERO,
            "guard": Address::ZERO, "version": "1.4.1"
        }),
    ]
}
