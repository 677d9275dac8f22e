//! Endpoints that say anything at all about fees, gas and nonces, alone or beside honest ones: what a key can lose by them.

use alloy::primitives::B256;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::chain::fees::Spending;

const GWEI: u128 = 1_000_000_000;
const COIN: u128 = 1_000_000_000 * GWEI;
const SENDER: Address = Address::repeat_byte(1);

/// What somebody does next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The first transaction, or another nonce after one that is gone.
    Sign,
    Raise,
}

/// Numbers of every size.
fn figure() -> impl Strategy<Value = u128> {
    (any::<u128>(), 0..128_u32).prop_map(|(bits, shift)| bits >> shift)
}

fn history(base: Vec<u128>, tips: Vec<u128>) -> FeeHistory {
    FeeHistory {
        base_fee_per_gas: base.into_iter().map(U128::from).collect(),
        reward: Some(tips.into_iter().map(|tip| vec![U128::from(tip)]).collect()),
    }
}

fn survey(name: &str, base_fee: u128, history: FeeHistory) -> Survey {
    Survey {
        endpoint: name.to_owned(),
        top: Top {
            block: BlockRef {
                number: 100,
                hash: B256::ZERO,
                timestamp: 1,
            },
            base_fee,
        },
        gas_limit: 30_000_000,
        latest: 0,
        pending: 0,
        balance: U256::MAX,
        history,
        gas: Ok(60_000),
        call: None,
        data_fee: None,
    }
}

prop_compose! {
    fn liar()(
        base in figure(),
        fees in vec(figure(), 0..22),
        tips in vec(figure(), 0..21),
        (gas, gas_limit, nonce) in (figure(), figure(), 0..9_u64),
        (top, data) in (0..200_u64, proptest::option::of(figure())),
    ) -> Survey {
        let mut survey = survey("liar", base, history(fees, tips));
        let small = |figure: u128| u64::try_from(figure).unwrap_or(u64::MAX);
        survey.gas = Ok(small(gas));
        survey.gas_limit = small(gas_limit);
        (survey.latest, survey.pending) = (nonce, nonce);
        survey.top.block.number = top;
        survey.data_fee = data.map(U256::from);
        survey
    }
}

prop_compose! {
    /// An endpoint on a chain with usual fees; its base fee is another one's as well.
    fn honest()(base in 1..100_u128, next in 875..1125_u128, tip in 0..2_000_u128, gas in 40_000..150_000_u64) -> Survey {
        let base = base * GWEI;
        let mut fees = vec![base; 20];
        fees.push(base * next / 1000);
        let mut survey = survey("honest", base, history(fees, vec![tip * GWEI / 1000; 20]));
        survey.gas = Ok(gas);
        survey
    }
}

fn again(honest: &Survey) -> Survey {
    let tips = honest
        .history
        .reward
        .iter()
        .flatten()
        .flatten()
        .map(|tip| tip.to())
        .collect();
    let fees = honest.history.base_fee_per_gas.iter().map(|fee| fee.to()).collect();
    let mut copy = survey("honest", honest.top.base_fee, history(fees, tips));
    copy.gas = Ok(*honest.gas.as_ref().unwrap());
    copy
}

fn blank(chain_id: u64) -> TxRequest {
    TxRequest {
        chain_id,
        from: SENDER,
        nonce: 0,
        call: Call::add_compose_hash(Address::repeat_byte(2), B256::ZERO),
        gas_limit: 0,
        max_fee_per_gas: 0,
        max_priority_fee_per_gas: 0,
    }
}

/// What is signed next, if anything is.
fn act(step: Step, signed: &[TxRequest], surveys: &[Survey], policy: FeePolicy) -> Option<(TxRequest, U256)> {
    let said: Vec<(&str, u128)> = surveys
        .iter()
        .map(|one| (one.endpoint.as_str(), one.top.base_fee))
        .collect();
    let base_fee = one_base_fee(&said, 100).ok()?;
    match (step, signed.last()) {
        (Step::Raise, Some(last)) => {
            let market = Market::of(base_fee, surveys.iter().map(|one| &one.history));
            let raised = last.bumped(market.base_fee, &policy).ok()?;
            let least = |fee: u128| fee + fee.div_ceil(10);
            assert!(
                raised.max_fee_per_gas >= least(last.max_fee_per_gas),
                "a node takes it in the place of the other"
            );
            assert!(raised.max_priority_fee_per_gas >= least(last.max_priority_fee_per_gas));
            Some((raised, U256::ZERO))
        }
        _ => {
            let chain = if policy.most.is_some() { 10 } else { 1 };
            let filling = Filling {
                fees: policy,
                nonce: None,
            };
            let quote = filled(blank(chain), base_fee, surveys, filling).ok()?;
            Some((quote.request, quote.data_fee.unwrap_or_default()))
        }
    }
}

/// The most that blocks can take for all of these: of each nonce one.
fn worst(signed: &[TxRequest]) -> U256 {
    let nonces: std::collections::BTreeSet<u64> = signed.iter().map(|one| one.nonce).collect();
    let of = |nonce: u64| {
        let all = signed.iter().filter(|one| one.nonce == nonce);
        all.map(|one| U256::from(one.gas_limit) * U256::from(one.max_fee_per_gas))
            .max()
            .unwrap()
    };
    nonces.into_iter().map(of).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sec_c3_no_endpoint_makes_a_key_lose_more_than_the_limit(
        honest in proptest::option::of(honest()),
        place in 0..3_usize,
        steps in vec((prop_oneof![Just(Step::Sign), Just(Step::Raise)], liar()), 1..12),
        ceiling in proptest::option::of(figure()),
        most in proptest::option::of(1..COIN),
    ) {
        let policy = FeePolicy { ceiling: ceiling.filter(|fee| *fee > 0), most: most.map(U256::from) };
        let limit = policy.limit(if most.is_some() { 10 } else { 1 }).unwrap();
        let (mut spending, mut signed) = (Spending::default(), Vec::new());
        for (step, liar) in steps {
            let mut surveys: Vec<Survey> = honest.iter().flat_map(|one| [again(one), again(one)]).collect();
            surveys.insert(place.min(surveys.len()), liar);
            let Some((request, data_fee)) = act(step, &signed, &surveys, policy) else { continue };
            if spending.admit(&request, data_fee, &policy).is_err() {
                continue;
            }
            if let (Some(honest), Step::Sign) = (&honest, step) {
                let base = honest.top.base_fee.max(honest.history.next_base_fee());
                prop_assert!(request.max_priority_fee_per_gas <= honest.history.tip());
                prop_assert!(request.max_fee_per_gas <= 2 * base + honest.history.tip());
                prop_assert!(request.gas_limit <= 3 * honest.gas.as_ref().unwrap());
            }
            spending.count(&request);
            signed.push(request);
            prop_assert!(worst(&signed) <= limit, "{} of {limit}: {signed:?}", worst(&signed));
        }
    }

    #[test]
    fn an_honest_endpoint_alone_meets_no_limit(honest in honest(), copies in 1..3_usize) {
        let surveys: Vec<Survey> = (0..copies).map(|_| again(&honest)).collect();
        let policy = FeePolicy::default();
        let (request, data_fee) = act(Step::Sign, &[], &surveys, policy).unwrap();
        prop_assert!(Spending::default().admit(&request, data_fee, &policy).is_ok(), "{request:?}");
        let cheap = TxRequest {
            chain_id: 8453,
            max_fee_per_gas: request.max_fee_per_gas / 100,
            ..request
        };
        prop_assert!(Spending::default().admit(&cheap, data_fee, &policy).is_ok(), "{cheap:?}");
    }
}
