//! Belady's optimum: the fewest misses that any strategy can have, for it knows the future.
//!
//! Ring 1. What is needed next at the latest moment gives way (L. A. Belady, "A study of replacement algorithms for a
//! virtual-storage computer", IBM Systems Journal 5(2), 1966), the newcomer itself included: strategies that do not let
//! everything in are bounded by it, too.

use std::collections::BinaryHeap;

use super::{Stop, CHECK};

/// For a request whose key is not requested again.
const NEVER: u32 = u32::MAX;

/// For each request the number of the next one of the same key. O(n).
pub fn next_uses(keys: &[u32]) -> Vec<u32> {
    let keys_end = keys.iter().max().map_or(0, |&key| key as usize + 1);
    let mut latest = vec![NEVER; keys_end];
    let mut next = vec![NEVER; keys.len()];
    for (at, &key) in keys.iter().enumerate().rev() {
        next[at] = std::mem::replace(&mut latest[key as usize], at as u32);
    }
    next
}

/// The misses of the optimum, given [`next_uses`]; `None` if it was stopped. O(n log n).
pub fn misses(next: &[u32], size: usize, stop: &Stop) -> Option<u64> {
    // An entry is known by its next use, which no other entry has. What the heap has at the present moment or before it is
    // no longer an entry: it was used, and stands there under a later moment.
    let mut heap: BinaryHeap<u32> = BinaryHeap::new();
    let mut kept = vec![false; next.len()];
    let (mut entries, mut misses) = (0, 0);
    for (now, &use_) in next.iter().enumerate() {
        if now % CHECK == 0 && stop.is_set() {
            return None;
        }
        if kept[now] {
            entries -= 1;
        } else {
            misses += 1;
        }
        if use_ == NEVER || size == 0 {
            continue;
        }
        if entries == size {
            match heap.peek() {
                Some(&last) if last > use_ => {
                    heap.pop();
                    kept[last as usize] = false;
                    entries -= 1;
                }
                _ => continue,
            }
        }
        heap.push(use_);
        kept[use_ as usize] = true;
        entries += 1;
        if heap.len() > 2 * size + 64 {
            heap.retain(|&moment| moment as usize > now);
        }
    }
    Some(misses)
}
