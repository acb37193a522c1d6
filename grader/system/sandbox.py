"""What a submission is kept from doing: eight layers, any of which a system may lack, and is then reported to lack.

    enter_server(readable, scratch)             # once, before threads exist and before anything big is loaded
    import numpy                                # what all submissions need; then wait for a job
    if os.fork() == 0:
        enter_child(limits, scratch, readable, keep_fds)
        ...                                     # only now the student's code
    fresh_scratch(scratch)                      # when the child and all that it left behind is gone

Who is who. The server runs none of the student's code. Started by root, it builds its view of the files with root's
rights, becomes the user nobody, and takes a user namespace in which, and only there, it may go on mounting scratch
folders. Started by an ordinary user, it takes the user namespace first and stays that user. The child keeps the
server's user and loses every capability. (Where nobody could not read what is readable, root stays root: no "user".)

A layer that cannot be had is left out of what a function returns; the others go into force all the same. `without`
hides layers, so that tests can watch each one work alone. Nothing POSIX-only is imported at the top: on other systems
this module loads, takes what there is, and `probe` says what there is not.

Sources: man pages namespaces(7), user_namespaces(7), pid_namespaces(7), mount_namespaces(7), pivot_root(2),
mount_setattr(2), capabilities(7), landlock(7), seccomp(2), setrlimit(2), prctl(2). Constants are named as in the
kernel's headers.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import math
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterable, Mapping, Set

LAYERS = ("namespaces", "root", "user", "landlock", "seccomp", "rlimits", "environment", "descriptors")

# The keys that `limits` may have: what setrlimit(2) calls it, and how many of its units make one of ours.
LIMITS = {
    "memory_mb": ("RLIMIT_AS", 2**20),
    "cpu_seconds": ("RLIMIT_CPU", 1),
    "file_mb": ("RLIMIT_FSIZE", 2**20),
    "open_files": ("RLIMIT_NOFILE", 1),
    "processes": ("RLIMIT_NPROC", 1),
}

NOBODY = 65534  # the kernel's overflow id, which owns nothing on a sound system
SCRATCH_MB, SCRATCH_FILES = 16, 4096
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
PROBE_SECONDS, PROBE_OPEN_FILES = 5.0, 64
NOTHING: frozenset[str] = frozenset()
NO_COPIES: Mapping[str, bytes] = {}


class Refused(Exception):
    """A layer cannot be had; the text says why, for a person."""


class _Taken:
    """Which layers went into force, and why the others did not."""

    def __init__(self, without: Set[str]):
        self.missing = dict.fromkeys(without, "hidden by the caller")
        self._held: list[str] = []

    def take(self, layer: str, step: Callable[..., None], *arguments) -> None:
        if layer in self.missing:
            return
        try:
            step(*arguments)
        except (Refused, OSError, ImportError, ValueError) as why:
            self.missing[layer] = str(why)
        else:
            self._held.append(layer)

    @property
    def held(self) -> list[str]:
        return sorted(self._held, key=LAYERS.index)


class _server:
    """What a server leaves to its children, besides the layers in force."""

    scratch_owner = (-1, -1)  # user and group that the child will have
    scratch_identity = (-1, -1)  # device and inode
    scratch_state: tuple[int, ...] = ()  # what its inode said when it was made
    scratch_is_mounted_anew = False  # for each job, in a mount namespace of our own; else it is emptied
    ruleset: tuple[list[str], str, int] | None = None  # what Landlock lets read, what it lets write, the descriptor


# ----------------------------------------------------------------------------------------------------- what others call


def enter_server(
    readable: list[str], scratch: str, without: Set[str] = NOTHING, copies: Mapping[str, bytes] = NO_COPIES
) -> list[str]:
    """Take the layers that a server and all its children share; return those in force, of "namespaces" and "root".

    With "namespaces" the caller is process 1 of a new pid namespace when this returns: the function forks, and the
    process that called it closes every descriptor, waits, and exits with process 1's status (128 + n for signal n). It
    dies with the *thread* that started it, and process 1 dies with it; start the server from a thread that stays.

    readable: absolute paths of files and folders, which get read-only under these paths. Symbolic links on the way are
        reproduced; what is not there, or not for this user, is passed over.
    scratch: an absolute path; becomes empty, writable by the child, and the only such place. On disk it need not
        exist; where no view of the files can be had it is made there, and must be empty.
    copies: small files by their absolute paths, which get these contents in the view.

    The working directory is "/" afterwards; descriptors stay open. Call it before threads exist: a process with threads
    gets no user namespace. Raises ValueError for readable paths that are "/" or in the scratch folder, OSError when
    there is no scratch folder.
    """
    return _enter_server(readable, scratch, without, copies).held


def fresh_scratch(scratch: str) -> None:
    """An empty scratch folder again; in the server, when no process of the last job is left.

    A new tmpfs where the server may mount one and the last job left any trace in the old one; else the same folder
    emptied. Raises OSError when that fails, or when another folder stands in its place; the server should end then.
    """
    if _identity(scratch) != _server.scratch_identity:
        raise OSError(errno.ESTALE, "not the scratch folder that the server made", scratch)
    if not _server.scratch_is_mounted_anew:
        return _empty(scratch)
    if _is_untouched(scratch):
        return
    try:
        _checked(_libc().umount2(os.fsencode(scratch), MNT_DETACH), "to let go of the scratch folder")
        _mount_scratch(scratch)
    except Refused as why:
        raise OSError(errno.EIO, str(why), scratch) from None
    _remember_scratch(scratch)


def enter_child(
    limits: dict, scratch: str, readable: list[str], keep_fds: Iterable[int], without: Set[str] = NOTHING
) -> list[str]:
    """Take all the other layers, in a forked child, right before the student's code; return those this call took.

    limits: see LIMITS; a missing key or None leaves that limit alone. `memory_mb` counts the whole address space, with
        what the server has loaded.
    scratch: the working directory from now on, and for Landlock the one place to write. readable: for Landlock the
        places to read. Given as they were to enter_server they cost least: Landlock's rules are ready then.
    keep_fds: all other descriptors are closed; of 0, 1 and 2 those not named lead to the null device.

    Afterwards there is no way back: no new process or thread, no socket, no signal to another process. An inherited
    socket serves os.read and os.write only. Raises OSError when the scratch folder cannot be entered, KeyError for an
    unknown limit.
    """
    return _enter_child(limits, scratch, readable, keep_fds, without).held


def probe(without: Set[str] = NOTHING) -> dict[str, str]:
    """For each of LAYERS an empty string when it holds on this system, else why not.

    A forked process takes them all and then attempts what each is to stop. Done once per process and `without`.
    """
    return dict(_probe(frozenset(without)))


def _enter_server(readable: list[str], scratch: str, without: Set[str], copies: Mapping[str, bytes]) -> _Taken:
    _check_paths(readable, scratch)
    _server.scratch_owner = _ids_of_child(without)
    taken = _Taken(without)
    with _own_proc() as own_proc:
        taken.take("namespaces", _separate, own_proc)
        taken.take("root", _enter_view, readable, scratch, copies, own_proc)
        if "root" not in taken.held:
            _make_folder(scratch)
        if "user" not in without:
            _give_up_root(readable, own_proc)
    _settle_scratch(scratch, in_view="root" in taken.held)
    if "namespaces" in taken.held:
        _become_process_one()
    _get_ready(readable, scratch, without)
    return taken


def _get_ready(readable: list[str], scratch: str, without: Set[str]) -> None:
    """Do once what each child would have to do: it inherits memory, descriptors and the bounding set."""
    with contextlib.suppress(Refused):
        _prctl("to hide memory", PR_SET_DUMPABLE, 0)
        _filter_program()
        _server.ruleset = readable, scratch, -1
    with contextlib.suppress(ImportError):
        import resource  # noqa: F401
    if "user" not in without:
        _drop_bounding_set()
    _remember_scratch(scratch)


def _enter_child(limits, scratch, readable, keep_fds, without) -> _Taken:
    taken = _Taken(without)
    taken.take("landlock", _restrict_files, readable, scratch)  # before its ruleset is closed as a descriptor
    taken.take("descriptors", _close_descriptors, keep_fds)
    taken.take("environment", _clear_environment)
    os.chdir(scratch)
    taken.take("user", _become_powerless, readable)
    if sys.platform == "linux":
        _die_with_parent()  # only now: the kernel forgets it when the user changes
    taken.take("rlimits", _limit_resources, limits)
    taken.take("seccomp", _filter_system_calls)  # last, for it refuses what the others need
    return taken


# ---------------------------------------------------------------------------------------------------- asking the kernel

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
SIGKILL = 9


@functools.cache
def _libc() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise Refused(f"only Linux has it, and this is {sys.platform}")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.argtypes, libc.syscall.restype = [ctypes.c_long] * 7, ctypes.c_long
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
    return libc


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise Refused(f"the kernel refused {what}: {errno.errorcode.get(code, code)}")
    return result


def _system_call(what: str, name: str, *arguments: int) -> int:
    number = _number(name)
    return _checked(_libc().syscall(number, *arguments, *[0] * (6 - len(arguments))), what)


def _prctl(what: str, option: int, argument: int, second: int = 0) -> None:
    _checked(_libc().prctl(option, argument, second, 0, 0), what)


def _buffer(content: bytes) -> ctypes.Array:
    return (ctypes.c_char * len(content)).from_buffer_copy(content)


def _die_with_parent() -> None:
    _prctl("to die with the parent", PR_SET_PDEATHSIG, SIGKILL)


def _gain_no_privileges() -> None:
    """What Landlock and seccomp demand of a process without CAP_SYS_ADMIN."""
    _prctl("no_new_privs", PR_SET_NO_NEW_PRIVS, 1)


# ----------------------------------------------------------------------------------------------------------- namespaces

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CAP_SYS_ADMIN = 1 << 21


def _unshare(flags: int, what: str) -> None:
    _checked(_libc().unshare(flags), what)


def _separate(own_proc: int) -> None:
    """New pid, net (its loopback stays down), ipc and uts namespaces. The pid namespace counts from the next fork."""
    _gain_mastery(own_proc)
    _unshare(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, "pid, net, ipc and uts namespaces")
    _libc().sethostname(b"sandbox", 7)  # the machine's own name had been copied


def _gain_mastery(own_proc: int) -> None:
    """The right to mount and to unshare: at hand already, or else as master of a new user namespace."""
    if not _capabilities() & CAP_SYS_ADMIN:
        _enter_user_namespace(own_proc)


def _enter_user_namespace(own_proc: int) -> None:
    """A user namespace that knows one user, the caller, by the same number as outside."""
    if own_proc < 0:
        raise Refused("there is no /proc, through which a user namespace is set up")
    uid, gid = os.geteuid(), os.getegid()
    _prctl("access to /proc/self", PR_SET_DUMPABLE, 1)  # lost by a process that has changed its user
    _unshare(CLONE_NEWUSER, "user namespaces")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        handle = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=own_proc)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)


@contextlib.contextmanager
def _own_proc():
    """A handle on /proc/self that outlives the change of root; -1 where there is none."""
    try:
        handle = os.open("/proc/self", os.O_RDONLY)
    except OSError:
        handle = -1
    try:
        yield handle
    finally:
        if handle >= 0:
            os.close(handle)


def _become_process_one() -> None:
    _die_with_parent()
    child = os.fork()
    if child == 0:
        _die_with_parent()
    else:
        _wait_and_exit(child)


def _wait_and_exit(child: int) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _close_range(0, LAST_DESCRIPTOR)  # so that pipes end when process 1 does
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(status if status >= 0 else 128 - status)


# ---------------------------------------------------------------------------------------------------- view of the files

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH, AT_FDCWD, AT_RECURSIVE = 2, -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
FILES_ONLY = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
DEVICE_ONLY = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC  # the node is read-only, not the device
BASE = "/proc"  # where the view is put together: a folder that is everywhere, and that nobody needs any more


def _check_paths(readable: list[str], scratch: str) -> None:
    folder = os.path.realpath(scratch)
    for path in map(os.path.realpath, readable):
        if os.path.dirname(path) == path:
            raise ValueError(f"{path} is everything, and with it in view nothing would be kept from view")
        if _is_within(path, folder):
            raise ValueError(f"{path} is in the scratch folder, which would hide it")


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def _enter_view(readable: list[str], scratch: str, copies: Mapping[str, bytes], own_proc: int) -> None:
    """A new root: the readable paths, three devices, copies, the scratch folder, and no more; undone when a part is refused."""
    _gain_mastery(own_proc)
    _unshare(CLONE_NEWNS, "a mount namespace")
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", BASE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    umask = os.umask(0o022)
    try:
        _furnish(readable, scratch, copies)
        _pivot()
    except BaseException:
        _libc().umount2(BASE.encode(), MNT_DETACH)
        raise
    finally:
        os.umask(umask)
        os.chdir("/")


def _furnish(readable: list[str], scratch: str, copies: Mapping[str, bytes]) -> None:
    links: dict[str, str] = {}
    places = _without_nested(_resolve(path, links) for path in readable if os.path.exists(path))
    scratch = _resolve(scratch, links)
    for link, target in links.items():
        if not any(_is_within(link, place) for place in places):
            os.makedirs(os.path.dirname(BASE + link), exist_ok=True)
            os.symlink(target, BASE + link)
    for place in places:
        _bind(place, FILES_ONLY)
    for device in DEVICES:
        with contextlib.suppress(Refused, OSError):  # a missing device takes no protection away
            _bind(device, DEVICE_ONLY)
    for path, content in copies.items():
        os.makedirs(os.path.dirname(BASE + path), exist_ok=True)
        with open(BASE + path, "wb") as file:
            file.write(content)
    os.makedirs(BASE + scratch, exist_ok=True)
    _seal(BASE, FILES_ONLY)
    _mount_scratch(BASE + scratch)


def _resolve(path: str, links: dict[str, str]) -> str:
    """The path without symbolic links; those on the way are added to `links`, with where each of them ends."""
    place = "/"
    for part in os.path.normpath(path).strip("/").split("/"):
        here = os.path.join(place, part)
        place = os.path.realpath(here)
        if place != here:
            links[here] = place
    return place


def _without_nested(places: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for place in sorted(places, key=len):
        if not any(_is_within(place, folder) for folder in kept):
            kept.append(place)
    return kept


def _bind(place: str, attributes: int) -> None:
    target = BASE + place
    if os.path.isdir(place):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o444))
    _mount(place, target, None, MS_BIND | MS_REC)
    _seal(target, attributes, AT_RECURSIVE)


def _seal(place: str, attributes: int, flags: int = 0) -> None:
    path = _buffer(os.fsencode(place) + b"\0")
    attr = _buffer(struct.pack("QQQQ", attributes, 0, 0, 0))  # struct mount_attr
    addresses = ctypes.addressof(path), flags, ctypes.addressof(attr)
    _system_call(f"to seal {place}", "mount_setattr", AT_FDCWD, *addresses, ctypes.sizeof(attr))


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _checked(_libc().mount(*texts, flags, options.encode()), f"to mount {source or 'privately'} at {target}")


def _pivot() -> None:
    """Make BASE the root and let go of the old one; pivot_root(2) explains the two dots."""
    os.chdir(BASE)
    dot = _buffer(b".\0")
    _system_call("a new root", "pivot_root", ctypes.addressof(dot), ctypes.addressof(dot))
    _checked(_libc().umount2(b".", MNT_DETACH), "to let go of the old root")


# ------------------------------------------------------------------------------------------------------- scratch folder


def _mount_scratch(place: str) -> None:
    uid, gid = _server.scratch_owner
    options = f"size={SCRATCH_MB}m,nr_inodes={SCRATCH_FILES},mode=0700,uid={uid},gid={gid}"
    _mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)


def _may_mount_again(scratch: str) -> bool:
    """Found out by doing it, over the mount that is there, which, if root's, is locked against the user namespace."""
    try:
        _mount_scratch(scratch)
    except Refused:
        return False
    return True


