//! Round trips, damage and hostile bytes.

use super::*;
use proptest::prelude::*;

const KEY: &[u8] = b"wc1::k:f:{=1}";

fn sealers() -> [Sealer; 2] {
    [Sealer::new(&[], Compression::Lz4).unwrap(), Sealer::new(&[b"secret"], Compression::Lz4).unwrap()]
}

fn stamp() -> impl Strategy<Value = Stamp<'static>> {
    ("[a-z0-9%]{0,20}", any::<[u8; 16]>()).prop_map(|(tag, stamp)| Stamp { tag: tag.into(), stamp })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(any::<u8>(), 2000..5000),
        (any::<u8>(), 0..100_000usize).prop_map(|(byte, length)| vec![byte; length]),
        ("[a-d]{1,30}", 0..300usize).prop_map(|(text, times)| text.repeat(times).into_bytes()),
    ]
}

prop_compose! {
    fn entry()(
        exception: bool,
        token: [u8; 24],
        pickled: bool,
        durations: [u64; 3],
        stamps in prop::collection::vec(stamp(), 0..=MAX_STAMPS),
        call in prop::collection::vec(any::<u8>(), 0..300),
        body in body(),
    ) -> Entry<'static> {
        let [lifetime, fresh, computed] = durations.map(Duration::from_micros);
        Entry {
            kind: if exception { Kind::Exception } else { Kind::Value },
            codec: if pickled { Codec::Pickle } else { Codec::Safe },
            token, lifetime, fresh, computed, stamps, call: call.into(), body: body.into(),
        }
    }
}

fn small(body: &[u8]) -> Entry<'_> {
    Entry {
        kind: Kind::Value,
        token: [7; 24],
        codec: Codec::Safe,
        lifetime: Duration::from_secs(60),
        fresh: Duration::from_secs(30),
        computed: Duration::from_micros(1234),
        stamps: vec![Stamp { tag: "".into(), stamp: [1; 16] }, Stamp { tag: "user%3A1".into(), stamp: [2; 16] }],
        call: b"key bytes"[..].into(),
        body: body.into(),
    }
}

