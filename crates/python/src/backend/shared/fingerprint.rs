//! What all users of a shared file must agree on, as numbers: the fingerprint of its options, and its namespace and version.
//!
//! Ring 3.

use crate::function::option_table::Options;
use engine::wire_format;
use shared::hash::siphash13;

/// What tells a cache object's file from others of its name, beside its sizes and its policy.
pub(super) fn fingerprint_of_object(options: &Options) -> u64 {
    let parts = [u64::from(wire_format::VERSION), u64::from(options.max_size == Some(0))];
    let mut bytes = b"cache object".to_vec();
    bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    siphash13([0, 0], &bytes)
}

/// What all users of a function's file must agree on, beside what the file itself knows of.
pub(super) fn fingerprint(options: &Options, key: &[u8]) -> u64 {
    let size = |limit: Option<usize>| limit.map_or(u64::MAX, |limit| limit as u64);
    let parts = [
        options.ttl.nanos,
        u64::from(options.typed),
        u64::from(options.by_signature),
        size(options.max_key_size),
        size(options.max_value_size),
        u64::from(wire_format::VERSION),
        u64::from(options.max_size == Some(0)),
    ];
    let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
    // What makes the key of a call: nothing where that is all of its arguments.
    if options.key.is_some() {
        bytes.extend(b"key ");
        bytes.extend(key);
    }
    let mut ignored: Vec<&str> = options.ignore.iter().map(String::as_str).collect();
    ignored.sort_unstable();
    ignored.dedup();
    for name in ignored {
        bytes.extend(b"ignore ");
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.as_bytes());
    }
    siphash13([0, 0], &bytes)
}

/// What namespace and version are, as a number: 0 for neither.
pub(super) fn identity_of(namespace: Option<&str>, version: Option<&str>) -> u64 {
    if namespace.is_none() && version.is_none() {
        return 0;
    }
    let mut bytes = Vec::new();
    for part in [namespace, version] {
        // Their lengths tell where they end; nothing at all is not the same as an empty text.
        bytes.extend(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
        bytes.extend(part.unwrap_or_default().as_bytes());
    }
    siphash13([0, 0], &bytes).max(1)
}