def _settle_scratch(scratch: str, in_view: bool) -> None:
    """Now that it is certain who the server, and so the child, is."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        _server.scratch_owner = 0, os.getegid()
        os.chown(scratch, *_server.scratch_owner)
    _server.scratch_is_mounted_anew = in_view and _may_mount_again(scratch)


def _make_folder(scratch: str) -> None:
    os.makedirs(scratch, exist_ok=True)
    if os.listdir(scratch):
        raise OSError(errno.ENOTEMPTY, "not empty, and will not be emptied unasked", scratch)
    if _server.scratch_owner[0] == NOBODY and os.geteuid() == 0:
        os.chown(scratch, *_server.scratch_owner)
    os.chmod(scratch, 0o700)


def _remember_scratch(scratch: str) -> None:
    """Which folder it is now, with Landlock's rules for it: a rule holds on to an inode."""
    _server.scratch_identity = _identity(scratch)
    _server.scratch_state = _state(scratch)
    if _server.ruleset is None:
        return
    readable, folder, descriptor = _server.ruleset
    if descriptor >= 0:
        os.close(descriptor)
    _server.ruleset = None
    with contextlib.suppress(Refused):
        _server.ruleset = readable, folder, _make_ruleset(readable, folder)


def _is_untouched(scratch: str) -> bool:
    """Whether nothing is in it and nobody did anything to it: whatever one does there changes its times, which only the kernel sets.

    What is done in the same tick of the kernel's clock as the making leaves them as they are, but then leaves nothing else either.
    """
    if _state(scratch) != _server.scratch_state or os.listdir(scratch) or os.listxattr(scratch):
        return False
    _server.scratch_state = _state(scratch)  # listing was an access
    return True


