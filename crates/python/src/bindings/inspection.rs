//! Looking at shared caches from outside as Python functions, for `warp_cache._cli`.
//!
//! Ring 3.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use pyo3::exceptions::{PyBlockingIOError, PyFileNotFoundError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::backend::shared::raised;
use crate::codec::{show_key, show_value, ShownValue};
use crate::function::fence::hash_of;
use remote::envelope::Kind as RemoteKind;
use remote::tier::Found as RemoteCopy;
use shared::inspection::{self, Attached, Entry, Found, Listed, Parameters, Removal, State, Unneeded, Unusable};
use shared::{Kind, LoadCounter, SharedCache, Skip};

const SECOND: f64 = 1e9;
/// Bytes before the key of a copy of what a server has: `Tier::identity`.
const IDENTITY: usize = 16;

/// The caches' files of a directory: a dict each. OSError if it cannot be read, PermissionError if it may not be used.
#[pyfunction]
pub fn _survey<'py>(py: Python<'py>, directory: PathBuf) -> PyResult<Bound<'py, PyList>> {
    let found = py.detach(|| inspection::survey(&directory)).map_err(|error| raised(&error))?;
    let files = PyList::empty(py);
    for one in &found {
        files.append(described(py, one)?)?;
    }
    Ok(files)
}

fn described<'py>(py: Python<'py>, found: &Found) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let Listed { owner, mode, length, allocated, written } = found.listed;
    dict.set_item("file", &found.file)?;
    dict.set_item("owner", owner)?;
    dict.set_item("mode", mode)?;
    dict.set_item("length", length)?;
    dict.set_item("allocated", allocated)?;
    dict.set_item("written", written)?;
    dict.set_item("processes", &found.processes)?;
    match &found.state {
        State::Sound(parameters) => {
            dict.set_item("state", "sound")?;
            dict.update(put_parameters(py, parameters)?.as_mapping())?;
        }
        State::Unusable(why) => put_unusable(&dict, *why)?,
        State::Refused(error) => {
            dict.set_item("state", "refused")?;
            dict.set_item("why", error.to_string())?;
        }
    }
    Ok(dict)
}

fn put_unusable(dict: &Bound<'_, PyDict>, why: Unusable) -> PyResult<()> {
    if let Unusable::Version(version) = why {
        dict.set_item("version", version)?;
    }
    dict.set_item("state", name_of(why))
}

fn name_of(why: Unusable) -> &'static str {
    match why {
        Unusable::Version(_) => "format",
        Unusable::EarlierBoot => "boot",
        Unusable::Damaged => "damaged",
        Unusable::NoCache => "no cache",
    }
}

fn put_parameters<'py>(py: Python<'py>, parameters: &Parameters) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("strategy", parameters.strategy.map(|strategy| strategy as u64))?;
    dict.set_item("max_size", (parameters.max_size != 0).then_some(parameters.max_size))?;
    dict.set_item("max_bytes", parameters.max_bytes)?;
    dict.set_item("tti", (parameters.idle != 0).then(|| parameters.idle as f64 / SECOND))?;
    dict.set_item("fingerprint", format!("{:08x}", parameters.fingerprint as u32))?;
    dict.set_item("age", parameters.age as f64 / SECOND)?;
    Ok(dict)
}

/// What stands in a file's name for a cache's name, before a hash.
#[pyfunction]
pub fn _readable_name(name: &str) -> String {
    shared::readable_name(name)
}

/// What a cache with this name calls its file, but for what tells namespaces and parameters apart.
#[pyfunction]
pub fn _safe_name(name: &str) -> String {
    shared::safe_name(name)
}

