//! Where an answer ends: replies and pushes cut out of the bytes that have come, within bounds.
//!
//! Bytes come in any pieces. A scan goes over them once and remembers where it is; only when a whole reply lies in the
//! buffer is it parsed (by the `redis` crate's parser, which so never sees a length that is not there). Lengths, the number of
//! elements, their depth and the length of lines are bounded as soon as they are read, and the buffer grows no faster
//! than bytes arrive: an announced gigabyte costs nothing.

use redis::Value;

use crate::error::Error;

/// The bound of a reply's length unless another is asked for, in bytes.
pub const MAX_REPLY: usize = 64 << 20;
/// The most values in one reply, nested ones included.
const MAX_ELEMENTS: u64 = 1 << 20;
const MAX_DEPTH: usize = 16;
/// Errors, simple strings and numbers.
const MAX_LINE: usize = 64 << 10;
/// The buffer's size when nothing large is on its way.
const SMALL: usize = 16 << 10;

/// Bytes received and not yet parsed.
pub(super) struct Frames {
    /// All initialized; what has come lies at `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    scan: Scan,
    max_reply: usize,
}

/// How far the reply at `start` has been scanned; offsets count from there.
#[derive(Default)]
struct Scan {
    /// Where the next header begins.
    at: usize,
    /// Up to here no line end was found.
    searched: usize,
    /// What is still to come in each aggregate that is open, outermost first.
    open: Vec<u64>,
    elements: u64,
    /// The end of the string whose header was read, with its line end.
    string: Option<usize>,
}

impl Frames {
    pub(super) fn new(max_reply: usize) -> Frames {
        Frames { buffer: vec![0; SMALL], start: 0, end: 0, scan: Scan::default(), max_reply }
    }

    /// Where the next bytes go: at least one.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > SMALL << 6 {
                self.buffer = vec![0; SMALL];
            }
        }
        if self.end == self.buffer.len() {
            if self.start >= self.buffer.len() / 2 {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                self.buffer.resize(2 * self.buffer.len(), 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// Says how many bytes of [`Frames::room`] have come.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end += bytes;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The next reply or push, if it is whole, and its length.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Protocol`]: nothing can be read any more.
    pub(super) fn next(&mut self) -> Result<Option<(Value, usize)>, Error> {
        let bytes = &self.buffer[self.start..self.end];
        let Some(length) = self.scan.advance(bytes, self.max_reply)? else { return Ok(None) };
        let value = parse(&bytes[..length])?;
        self.start += length;
        self.scan = Scan { open: std::mem::take(&mut self.scan.open), ..Scan::default() };
        Ok(Some((value, length)))
    }
}

/// The kind of a value, the rest of its line, and where the line ends.
type Header<'a> = (u8, &'a [u8], usize);

impl Scan {
    /// The length of the reply at the beginning of the bytes; `None` = it is not whole yet.
    fn advance(&mut self, bytes: &[u8], max_reply: usize) -> Result<Option<usize>, Error> {
        loop {
            if let Some(end) = self.string {
                if bytes.len() < end {
                    return Ok(None);
                }
                if &bytes[end - 2..end] != b"\r\n" {
                    return Err(Error::Protocol("a string without its end"));
                }
                self.string = None;
                if self.element_ends(end) {
                    return Ok(Some(end));
                }
                continue;
            }
            let Some((kind, line, end)) = self.header(bytes)? else { return Ok(None) };
            if end > max_reply {
                return Err(Error::TooLarge);
            }
            self.elements += 1;
            if self.elements > MAX_ELEMENTS {
                return Err(Error::TooLarge);
            }
            let children = match kind {
                b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => 0,
                b'$' | b'=' | b'!' => match length(line)? {
                    None if kind == b'$' => 0,
                    None => return Err(Error::Protocol("a negative length")),
                    Some(length) if length > max_reply as u64 => return Err(Error::TooLarge),
                    Some(length) => {
                        let end = end + length as usize + 2;
                        if end > max_reply {
                            return Err(Error::TooLarge);
                        }
                        (self.at, self.string) = (end, Some(end));
                        continue;
                    }
                },
                b'*' | b'~' | b'>' | b'%' | b'|' => match (length(line)?, kind) {
                    (None, b'*') => 0,
                    (None, _) => return Err(Error::Protocol("a negative length")),
                    (Some(pairs), b'%') => bounded(pairs)? * 2,
                    // An attribute stands before the value that it is about.
                    (Some(pairs), b'|') => bounded(pairs)? * 2 + 1,
                    (Some(elements), _) => bounded(elements)?,
                },
                _ => return Err(Error::Protocol("an unknown type")),
            };
            self.at = end;
            if children > 0 {
                if self.open.len() == MAX_DEPTH {
                    return Err(Error::Protocol("nested too deeply"));
                }
                self.open.push(children);
            } else if self.element_ends(end) {
                return Ok(Some(end));
            }
        }
    }

    /// The header at `at`, if its line is whole.
    fn header<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Header<'a>>, Error> {
        let from = self.at.max(self.searched);
        let found = bytes.get(from..).and_then(|rest| rest.windows(2).position(|pair| pair == b"\r\n"));
        let Some(found) = found else {
            // The last byte may be the first one of the line's end.
            self.searched = bytes.len().saturating_sub(1);
            return match bytes.len().saturating_sub(self.at) > MAX_LINE {
                true => Err(Error::TooLarge),
                false => Ok(None),
            };
        };
        match &bytes[self.at..from + found] {
            [] => Err(Error::Protocol("an empty line")),
            line if line.len() > MAX_LINE => Err(Error::TooLarge),
            [kind, line @ ..] => Ok(Some((*kind, line, from + found + 2))),
        }
    }

    /// Counts one element as read, and whatever ends with it. Whether the reply does.
    fn element_ends(&mut self, at: usize) -> bool {
        self.at = at;
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }
}

/// A length; `None` = -1, which is nil.
fn length(line: &[u8]) -> Result<Option<u64>, Error> {
    let digits = std::str::from_utf8(line).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    match digits {
        // (`parse` refuses an empty one, and one beyond 64 bits, which no answer has.)
        Some(digits) => digits.parse().map(Some).map_err(|_| Error::Protocol("a length that is no number")),
        None if line == b"-1" => Ok(None),
        None => Err(Error::Protocol("a length that is no number")),
    }
}

fn bounded(elements: u64) -> Result<u64, Error> {
    if elements <= MAX_ELEMENTS {
        Ok(elements)
    } else {
        Err(Error::TooLarge)
    }
}

/// Parses one whole reply.
fn parse(frame: &[u8]) -> Result<Value, Error> {
    // The usual one is a string, which needs no parser.
    if frame[0] == b'$' {
        let header = frame.windows(2).position(|pair| pair == b"\r\n").map_or(frame.len(), |at| at + 2);
        return Ok(match frame.len() > header {
            true => Value::BulkString(frame[header..frame.len() - 2].to_vec()),
            false => Value::Nil,
        });
    }
    redis::parse_redis_value(frame).map_err(|_| Error::Protocol("a reply that cannot be parsed"))
}