def _state(folder: str) -> tuple[int, ...]:
    found = os.lstat(folder)
    times = found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns
    return found.st_mode, found.st_uid, found.st_gid, found.st_nlink, found.st_size, *times


def _identity(folder: str) -> tuple[int, int]:
    found = os.lstat(folder)
    return found.st_dev, found.st_ino


def _empty(folder: str) -> None:
    """Empty it level by level: subfolders move up and are not descended into, so that no depth exhausts anything."""
    os.chmod(folder, 0o700)
    while names := os.listdir(folder):
        for path in (os.path.join(folder, name) for name in names):
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in os.listdir(path):
                _move_up(os.path.join(path, inner), folder)
            os.rmdir(path)


def _move_up(path: str, folder: str) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        os.chmod(path, 0o700)  # a folder that cannot be written to cannot be moved either
    os.rename(path, os.path.join(folder, os.urandom(16).hex()))


# ------------------------------------------------------------------------------------------------ user and capabilities

_LINUX_CAPABILITY_VERSION_3 = 0x20080522
CAPABILITY_HEADER, NO_CAPABILITIES = _buffer(struct.pack("Ii", _LINUX_CAPABILITY_VERSION_3, 0)), _buffer(bytes(24))


def _ids_of_child(without: Set[str]) -> tuple[int, int]:
    if not hasattr(os, "geteuid"):
        return -1, -1
    return (NOBODY, NOBODY) if os.geteuid() == 0 and "user" not in without else (os.geteuid(), os.getegid())


