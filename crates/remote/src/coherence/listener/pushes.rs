//! What the server tells: keys, or that all is void.

use redis::{PushKind, Value};

use super::super::layout::{Counter, Stripe};
use super::super::words::Words;
use crate::keys::Keys;

/// What of a push is the session's matter, after all else in it has been applied.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// The numbers of its heartbeats.
    pub(super) beats: Vec<u64>,
    /// Its keys are gone.
    pub(super) flushed: bool,
}

/// Raises what a push tells of.
pub(super) fn apply(words: &Words, keys: &Keys, own: &[u8], push: Value) -> Own {
    let Value::Push { kind: PushKind::Invalidate, data } = push else { return Own::default() };
    words.count(Counter::Pushes, 1);
    let (mut stripes, mut beats) = (Vec::new(), Vec::new());
    let mut flushed = true;
    if let Some(Value::Array(told)) = data.into_iter().next() {
        // What is no key is taken for a flush.
        flushed = told.iter().any(|key| !matches!(key, Value::BulkString(_)));
        for key in &told {
            let Value::BulkString(key) = key else { continue };
            match key.strip_prefix(own) {
                Some(number) => beats.extend(std::str::from_utf8(number).ok().and_then(|n| n.parse::<u64>().ok())),
                None => stripes.extend(Stripe::told(keys, key)),
            }
        }
    }
    words.count(Counter::Keys, stripes.len() as u64);
    words.raise(&stripes);
    if flushed {
        words.count(Counter::Flushes, 1);
        words.raise_epoch();
    }
    Own { beats, flushed }
}
