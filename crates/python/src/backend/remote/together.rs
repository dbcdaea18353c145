//! One change of many functions: a trip for each server, not for each function.
//!
//! Ring 3. A tag is the same one for all functions of a server and namespace, and a server takes many clears at once. So what a
//! program changes waits once for a server that does not answer, however many functions there are.

use std::sync::Arc;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::host::HostFile;
use super::opened::{asking, Opened};
use super::{not_acknowledged, Remote};
use crate::capi::exceptions::ErrSet;
use crate::function::control::Tags;
use crate::function::given::tag;
use crate::function::CachedFunction;

/// A function that has a server.
struct There<'a> {
    cached: &'a CachedFunction,
    remote: &'a Remote,
    opened: &'a Opened,
}

/// Drops what has any of these tags, or with None everything, in those of the functions that have a server. Gives the other
/// functions, and the first exception, which has spared none.
#[pyfunction]
pub(crate) fn _change_there<'py>(
    py: Python<'py>,
    functions: Vec<Bound<'py, PyAny>>,
    tags: Option<Vec<Bound<'py, PyString>>>,
) -> PyResult<(Vec<Bound<'py, PyAny>>, Option<PyErr>)> {
    let tags = tags.map(|tags| tags.iter().map(tag).collect::<PyResult<Tags>>()).transpose()?;
    let (mut others, mut all, mut first) = (Vec::new(), Vec::new(), None);
    for function in &functions {
        match there(py, function) {
            Ok(Some(one)) => all.push(one),
            Ok(None) => others.push(function.clone()),
            Err(error) => note(py, &mut first, error)?,
        }
    }
    while let Some(one) = all.first() {
        let tier = Arc::clone(&one.opened.tier);
        let (same, rest) = all.into_iter().partition(|one| Arc::ptr_eq(&one.opened.tier, &tier));
        all = rest;
        change(py, &same, tags.as_ref()).or_else(|error| note(py, &mut first, error))?;
    }
    Ok((others, first))
}

/// The function, if it has a server, which is opened at its first use.
fn there<'a>(py: Python<'_>, function: &'a Bound<'_, PyAny>) -> PyResult<Option<There<'a>>> {
    let Some(cached) = function.cast::<CachedFunction>().ok().map(Bound::get) else { return Ok(None) };
    let Some(remote) = cached.state.backend.remote() else { return Ok(None) };
    let opened = remote.opened(py).map_err(|ErrSet| PyErr::fetch(py))?;
    Ok(opened.map(|opened| There { cached, remote, opened }))
}

/// Changes functions of one server: there, then here, whether it has acknowledged or not.
fn change(py: Python<'_>, same: &[There<'_>], tags: Option<&Tags>) -> PyResult<()> {
    let Some(tier) = same.first().map(|one| &one.opened.tier) else { return Ok(()) };
    let keys: Vec<_> = tags.into_iter().flatten().map(|tag| tier.tag(tag.as_bytes())).collect();
    let scopes: Vec<_> = same.iter().map(|one| &*one.opened.scope).collect();
    let ask = || if tags.is_some() { tier.invalidate_tags(&keys) } else { tier.clear_all(&scopes) };
    // SAFETY: the tier knows nothing of Python.
    let done = unsafe {
        asking(py, || {
            let done = ask();
            let files = same.iter().filter_map(|one| one.remote.host.as_ref());
            if tags.is_some() {
                files.for_each(HostFile::fence_all);
            } else {
                files.for_each(HostFile::clear);
            }
            done
        })
    };
    let mut result = Ok(());
    for one in same {
        match tags {
            Some(tags) => result = result.and(one.cached.invalidate_tags_here(py, tags)),
            None => {
                one.remote.reset_counts();
                one.cached.state.clear(py);
            }
        }
        if done.is_err() {
            one.remote.count_error();
        }
    }
    match done {
        Ok(()) => result,
        Err(why) => {
            let ErrSet = not_acknowledged(py, &why);
            Err(PyErr::fetch(py))
        }
    }
}

/// Keeps the first exception for the end. What is no `Exception` (KeyboardInterrupt) ends it all.
fn note(py: Python<'_>, first: &mut Option<PyErr>, error: PyErr) -> PyResult<()> {
    if !error.is_instance_of::<PyException>(py) {
        return Err(error);
    }
    first.get_or_insert(error);
    Ok(())
}
