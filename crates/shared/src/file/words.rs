//! Words and the bytes that they are.

/// The words as bytes, in memory order.
pub(crate) fn as_bytes(words: &[u64]) -> &[u8] {
    // SAFETY: the same memory, initialised, for the same lifetime; u8 has no alignment and no invalid values.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 8) }
}

pub(crate) fn as_bytes_mut(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: as in `as_bytes`; any bytes make a valid u64, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 8) }
}
