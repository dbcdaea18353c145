//! What a file under a cache's name is: this cache's, another's, or of no use.
//!
//! A file that others have open is never judged by one word. Its header is there twice, and what one copy says is believed
//! where the other is damaged; what the control words claim is put right under the writers' lock (`Table::heal`). Were such
//! a file replaced, those who have it would go on with it, and nobody would reach them any more.

use crate::file::layout::{
    ctl, Control, Geometry, Header, CONTROL_AT, GRANULE, HEADER_AT, HEADER_COPY_AT, HEADER_WORDS, MAGIC, PAGE, VERSION,
};
use crate::file::life;
use crate::file::system::{read_exact_at, write_all_at};
use crate::file::units::Offset;
use crate::hash::checksum;
use crate::listed::Unusable;
use crate::policy::Strategy;
use crate::process::clock;
use core::mem::{offset_of, size_of};
use std::os::fd::BorrowedFd;

#[allow(clippy::large_enum_variant)] // one is made for each file that is opened
pub(super) enum Content {
    Ours(Ours),
    Foreign,
    Dead,
}

/// A file of this cache.
pub(crate) struct Ours {
    pub header: Header,
    pub geo: Geometry,
    /// Its control words are damaged.
    pub damaged: bool,
}

pub(crate) fn words_of(header: &Header) -> [u64; HEADER_WORDS] {
    // SAFETY: `Header` is repr(C), consists of u64s only and has this size: see `layout`'s assertions.
    unsafe { std::mem::transmute(*header) }
}

fn header_of(words: [u64; HEADER_WORDS]) -> Header {
    // SAFETY: as in `words_of`; any words make a `Header`.
    unsafe { std::mem::transmute(words) }
}

pub(super) fn header_sum(header: &Header) -> u64 {
    let words = &words_of(header)[..HEADER_WORDS - 1];
    checksum(MAGIC, &words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>())
}

/// Whether this is what a maker of our version has written.
fn is_sound(header: &Header) -> bool {
    header.magic == MAGIC && header.version == VERSION && header.checksum == header_sum(header)
}

fn read_words<const N: usize>(fd: BorrowedFd<'_>, at: Offset) -> Option<[u64; N]> {
    let mut bytes = vec![0; N * 8];
    read_exact_at(fd, &mut bytes, at.bytes()).ok()?;
    let word = |i: usize| u64::from_ne_bytes(bytes[i * 8..][..8].try_into().expect("eight bytes"));
    Some(std::array::from_fn(word))
}

/// Writes a header to its place.
pub(super) fn write_header(fd: BorrowedFd<'_>, header: &Header, at: Offset) -> std::io::Result<()> {
    let mut words = words_of(header).into_iter().zip((0..).step_by(8));
    words.try_for_each(|(word, offset)| write_all_at(fd, &word.to_ne_bytes(), (at + offset).bytes()))
}

/// The header of a file of our version; else what stands in its place. The copy counts where others have the file open.
fn sound_header(fd: BorrowedFd<'_>) -> Option<Result<Header, Header>> {
    let [first, copy] = [HEADER_AT, HEADER_COPY_AT].map(|at| read_words::<HEADER_WORDS>(fd, at).map(header_of));
    let first = first?;
    if is_sound(&first) {
        return Some(Ok(first));
    }
    let Some(copy) = copy.filter(|copy| is_sound(copy) && life::somebody_lives(fd)) else { return Some(Err(first)) };
    // Whoever looks at the same time writes the same words.
    let _ = write_header(fd, &copy, HEADER_AT);
    Some(Ok(copy))
}

/// The parameters of a file that somebody of our version made since the start of the machine, whoever it is of. By what
/// `pread` says: a file that is cut short while we look cannot hurt.
pub(crate) fn read_header(fd: BorrowedFd<'_>) -> Result<Header, Unusable> {
    let header = match sound_header(fd) {
        Some(Ok(header)) => header,
        Some(Err(header)) if header.magic == MAGIC && header.version != VERSION => {
            return Err(Unusable::Version(header.version))
        }
        _ => return Err(if bears_magic(fd) { Unusable::Damaged } else { Unusable::NoCache }),
    };
    // A file that says it is from the future is one of an earlier boot whose id could not be read. Who cannot read it
    // now must not take the file away from those who can.
    let boot = clock::boot_id();
    let earlier = boot != [0, 0] && header.boot != [0, 0] && header.boot != boot;
    if earlier || header.created > clock::boot_now() {
        return Err(Unusable::EarlierBoot);
    }
    Ok(header)
}

/// Whether a file says that it is a cache, in its header or the copy.
pub(crate) fn bears_magic(fd: BorrowedFd<'_>) -> bool {
    [HEADER_AT, HEADER_COPY_AT].into_iter().any(|at| read_words::<1>(fd, at) == Some([MAGIC]))
}

/// Validates a file of this fingerprint.
pub(super) fn validate(fd: BorrowedFd<'_>, fingerprint: u64) -> Content {
    match read_header(fd) {
        Ok(header) if header.fingerprint != fingerprint => Content::Foreign,
        Ok(header) => examine(fd, header).map_or(Content::Dead, Content::Ours),
        Err(Unusable::Version(_)) => Content::Foreign,
        Err(_) => Content::Dead,
    }
}

/// What is to be known of a file with this header; `None` if it is of no use.
pub(crate) fn examine(fd: BorrowedFd<'_>, header: Header) -> Option<Ours> {
    let strategy = Strategy::from_number(header.strategy)?;
    let geo = Geometry::with(header.max_size, header.max_bytes, strategy, header.idle != 0)?;
    let control = read_words::<{ size_of::<Control>() / 8 }>(fd, CONTROL_AT)?;
    let len = crate::file::mapping::file_len(fd).unwrap_or(0);
    let (level, slots, data) = (
        control[offset_of!(Control, index_level) / 8],
        control[offset_of!(Control, slots_ready) / 8],
        control[offset_of!(Control, data_ready) / 8],
    );
    let possible = level <= geo.max_level && slots <= geo.capacity && data <= geo.granules;
    let damaged = !possible
        || len < Geometry::level_at(level + 1).bytes()
        || len < geo.slots_end(slots).bytes()
        || (data > 0 && len < (geo.data + data * GRANULE).bytes());
    let is_of_use = !damaged || (len >= geo.slots_end(first_slots(&geo)).bytes() && life::somebody_lives(fd));
    is_of_use.then_some(Ours { header, geo, damaged })
}

/// Slots of a new file.
pub(super) fn first_slots(geo: &Geometry) -> u64 {
    geo.capacity.min(PAGE / 16)
}

/// A file has lost its name to another one: whoever has it open still is told, at the next call. What they have decoded of
/// it is void from now on. (Only for a file of ours; what stands there may be anything.)
pub(crate) fn mark_moved(fd: BorrowedFd<'_>, generation: u64) {
    let is_ours = read_words::<1>(fd, HEADER_AT).is_some_and(|magic| magic == [MAGIC]) || life::somebody_lives(fd);
    let there = crate::file::mapping::file_len(fd).is_ok_and(|len| len >= CONTROL_END);
    if is_ours && there {
        // In this order: who finds all void looks why.
        let _ = write_all_at(fd, &(clock::boot_now() | 1).to_ne_bytes(), ctl!(moved).bytes());
        let _ = write_all_at(fd, &generation.to_ne_bytes(), ctl!(generation).bytes());
    }
}

const CONTROL_END: u64 = CONTROL_AT.bytes() + size_of::<Control>() as u64;