def _give_up_root(readable: list[str], own_proc: int) -> None:
    """In a server started by root: become nobody, then master of a user namespace, for the scratch folder's sake.

    What of it is refused is left: the child tries again and reports it, and fresh_scratch knows another way.
    """
    if sys.platform == "linux" and os.geteuid() == 0:
        with contextlib.suppress(Refused, OSError):
            _leave_root(readable)
            _enter_user_namespace(own_proc)
            _unshare(CLONE_NEWNS, "a mount namespace")


def _leave_root(readable: list[str]) -> None:
    """Become nobody for good; Refused, with nothing changed, when nobody could not read the readable paths."""
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setresgid(-1, NOBODY, -1)
    os.setresuid(-1, NOBODY, -1)
    closed = [path for path in readable if not _can_read(path)]
    os.setresuid(-1, 0, -1)
    if closed:
        os.setresgid(-1, gid, -1)
        os.setgroups(groups)
        raise Refused(f"the user nobody cannot read {closed[0]}")
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _can_read(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError:
        return False
    except OSError:
        pass  # not there, for no user
    return True


def _become_powerless(readable: list[str]) -> None:
    """Not root, no capability held or to be gained, memory hidden from others. A refused part stops no other part."""
    _drop_bounding_set()
    _gain_no_privileges()
    try:
        if os.geteuid() == 0:
            _leave_root(readable)
    finally:
        _prctl("to drop ambient capabilities", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
        addresses = ctypes.addressof(CAPABILITY_HEADER), ctypes.addressof(NO_CAPABILITIES)
        _system_call("to drop capabilities", "capset", *addresses)
        _prctl("to hide memory", PR_SET_DUMPABLE, 0)


@functools.cache  # the bounding set is inherited, and so is the memory of having dropped it
def _drop_bounding_set() -> None:
    with contextlib.suppress(Refused):  # past the last one; or not allowed to, and then there is none to gain either
        for capability in range(64):
            _prctl("to drop a capability", PR_CAPBSET_DROP, capability)


def _capabilities() -> int:
    """The effective and the permitted ones, as bits."""
    sets = _buffer(bytes(24))
    _system_call("to name capabilities", "capget", ctypes.addressof(CAPABILITY_HEADER), ctypes.addressof(sets))
    effective, permitted, _, effective_high, permitted_high, _ = struct.unpack("6I", sets.raw)
    return effective | permitted | (effective_high | permitted_high) << 32


# ------------------------------------------------------------------------------------------------------------- Landlock

LANDLOCK_CREATE_RULESET_VERSION, LANDLOCK_RULE_PATH_BENEATH = 1, 1
RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15}  # how many of the following an older kernel knows
(
    EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK,
    MAKE_FIFO, MAKE_BLOCK, MAKE_SYM, REFER, TRUNCATE, IOCTL_DEV,
) = ACCESS_FS = [1 << bit for bit in range(16)]  # fmt: skip
ACCESS_NET_BIND_TCP, ACCESS_NET_CONNECT_TCP = 1, 2
SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL = 1, 2

READ = READ_FILE | READ_DIR
CHANGE = WRITE_FILE | TRUNCATE | MAKE_REG | MAKE_DIR | MAKE_SYM | REMOVE_FILE | REMOVE_DIR | REFER
OF_FILES = READ_FILE | WRITE_FILE | TRUNCATE  # what a rule on a file may grant


def _restrict_files(readable: list[str], scratch: str) -> None:
    """In a child of a server that was told these paths, one call is left to make."""
    if _server.ruleset is None or _server.ruleset[:2] != (readable, scratch):
        _server.ruleset = readable, scratch, _make_ruleset(readable, scratch)
    _gain_no_privileges()
    _system_call("Landlock's rules", "landlock_restrict_self", _server.ruleset[2])


def _make_ruleset(readable: list[str], scratch: str) -> int:
    """All that this kernel's Landlock can refuse is, but reading `readable` and the devices, and using `scratch`."""
    abi = _system_call("Landlock", "landlock_create_ruleset", 0, 0, LANDLOCK_CREATE_RULESET_VERSION)
    known = sum(ACCESS_FS[: RIGHTS_BY_ABI.get(abi, 16)])
    network = ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP if abi >= 4 else 0
    scope = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL if abi >= 6 else 0
    attr = _buffer(struct.pack("QQQ", known, network, scope))  # an older kernel accepts zeros where it knows nothing
    ruleset = _system_call("Landlock", "landlock_create_ruleset", ctypes.addressof(attr), ctypes.sizeof(attr))
    for path in readable:
        _allow(ruleset, path, READ)
    for device in DEVICES:
        _allow(ruleset, device, READ | WRITE_FILE)
    _allow(ruleset, scratch, (READ | CHANGE) & known)
    return ruleset


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what cannot be opened now need not be allowed
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= OF_FILES
        attr = _buffer(struct.pack("=Qi", rights, handle))  # struct landlock_path_beneath_attr
        arguments = ruleset, LANDLOCK_RULE_PATH_BENEATH, ctypes.addressof(attr)
        _system_call("a Landlock rule", "landlock_add_rule", *arguments)
    finally:
        os.close(handle)


# ------------------------------------------------------------------------------------- limits, environment, descriptors


def _limit_resources(limits: dict) -> None:
    """Soft and hard limits alike, so that nothing can be raised again; what is lower already stays."""
    import resource

    wanted = {"RLIMIT_CORE": 0}
    for key, amount in limits.items():
        name, unit = LIMITS[key]
        if amount is not None:
            wanted[name] = math.ceil(amount * unit)
    for name, amount in wanted.items():
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(which, (amount, amount))


def _clear_environment() -> None:
    for name in list(os.environ):
        if name not in ("PATH", "LANG", "HOME") and not name.endswith("_NUM_THREADS"):
            del os.environ[name]


LAST_DESCRIPTOR = 2**32 - 1


def _close_descriptors(keep: Iterable[int]) -> None:
    kept = set(keep)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in {0, 1, 2} - kept - {null}:
        os.dup2(null, standard)
    first = 3
    for last in [*sorted(descriptor for descriptor in kept if descriptor > 2), LAST_DESCRIPTOR + 1]:
        if first < last:
            _close_range(first, last - 1)
        first = last + 1


def _close_range(first: int, last: int) -> None:
    try:
        _system_call("close_range", "close_range", first, last)
    except Refused:
        limit = os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else 2048
        os.closerange(first, min(last + 1, limit))


# ---------------------------------------------------------------------------------------------- numbers of system calls

# On x86-64 and on 64-bit ARM (None: it has no such call); a single number is the same on all machines.
Number = int | tuple[int | None, int | None]

REFUSED: dict[str, Number] = {
    # new processes and threads, other programs
    "fork": (57, None), "vfork": (58, None), "clone": (56, 220), "clone3": 435, "execve": (59, 221),
    "execveat": (322, 281),
    # sockets
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "recvmsg": (47, 212), "recvmmsg": (299, 243),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "sched_setaffinity": (203, 122), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "setpriority": (141, 140), "ioprio_set": (251, 30), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "pidfd_send_signal": 424, "pidfd_open": 434, "pidfd_getfd": 438, "process_madvise": 440,
    "process_mrelease": 448,
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "swapon": (167, 224), "swapoff": (168, 225), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431,
    "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    # the kernel itself
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "memfd_create": (319, 279),
    "memfd_secret": 447, "seccomp": (317, 277), "setrlimit": (160, 164), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "syslog": (103, 116), "quotactl": (179, 60), "quotactl_fd": 443, "acct": (163, 89),
    "vhangup": (153, 58), "fanotify_init": (300, 262), "personality": (135, 92), "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42), "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "uselib": (134, None), "sync": (162, 81),
    # what Landlock does not see
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": 452, "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    # memory and queues that outlive a process
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193),
    "semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181),
}  # fmt: skip
REFUSED_WITH_SOME_ARGUMENTS: dict[str, Number] = {
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "ioctl": (16, 29), "fcntl": (72, 25), "prlimit64": (302, 261),
}  # fmt: skip
ONLY_CALLED_HERE: dict[str, Number] = {
    "capget": (125, 90), "capset": (126, 91), "close_range": 436, "landlock_create_ruleset": 444,
    "landlock_add_rule": 445, "landlock_restrict_self": 446,
}  # fmt: skip
NUMBERS = REFUSED | REFUSED_WITH_SOME_ARGUMENTS | ONLY_CALLED_HERE
LAST_KNOWN_NUMBER = 462  # mseal, of Linux 6.10: nobody here has looked at what came later
MACHINES, AUDIT_ARCH = ("x86_64", "aarch64"), (0xC000003E, 0xC00000B7)


