//! Hashing of bytes: SipHash-1-3 under the file's seed for keys, XXH3 for whole entries.
//!
//! SipHash (Aumasson and Bernstein, 2012), in the 1-3 variant that Rust's own `HashMap` uses: keyed, so that nobody who
//! only chooses keys can make them collide, and the same in every process. The checksum (XXH3, Yann Collet's, from the
//! crate `xxhash-rust`) is no defence, it finds accidents: torn copies, flipped bits, zeroed pages, whatever the words
//! around them are.

use engine::hashing::split_mix;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What is left behind the last eight bytes that are a word.
#[inline]
fn tail(bytes: &[u8]) -> u64 {
    let left = bytes.len() % 8;
    match bytes.last_chunk() {
        _ if left == 0 => 0,
        // Some of these bytes belong to the word before.
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * left),
        None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[inline]
fn sip_round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

pub fn siphash13(seed: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        seed[0] ^ 0x736f_6d65_7073_6575,
        seed[1] ^ 0x646f_7261_6e64_6f6d,
        seed[0] ^ 0x6c79_6765_6e65_7261,
        seed[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, _) = bytes.as_chunks::<8>();
    for word in words {
        let m = u64::from_le_bytes(*word);
        v[3] ^= m;
        sip_round(&mut v);
        v[0] ^= m;
    }
    let last = tail(bytes) | (bytes.len() as u64) << 56;
    v[3] ^= last;
    sip_round(&mut v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for _ in 0..3 {
        sip_round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

/// Sum of `bytes` under `seed`: XXH3.
pub fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

/// Binds a checksum to two further words, for little. For any sum, other words give another result.
pub fn bind(sum: u64, a: u64, b: u64) -> u64 {
    sum ^ split_mix(a.rotate_left(32) ^ b)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::hash::Hasher;

    #[test]
    fn siphash_agrees_with_the_standard_librarys() {
        let bytes: Vec<u8> = (0..=255).collect();
        for n in 0..=bytes.len() {
            // Documented to be unspecified, in fact SipHash-1-3 under a zero key: a second opinion, for tests only.
            let mut std = std::collections::hash_map::DefaultHasher::new();
            std.write(&bytes[..n]);
            assert_eq!(siphash13([0, 0], &bytes[..n]), std.finish(), "{n} bytes");
        }
        assert_ne!(siphash13([0, 0], b"x"), siphash13([0, 1], b"x"));
    }

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    #[test]
    fn checksum_sees_each_bit_each_length_and_each_exchange() {
        for n in 1..40usize {
            let words: Vec<u64> = (0..n as u64).map(|i| i * 77).collect();
            let sum = checksum(5, &bytes(&words));
            assert_ne!(sum, checksum(6, &bytes(&words)));
            assert_ne!(sum, checksum(5, &bytes(&words[..n - 1])));
            for i in 0..n {
                for bit in 0..64 {
                    let mut other = words.clone();
                    other[i] ^= 1 << bit;
                    assert_ne!(sum, checksum(5, &bytes(&other)), "{n} {i} {bit}");
                }
                for j in 0..i {
                    let mut other = words.clone();
                    other.swap(i, j);
                    assert_ne!(sum, checksum(5, &bytes(&other)), "{n} {i} {j}");
                }
            }
        }
    }

    /// (XXH3 has such products as well, but with the seed in each factor, and a file's seed is random.) Constants that sums
    /// of the multiply-and-fold kind are made with (ours once was, too): a word that is equal to one makes a product of
    /// nothing, and with it all is forgotten that came before.
    #[test]
    fn no_word_makes_the_checksum_forget_what_came_before() {
        let constants: [u64; 8] = [
            0xa076_1d64_78bd_642f,
            0xe703_7ed1_a0b4_28db,
            0x8ebc_6af0_9c88_c6e3,
            0x589965cc75374cc3,
            0x1cad21f72c81017c,
            0xdb979083e96dd4de,
            0,
            u64::MAX,
        ];
        for constant in constants {
            for n in 2..40usize {
                for at in 1..n {
                    for seed in [0x5bd1_e995_97f4_a7c1, 0x2545_f491_4f6c_dd1d] {
                        let sum = |first: u64| {
                            let mut words: Vec<u64> = (0..n as u64).map(|i| i * 77).collect();
                            (words[0], words[at]) = (first, constant);
                            checksum(seed, &bytes(&words))
                        };
                        assert_ne!(sum(1), sum(2), "{constant:x} at {at} of {n}");
                    }
                }
            }
            for (a, b) in [(0, 1), (1, 0), (1, 1), (7, 1 << 30)] {
                assert_ne!(bind(constant, a, b), bind(constant, 0, 0));
                assert_ne!(bind(constant.rotate_left(32), a, b), bind(constant.rotate_left(32), a, b + 1));
            }
        }
    }
}
