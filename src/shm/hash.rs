//! Hashing of bytes: SipHash-1-3 under the file's seed for keys, a folded-multiply sum for whole entries.
//!
//! SipHash (Aumasson and Bernstein, 2012), in the 1-3 variant that Rust's own `HashMap` uses: keyed, so that nobody who
//! only chooses keys can make them collide, and the same in every process. The checksum is no defence, it finds
//! accidents (torn copies, flipped bits, zeroed pages); it multiplies two words at a time into 128 bits and folds the
//! halves, as wyhash (Wang Yi) does.

#[inline]
fn le_word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
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
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let m = le_word(chunk);
        v[3] ^= m;
        sip_round(&mut v);
        v[0] ^= m;
    }
    let last = le_word(chunks.remainder()) | (bytes.len() as u64) << 56;
    v[3] ^= last;
    sip_round(&mut v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for _ in 0..3 {
        sip_round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Binds a checksum to two further words, for little.
pub fn bind(sum: u64, a: u64, b: u64) -> u64 {
    fold(sum ^ a.rotate_left(32), 0x8ebc_6af0_9c88_c6e3 ^ b) ^ sum
}

/// Sum of `words` in their order, under `seed`. Each step depends on a constant that is odd, so that zeros count.
pub fn checksum(seed: u64, words: &[u64]) -> u64 {
    const A: u64 = 0xa076_1d64_78bd_642f;
    const B: u64 = 0xe703_7ed1_a0b4_28db;
    let mut lanes = [seed ^ A, seed ^ B];
    let mut pairs = words.chunks_exact(4);
    for w in &mut pairs {
        lanes[0] = fold(w[0] ^ A, w[1] ^ lanes[0]);
        lanes[1] = fold(w[2] ^ B, w[3] ^ lanes[1]);
    }
    for w in pairs.remainder() {
        lanes[0] = fold(w ^ B, lanes[0] ^ A);
    }
    fold(lanes[0] ^ A, lanes[1] ^ B ^ words.len() as u64)
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

    #[test]
    fn checksum_sees_each_bit_each_length_and_each_exchange() {
        for n in 1..20usize {
            let words: Vec<u64> = (0..n as u64).map(|i| i * 77).collect();
            let sum = checksum(5, &words);
            assert_ne!(sum, checksum(6, &words));
            assert_ne!(sum, checksum(5, &words[..n - 1]));
            for i in 0..n {
                for bit in 0..64 {
                    let mut other = words.clone();
                    other[i] ^= 1 << bit;
                    assert_ne!(sum, checksum(5, &other), "{n} {i} {bit}");
                }
                for j in 0..i {
                    let mut other = words.clone();
                    other.swap(i, j);
                    assert_ne!(sum, checksum(5, &other), "{n} {i} {j}");
                }
            }
        }
    }
}