@functools.cache
def _number(name: str) -> int | None:
    known = NUMBERS[name]
    return known if isinstance(known, int) else known[_machine()]


def _machine() -> int:
    """Which column of the tables is this machine's."""
    if sys.platform != "linux":
        raise Refused(f"only Linux has it, and this is {sys.platform}")
    machine, bits = os.uname().machine, 8 * struct.calcsize("P")
    if machine not in MACHINES or bits != 64:
        raise Refused(f"the numbers of system calls on {machine} with {bits} bits are not in the table")
    return MACHINES.index(machine)


# -------------------------------------------------------------------------------------------------------------- seccomp

SECCOMP_MODE_FILTER = 2
SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
X32_SYSCALL_BIT = 0x40000000
BPF_LOAD, BPF_JUMP_IF_EQUAL, BPF_JUMP_IF_AT_LEAST, BPF_RETURN = 0x20, 0x15, 0x35, 0x06
OFFSET_OF_NUMBER, OFFSET_OF_ARCH, OFFSET_OF_ARGUMENTS = 0, 4, 16  # in struct seccomp_data
OWN_PID = "own pid"  # stands in the program for a number that only the child knows

TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # type into the terminal
FIOSETOWN, SIOCSPGRP, F_SETOWN, F_SETSIG, F_SETOWN_EX = 0x8901, 0x8902, 8, 10, 15  # have the kernel signal somebody