proptest! {
    #[test]
    fn entries_come_back(entry in entry(), key in prop::collection::vec(any::<u8>(), 0..100)) {
        for sealer in sealers() {
            let bytes = sealer.seal(&key, &entry).unwrap();
            prop_assert_eq!(sealer.open(&key, &bytes), Ok(Opened::Entry(entry.clone())));
            prop_assert_eq!(&fence(&bytes).unwrap()[1..], &entry.token[..]);
            prop_assert!(bytes.len() <= entry.body.len() + entry.call.len() + 800);
        }
    }

    #[test]
    fn leases_come_back(token: [u8; 24], stamps in prop::collection::vec(stamp(), 0..=MAX_STAMPS)) {
        for sealer in sealers() {
            let bytes = sealer.seal_lease(KEY, &token, &stamps).unwrap();
            prop_assert_eq!(sealer.open(KEY, &bytes), Ok(Opened::Lease(LeaseEntry { token, stamps: stamps.clone() })));
        }
    }

    #[test]
    fn hostile_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for sealer in sealers() {
            prop_assert!(sealer.open(KEY, &bytes).is_err());
        }
    }

    /// Whoever may write to the server can make checksums: what is behind them must hold as well.
    #[test]
    fn hostile_bytes_with_a_right_checksum_cost_no_more_than_their_bounds(
        flags in 0..32u8,
        kind in prop::sample::select(b"LVX".to_vec()),
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0..4u8, Just(0xFF)], 0..300),
    ) {
        let sealer = Sealer::new(&[], Compression::Lz4).unwrap().with_max_value(1 << 16);
        let mut forged = vec![kind];
        forged.extend_from_slice(&[0; 24]);
        forged.extend_from_slice(&[VERSION, flags]);
        forged.extend_from_slice(&bytes);
        sealer.sign(KEY, &mut forged);
        if let Ok(Opened::Entry(entry)) = sealer.open(KEY, &forged) {
            prop_assert!(entry.body.len() <= 1 << 16 && entry.call.len() <= bytes.len());
        }
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let large = b"some text that is compressed ".repeat(200);
    for sealer in sealers() {
        let entries = [&b"body"[..], &large].map(|body| sealer.seal(KEY, &small(body)).unwrap());
        let lease = sealer.seal_lease(KEY, &[9; 24], &small(b"").stamps).unwrap();
        for bytes in entries.into_iter().chain([lease]) {
            assert!(sealer.open(KEY, &bytes).is_ok());
            for bit in 0..8 * bytes.len() {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(sealer.open(KEY, &flipped).is_err(), "bit {bit}");
            }
            for length in 0..bytes.len() {
                assert!(sealer.open(KEY, &bytes[..length]).is_err(), "{length} bytes");
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert!(sealer.open(KEY, &longer).is_err());
        }
    }
}

#[test]
fn an_entry_holds_under_its_own_key_only() {
    for (sealer, reason) in sealers().iter().zip([Unreadable::Checksum, Unreadable::Signature]) {
        let bytes = sealer.seal(KEY, &small(b"body")).unwrap();
        assert_eq!(sealer.open(b"wc1::k:f:{=2}", &bytes), Err(reason));
        // Nor with a byte moved over from the entry to the key.
        let longer: Vec<u8> = KEY.iter().chain(&bytes[..1]).copied().collect();
        assert!(sealer.open(&longer, &bytes[1..]).is_err());
    }
}

#[test]
fn the_first_secret_signs_and_all_verify() {
    let sealer = |secrets: &[&[u8]]| Sealer::new(secrets, Compression::Lz4).unwrap();
    let [old, both, new] = [sealer(&[b"old"]), sealer(&[b"new", b"old"]), sealer(&[b"new"])];
    let none = sealer(&[]);
    let by_old = old.seal(KEY, &small(b"body")).unwrap();
    let by_both = both.seal(KEY, &small(b"body")).unwrap();
    let by_none = none.seal(KEY, &small(b"body")).unwrap();
    for (reader, bytes, outcome) in [
        (&both, &by_old, None),
        (&both, &by_both, None),
        (&new, &by_both, None),
        (&old, &by_both, Some(Unreadable::Signature)),
        (&new, &by_old, Some(Unreadable::Signature)),
        (&none, &by_old, Some(Unreadable::Signature)),
        (&old, &by_none, Some(Unreadable::Unsigned)),
    ] {
        assert_eq!(reader.open(KEY, bytes).err(), outcome);
    }
    assert!(Sealer::new(&[b"one", b""], Compression::Lz4).is_err());
}

/// What the bytes are, so that no later version reads them differently without another number.
#[test]
fn the_format_is_what_it_was() {
    let bytes = sealers()[0].seal_lease(b"k", &[b't'; 24], &[Stamp { tag: "a".into(), stamp: [3; 16] }]).unwrap();
    let mut expected = vec![b'L'];
    expected.extend([b't'; 24]);
    expected.extend([1, 0, 1, 1, b'a']);
    expected.extend([3; 16]);
    assert_eq!(bytes[..bytes.len() - SIGNATURE], expected);
    let mut signed = vec![1, 0, 0, 0, 0, 0, 0, 0, b'k'];
    signed.extend(&expected);
    assert_eq!(bytes[bytes.len() - SIGNATURE..], xxhash_rust::xxh3::xxh3_128(&signed).to_le_bytes());
}

#[test]
fn what_grows_beyond_its_bounds_is_refused() {
    let [plain, _] = sealers();
    let zeros = vec![0; 1 << 20];
    let bytes = plain.seal(KEY, &small(&zeros)).unwrap();
    assert!(bytes.len() < 10_000);
    let [bounded, _] = sealers();
    let bounded = bounded.with_max_value(1 << 16);
    assert_eq!(bounded.open(KEY, &bytes), Err(Unreadable::TooLarge));
    assert_eq!(bounded.seal(KEY, &small(&zeros)), Err(Unstorable::Body(1 << 20)));
    // A length of a thousand times what is there.
    assert_eq!(body::decompress(body::Form::Lz4, &[0; 10], 20_000, MAX_VALUE), Err(Unreadable::TooLarge));
    let many = vec![Stamp { tag: "".into(), stamp: [0; 16] }; MAX_STAMPS + 1];
    assert_eq!(plain.seal_lease(KEY, &[0; 24], &many), Err(Unstorable::Stamps(MAX_STAMPS + 1)));
}

#[cfg(feature = "zstd")]
#[test]
fn zstandard_comes_back_and_is_read_whatever_the_reader_writes() {
    let text: Vec<u8> = (0..5000u32).flat_map(|n| format!("{n} some text that is compressed ").into_bytes()).collect();
    let zstd = Sealer::new(&[], Compression::Zstd).unwrap();
    let [lz4, _] = sealers();
    let bytes = zstd.seal(KEY, &small(&text)).unwrap();
    assert!(bytes.len() < lz4.seal(KEY, &small(&text)).unwrap().len());
    assert_eq!(lz4.open(KEY, &bytes), Ok(Opened::Entry(small(&text))));
    // What would shrink beyond the reader's bound is compressed all the same.
    let zeros = vec![0; 1 << 20];
    let bytes = zstd.seal(KEY, &small(&zeros)).unwrap();
    assert!(bytes.len() < 1 << 14);
    assert_eq!(zstd.open(KEY, &bytes), Ok(Opened::Entry(small(&zeros))));
}
