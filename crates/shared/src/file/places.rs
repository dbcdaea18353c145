//! Which of several places a cache lies in: the first that can be used, and the same one for all processes of a user.
//!
//! A place may be unusable for many reasons, most of which last (a read-only file system, a folder that is somebody
//! else's); but one may be full at one moment only. Were each process to take the first place that works for it, two that
//! start a moment apart could part. So who takes a later place leaves a *sign* there, an empty file that names the cache
//! and the places that were passed over; and who comes later and has the same places looks for a file with such a sign
//! first, and uses it even if an earlier place would do by now. (Files of the name that lie there for another reason do
//! not count: somebody with another `TMPDIR` has made them.)
//!
//! What is wrong with this process (an argument, a limit for descriptors or addresses) is wrong everywhere: it is an
//! error at once, and drives nobody into another place.

use crate::error::OpenError;
use crate::file::directory::{check_name, Dir, Missing};
use crate::file::header::{open_in, Effort, Options};
use crate::hash::siphash13;
use crate::table::Table;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

type Opened = (Arc<Table>, PathBuf);

/// Opens a cache in one of the default places. (`Options::dir` does not count.) `alone`: nobody else will look for it.
pub(crate) fn open_in_first(options: &Options, places: &[PathBuf], alone: bool) -> Result<Opened, OpenError> {
    check_name(&options.name)?;
    if !alone {
        if let Some(found) = find(options, places)? {
            return Ok(found);
        }
    }
    let mut reasons = Vec::new();
    // Where no place has locks, caches can be read at least; and a small one is better than none.
    for choosy in [true, false] {
        if !choosy && !reasons.iter().any(OpenError::is_for_want) {
            break;
        }
        for (i, place) in places.iter().enumerate() {
            let sign = sign(options, &places[..i]).filter(|_| !alone);
            if let (Some(sign), Ok(dir)) = (sign, Dir::open(place, Missing::Made)) {
                dir.touch(&sign);
            }
            match open_in(place, options, true, Effort::Default { choosy }) {
                Ok(Some(opened)) => return Ok(opened),
                Ok(None) => {}
                Err(error) if error.is_everywhere() => return Err(error),
                Err(error) if choosy => reasons.push(error),
                Err(_) => {}
            }
        }
    }
    Err(OpenError::NoPlace(reasons))
}

/// The name of the sign that these places were passed over; none for none.
fn sign(options: &Options, passed: &[PathBuf]) -> Option<String> {
    let mut all = Vec::new();
    for place in passed {
        all.extend_from_slice(place.as_os_str().as_bytes());
        all.push(0);
    }
    (!passed.is_empty()).then(|| format!(".{}.{:016x}.instead", options.name, siphash13([0, 0], &all)))
}

/// The cache's file in the first place, or in a later one with the sign.
fn find(options: &Options, places: &[PathBuf]) -> Result<Option<Opened>, OpenError> {
    for (i, place) in places.iter().enumerate() {
        let signed = |sign: &String| Dir::open(place, Missing::Left).is_ok_and(|dir| dir.identify(sign).is_some());
        if sign(options, &places[..i]).as_ref().is_some_and(|sign| !signed(sign)) {
            continue;
        }
        match open_in(place, options, true, Effort::Existing) {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) if error.is_everywhere() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(None)
}