Instruction = tuple  # code, jump if true, jump if false, operand


def _return(value: int) -> list[Instruction]:
    return [(BPF_RETURN, 0, 0, value)]


ALLOW, KILL = _return(SECCOMP_RET_ALLOW), _return(SECCOMP_RET_KILL_PROCESS)
REFUSE, UNKNOWN = _return(SECCOMP_RET_ERRNO | errno.EPERM), _return(SECCOMP_RET_ERRNO | errno.ENOSYS)


def _load_argument(index: int, high_half: bool = False) -> Instruction:
    return BPF_LOAD, 0, 0, OFFSET_OF_ARGUMENTS + 8 * index + 4 * high_half  # both machines put the low half first


def _allow_only(index: int, value: int | str) -> list[Instruction]:
    return [_load_argument(index), (BPF_JUMP_IF_EQUAL, 0, 1, value), *ALLOW, *REFUSE]


def _allow_null(index: int) -> list[Instruction]:
    low, high = _load_argument(index), _load_argument(index, high_half=True)
    return [low, (BPF_JUMP_IF_EQUAL, 0, 3, 0), high, (BPF_JUMP_IF_EQUAL, 0, 1, 0), *ALLOW, *REFUSE]


def _refuse_values(index: int, *values: int) -> list[Instruction]:
    tests = [(BPF_JUMP_IF_EQUAL, len(values) - nth, 0, value) for nth, value in enumerate(values)]
    return [_load_argument(index), *tests, *ALLOW, *REFUSE]


