//! What occurs in keys only, as text.
//!
//! Ring 3.

use super::Shower;
use crate::codec::named::HASH;
use engine::wire_format::{key, tag};

impl Shower<'_> {
    /// What occurs in keys only.
    pub(super) unsafe fn of_key(&mut self, first: u8, depth: u32) -> Option<()> {
        let inner = depth.checked_sub(1)?;
        // SAFETY: as for `body`.
        unsafe {
            match first {
                key::NOT_IMPLEMENTED => self.say("NotImplemented"),
                key::RATIO => {
                    self.push("Fraction(");
                    self.body(inner)?;
                    self.push(", ");
                    self.body(inner)?;
                    self.say(")")
                }
                key::RANGE if self.reader().peek()? == key::ABSENT => {
                    self.reader().byte()?;
                    self.say("range(0)")
                }
                key::RANGE => self.range(inner),
                key::GLOBAL => {
                    let hash = self.reader().bytes(HASH)?;
                    let hash: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
                    self.say(&format!("<named object {hash}>"))
                }
                key::ENUM_MEMBER | key::ENUM_VALUE => {
                    self.muted(|shower| shower.body(inner))?;
                    self.push(if first == key::ENUM_MEMBER { "<member " } else { "<flags " });
                    self.body(inner)?;
                    self.say(">")
                }
                key::REDUCED | key::REDUCED_EXACTLY => self.reduced(inner),
                key::DEFAULT => {
                    self.reader().varint()?;
                    self.say("<default>")
                }
                key::CANONICAL => {
                    self.push("<like ");
                    self.body(inner)?;
                    self.say(">")
                }
                key::BYTEARRAY => {
                    self.push("bytearray(");
                    self.long(tag::BYTES, 1)?;
                    self.say(")")
                }
                _ => None,
            }
        }
    }

    /// First and last item, and the step where these differ.
    unsafe fn range(&mut self, depth: u32) -> Option<()> {
        // SAFETY: as for `body`.
        unsafe {
            let all = self.bytes;
            let at = |shower: &Self| all.len() - shower.decoder.reader.rest();
            let start = at(self);
            self.push("<range from ");
            self.body(depth)?;
            let middle = at(self);
            self.push(" to ");
            self.body(depth)?;
            if all[start..middle] != all[middle..at(self)] {
                self.push(" by ");
                self.body(depth)?;
            }
            self.say(">")
        }
    }

    /// An object that was reduced: the number of its parts, its class, then the parts.
    unsafe fn reduced(&mut self, depth: u32) -> Option<()> {
        let before = self.reader().rest();
        self.muted(|shower| {
            let count = shower.reader().byte()?;
            // SAFETY: as for `body`.
            unsafe {
                shower.body(depth)?;
                for at in 0..count {
                    match (at, shower.reader().peek()?) {
                        (3, _) => {
                            while shower.reader().peek()? != key::ABSENT {
                                shower.body(depth)?;
                            }
                            shower.reader().byte()?;
                        }
                        (4, key::ABSENT) => drop(shower.reader().byte()?),
                        _ => shower.body(depth)?,
                    }
                }
            }
            Some(())
        })?;
        let bytes = before - self.reader().rest();
        self.say(&format!("<object of {bytes} bytes>"))
    }
}
