"""The default places of shared caches: what cannot be used is left for the next, and all agree."""

from __future__ import annotations

import pytest
import sandbox

pytestmark = pytest.mark.skipif(
    not sandbox.works(), reason="to mount file systems takes root on Linux"
)


def test_whatever_is_wrong_with_a_place_the_next_one_serves() -> None:
    source = """
os.mkdir("/tmp/folders"); os.chmod("/tmp/folders", 0o755)


def spoiled(name, how):
    '''A folder for TMPDIR in which the user's place cannot be used.'''
    at = f"/tmp/folders/{name}"
    os.mkdir(at)
    os.chmod(at, 0o1777)
    own = f"{at}/warp_cache-{USER}"

    def directory(mode=0o700, user=USER):
        os.mkdir(own); os.chown(own, user, user); os.chmod(own, mode)
        return own

    replaced = how(at, own, directory)
    return replaced or at


def link_to(target):
    return lambda at, own, directory: os.symlink(target, own)


def full(at, own, directory):
    mount(at, "size=4k,mode=1777")
    with open(f"{at}/fat", "wb", buffering=0) as fat:
        fat.write(bytes(4096))


def no_inodes(at, own, directory):
    mount(at, "nr_inodes=2,mode=1777")
    os.mkdir(f"{at}/one")


def read_only(at, own, directory):
    directory()
    mount(at, "mode=1777", RDONLY)


def filled(at, own, directory):
    mount(at, "size=64k,mode=1777")
    directory()
    with open(f"{own}/fat", "wb", buffering=0) as fat:
        try:
            while True:
                fat.write(bytes(4096))
        except OSError:
            pass
    os.chown(f"{own}/fat", USER, USER)


def file_of_the_name(write):
    def how(at, own, directory):
        directory()
        write(f"{own}/f.cache")
        if not os.path.islink(f"{own}/f.cache"):
            os.chown(f"{own}/f.cache", USER, USER)
    return how


ways = {
    "missing": lambda at, own, directory: os.rmdir(at),
    "a file": lambda at, own, directory: (os.rmdir(at), Path(at).touch()) and None,
    "below a file": lambda at, own, directory: (Path(f"{at}/x").touch(), f"{at}/x/y")[1],
    "dangling": lambda at, own, directory: (os.rmdir(at), os.symlink("/nowhere", at)) and None,
    "a loop": lambda at, own, directory: (os.rmdir(at), os.symlink(at, at)) and None,
    "unwritable": lambda at, own, directory: os.chmod(at, 0o755),
    "unsearchable": lambda at, own, directory: os.chmod(at, 0o1666),
    "too long": lambda at, own, directory: f"{at}/{'x' * 300}",
    "far too long": lambda at, own, directory: at + "/x" * 3000,
    "somebody else's": lambda at, own, directory: directory(user=61002) and None,
    "open to others": lambda at, own, directory: directory(0o755) and None,
    "without rights": lambda at, own, directory: directory(0) and None,
    "without right to write": lambda at, own, directory: directory(0o500) and None,
    "without right to enter": lambda at, own, directory: directory(0o600) and None,
    "a file in its place": lambda at, own, directory: Path(own).touch(),
    "a pipe in its place": lambda at, own, directory: os.mkfifo(own),
    "a link": link_to("/dev/shm"),
    "a dangling link": link_to("/nowhere"),
    "a link to itself": link_to(f"warp_cache-{USER}"),
    "full": full,
    "full for files": filled,
    "without inodes": no_inodes,
    "read-only": read_only,
    "proc": lambda at, own, directory: "/proc",
    "sys": lambda at, own, directory: "/sys",
    "null": lambda at, own, directory: "/dev/null",
    "file: a directory": file_of_the_name(os.mkdir),
    "file: a link": file_of_the_name(lambda path: os.symlink("/etc/passwd", path)),
    "file: open to others": file_of_the_name(
        lambda path: os.close(os.open(path, os.O_CREAT, 0o644))
    ),
}
os.umask(0)
for name, how in ways.items():
    at = spoiled(name, how)
    said = as_user(calls, environment={"TMPDIR": at})
    where = files()
    expected = f"/dev/shm/warp_cache-{USER}/f.cache"
    assert said == "1" and expected in where, (name, said, where)
    assert len(where) == 1 or name == "file: open to others", (name, where)
    os.unlink(expected)
for path in files():
    os.unlink(path)
# noexec does not matter; and a place that is good is taken.
at = spoiled("good", lambda at, own, directory: mount(at, "mode=1777", NOEXEC))
assert as_user(calls, environment={"TMPDIR": at}) == "1"
assert files() == [f"{at}/warp_cache-{USER}/f.cache"], files()
print(len(ways))
"""
    assert int(sandbox.run(source)) > 25


