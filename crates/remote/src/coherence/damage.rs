//! Damage to a coherence file that is in use, and how the processes that use it come together in another one.
//!
//! The thread of each process looks at the file a few times a second ([`Words::look_after`]): whether its path names it
//! still, whether it has its length and its head, and whether words that only grow have gone back. Who finds that it is
//! not so takes it for lost, and opens what has the name then, or makes a new one. What is only seen by who has looked at
//! it for long, it says in the file: it takes the head away, so that nobody opens it any more and all find it so.

use std::sync::atomic::{AtomicU64, Ordering};

use concurrency::boottime;

use super::file::is_sound;
use super::layout::at;
use super::words::Words;

/// What one process knows of its file.
#[derive(Default)]
pub(super) struct Own {
    /// The latest confirmation that it has seen in there.
    confirmed: AtomicU64,
    /// The smallest staleness that it asked for, from above: 0 is none.
    asked: AtomicU64,
}

// Relaxed, all of it: nothing else hangs on what is read; `confirmed` orders hits by itself.
impl Words {
    /// Looks whether the file is still one that others find, too. Otherwise it is lost.
    pub(super) fn look_after(&self) {
        if self.is_lost() {
            return;
        }
        let confirmed = self.word(at::CONFIRMED).load(Ordering::Relaxed);
        let has_gone_back = self.own.confirmed.fetch_max(confirmed, Ordering::Relaxed) > confirmed;
        // (The clock is read after the word.)
        if has_gone_back || confirmed > boottime::now() || self.word(at::EPOCH).load(Ordering::Relaxed) == 0 {
            self.spoil();
        } else if !self.memory.is_found(is_sound) {
            self.lose();
        }
    }

    /// A moment was confirmed; `before`: what stood there. A file that has gone back to what it was, stripes included, must
    /// not be confirmed.
    pub(super) fn note_confirmed(&self, before: u64, sent: u64) {
        if self.own.confirmed.fetch_max(before.max(sent), Ordering::Relaxed) > before {
            self.spoil();
        }
    }

    /// Nobody is to use it any more.
    fn spoil(&self) {
        self.word(at::MAGIC).store(0, Ordering::Relaxed);
        self.word(at::CONFIRMED).store(0, Ordering::Relaxed);
        self.lose();
    }

    /// This process does not use it any more. Who waits looks up.
    pub(super) fn lose(&self) {
        self.memory.give_up();
        self.ring_all();
    }

    pub(super) fn note_asked(&self, nanoseconds: u64) {
        self.own.asked.fetch_max(u64::MAX - nanoseconds, Ordering::Relaxed);
    }

