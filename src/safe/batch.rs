//! Several calls as one delegate call to a MultiSendCallOnly library: the packed stream, written and read strictly.

use alloy::primitives::{Address, Bytes, U256};
use alloy::sol_types::SolCall;

use crate::abi::multi_send::MultiSendCallOnly::multiSendCall;
use crate::chain::Call;

/// Operation, target, value and length come before each call's data.
const HEAD: usize = 1 + 20 + 32 + 32;
/// More calls than any upgrade has; bounds what a stranger's file can ask for.
const MAX_CALLS: usize = 256;

/// Why bytes are no batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Not `multiSend(bytes)`, or not in the one way in which it is encoded.
    #[error("the data is not the canonical encoding of `multiSend(bytes)`")]
    NotMultiSend,
    /// Ends in the middle of a call.
    #[error("the batch ends inside call {index}")]
    Truncated {
        /// Position, from zero.
        index: usize,
    },
    /// An inner call that is no plain call; the library would revert.
    #[error("call {index} of the batch has operation {operation}, not 0")]
    Operation {
        /// Position, from zero.
        index: usize,
        /// What it says.
        operation: u8,
    },
    /// No call in it.
    #[error("the batch is empty")]
    Empty,
    /// Longer than anybody would read.
    #[error("the batch has more than {MAX_CALLS} calls")]
    TooMany,
}

/// Calldata of `multiSend` for `calls`.
pub(super) fn encode(calls: &[Call]) -> Bytes {
    let mut stream = Vec::new();
    for call in calls {
        stream.push(0);
        stream.extend_from_slice(call.to.as_slice());
        stream.extend_from_slice(&call.value.to_be_bytes::<32>());
        stream.extend_from_slice(&U256::from(call.data.len()).to_be_bytes::<32>());
        stream.extend_from_slice(&call.data);
    }
    let call = multiSendCall {
        transactions: stream.into(),
    };
    call.abi_encode().into()
}

/// The calls of a batch. What it gives encodes to exactly `data`, so nothing can hide in gaps, padding or a tail that
/// the library skips.
///
/// # Errors
/// See [`BatchError`].
pub(super) fn decode(data: &Bytes) -> Result<Vec<Call>, BatchError> {
    let Ok(call) = multiSendCall::abi_decode(data) else {
        return Err(BatchError::NotMultiSend);
    };
    let mut rest: &[u8] = &call.transactions;
    let mut calls = Vec::new();
    while !rest.is_empty() {
        if calls.len() == MAX_CALLS {
            return Err(BatchError::TooMany);
        }
        let (call, after) = one(rest, calls.len())?;
        calls.push(call);
        rest = after;
    }
    if calls.is_empty() {
        return Err(BatchError::Empty);
    }
    if encode(&calls) != *data {
        return Err(BatchError::NotMultiSend);
    }
    Ok(calls)
}

fn one(stream: &[u8], index: usize) -> Result<(Call, &[u8]), BatchError> {
    let truncated = BatchError::Truncated { index };
    let Some((head, rest)) = stream.split_first_chunk::<HEAD>() else {
        return Err(truncated);
    };
    let (operation, head) = head.split_first().unwrap_or((&0, &[]));
    if *operation != 0 {
        return Err(BatchError::Operation {
            index,
            operation: *operation,
        });
    }
    let (to, head) = head.split_at(20);
    let (value, length) = head.split_at(32);
    let length = U256::from_be_slice(length);
    let Some((data, rest)) = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
    else {
        return Err(truncated);
    };
    let call = Call {
        to: Address::from_slice(to),
        value: U256::from_be_slice(value),
        data: Bytes::copy_from_slice(data),
    };
    Ok((call, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn call() -> impl Strategy<Value = Call> {
        let data = proptest::collection::vec(any::<u8>(), 0..100);
        (any::<[u8; 20]>(), any::<[u8; 32]>(), data).prop_map(|(to, value, data)| Call {
            to: to.into(),
            value: U256::from_be_bytes(value),
            data: data.into(),
        })
    }

    fn wrapped(stream: Vec<u8>) -> Bytes {
        let call = multiSendCall {
            transactions: stream.into(),
        };
        call.abi_encode().into()
    }

    proptest! {
        #[test]
        fn a_batch_reads_back_as_it_was_written(calls in proptest::collection::vec(call(), 1..6)) {
            prop_assert_eq!(decode(&encode(&calls)), Ok(calls));
        }
        #[test]
        fn a_changed_byte_is_refused_or_changes_a_call(
            calls in proptest::collection::vec(call(), 1..4), place: prop::sample::Index, bits in 1u8..,
        ) {
            let mut data = encode(&calls).to_vec();
            *place.get_mut(&mut data[..]) ^= bits;
            if let Ok(read) = decode(&data.into()) {
                prop_assert_ne!(read, calls);
            }
        }
        #[test]
        fn bytes_before_the_end_or_after_it_are_refused(
            calls in proptest::collection::vec(call(), 1..4), more in 1usize..70, cut in 1usize..70,
        ) {
            let data = encode(&calls);
            prop_assert!(decode(&[data.as_ref(), &vec![0; more]].concat().into()).is_err());
            prop_assert!(decode(&data.slice(..data.len() - cut)).is_err());
        }
        #[test]
        fn no_bytes_make_the_reader_fail(stream in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop((decode(&wrapped(stream.clone())), decode(&stream.into())));
        }
    }

    #[test]
    fn pitfall_41_a_tail_that_the_library_would_skip_is_refused() {
        let call = Call {
            to: Address::repeat_byte(1),
            value: U256::ZERO,
            data: Bytes::new(),
        };
        let inner = multiSendCall::abi_decode(&encode(&[call])).unwrap().transactions;
        for tail in 1..=32 {
            let stream = [inner.as_ref(), &vec![0; tail]].concat();
            assert_eq!(
                decode(&wrapped(stream)),
                Err(BatchError::Truncated { index: 1 }),
                "{tail}"
            );
        }
    }

    #[test]
    fn m19_a_delegate_call_inside_a_batch_is_refused() {
        let call = Call {
            to: Address::repeat_byte(1),
            value: U256::ZERO,
            data: Bytes::new(),
        };
        let mut stream = multiSendCall::abi_decode(&encode(&[call]))
            .unwrap()
            .transactions
            .to_vec();
        stream[0] = 1;
        assert_eq!(
            decode(&wrapped(stream)),
            Err(BatchError::Operation { index: 0, operation: 1 })
        );
    }

    #[test]
    fn lengths_beyond_the_stream_are_refused() {
        let mut stream = vec![0; HEAD];
        stream[53..85].fill(0xff);
        assert_eq!(decode(&wrapped(stream)), Err(BatchError::Truncated { index: 0 }));
        assert_eq!(decode(&wrapped(Vec::new())), Err(BatchError::Empty));
    }
}
