//! What the server tells: keys, or that all is void.

use redis::{PushKind, Value};

use super::super::layout::{Counter, Stripe};
use super::super::words::Words;
use crate::keys::Keys;

/// Raises what a push tells of, in the order in which it does; gives the numbers of the listener's own heartbeats in it,
/// which come to count after all of this.
pub(super) fn apply(words: &Words, keys: &Keys, own: &[u8], push: Value) -> Vec<u64> {
    let Value::Push { kind: PushKind::Invalidate, data } = push else { return Vec::new() };
    words.count(Counter::Pushes, 1);
    let (mut stripes, mut beats) = (Vec::new(), Vec::new());
    let mut is_flush = true;
    if let Some(Value::Array(told)) = data.into_iter().next() {
        // What is no key is taken for a flush.
        is_flush = told.iter().any(|key| !matches!(key, Value::BulkString(_)));
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
    if is_flush {
        words.count(Counter::Flushes, 1);
        words.raise_epoch();
    }
    beats
}