    /// What this process asked of the file before, it asks of this one.
    pub(super) fn succeed(&self, before: &Words) {
        let asked = before.own.asked.load(Ordering::Relaxed);
        self.ask_staleness(std::time::Duration::from_nanos(u64::MAX - asked));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::file::{Place, Subject};
    use super::super::{Coherence, Stripe};
    use super::*;

    const SUBJECT: Subject<'_> = Subject { server: "localhost:6379/0", namespace: b"n" };
    const LONG: u64 = u64::MAX / 2;

    /// As another process has it: nothing is shared but the file.
    fn process(dir: &Path) -> Arc<Coherence> {
        let place = Place::new(dir, SUBJECT);
        let process = Arc::new(Coherence::over(place.words().unwrap(), Some(place), None));
        process.words().ask_staleness(Duration::from_secs(1));
        process.words().look_after();
        process
    }

    /// What its thread does a few times a second.
    fn look(process: &Arc<Coherence>) {
        process.words().look_after();
        if process.words().is_lost() || process.lacks_file() {
            process.renew();
        }
    }

    fn zeros(file: &Path, from: usize) {
        let mut bytes = fs::read(file).unwrap();
        bytes[from..].fill(0);
        fs::write(file, bytes).unwrap();
    }

    fn word(file: &Path, word: usize, what: u64) {
        let mut bytes = fs::read(file).unwrap();
        bytes[word * 8..][..8].copy_from_slice(&what.to_ne_bytes());
        fs::write(file, bytes).unwrap();
    }

    fn length(file: &Path, length: u64) {
        File::options().write(true).open(file).unwrap().set_len(length).unwrap();
    }

    type Damage = fn(&Path);

    const DAMAGE: [(&str, Damage); 13] = [
        ("cut to nothing", |file| length(file, 0)),
        ("cut to its words", |file| length(file, 4096)),
        ("longer", |file| length(file, 1 << 22)),
        ("zeros", |file| zeros(file, 0)),
        ("cut, and as long as before", |file| {
            let before = fs::metadata(file).unwrap().len();
            length(file, 0);
            length(file, before);
        }),
        ("rubbish", |file| fs::write(file, vec![0xa5; fs::read(file).unwrap().len()]).unwrap()),
        ("another version", |file| word(file, at::VERSION, 7)),
        ("no epoch", |file| word(file, at::EPOCH, 0)),
        ("confirmed for ever", |file| word(file, at::CONFIRMED, u64::MAX)),
        ("nothing confirmed", |file| word(file, at::CONFIRMED, 0)),
        ("deleted", |file| fs::remove_file(file).unwrap()),
        ("renamed", |file| fs::rename(file, file.with_file_name("elsewhere")).unwrap()),
        ("the whole directory", |file| fs::remove_dir_all(file.parent().unwrap()).unwrap()),
    ];

    /// A directory, and one in it, which can be removed.
    fn directory() -> (tempfile::TempDir, std::path::PathBuf) {
        let whole = tempfile::tempdir().unwrap();
        let dir = whole.path().join("files");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        (whole, dir)
    }

    fn only_file(dir: &Path) -> std::path::PathBuf {
        fs::read_dir(dir).unwrap().next().unwrap().unwrap().path()
    }

    #[test]
    fn processes_come_together_in_a_good_file_whatever_was_done_to_theirs() {
        for (what, damage) in DAMAGE {
            let (_whole, dir) = directory();
            let processes = [process(&dir), process(&dir)];
            let [one, other] = &processes;
            one.words().confirm(boottime::now());
            processes.iter().for_each(look);
            let stripes = [Stripe::value(1)];
            let (before, pair) = (one.words().memory.id(), one.words().pair(&stripes));
            damage(&only_file(&dir));
            for process in processes.iter().chain(&processes) {
                look(process);
            }
            let id = one.words().memory.id();
            assert!(id.is_some() && id == other.words().memory.id(), "{what}: one file for both");
            assert!(id != before || what.starts_with("cut"), "{what}: another file");
            assert!(processes.iter().all(|process| !process.words().is_lost()), "{what}");
            // It is used, for what comes from now on.
            other.words().confirm(boottime::now());
            let look = one.words().look(boottime::now(), LONG).unwrap();
            assert!(!one.words().holds(&look, pair, &stripes), "{what}: valid from before");
            let pair = one.words().pair(&stripes);
            assert!(one.words().holds(&look, pair, &stripes), "{what}");
            other.words().raise(&stripes);
            assert!(!one.words().holds(&look, pair, &stripes), "{what}: not told");
            assert_eq!(other.words().staleness(), Duration::from_secs(1), "{what}: asked for again");
        }
    }

    #[test]
    fn what_stands_in_the_files_place_leaves_private_memory_until_it_has_gone() {
        let put: [Damage; 2] =
            [|file| fs::create_dir(file).unwrap(), |file| std::os::unix::fs::symlink("/dev/null", file).unwrap()];
        for put in put {
            let (_whole, dir) = directory();
            let processes = [process(&dir), process(&dir)];
            let file = only_file(&dir);
            fs::remove_file(&file).unwrap();
            put(&file);
            processes.iter().for_each(look);
            assert!(processes.iter().all(|process| !process.is_shared() && !process.words().is_lost()));
            fs::remove_file(&file).or_else(|_| fs::remove_dir(&file)).unwrap();
            processes.iter().for_each(look);
            let [one, other] = processes.map(|process| process.words().memory.id());
            assert!(one.is_some() && one == other);
        }
    }

    #[test]
    fn a_file_that_has_gone_back_is_not_confirmed() {
        let (_whole, dir) = directory();
        let processes = [process(&dir), process(&dir)];
        let [one, other] = &processes;
        let (file, stripes) = (only_file(&dir), [Stripe::value(1)]);
        one.words().confirm(boottime::now());
        let (copy, pair) = (fs::read(&file).unwrap(), other.words().pair(&stripes));
        one.words().raise(&stripes);
        one.words().confirm(boottime::now());
        fs::write(&file, copy).unwrap();
        // The listener's next heartbeat, before any thread has looked.
        one.words().confirm(boottime::now());
        let hits = |look| other.words().holds(&look, pair, &stripes);
        assert!(!other.words().look(boottime::now(), LONG).is_some_and(hits));
        processes.iter().for_each(look);
        assert!(one.words().memory.id() == other.words().memory.id() && !one.words().is_lost());
    }

    #[test]
    fn a_stripe_of_zeros_makes_no_sum_come_again() {
        let (_whole, dir) = directory();
        let process = process(&dir);
        let (words, stripes) = (process.words(), [Stripe::value(1)]);
        let again = || {
            words.stripe(stripes[0]).store(0, Ordering::Relaxed);
            words.raise(&stripes);
            words.pair(&stripes)
        };
        assert!(again() != again());
    }

    #[test]
    fn who_waits_in_a_file_that_is_lost_looks_up() {
        let (_whole, dir) = directory();
        let process = process(&dir);
        let (words, stripe) = (process.words(), Stripe::value(1));
        let seen = words.pair(&[stripe]);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| words.wait(stripe, seen, Duration::from_secs(600)));
            fs::remove_file(only_file(&dir)).unwrap();
            while !waiter.is_finished() {
                look(&process);
                std::thread::yield_now();
            }
            assert!(waiter.join().unwrap());
        });
    }
}