def _verdicts() -> dict[int | None, list[Instruction]]:
    """What to do about each number that is not simply allowed."""
    verdicts = {_number(name): REFUSE for name in REFUSED}
    verdicts[_number("clone3")] = UNKNOWN  # libc then falls back to clone, which is refused in words it understands
    for name in ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
        verdicts[_number(name)] = _allow_only(0, OWN_PID)  # so that abort() works
    verdicts[_number("prlimit64")] = _allow_null(2)  # limits may be asked for, not set, one's own or another's
    verdicts[_number("ioctl")] = _refuse_values(1, TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP)
    verdicts[_number("fcntl")] = _refuse_values(1, F_SETOWN, F_SETSIG, F_SETOWN_EX)
    return verdicts


def _search(cases: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """A binary search for the last case that begins at or below the number loaded.

    The kernel tries a new filter on every number there is, to know those always allowed: a list would cost it more.
    """
    if len(cases) == 1:
        return cases[0][1]
    middle = len(cases) // 2
    below = _search(cases[:middle])
    return [(BPF_JUMP_IF_AT_LEAST, len(below), 0, cases[middle][0]), *below, *_search(cases[middle:])]


def _program() -> list[Instruction]:
    verdicts = _verdicts()
    cases = [(0, ALLOW)]
    for number in range(LAST_KNOWN_NUMBER + 1):
        verdict = verdicts.get(number, ALLOW)
        if verdict != cases[-1][1]:
            cases.append((number, verdict))
    cases += [(LAST_KNOWN_NUMBER + 1, UNKNOWN), (X32_SYSCALL_BIT, KILL)]
    this_machine = [(BPF_LOAD, 0, 0, OFFSET_OF_ARCH), (BPF_JUMP_IF_EQUAL, 1, 0, AUDIT_ARCH[_machine()]), *KILL]
    return [*this_machine, (BPF_LOAD, 0, 0, OFFSET_OF_NUMBER), *_search(cases)]


@functools.cache
def _filter_program() -> tuple[ctypes.Array, ctypes.Array, list[int]]:
    """An array of struct sock_filter, the struct sock_fprog that points to it, and where the own pid has to be put."""
    program = _program()
    code = _buffer(b"".join(struct.pack("HBBI", *rest, 0 if k == OWN_PID else k) for *rest, k in program))
    fprog = _buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    return code, fprog, [8 * nth + 4 for nth, (*_, k) in enumerate(program) if k == OWN_PID]


def _filter_system_calls() -> None:
    code, fprog, offsets = _filter_program()
    for offset in offsets:
        struct.pack_into("I", code, offset, os.getpid())
    _gain_no_privileges()
    _prctl("a seccomp filter", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(fprog))


# ---------------------------------------------------------------------------------------------------------------- probe


@functools.cache
def _probe(without: frozenset[str]) -> dict[str, str]:
    if not hasattr(os, "fork"):
        return dict.fromkeys(LAYERS, f"{sys.platform} cannot fork a process to try it in")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="probe-") as scratch:
        answer = _ask_a_fork(lambda writer: _try_everything(scratch, without, writer))
    *lines, end = answer.split("\n")
    if end != "end":
        return dict.fromkeys(LAYERS, f"the process that tried it failed: {answer or 'no answer in time'}")
    missing = dict(line.split("\t") for line in lines)
    return {layer: missing.get(layer, "") for layer in LAYERS}