def test_the_order_and_what_is_said_when_nothing_is_left() -> None:
    source = """
def place(at):
    return f"{at}/warp_cache-{USER}/f.cache"


def refuse(at):
    mount(at, "mode=1777", RDONLY)


os.makedirs(f"/run/user/{USER}"); os.chown(f"/run/user/{USER}", USER, USER)
for at in ("/dev/shm", f"/run/user/{USER}", "/tmp", "/var/tmp"):
    assert as_user(calls) == "1"
    assert files() == [place(at)], (at, files())
    refuse(at)
said = as_user(calls)
assert said.startswith("UncacheableWarning: ") and "none of the default places" in said, said
for at in ("/dev/shm", f"/run/user/{USER}", "/tmp", "/var/tmp"):
    assert f"{at}/warp_cache-{USER}" in said, said
whose = "belongs to user 0, mode 1777"
for word in ("WARP_CACHE_DIR", whose, "Read-only file system", f"user {USER}'s alone"):
    assert word in said, said
# What was asked for is never replaced, and says why.
own = tempfile.mkdtemp(dir="/dev")
os.chmod(own, 0o755)
said = as_user(calls, environment={"WARP_CACHE_DIR": own})
assert "cannot be opened: refusing to use" in said, said
assert "remove it, or set WARP_CACHE_DIR" in said, said
assert "belongs to user 0, mode 0755" in said, said
assert "WARP_CACHE_DIR" in said
os.chmod(own, 0o777)
for path in (f"{own}/a", f"{own}/b/c"):
    said = as_user(calls, environment={"WARP_CACHE_DIR": path})
    assert said == "1", said
given = {"WARP_CACHE_DIR": own + "/a"}
assert "max_bytes must be" in as_user(lambda: calls(max_bytes=1), environment=given)
"""
    sandbox.run(source)


def test_a_place_that_is_full_for_a_moment_parts_nobody() -> None:
    """Those with the same places stay together, and those with others are not drawn in."""
    source = """
def where(*remove, **environment):
    def work():
        f = cache(backend="shared", name="f")(lambda x: os.getpid())
        return (f(1) == f(1), f.cache_info().misses)
    return as_user(work, environment=environment)


def fill(at):
    with open(f"{at}/fat", "wb", buffering=0) as fat:
        try:
            while True:
                fat.write(bytes(1 << 16))
        except OSError:
            pass
    return f"{at}/fat"


fat = fill("/dev/shm")
os.mkdir("/run/own"); os.chmod("/run/own", 0o1777)
assert where() == "(True, 1)", where()
assert files() == [f"/tmp/warp_cache-{USER}/f.cache"]
os.unlink(fat)
for _ in range(3):
    said = where()
    assert said == "(True, 1)", said  # the others go where the first one went
    assert files() == [f"/tmp/warp_cache-{USER}/f.cache"], files()
assert where(TMPDIR="/run/own") == "(True, 1)"
assert files() == [f"/run/own/warp_cache-{USER}/f.cache", f"/tmp/warp_cache-{USER}/f.cache"]
# The file is lost: the first place that works is the place.
os.unlink(f"/tmp/warp_cache-{USER}/f.cache")
os.unlink(f"/run/own/warp_cache-{USER}/f.cache")
assert where() == "(True, 1)" == where()
assert files() == [f"/dev/shm/warp_cache-{USER}/f.cache"]
# A file in the first place is found however full it is.
fill("/dev/shm")
assert where() == "(True, 1)"
assert files() == [f"/dev/shm/warp_cache-{USER}/f.cache"]
# Private caches leave no signs.
def private():
    box = []
    f = cache(backend="shared")(lambda x: (x, box)[0])
    return f(1), f(1), f.cache_info().hits
said = as_user(private)
assert said == "(1, 1, 1)", said
left = os.listdir(f"/tmp/warp_cache-{USER}")
assert left and not [name for name in left if "private" in name], left
"""
    sandbox.run(source)


def test_limits_of_a_process_drive_it_nowhere_else() -> None:
    source = """
def limited(which, limit):
    def work():
        resource.setrlimit(which, (limit, limit))
        return calls()
    return as_user(work)


for which, limit, word in [
    (resource.RLIMIT_FSIZE, 1 << 12, "ulimit -f"),
    (resource.RLIMIT_NOFILE, 5, "ulimit -n"),
    (resource.RLIMIT_AS, 1 << 20, "ulimit -v"),
]:
    said = limited(which, limit)
    assert "UncacheableWarning" in said and word in said, said
    assert not files(), files()
"""
    sandbox.run(source)


def test_without_locks_another_place_is_looked_for_and_in_the_end_one_without_serves() -> None:
    source = """
FCNTL = {"x86_64": 72, "aarch64": 25}.get(platform.machine())
if FCNTL is None:
    sys.exit()


def refuse(number, commands, error):
    '''Refuses a system call whose second argument is one of these.'''
    load, equal, ret = 0x20, 0x15, 0x06
    steps = [(load, 0, 0, 0), (equal, 0, len(commands) + 1, number), (load, 0, 0, 24)]
    steps += [(equal, len(commands) - i, 0, command) for i, command in enumerate(commands)]
    steps += [(ret, 0, 0, 0x7FFF0000), (ret, 0, 0, 0x00050000 | error)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    check(libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0))


def without_locks():
    refuse(FCNTL, [5, 6, 7, 36, 37, 38], errno.ENOLCK)
    warnings.simplefilter("ignore")
    return calls()


assert as_user(without_locks) in ("1", "2")
assert files() == [f"/dev/shm/warp_cache-{USER}/f.cache"], files()
"""
    sandbox.run(source)
