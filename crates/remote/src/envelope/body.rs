//! Compression of bodies, and the bounds of what may come out.

use std::borrow::Cow;

use super::Unreadable;

/// Bodies from this size on are compressed, if that makes them smaller.
const WORTHWHILE: usize = 2048;
/// A body is at most so many times as long as its compressed form.
const MOST_TIMES: usize = 1000;

/// How large bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    Never,
    #[default]
    Lz4,
    /// Smaller and slower.
    #[cfg(feature = "zstd")]
    Zstd,
}

/// How one body is compressed, as its flags say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Lz4,
    Zstd,
}

impl Form {
    pub(super) fn bits(self) -> u8 {
        match self {
            Form::Plain => 0,
            Form::Lz4 => 1,
            Form::Zstd => 2,
        }
    }

    pub(super) fn of(bits: u8) -> Option<Form> {
        [Form::Plain, Form::Lz4, Form::Zstd].into_iter().find(|form| form.bits() == bits)
    }
}

/// The body as it is stored.
pub(super) fn compress(body: &[u8], compression: Compression) -> (Form, Cow<'_, [u8]>) {
    if body.len() < WORTHWHILE {
        return (Form::Plain, body.into());
    }
    let (form, compressed) = match compression {
        Compression::Never => return (Form::Plain, body.into()),
        Compression::Lz4 => (Form::Lz4, Some(lz4_flex::block::compress(body))),
        #[cfg(feature = "zstd")]
        Compression::Zstd => (Form::Zstd, zstd::bulk::compress(body, 3).ok()),
    };
    match compressed {
        // So much would look like a forged length. lz4 makes nothing a thousandth.
        #[cfg(feature = "zstd")]
        Some(compressed) if body.len() / MOST_TIMES > compressed.len() => compress(body, Compression::Lz4),
        // (Where next to nothing is gained, it stays as it is.)
        Some(compressed) if compressed.len() < body.len() - body.len() / 32 => (form, compressed.into()),
        _ => (Form::Plain, body.into()),
    }
}

/// The body as it was, `length` bytes; nothing is allocated beyond the bounds.
pub(super) fn decompress(
    form: Form,
    stored: &[u8],
    length: usize,
    max_value: usize,
) -> Result<Cow<'_, [u8]>, Unreadable> {
    if length > max_value || length / MOST_TIMES > stored.len() {
        return Err(Unreadable::TooLarge);
    }
    let body = match form {
        Form::Plain => Cow::Borrowed(stored),
        Form::Lz4 => Cow::Owned(lz4_flex::block::decompress(stored, length).map_err(|_| Unreadable::Compression)?),
        #[cfg(feature = "zstd")]
        Form::Zstd => Cow::Owned(zstd::bulk::decompress(stored, length).map_err(|_| Unreadable::Compression)?),
        #[cfg(not(feature = "zstd"))]
        Form::Zstd => return Err(Unreadable::Compression),
    };
    if body.len() == length {
        Ok(body)
    } else {
        Err(Unreadable::Malformed)
    }
}
