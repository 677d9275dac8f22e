//! Reading who may act for whom: everything at one block, on which the endpoints agree, all of one level in one round trip.
//!
//! A contract is known by its code first and by what it answers last: whatever is neither is unknown, and so is what is
//! beyond the limits here.
//!
//! | floor | what stands there |
//! |---|---|
//! | `facts` `reader` | what is read, and what was so far |
//! | `account` `proxy` | keys, and who can change a contract's code |
//! | `administrator` `safe` `timelock` `delay` `governor` | one shape a file |
//! | `kms` `app` | what can be done |
//! | `level` `storage` | what is asked in one round trip, and whether it is all |

mod account;
mod administrator;
mod app;
mod delay;
mod facts;
mod governor;
mod kms;
mod level;
mod proxy;
mod reader;
mod safe;
mod storage;
mod timelock;

use self::reader::Reader;
use crate::chain::{Chain, ChainError};

pub use facts::{AllowedImage, AppFacts, KmsFacts, OsImage, PowerQuery, Survey, TrustedCode};

/// Reads who may act for an app and its KMS at the newest agreed block. Round trips: the head, the app, one for every step to
/// whoever acts in the end, two where that is a timelock, besides those of reading logs; and one for the storage.
///
/// # Errors
/// See [`ChainError`]. What no endpoint tells is no error: it is unknown, and adds power.
pub async fn read(chain: &Chain, query: &PowerQuery) -> Result<Survey, ChainError> {
    let block = chain.head().await?;
    let mut reader = Reader::new(chain, query, block);
    let (mut app, mut kms) = app::first(&mut reader).await?;
    let of = (query.app, query.kms);
    let (all, lists) = tokio::join!(level::all(&mut reader), storage::lists(chain, &block, of));
    all?;
    storage::take(&reader, lists?, (&mut app.facts, kms.as_mut()));
    storage::close(&mut reader).await?;
    app::effects(&mut reader, &mut app);
    if let Some(kms) = &kms {
        kms::effects(&mut reader, kms);
    }
    let mut world = reader.world;
    timelock::opaque(&mut world, &reader.waiting);
    Ok(Survey {
        block,
        chain_id: chain.id(),
        app: app.facts,
        kms,
        world,
        findings: reader.findings,
        endpoints: reader.endpoints,
    })
}
