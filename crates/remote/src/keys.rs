//! Names of keys on the server.
//!
//! | what | name |
//! |---|---|
//! | value or lease of a call | `wc1:<namespace>:k:<name>:{<call>}` |
//! | a tag's stamp | `wc1:<namespace>:k:#t:<tag>` |
//! | a function's generation | `wc1:<namespace>:k:#g:<name>` |
//! | lease of a refresh | `wc1:<namespace>:r:<name>:{<call>}` |
//! | what a member computes | `wc1:<namespace>:m:<member>` |
//! | a listener's heartbeat | `wc1:<namespace>:~hb:<session>:<n>` |
//! | the same at a cluster's node | `wc1:<namespace>:~hb:<session>:<n>:<node>{<tag>}` |
//! | that a listener is there | `wc1:<namespace>:~hb:<session>:at:<node>{<tag>}` |
//!
//! Namespaces, names, versions and tags are [`component`]s: they hold neither `:` nor `{` nor `#` unescaped, so no two
//! things share a key; a cache object's name has an `@` before it, that of its locks two. A call is `=` and its key's bytes, or,
//! beyond 64 bytes, `#` and their BLAKE2b-160 in hexadecimal. Braces stand there and in a node's heartbeats only: they are the
//! cluster's hash tag, so a call's keys share a slot. Below `k:` lies all that the
//! server tells listeners of.

use xxhash_rust::xxh3::xxh3_64;

/// The longest encoded component, in bytes; what is longer is hashed.
pub const MAX_COMPONENT: usize = 128;
/// The longest key of a call, in bytes, that stands in the server's key as it is.
pub const MAX_INLINE_CALL: usize = 64;

/// Percent-encodes all but `[A-Za-z0-9_.-]`; what is then longer than [`MAX_COMPONENT`] is `#` and its BLAKE2b-160.
///
/// `text` is UTF-8, with lone surrogates as Python's `surrogatepass` writes them.
pub fn component(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' => encoded.push(byte as char),
            _ => {
                encoded.push('%');
                encoded.push(char::from(b"0123456789ABCDEF"[usize::from(byte >> 4)]));
                encoded.push(char::from(b"0123456789ABCDEF"[usize::from(byte & 15)]));
            }
        }
    }
    if encoded.len() > MAX_COMPONENT {
        format!("#{}", digest(encoded.as_bytes()))
    } else {
        encoded
    }
}

/// BLAKE2b-160 in hexadecimal, as `hashlib.blake2b(bytes, digest_size=20).hexdigest()`.
fn digest(bytes: &[u8]) -> String {
    blake2b_simd::Params::new().hash_length(20).hash(bytes).to_hex().to_string()
}

/// A function's or an object's name as it stands in keys, with the version that its user gave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    pub fn new(name: &[u8], version: Option<&[u8]>) -> Name {
        // `+` is escaped in both.
        Name(match version {
            None => component(name),
            Some(version) => format!("{}+{}", component(name), component(version)),
        })
    }

    /// The same of a cache object, whose keys are none of a function's of that name.
    pub fn of_object(name: &[u8], version: Option<&[u8]>) -> Name {
        // `@` is escaped in components.
        Name(format!("@{}", Name::new(name, version).0))
    }

    /// What an object's locks have in the place of its name.
    pub fn of_locks(name: &[u8], version: Option<&[u8]>) -> Name {
        Name(format!("@@{}", Name::new(name, version).0))
    }
}

/// The keys of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keys {
    /// `wc1:<namespace>:`
    root: String,
}

/// A call's two keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallKeys {
    /// Of the value, or of the lease of who computes it.
    pub value: Vec<u8>,
    /// Of the lease of who refreshes it.
    pub refresh: Vec<u8>,
    /// Whether the call's key is hashed, so that the envelope has to hold its bytes.
    pub is_hashed: bool,
}

/// What a key that the server told of is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A value's or lease's.
    Value,
    /// A tag's or a generation's.
    Stamp,
    /// None of this namespace's told keys.
    Other,
}

impl Keys {
    pub fn new(namespace: &[u8]) -> Keys {
        Keys { root: format!("wc1:{}:", component(namespace)) }
    }

    /// The prefix of all keys that listeners are told of.
    pub fn told_prefix(&self) -> String {
        format!("{}k:", self.root)
    }

    pub fn call(&self, name: &Name, call: &[u8]) -> CallKeys {
        let is_hashed = call.len() > MAX_INLINE_CALL;
        let hash = if is_hashed { digest(call) } else { String::new() };
        let (mark, part) = if is_hashed { (b'#', hash.as_bytes()) } else { (b'=', call) };
        let key = |kind: &str| {
            let mut key = Vec::with_capacity(self.root.len() + name.0.len() + part.len() + 6);
            for piece in [self.root.as_bytes(), kind.as_bytes(), b":", name.0.as_bytes(), b":{", &[mark], part, b"}"] {
                key.extend_from_slice(piece);
            }
            key
        };
        CallKeys { value: key("k"), refresh: key("r"), is_hashed }
    }

    /// A tag's key; the tag is encoded by [`component`].
    pub fn tag(&self, tag: &str) -> String {
        format!("{}k:#t:{tag}", self.root)
    }

    pub fn generation(&self, name: &Name) -> String {
        format!("{}k:#g:{}", self.root, name.0)
    }

