//! Recordings and replays as Python functions, for `warp_cache._cli`.
//!
//! Ring 3.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use engine::policy::Kind;
use engine::simulate::{self, Job, Stop};
use recording::format;

/// How often a replay looks for Ctrl-C.
const PAUSE: Duration = Duration::from_millis(50);

/// A function's name, strategy, maximum size, number of different keys, and the key of each call as four bytes.
type Function<'py> = (Option<String>, u64, Option<u64>, u32, Bound<'py, PyBytes>);

/// The functions of a recording, and whether it is complete. ValueError if it is damaged.
#[pyfunction]
pub fn _record_read<'py>(py: Python<'py>, data: &[u8]) -> PyResult<(Vec<Function<'py>>, bool)> {
    let recording = format::read(data).map_err(PyValueError::new_err)?;
    let of = |function: format::Function| {
        let size = function.keys.len() * 4;
        let keys = PyBytes::new_with(py, size, |bytes| {
            for (to, key) in bytes.chunks_exact_mut(4).zip(&function.keys) {
                to.copy_from_slice(&key.to_ne_bytes());
            }
            Ok(())
        })?;
        Ok((function.name, function.strategy, function.max_size, function.unique, keys))
    };
    let functions = recording.functions.into_values().map(of).collect::<PyResult<_>>()?;
    Ok((functions, recording.complete))
}

/// The part of a stream whose keys' hashes lie below a part of all hashes; the keys are numbered anew. O(n).
#[pyfunction]
pub fn _sample<'py>(py: Python<'py>, keys: PyBuffer<u32>, rate: f64) -> PyResult<Bound<'py, PyBytes>> {
    let sampled = simulate::sample(&keys.to_vec(py)?, rate);
    Ok(PyBytes::new(py, &sampled.iter().flat_map(|key| key.to_ne_bytes()).collect::<Vec<_>>()))
}

/// The misses of each job, a strategy's number (None: Belady's optimum) with a size, over a buffer of unsigned ints that
/// number the keys from 0 on. Ctrl-C ends it. O(n) for a job, O(n log n) for the optimum.
#[pyfunction]
pub fn _replay(py: Python<'_>, keys: PyBuffer<u32>, jobs: Vec<(Option<i64>, usize)>) -> PyResult<Vec<u64>> {
    let keys = keys.to_vec(py)?;
    if keys.len() >= u32::MAX as usize {
        return Err(PyOverflowError::new_err("keys must be fewer than 2**32 - 1"));
    }
    if keys.iter().any(|&key| key as usize >= keys.len()) {
        return Err(PyValueError::new_err("keys must be numbers below how many there are"));
    }
    let job = |(number, size): (Option<i64>, usize)| -> PyResult<Job> {
        let kind = number.map(|number| {
            Kind::from_number(number)
                .ok_or_else(|| PyValueError::new_err(format!("no strategy has the number {number}")))
        });
        Ok((kind.transpose()?, size))
    };
    let jobs = jobs.into_iter().map(job).collect::<PyResult<Vec<_>>>()?;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let stop = Stop::default();
    let mut interrupted = Ok(());
    let results = py.detach(|| {
        std::thread::scope(|scope| {
            let (done, result) = mpsc::channel();
            let (keys, jobs, stop) = (&keys, &jobs, &stop);
            scope.spawn(move || done.send(simulate::run(keys, jobs, threads, stop)));
            loop {
                match result.recv_timeout(PAUSE) {
                    Ok(misses) => break misses,
                    // The other thread has panicked, which the scope passes on.
                    Err(RecvTimeoutError::Disconnected) => break None,
                    Err(RecvTimeoutError::Timeout) if interrupted.is_ok() => {
                        interrupted = Python::attach(|py| py.check_signals());
                        if interrupted.is_err() {
                            stop.set();
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => (),
                }
            }
        })
    });
    interrupted?;
    // It ends without a result only when it was told to.
    Ok(results.unwrap_or_default())
}
