//! Text that is never shown.

use std::fmt;

/// A password or another part of an address that no message, log or repr may show.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<[u8]>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Secret {
        Secret(bytes.into().into_boxed_slice())
    }

    /// The bytes themselves; for the wire only.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Who logs in. Without a user the server's `default` one is meant; with neither nobody logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Login {
    pub username: Option<Secret>,
    pub password: Option<Secret>,
}