    /// The key under which a member says what it computes.
    pub fn member(&self, member: &[u8]) -> String {
        format!("{}m:{}", self.root, component(member))
    }

    /// The prefix of a listener's own heartbeats; `session` is random.
    pub fn heartbeat_prefix(&self, session: u128) -> String {
        format!("{}~hb:{session:032x}:", self.root)
    }

    /// The key by which a connection to a cluster's node is known to lead to the listener's: it has no number.
    pub fn mark(&self, session: u128, mark: &str) -> String {
        format!("{}at{mark}", self.heartbeat_prefix(session))
    }

    /// What a key that the server told of is to this namespace.
    pub fn told(&self, key: &[u8]) -> Told {
        let Some(rest) = key.strip_prefix(self.root.as_bytes()).and_then(|rest| rest.strip_prefix(b"k:")) else {
            return Told::Other;
        };
        if rest.starts_with(b"#t:") || rest.starts_with(b"#g:") {
            Told::Stamp
        } else {
            Told::Value
        }
    }
}

/// The hash by which a key finds its stripe: the same in all processes of this version.
#[inline]
pub fn stripe_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// The cluster's slot of a key: CRC-16 (XMODEM) of what stands between the first `{` and the next `}`, if that is
/// anything, else of all.
pub fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|length| *length > 0).map(|length| &rest[..length])
    });
    let crc = tag.unwrap_or(key).iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 })
    });
    crc % 16384
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_spelled_as_documented() {
        let keys = Keys::new(b"");
        let name = Name::new("täglich".as_bytes(), None);
        let call = keys.call(&name, b"\x01}{");
        assert_eq!(call.value, b"wc1::k:t%C3%A4glich:{=\x01}{}");
        assert_eq!(call.refresh, b"wc1::r:t%C3%A4glich:{=\x01}{}");
        assert!(!call.is_hashed);
        let keys = Keys::new(b"test:1");
        assert_eq!(keys.tag(&component(b"user:1")), "wc1:test%3A1:k:#t:user%3A1");
        assert_eq!(keys.generation(&Name::new(b"f", Some(b"2"))), "wc1:test%3A1:k:#g:f+2");
        assert_eq!(keys.member(b"a b"), "wc1:test%3A1:m:a%20b");
        assert_eq!(keys.heartbeat_prefix(10), "wc1:test%3A1:~hb:0000000000000000000000000000000a:");
        assert_eq!(keys.told_prefix(), "wc1:test%3A1:k:");
    }

    #[test]
    fn long_parts_are_hashed_as_hashlib_does() {
        // hashlib.blake2b(b"a" * 129, digest_size=20).hexdigest()
        assert_eq!(component(&[b'a'; 129]), "#eeff408d65ecf3235b2586586d331fea9014b8d8");
        assert_eq!(component(&[b'a'; 128]).len(), 128);
        let keys = Keys::new(b"");
        let call = keys.call(&Name::new(b"f", None), &[0; 65]);
        assert!(call.is_hashed);
        // hashlib.blake2b(bytes(65), digest_size=20).hexdigest()
        assert_eq!(call.value, b"wc1::k:f:{#6b56ab7f848f49b5bd2961dee04b6f454db6ca2d}");
        assert!(!keys.call(&Name::new(b"f", None), &[0; 64]).is_hashed);
    }

    #[test]
    fn slots_are_the_clusters() {
        assert_eq!(slot(b"123456789"), 0x31C3);
        assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
        // An empty tag is none. (From `CLUSTER KEYSLOT`.)
        assert_eq!(slot(b"foo{}{bar}"), 8363);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b""), 0);
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![prop::collection::vec(any::<u8>(), 0..200), "[:{}#=+%a]{0,8}".prop_map(String::into_bytes),]
    }

    proptest! {
        #[test]
        fn a_calls_keys_share_a_slot_and_are_told_or_not(namespace in bytes(), name in bytes(), call in bytes()) {
            let keys = Keys::new(&namespace);
            let name = Name::new(&name, None);
            let call = keys.call(&name, &call);
            prop_assert_eq!(slot(&call.value), slot(&call.refresh));
            prop_assert_eq!(keys.told(&call.value), Told::Value);
            prop_assert_eq!(keys.told(&call.refresh), Told::Other);
            prop_assert_eq!(keys.told(keys.generation(&name).as_bytes()), Told::Stamp);
            prop_assert_eq!(keys.told(keys.heartbeat_prefix(1).as_bytes()), Told::Other);
            prop_assert!(call.value.len() <= 4 + 129 + 3 + 258 + 1 + 2 + 65 + 1);
        }

        #[test]
        fn different_things_have_different_keys(
            things in prop::collection::hash_set((bytes(), bytes(), prop::option::of(bytes()), bytes()), 0..40)
        ) {
            let mut seen = HashSet::new();
            for (namespace, name, version, call) in &things {
                let keys = Keys::new(namespace);
                prop_assert!(seen.insert(keys.call(&Name::new(name, version.as_deref()), call).value));
            }
        }

        #[test]
        fn components_have_no_separator_and_differ(a in bytes(), b in bytes()) {
            let encoded = component(&a);
            let separates = encoded.contains(|c| ":{}+".contains(c));
            prop_assert!(encoded.len() <= MAX_COMPONENT && !separates);
            prop_assert_eq!(encoded == component(&b), a == b);
        }
    }
}
