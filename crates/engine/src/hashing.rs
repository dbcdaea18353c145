//! Mixers and generators: the functions that spread the bits of numbers, for tables, sketches and chance.
//!
//! Ring 1. None of them keeps a secret: where somebody else may choose the input (the keys of a shared file), a keyed
//! hash comes first.

/// 2⁶⁴ over the golden ratio, made odd: multiplied by it, a number's upper bits come to depend on all of its bits (Knuth's
/// Fibonacci hashing).
pub const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Multiplies to 128 bits and folds the halves: every bit of the result depends on every bit of both factors. (The step of
/// Wang Yi's wyhash, 2019.)
#[inline(always)]
pub fn fold_multiply(x: u64, y: u64) -> u64 {
    let product = u128::from(x) * u128::from(y);
    (product as u64) ^ ((product >> 64) as u64)
}

/// A number below `range`, from a hash whose upper bits are well spread (Lemire's multiply-and-shift, 2019). `range` need not
/// be a power of two.
#[inline(always)]
pub fn scale(hash: u64, range: u64) -> u64 {
    ((u128::from(hash) * u128::from(range)) >> 64) as u64
}

/// Steele, Lea and Flood's SplitMix64 (2014): one to one.
#[inline]
pub fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The finalizer of MurmurHash3 (A. Appleby), of 32 bits: numbers that follow one another get hashes that do not. One to one.
#[inline(always)]
pub fn murmur_mix(key: u32) -> u32 {
    let mut hash = key ^ key >> 16;
    hash = hash.wrapping_mul(0x85EB_CA6B);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xC2B2_AE35);
    hash ^ hash >> 16
}

/// A generator of random numbers: Marsaglia's xorshift (2003) of 32 bits. The state is never 0.
#[derive(Clone, Copy, Debug)]
pub struct XorShift(u32);

impl Default for XorShift {
    fn default() -> Self {
        XorShift((GOLDEN >> 32) as u32)
    }
}

impl XorShift {
    /// The next number.
    #[inline]
    pub fn number(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files and tests hang on these: a change of any is a change of format.
    #[test]
    fn they_stay_as_they_are() {
        // (The first two numbers of Vigna's splitmix64.c from the state 0.)
        assert_eq!(split_mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(split_mix(GOLDEN), 0x6E78_9E6A_A1B9_65F4);
        assert_eq!((murmur_mix(0), murmur_mix(1)), (0, 0x514E_28B7));
        assert_eq!(fold_multiply(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(fold_multiply(1 << 63, 6), 3);
        assert_eq!((scale(u64::MAX, 10), scale(1 << 63, 10), scale(0, 10)), (9, 5, 0));
        let mut random = XorShift(1);
        assert_eq!((random.number(), random.number()), (270_369, 67_634_689));
    }
}