def _ask_a_fork(task: Callable[[int], str]) -> str:
    """What the task, given a descriptor to keep open, returns in a forked process, or raises; empty when time is up."""
    import warnings

    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: if that hangs, time will be up
        child = os.fork()
    if child == 0:
        try:
            answer = task(writer)
        except BaseException as error:
            answer = repr(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    try:
        return _read_all(reader, PROBE_SECONDS)
    finally:
        os.close(reader)
        os.kill(child, SIGKILL)
        os.waitpid(child, 0)


def _read_all(reader: int, seconds: float) -> str:
    import select
    import time

    deadline, pieces = time.monotonic() + seconds, []
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        pieces.append(os.read(reader, 65536))
        if not pieces[-1]:
            break
    return b"".join(pieces).decode(errors="replace")


def _try_everything(scratch: str, without: frozenset[str], writer: int) -> str:
    """Take all layers in this process, attempt what each is to stop, and name those that are missing, one a line."""
    planted = os.dup(writer)
    os.environ["SANDBOX_PROBE"] = "planted"
    readable = [os.path.dirname(os.__file__)]
    server = _enter_server(readable, scratch, without, NO_COPIES)
    child = _enter_child({"open_files": PROBE_OPEN_FILES}, scratch, readable, [writer], without)
    missing = server.missing | child.missing
    stops = _stops(planted, writer)
    for layer in server.held + child.held:
        if not stops[layer]():
            missing[layer] = "the kernel granted it, yet it does not stop what it is to stop"
    return "".join(f"{layer}\t{' '.join(why.split())}\n" for layer, why in missing.items()) + "end"


def _stops(planted: int, writer: int) -> dict[str, Callable[[], bool]]:
    """For each layer: does it stop something, in a way that no other layer would?"""
    return {
        "namespaces": lambda: os.getpid() == 1,
        "root": lambda: not os.path.exists("/proc/self"),
        "user": lambda: os.geteuid() != 0 and _capabilities() == 0,
        "landlock": lambda: _error_of(os.listdir, "/") == errno.EACCES,
        "seccomp": lambda: _libc().unshare(0) < 0,  # asks for nothing, which the kernel by itself grants
        "rlimits": lambda: _error_of(os.dup2, writer, PROBE_OPEN_FILES) == errno.EBADF,
        "environment": lambda: "SANDBOX_PROBE" not in os.environ,
        "descriptors": lambda: _error_of(os.fstat, planted) == errno.EBADF,
    }


def _error_of(step: Callable, *arguments) -> int | None:
    try:
        step(*arguments)
    except OSError as error:
        return error.errno
    return None
