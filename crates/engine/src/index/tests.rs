//! The index beside a map, and where many entries share a hash.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn tokens(table: &Index, hash: u32) -> BTreeSet<Token> {
    let mut probe = table.probe(hash);
    std::iter::from_fn(|| table.next(&mut probe)).collect()
}

fn insert(table: &mut Index, model: &mut BTreeMap<Token, u32>, hash: u32, token: Token) {
    if table.is_full() {
        table.grow(|token| model[&token]);
    }
    table.insert(hash, token);
    model.insert(token, hash);
}

proptest! {
    /// Few distinct hashes that share their groups and wrap round the end: full groups, long ways.
    #[test]
    fn behaves_like_a_map(ops in prop::collection::vec((0u8..5, 0u32..12, 1u32..90), 1..600)) {
        let mut table = Index::new();
        let mut model = BTreeMap::new();
        for (op, h, token) in ops {
            let hash = [0, 1, 7, 8, 15, 16, 31, 0x8000_0000, u32::MAX, u32::MAX - 1, 63, 62][h as usize];
            match model.get(&token) {
                None if op > 1 => insert(&mut table, &mut model, hash, token),
                Some(&own) if op <= 1 => {
                    prop_assert!(table.remove(own, token));
                    model.remove(&token);
                }
                Some(&own) if op == 2 => {
                    // Another name for the same entry.
                    let new = token + 100;
                    if !model.contains_key(&new) {
                        table.rename(own, token, new);
                        model.remove(&token);
                        model.insert(new, own);
                    }
                }
                _ => prop_assert!(!table.remove(hash, 999)),
            }
            table.validate(|token| model[&token]);
            let found = tokens(&table, hash);
            for (token, _) in model.iter().filter(|(_, &own)| own == hash) {
                prop_assert!(found.contains(token));
            }
            prop_assert_eq!(table.tokens().collect::<BTreeSet<_>>(), model.keys().copied().collect::<BTreeSet<_>>());
        }
    }
}

#[test]
fn a_thousand_entries_of_one_hash_come_and_go() {
    let (mut table, mut model) = (Index::new(), BTreeMap::new());
    for token in 1..=1000 {
        insert(&mut table, &mut model, 7, token);
    }
    table.validate(|_| 7);
    assert_eq!(tokens(&table, 7).len(), 1000);
    for token in 1..=1000 {
        assert!(table.remove(7, token));
    }
    table.validate(|_| 7);
    assert!(table.is_empty() && tokens(&table, 7).is_empty());
}

#[test]
fn a_probe_ends_though_many_have_passed_every_group() {
    let (mut table, mut model) = (Index::new(), BTreeMap::new());
    for hash in [0, 32] {
        for token in 1..=640 {
            insert(&mut table, &mut model, hash, token);
        }
        assert!(model.iter().all(|(&token, &hash)| table.remove(hash, token)));
        model.clear();
    }
    assert!(table.groups.iter().filter(|g| g.passed == MANY).count() == 64 && table.groups.len() == 64);
    assert!(tokens(&table, 1).is_empty() && !table.remove(1, 1));
}
