//! Who tells of the past: each endpoint, and one that was named for histories alone.

use futures_util::future::join;

use super::connection::Chain;
use super::error::ChainError;
use super::gather::is_absence;
use super::rpc::Node;

impl Chain {
    /// Whether an endpoint is one of those that have to agree, and not the one for histories alone.
    pub(super) fn is_asked_for_all(&self, node: &Node) -> bool {
        self.place(node) < self.nodes.len()
    }

    /// As [`Self::hear`], for what contracts logged: also of the endpoint that was named for that.
    ///
    /// # Errors
    /// None answered.
    pub(super) async fn hear_of_past<'s, T, F, R>(&'s self, ask: F) -> Result<Vec<(&'s Node, T)>, ChainError>
    where
        F: Fn(&'s Node) -> R,
        R: Future<Output = Result<T, ChainError>>,
    {
        let Some(past) = &self.past else {
            return self.hear(ask).await;
        };
        let of_past = async { past.chain().await?.hear(&ask).await };
        match join(self.hear_once(&ask), of_past).await {
            (Ok(mut found), Ok(more)) => {
                found.extend(more);
                Ok(found)
            }
            (Ok(found), Err(error)) if !found.is_empty() && is_absence(&error) => Ok(found),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}
