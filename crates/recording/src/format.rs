//! The file of a recording: what a function's calls were, as numbers of keys. docs/workload.md describes it.
//!
//! Magic and version, then blocks: a kind, the length of what follows (four bytes, least first), and that. A
//! reader takes what is there of a last block that was cut short. Numbers are [`engine::varint`]s.

use std::collections::BTreeMap;

use engine::varint::take;

/// What a file begins with; the last byte is the version.
pub const MAGIC: &[u8; 8] = b"\x93WARPRC\x01";

/// A function: its number, the strategy's number, the maximum size plus one (0: unbounded), its name in UTF-8.
pub const FUNCTION: u8 = b'F';
/// The number of a strategy that is not known.
pub const NOT_KNOWN: u8 = 255;
/// Added to the number of a strategy: entries end by time, too.
pub const ENDS: u8 = 64;
/// Calls of a function: its number, then 0 for each key that is new, n for the n-th key of the function.
pub const CALLS: u8 = b'C';
/// The end of a complete file: the number of all calls.
pub const END: u8 = b'E';

/// A block around its contents.
pub fn block(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 5);
    out.push(kind);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A recorded function.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// `None` where the file was cut short before it was written.
    pub name: Option<String>,
    pub strategy: u64,
    pub max_size: Option<u64>,
    /// A number for each call, of its key: 0 for the one that appeared first, and so on.
    pub keys: Vec<u32>,
    /// How many different keys there are.
    pub unique: u32,
}

/// A file's contents.
#[derive(Debug, PartialEq, Eq)]
pub struct Recording {
    /// By number.
    pub functions: BTreeMap<u64, Function>,
    /// Whether the file has its end.
    pub complete: bool,
}

/// Reads a file. Fails with what is wrong and at which byte. O(n).
pub fn read(data: &[u8]) -> Result<Recording, String> {
    let mut recording = Recording { functions: BTreeMap::new(), complete: false };
    let Some(mut rest) = data.strip_prefix(MAGIC) else {
        return Err(if !data.starts_with(&MAGIC[..7]) {
            "this is not a recording".into()
        } else {
            match data.get(7) {
                Some(version) => {
                    format!("a recording of version {version}: this warp_cache reads version {}", MAGIC[7])
                }
                None => "a recording that was cut short before its version".into(),
            }
        });
    };
    while let Some((&kind, after)) = rest.split_first() {
        let at = data.len() - rest.len();
        let Some((length, after)) = after.split_first_chunk::<4>() else {
            break;
        };
        let length = u32::from_le_bytes(*length) as usize;
        let whole = length <= after.len();
        let (contents, following) = after.split_at(length.min(after.len()));
        read_block(&mut recording, kind, contents, whole)
            .map_err(|problem| format!("{problem}, in the block at byte {at}"))?;
        rest = following;
    }
    Ok(recording)
}

fn read_block(recording: &mut Recording, kind: u8, mut contents: &[u8], whole: bool) -> Result<(), String> {
    let damaged = |what: &str| if whole { Err(format!("the recording is damaged: {what}")) } else { Ok(()) };
    match kind {
        FUNCTION if whole => {
            let (Some(number), Some(strategy), Some(size)) =
                (take(&mut contents), take(&mut contents), take(&mut contents))
            else {
                return damaged("a function without its numbers");
            };
            let function = recording.functions.entry(number).or_default();
            function.name = Some(String::from_utf8_lossy(contents).into_owned());
            (function.strategy, function.max_size) = (strategy, size.checked_sub(1));
        }
        CALLS => {
            let Some(number) = take(&mut contents) else {
                return damaged("calls of no function");
            };
            let function = recording.functions.entry(number).or_default();
            function.keys.reserve(contents.len().min(1 << 20));
            while !contents.is_empty() {
                let Some(code) = take(&mut contents) else {
                    return damaged("a number that ends too late");
                };
                let key = match code {
                    0 => {
                        function.unique = function.unique.checked_add(1).ok_or("too many keys")?;
                        function.unique - 1
                    }
                    seen if seen <= u64::from(function.unique) => seen as u32 - 1,
                    _ => return Err("the recording is damaged: a key that was not seen before".into()),
                };
                function.keys.push(key);
            }
        }
        END => recording.complete |= whole,
        FUNCTION => (),
        _ => return Err(format!("the recording is damaged: no kind of block is {kind}")),
    }
    Ok(())
}
