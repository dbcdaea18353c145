use super::format::{read, Function, Recording, MAGIC};
use super::*;
use proptest::prelude::*;

fn path() -> tempfile::TempPath {
    tempfile::NamedTempFile::new().unwrap().into_temp_path()
}

/// The keys of a function's calls as the numbers that they get.
fn numbered(hashes: &[u64]) -> Vec<u32> {
    let mut seen: Vec<u64> = Vec::new();
    let number = |hash: &u64| {
        let at = seen.iter().position(|known| known == hash).unwrap_or_else(|| {
            seen.push(*hash);
            seen.len() - 1
        });
        at as u32
    };
    hashes.iter().map(number).collect()
}

fn record(calls: &[(usize, u64)]) -> Vec<u8> {
    let path = path();
    let places: Vec<StreamId> = (0..4).map(|_| StreamId::default()).collect();
    let mut session = Session::create(&path, 7).unwrap();
    for &(function, hash) in calls {
        match session.note(&places[function], hash) {
            Recorded::First(index) => session.describe(index, &format!("f{function}"), 2, Some(function)).unwrap(),
            Recorded::Done => (),
            Recorded::Failed(error) => panic!("{error}"),
        }
    }
    session.finish().unwrap();
    std::fs::read(&path).unwrap()
}

fn of(recording: &Recording, function: usize) -> Option<&Function> {
    let name = format!("f{function}");
    recording.functions.values().find(|f| f.name.as_deref() == Some(&name))
}

proptest! {
    #[test]
    fn what_was_noted_is_read(calls in prop::collection::vec((0usize..4, 0u64..300), 0..3000)) {
        let read = read(&record(&calls)).unwrap();
        prop_assert!(read.complete);
        for function in 0..4 {
            let hashes: Vec<u64> = calls.iter().filter(|(f, _)| *f == function).map(|(_, hash)| *hash).collect();
            let keys = of(&read, function).map_or(&[][..], |f| &f.keys);
            prop_assert_eq!(keys, &numbered(&hashes)[..]);
            if let Some(f) = of(&read, function) {
                prop_assert_eq!((f.strategy, f.max_size), (2, Some(function as u64)));
            }
        }
    }

    /// Wherever a file is cut, what comes before is a beginning of each function's calls.
    #[test]
    fn a_file_is_readable_up_to_a_cut(calls in prop::collection::vec((0usize..4, 0u64..300), 1..400), cut: prop::sample::Index) {
        let file = record(&calls);
        let cut = 8 + cut.index(file.len() - 8);
        let (whole, part) = (read(&file).unwrap(), read(&file[..cut]).unwrap());
        prop_assert!(!part.complete);
        for (number, function) in &part.functions {
            prop_assert!(whole.functions[number].keys.starts_with(&function.keys));
        }
    }

    #[test]
    fn no_file_is_too_strange(mut file in prop::collection::vec(any::<u8>(), 0..200), magic: bool) {
        if magic {
            file.splice(0..0, *MAGIC);
        }
        let _ = read(&file);
    }
}

#[test]
fn many_calls_are_written_before_the_end() {
    let (path, place) = (path(), StreamId::default());
    let mut session = Session::create(&path, 1).unwrap();
    for call in 0..200_000u64 {
        session.note(&place, call * call % 1000);
    }
    let read = read(&std::fs::read(&path).unwrap()).unwrap();
    assert!(!read.complete);
    assert!(read.functions[&0].keys.len() > 100_000);
}

#[test]
fn one_recording_at_a_time_writes_to_a_file() {
    let path = path();
    let session = Session::create(&path, 1).unwrap();
    assert_eq!(Session::create(&path, 2).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(session);
    Session::create(&path, 2).unwrap();
}

#[test]
fn a_function_that_ends_is_kept_in_the_file() {
    let (path, place) = (path(), StreamId::default());
    let mut session = Session::create(&path, 3).unwrap();
    for hash in [5, 6, 5] {
        session.note(&place, hash);
    }
    session.end(&place).unwrap();
    assert!(session.streams[0].numbers.is_empty());
    session.finish().unwrap();
    assert_eq!(read(&std::fs::read(&path).unwrap()).unwrap().functions[&0].keys, [0, 1, 0]);
}

#[test]
fn errors_say_what_is_wrong() {
    for (file, message) in [
        (&b"key\n"[..], "not a recording"),
        (b"\x93WARPRC\x02", "version 2"),
        (b"\x93WARPRC", "cut short"),
        (b"\x93WARPRC\x01X\0\0\0\0", "at byte 8"),
        (b"\x93WARPRC\x01C\x02\0\0\0\0\x01", "not seen before"),
        (b"\x93WARPRC\x01C\x02\0\0\0\0\x81", "ends too late"),
        (b"\x93WARPRC\x01F\x01\0\0\0\0", "without its numbers"),
    ] {
        assert!(read(file).unwrap_err().contains(message), "{message}");
    }
}
