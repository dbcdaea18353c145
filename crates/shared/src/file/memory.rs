//! How much memory this process may use: the least limit of its control group and all those around it.
//!
//! `/proc/self/cgroup` names the group, `/proc/self/mountinfo` says where the groups are mounted, and which part of them
//! (a container sees its own as the root, by a namespace or by a bind mount). From the group up to the mount's root each
//! folder may have a limit, in version 2 `memory.max` and `memory.high` (beyond which a group is slowed down until it
//! hardly runs), in version 1 `memory.limit_in_bytes`. What is above the root cannot be seen.

use std::path::{Component, Path, PathBuf};

/// Bytes; `None` where there is no limit, or none can be found.
pub(crate) fn limit() -> Option<u64> {
    // (Bytes, not text: a mount may have any name.)
    let read = |path: &Path| std::fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    limit_by(read)
}

fn limit_by(read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    folders(&groups, &mounts)
        .flat_map(|(folder, files)| files.iter().map(move |file| folder.join(file)))
        .filter_map(|file| read(&file)?.trim().parse().ok())
        .min()
}

const VERSION_1: &[&str] = &["memory.limit_in_bytes"];
const VERSION_2: &[&str] = &["memory.max", "memory.high"];

/// The folders in which limits of this process may be, and the names of the files there.
fn folders<'a>(groups: &'a str, mounts: &'a str) -> impl Iterator<Item = (PathBuf, &'static [&'static str])> + 'a {
    // id:controllers:path
    let group_of = |v2: bool| {
        groups.lines().find_map(move |line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let fits = if v2 { controllers.is_empty() } else { controllers.split(',').any(|c| c == "memory") };
            fits.then_some(path)
        })
    };
    mounts.lines().flat_map(move |line| {
        let found = mount(line).and_then(|(root, at, v2)| {
            let within = inside(group_of(v2)?, &root);
            let files = if v2 { VERSION_2 } else { VERSION_1 };
            Some(within.ancestors().map(|part| (at.join(part), files)).collect::<Vec<_>>())
        });
        found.unwrap_or_default()
    })
}

/// Of a line of mountinfo, if it is a mount of groups with limits of memory: which part of them, where, which version.
fn mount(line: &str) -> Option<(String, PathBuf, bool)> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let (root, at) = (unescape(fields.next()?), unescape(fields.next()?));
    let mut fields = after.split(' ');
    let v2 = match fields.next()? {
        "cgroup2" => true,
        "cgroup" if fields.nth(1)?.split(',').any(|option| option == "memory") => false,
        _ => return None,
    };
    Some((root, at.into(), v2))
}

/// Spaces and the like are written as three octal digits.
fn unescape(field: &str) -> String {
    let mut out = String::new();
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        match rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte.into());
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

/// The group's path relative to the mount; the mount itself, where the group is elsewhere.
fn inside(group: &str, root: &str) -> PathBuf {
    let relative = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if plain {
        relative.into()
    } else {
        PathBuf::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory";
    const V2: &str = "29 22 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate";

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let files: HashMap<&Path, &str> = files.iter().map(|(path, text)| (Path::new(*path), *text)).collect();
        limit_by(|path| files.get(path).map(|text| (*text).to_owned()))
    }

    #[test]
    fn the_least_of_all_that_lie_around() {
        let (group, mounts) = (("/proc/self/cgroup", "0::/a/b/c\n"), ("/proc/self/mountinfo", V2));
        let at = |level: &'static str, max: &'static str| (level, max);
        let all = |a, b, c| {
            limit(&[
                group,
                mounts,
                at("/sys/fs/cgroup/a/memory.max", a),
                at("/sys/fs/cgroup/a/b/memory.max", b),
                at("/sys/fs/cgroup/a/b/c/memory.max", c),
                at("/sys/fs/cgroup/other/memory.max", "1"),
            ])
        };
        assert_eq!(all("max\n", "max\n", "max\n"), None);
        assert_eq!(all("1000\n", "max\n", "2000\n"), Some(1000));
        assert_eq!(all("3000\n", "1500\n", "max\n"), Some(1500));
        assert_eq!(all("3000\n", "1500\n", "700\n"), Some(700));
        assert_eq!(all("", "nonsense", "-1"), None);
        assert_eq!(limit(&[group, mounts, ("/sys/fs/cgroup/a/memory.high", "42\n")]), Some(42));
    }

    #[test]
    fn version_1_and_both_at_once() {
        let groups = ("/proc/self/cgroup", "9:name=systemd:/x\n4:cpu,memory:/job/1\n0::/unified\n");
        let mounts = format!("{V1}\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
        let mounts = ("/proc/self/mountinfo", mounts.as_str());
        let one = ("/sys/fs/cgroup/memory/job/1/memory.limit_in_bytes", "9223372036854771712\n");
        let job = ("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "5000\n");
        let two = ("/sys/fs/cgroup/unified/unified/memory.max", "4000");
        assert_eq!(limit(&[groups, mounts, one, job]), Some(5000));
        assert_eq!(limit(&[groups, mounts, one, job, two]), Some(4000));
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        // By a bind mount: the path is the host's, and so is the mount's root.
        let bind = "7 6 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        let here = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "77");
        assert_eq!(
            limit(&[("/proc/self/cgroup", "4:memory:/docker/abc"), ("/proc/self/mountinfo", bind), here]),
            Some(77)
        );
        let inner = ("/sys/fs/cgroup/memory/in ner/memory.limit_in_bytes", "7");
        let group = ("/proc/self/cgroup", "4:memory:/docker/abc/in ner");
        assert_eq!(limit(&[group, ("/proc/self/mountinfo", bind), here, inner]), Some(7));
        // By a namespace that this process is outside of.
        let group = ("/proc/self/cgroup", "0::/../other");
        let root = ("/sys/fs/cgroup/memory.max", "88");
        assert_eq!(limit(&[group, ("/proc/self/mountinfo", V2), root]), Some(88));
        // A place with a space in its name.
        let mounts = ("/proc/self/mountinfo", "1 2 0:3 / /c\\040g rw - cgroup2 none rw");
        assert_eq!(limit(&[("/proc/self/cgroup", "0::/"), mounts, ("/c g/memory.max", "99")]), Some(99));
    }

    #[test]
    fn nothing_to_read_is_no_limit() {
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&[("/proc/self/cgroup", "x\n:\n0:"), ("/proc/self/mountinfo", "x - \n\n - cgroup")]), None);
    }
}