/// Removes a cache's file: "removed", or why not ("in use", "absent", "no cache").
#[pyfunction]
pub fn _remove(py: Python<'_>, directory: PathBuf, file: String) -> PyResult<&'static str> {
    let removal = py.detach(|| inspection::remove(&directory, &file)).map_err(|error| raised(&error))?;
    Ok(match removal {
        Removal::Removed => "removed",
        Removal::InUse => "in use",
        Removal::Absent => "absent",
        Removal::NoCache => "no cache",
    })
}

/// A file's name, its bytes, and why it is still there though it was to be removed.
type Told = (String, u64, Option<String>);

fn told(found: Vec<Unneeded>) -> Vec<Told> {
    let told = |one: Unneeded| (one.name, one.bytes, one.kept.map(|error| error.to_string()));
    found.into_iter().map(told).collect()
}

/// What processes have left that were killed as they made a file; `remove`: it is removed.
#[pyfunction]
pub fn _leftovers(py: Python<'_>, directory: PathBuf, remove: bool) -> PyResult<Vec<Told>> {
    py.detach(|| inspection::leftovers(&directory, remove)).map(told).map_err(|error| raised(&error))
}

/// The files by which caches with `remote=` know what has changed on a server that no process of this host uses any more;
/// `remove`: they are removed. OSError if the directory cannot be read.
#[pyfunction]
pub fn _unused_coherence(py: Python<'_>, directory: PathBuf, remove: bool) -> PyResult<Vec<Told>> {
    let found = py.detach(|| remote::coherence::file::remove_unused(&directory, remove));
    found.map(told).map_err(|error| raised(&error))
}

/// Tries a directory: the bytes that are free there. OSError where no cache could be.
#[pyfunction]
pub fn _try_out(py: Python<'_>, directory: PathBuf) -> PyResult<u64> {
    py.detach(|| inspection::try_out(&directory)).map_err(|error| raised(&error))
}

/// A cache's file that is there, whatever the cache's parameters. FileNotFoundError if there is none, ValueError if it is of
/// no use, PermissionError or OSError if it may not or cannot be opened.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
pub struct SharedFile(SharedCache);

#[pymethods]
impl SharedFile {
    #[new]
    fn new(py: Python<'_>, directory: PathBuf, file: String) -> PyResult<SharedFile> {
        match py.detach(|| inspection::attach(&directory, &file)).map_err(|error| raised(&error))? {
            Attached::Cache(cache) => Ok(SharedFile(cache)),
            Attached::Unusable(why) => Err(PyValueError::new_err(name_of(why))),
            Attached::Absent => Err(PyFileNotFoundError::new_err(file)),
        }
    }

    #[getter]
    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The counters, summed over all processes, and what the cache was made with. O(n) where entries end, else O(processes).
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let info = py.detach(|| self.0.info());
        let dict = put_parameters(py, &self.0.parameters())?;
        for (name, value) in [
            ("hits", info.hits),
            ("misses", info.misses),
            ("entries", info.len),
            ("capacity", info.capacity),
            ("evictions", info.evictions),
            ("expirations", info.expirations),
            ("repairs", info.repairs),
            ("bytes_used", info.data_bytes_used),
            ("bytes_reserved", info.data_bytes_reserved),
        ] {
            dict.set_item(name, value)?;
        }
        let load = |what: LoadCounter| info.loads[what as usize];
        dict.set_item("loads", load(LoadCounter::Loads))?;
        dict.set_item("load_failures", load(LoadCounter::Failures))?;
        dict.set_item("load_seconds", load(LoadCounter::Nanoseconds) as f64 / SECOND)?;
        dict.set_item("stale_hits", load(LoadCounter::StaleHits))?;
        dict.set_item("refreshes", load(LoadCounter::Refreshes))?;
        let skips = PyDict::new(py);
        for (skip, count) in Skip::ALL.iter().zip(info.skips).filter(|(_, count)| *count != 0) {
            let name: &CStr = skip.name();
            skips.set_item(name.to_str()?, count)?;
        }
        dict.set_item("skips", skips)?;
        Ok(dict)
    }

    /// The entries among so many slots from a place on, as dicts, and the place to go on from (None at the end). `limit`: bytes
    /// of text for a key or value; `head`: bytes of what is not in our format. A look, no use.
    fn look_through<'py>(
        &self,
        py: Python<'py>,
        start: u64,
        slots: u64,
        limit: usize,
        head: usize,
    ) -> PyResult<(Vec<Bound<'py, PyDict>>, Option<u64>)> {
        let mut entries = Vec::new();
        let next = self.0.look_through(start, slots, |entry| entries.push(put_entry(py, entry, limit, head)));
        Ok((entries.into_iter().collect::<PyResult<_>>()?, next))
    }

    /// Takes the entry of a key away, and fences, as `cache_invalidate` does: whether there was one.
    fn invalidate(&self, py: Python<'_>, key: &[u8]) -> PyResult<bool> {
        py.detach(|| self.0.invalidate(key)).map_err(|_| not_written())
    }

    /// Makes the entries void that have any of these tags, as `cache_invalidate_tags` does.
    fn invalidate_tags(&self, py: Python<'_>, tags: Vec<String>) -> PyResult<()> {
        let hashes: Vec<u64> = tags.iter().map(|tag| hash_of(tag)).collect();
        py.detach(|| self.0.invalidate_tags(&hashes)).map_err(|_| not_written())
    }

    /// Empties the cache, as `cache_clear` does.
    fn clear(&self, py: Python<'_>) {
        py.detach(|| self.0.clear());
    }

    /// Whether the file's path names another one by now, or it was cut short.
    fn is_astray(&self) -> bool {
        self.0.poisoned() || self.0.is_astray()
    }
}

fn not_written() -> PyErr {
    PyBlockingIOError::new_err("the file cannot be written to: it was cut short, or its descriptor was closed")
}

fn put_entry<'py>(py: Python<'py>, entry: &Entry<'_>, limit: usize, head: usize) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("id", format!("{:016x}", entry.hash))?;
    // What a server has is there as a copy, with more in key and value than these. (No value of a file without a server is taken
    // for one: what has containers in it does not begin with an int.)
    let copy = RemoteCopy::read_copy(entry.value).filter(|_| entry.key.len() > IDENTITY);
    let (key, value, is_exception) = match &copy {
        Some(found) => (&entry.key[IDENTITY..], &found.body[..], found.kind == RemoteKind::Exception),
        None => (entry.key, entry.value, entry.kind == Kind::Exception),
    };
    // SAFETY: attached.
    dict.set_item("key", unsafe { show_key(key, limit) })?;
    dict.set_item("key_bytes", PyBytes::new(py, entry.key))?;
    // A stored exception is a pickle without a header.
    // SAFETY: attached.
    let shown = if is_exception { None } else { unsafe { show_value(value, limit) } };
    let pickle = match &shown {
        None if is_exception => Some(value),
        Some(ShownValue { kind: None, .. }) => Some(&value[1..]),
        _ => None,
    };
    let (kind, text) = shown.map_or((None, None), |shown| (shown.kind, shown.text));
    dict.set_item("value_type", kind)?;
    dict.set_item("value", text)?;
    dict.set_item("pickle", pickle.map(|pickle| PyBytes::new(py, &pickle[..pickle.len().min(head)])))?;
    dict.set_item("value_size", entry.value.len())?;
    dict.set_item("exception", is_exception)?;
    dict.set_item("fresh", entry.is_fresh)?;
    dict.set_item("tagged", entry.has_tags)?;
    let seconds = |nanoseconds: Option<u64>| nanoseconds.map(|nanoseconds| nanoseconds as f64 / SECOND);
    dict.set_item("fresh_for", seconds(entry.fresh_for))?;
    dict.set_item("there_for", seconds(entry.there_for))?;
    Ok(dict)
}
