//! A recording under way: the calls of each function, as numbers of their keys, on their way to a file.
//!
//! Ring 2. It knows neither Python nor the functions themselves: a function is a [`StreamId`], which remembers the number
//! that it has in this recording. Whoever owns the [`Session`] holds it behind one lock, in which nothing calls into
//! Python; a write to the file under it does not give the interpreter up.
//!
//! Only the process that began a recording writes to its file: a child of a fork has a copy of the buffers, and they end
//! with it.

pub mod format;
pub mod interner;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::interner::KeyInterner;
use concurrency::signals::unharmed;
use engine::varint;

/// Bytes of a function's calls that are kept before they are written.
const BUFFER: usize = 32 << 10;
/// What a killed process loses of a busy program: calls of that long, looked at once in so many calls.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_EVERY: u64 = 256;

/// The number of a function in a recording: the recording's own number in the upper half, the function's plus one below.
#[derive(Debug, Default)]
pub struct StreamId(AtomicU64);

impl StreamId {
    /// Relaxed: it is written under the session's lock, and who reads it outside finds at worst that there is work to do.
    fn index(&self, recording: u32) -> Option<usize> {
        let place = self.0.load(Ordering::Relaxed);
        (place >> 32 == u64::from(recording) && place as u32 != 0).then(|| place as u32 as usize - 1)
    }

    fn set(&self, recording: u32, index: usize) {
        self.0.store(u64::from(recording) << 32 | (index as u64 + 1), Ordering::Relaxed);
    }

    /// Whether the function was ever noted.
    pub fn is_used(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

/// The calls of one function.
#[derive(Debug, Default)]
struct Stream {
    numbers: KeyInterner,
    buffer: Vec<u8>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Session {
    file: File,
    process: u32,
    /// Tells one recording of this process from the others; never 0.
    number: u32,
    streams: Vec<Stream>,
    calls: u64,
    written: Instant,
    /// After an error nothing is noted any more.
    failed: bool,
}

/// What became of a call.
#[derive(Debug)]
pub enum Recorded {
    Done,
    /// The first call of this function, which is still to be described.
    First(usize),
    /// The recording has failed just now.
    Failed(io::Error),
}

impl Session {
    /// Begins a file, over whatever was in it. Fails where it cannot be written, or another process is recording to it.
    pub fn create(path: &Path, number: u32) -> io::Result<Session> {
        let mut file = open(path)?;
        file.set_len(0)?;
        unharmed(|| file.write_all(format::MAGIC))?;
        let (process, written) = (std::process::id(), Instant::now());
        Ok(Session { file, process, number, streams: Vec::new(), calls: 0, written, failed: false })
    }

    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether this process has begun it, and not one that forked.
    pub fn is_own(&self) -> bool {
        std::process::id() == self.process
    }

    /// Notes a call. Expected O(1) amortized.
    pub fn note(&mut self, place: &StreamId, hash: u64) -> Recorded {
        if self.failed {
            return Recorded::Done;
        }
        let (index, first) = match place.index(self.number) {
            Some(index) => (index, false),
            None => {
                self.streams.push(Stream::default());
                place.set(self.number, self.streams.len() - 1);
                (self.streams.len() - 1, true)
            }
        };
        let stream = &mut self.streams[index];
        let Some(code) = stream.numbers.code(hash) else {
            return self.fail(io::ErrorKind::OutOfMemory.into());
        };
        varint::put(&mut stream.buffer, u64::from(code));
        self.calls += 1;
        let written = if stream.buffer.len() >= BUFFER {
            self.write(index)
        } else if self.calls.is_multiple_of(CHECK_EVERY) && self.written.elapsed() > FLUSH_INTERVAL {
            self.write_all()
        } else {
            Ok(())
        };
        match written {
            Err(error) => self.fail(error),
            Ok(()) if first => Recorded::First(index),
            Ok(()) => Recorded::Done,
        }
    }

    fn fail(&mut self, error: io::Error) -> Recorded {
        self.failed = true;
        Recorded::Failed(error)
    }

    /// Says what a function is called and what its cache is.
    pub fn describe(&mut self, index: usize, name: &str, strategy: u8, max_size: Option<usize>) -> io::Result<()> {
        let mut numbers = Vec::new();
        for number in [index as u64, strategy.into(), max_size.map_or(0, |size| (size as u64).saturating_add(1))] {
            varint::put(&mut numbers, number);
        }
        self.put(format::FUNCTION, &[&numbers, name.as_bytes()])
    }

    /// A function is no more: what it had is written, and its memory given back.
    pub fn end(&mut self, place: &StreamId) -> io::Result<()> {
        let Some(index) = place.index(self.number) else {
            return Ok(());
        };
        let done = self.write(index);
        self.streams[index] = Stream::default();
        done
    }

    /// Writes all that is left, and the end.
    pub fn finish(mut self) -> io::Result<()> {
        if self.failed {
            return Ok(());
        }
        self.write_all()?;
        let mut calls = Vec::new();
        varint::put(&mut calls, self.calls);
        self.put(format::END, &[&calls])
    }

    fn write_all(&mut self) -> io::Result<()> {
        self.written = Instant::now();
        (0..self.streams.len()).try_for_each(|index| self.write(index))
    }

    fn write(&mut self, index: usize) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.streams[index].buffer);
        if buffer.is_empty() {
            return Ok(());
        }
        let mut number = Vec::new();
        varint::put(&mut number, index as u64);
        let done = self.put(format::CALLS, &[&number, &buffer]);
        buffer.clear();
        self.streams[index].buffer = buffer;
        done
    }

    /// Writes a block, if this is the process that began the file.
    fn put(&mut self, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
        if self.failed || !self.is_own() {
            return Ok(());
        }
        let done = unharmed(|| self.file.write_all(&format::block(kind, parts)));
        // Nothing may follow a part of a block.
        self.failed = done.is_err();
        done
    }
}

/// A regular file to write, which no other process records to. Nothing in it has been changed.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A pipe that nobody reads is an error, not a wait.
        options.custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        // SAFETY: an open descriptor. The lock ends with the last descriptor of this opening.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let error = io::Error::last_os_error();
            // Where the file system has no locks, there are none to respect.
            if error.kind() == io::ErrorKind::WouldBlock {
                return Err(error);
            }
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
