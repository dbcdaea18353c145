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

/// Raises what a push tells of. `own`, `mark`: how the keys of the session's heartbeats begin, and end at the server that
/// tells it: a key that has come from another node confirms nothing here.
pub(super) fn apply(words: &Words, keys: &Keys, own: &str, mark: &str, push: Value) -> Own {
    let Value::Push { kind: PushKind::Invalidate, data } = push else { return Own::default() };
    words.count(Counter::Pushes, 1);
    let (mut stripes, mut beats) = (Vec::new(), Vec::new());
    let mut flushed = true;
    if let Some(Value::Array(told)) = data.into_iter().next() {
        // What is no key is taken for a flush.
        flushed = told.iter().any(|key| !matches!(key, Value::BulkString(_)));
        for key in &told {
            let Value::BulkString(key) = key else { continue };
            match key.strip_prefix(own.as_bytes()) {
                Some(rest) => {
                    let number = rest.strip_suffix(mark.as_bytes()).and_then(|n| std::str::from_utf8(n).ok());
                    beats.extend(number.and_then(|number| number.parse::<u64>().ok()));
                }
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

#[cfg(test)]
mod tests {
    use super::super::super::file::Subject;
    use super::super::super::Coherence;
    use super::*;
    use crate::keys::{component, Name};

    fn key(bytes: impl AsRef<[u8]>) -> Value {
        Value::BulkString(bytes.as_ref().to_vec())
    }

    fn push(data: Vec<Value>) -> Value {
        Value::Push { kind: PushKind::Invalidate, data }
    }

    #[test]
    fn what_is_told_is_raised_and_nothing_else() {
        let coherence = Coherence::open(None, Subject { server: "s", namespace: b"n" }).unwrap();
        let (words, keys) = (coherence.words(), Keys::new(b"n"));
        let own = keys.heartbeat_prefix(7);
        let (value, tag) = (keys.call(&Name::new(b"f", None), b"1").value, keys.tag(&component(b"t")));
        let (first, second) = (Stripe::of_value(&value), Stripe::of_stamp(tag.as_bytes()));
        let pairs = || [first, second].map(|stripe| words.pair(&[stripe]));
        let apply = |push| apply(words, &keys, &own, "", push);
        let nothing = Own::default();

        let before = pairs();
        let others = [keys.heartbeat_prefix(8) + "1", Keys::new(b"m").tag("t"), "x".to_owned(), own.clone() + "-1"];
        assert_eq!(apply(push(vec![Value::Array(others.iter().map(key).collect())])), nothing);
        assert_eq!(apply(Value::Push { kind: PushKind::Message, data: vec![Value::Nil] }), nothing);
        assert_eq!(pairs(), before);

        let beats = [own.clone() + "3", own.clone() + "18446744073709551615", own.clone() + "18446744073709551616"];
        let told = [key(&value)].into_iter().chain(beats.iter().map(key)).chain([key(&tag)]);
        let told = apply(push(vec![Value::Array(told.collect())]));
        assert_eq!(told, Own { beats: vec![3, u64::MAX], flushed: false });
        let after = pairs();
        assert!((0..2).all(|i| after[i].stamp == before[i].stamp + 1 && after[i].epoch == before[i].epoch));

        // Of a cluster, only what lies at the node that tells.
        let (here, there) = (own.clone() + "3:a{1}", own.clone() + "4:b{1}");
        let several = push(vec![Value::Array(vec![key(&here), key(&there), key(own.clone() + "5")])]);
        assert_eq!(super::apply(words, &keys, &own, ":a{1}", several).beats, [3]);

        // Whatever names no key voids all.
        for (i, data) in
            [vec![Value::Nil], vec![], vec![Value::Array(vec![key(&value), Value::Int(1)])]].into_iter().enumerate()
        {
            assert_eq!(apply(push(data)), Own { beats: Vec::new(), flushed: true });
            assert_eq!(words.epoch(), before[0].epoch + 1 + i as u64);
        }
        assert_eq!((words.counter(Counter::Keys), words.counter(Counter::Flushes)), (3, 3));
    }
}
