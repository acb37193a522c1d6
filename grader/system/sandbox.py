"""What a submission is kept from doing, in eight layers, each of which may be missing and is then reported as missing.

    server = enter_server(readable, scratch)        # once, before anything big is loaded or a thread is started
    ...                                             # load numpy, wait for a job
    fresh_scratch(scratch)                          # between two jobs
    if os.fork() == 0:
        child = enter_child(limits, scratch, readable, keep_fds)
        ...                                         # only now the student's code

Who is who. The server runs none of the student's code. Started by root it builds its root view with root's rights, then becomes
the user nobody and takes a user namespace of its own, in which (and only there) it may go on mounting fresh scratch
folders. Started by an ordinary user it takes the user namespace first and stays that user. The child keeps nobody's or
that user's number, and loses every capability.

A layer that this kernel refuses is left out of the list that a function returns; the rest still goes into force. `without` hides
layers, so that tests can see each one work alone. Nothing here imports a POSIX-only module at the top: on other systems the
module loads, takes what there is, and `probe()` says what is missing.

Sources: the man pages namespaces(7), user_namespaces(7), pid_namespaces(7), mount_setattr(2), pivot_root(2), capabilities(7),
landlock(7), seccomp(2), setrlimit(2); for the numbers, include/uapi of Linux.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterable, Set

LAYERS = ("namespaces", "root", "user", "landlock", "seccomp", "rlimits", "environment", "descriptors")

NOBODY = 65534  # the kernel's overflow id: owns nothing on any sound system
SCRATCH_MB = 16
SCRATCH_FILES = 4096
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
PROBE_SECONDS = 5.0

NOTHING_HIDDEN: frozenset[str] = frozenset()


class Refused(Exception):
    """A layer cannot be had; the text says why, in words for a person."""


class _Taken:
    """Which layers went into force, and why the others did not."""

    def __init__(self, without: Set[str]):
        self.held: list[str] = []
        self.missing: dict[str, str] = {}
        self._without = without

    def take(self, layer: str, step: Callable[..., None], *arguments) -> None:
        if layer in self._without:
            self.missing[layer] = "hidden by the caller"
            return
        try:
            step(*arguments)
        except (Refused, OSError, ImportError, AttributeError, ValueError) as why:
            self.missing[layer] = str(why)
        else:
            self.held.append(layer)

    def __contains__(self, layer: str) -> bool:
        return layer in self.held


class _Server:
    """What the server knows of its scratch folder, inherited by its children."""

    scratch_is_ours = False  # a tmpfs in a mount namespace of our own
    scratch_owner = (-1, -1)  # -1: leave it, see chown(2)
    scratch_identity: tuple[int, int] | None = None  # device and inode of a plain folder


# ---------------------------------------------------------------------------------------------- the face of this module


def enter_server(readable: list[str], scratch: str, without: Set[str] = NOTHING_HIDDEN) -> list[str]:
    """Take the layers that hold for a server and all its children ("namespaces", "root"); return those in force.

    With "namespaces" the caller is process 1 of a new pid namespace when this returns: the function forks, and the process that
    called it closes all its descriptors, waits, and exits with the status of process 1 (128 + n for signal n). It dies with
    the *thread* that started it and process 1 dies with it, so start the server from a thread that stays.

    readable: files and folders that exist under their own paths in the new root, read-only; missing ones are passed over, symbolic
        links on the way are reproduced. ValueError when one is "/" or lies in the scratch folder.
    scratch: an absolute path; empty, writable, the only place of its kind.

    Call it before threads exist (the kernel gives no user namespace to a process with threads). Open descriptors stay open.
    """
    taken = _Taken(without)
    paths = [os.path.abspath(path) for path in readable]
    view = _plan_view(paths, os.path.abspath(scratch))
    _Server.scratch_owner = _owner_to_be(without)
    own_proc = _open_own_proc()
    try:
        taken.take("namespaces", _separate, own_proc)
        taken.take("root", _enter_view, view, own_proc)
        _Server.scratch_is_ours = "root" in taken
        if not _Server.scratch_is_ours:
            _make_folder(scratch)
        if "user" not in without:
            _give_up_root(paths, own_proc)
    finally:
        if own_proc >= 0:
            os.close(own_proc)
    if "namespaces" in taken:
        _become_process_one()
    if sys.platform == "linux":
        _prctl("PR_SET_DUMPABLE", PR_SET_DUMPABLE, 0)
        _filter_template()  # so that every child inherits it ready-made
    return taken.held


def fresh_scratch(scratch: str) -> None:
    """In the server, between two jobs, when no process of the last one is left: an empty scratch folder again.

    A new tmpfs where the server may mount one, else the same folder emptied. Raises OSError when that fails, also when the folder
    was exchanged for another one; the server should then end.
    """
    if _Server.scratch_is_ours:
        try:
            _libc().umount2(os.fsencode(scratch), MNT_DETACH)  # fails the first time when the view was built by root: that
            _mount_scratch(scratch)  # mount is locked against the user namespace (mount_namespaces(7)), and gets covered
            return
        except Refused:
            pass
    _check_identity(scratch)
    _empty(scratch)


def enter_child(
    limits: dict, scratch: str, readable: list[str], keep_fds: Iterable[int], without: Set[str] = NOTHING_HIDDEN
) -> list[str]:
    """In the forked child right before the student's code: take all other layers and return those that this call took.

    limits: any of the keys of `LIMITS`; None or a missing key leaves that limit alone. `memory_mb` counts the whole address space,
        what the server has mapped included.
    readable: what Landlock lets be read, in general what `enter_server` was given; scratch is where it lets write, and the
        working directory from now on.
    keep_fds: every other descriptor is closed; 0, 1 and 2 lead to the null device unless named here.

    Afterwards there is no way back, no new process or thread, no socket, and no signal to anyone else. Inherited sockets can be
    used with os.read and os.write alone. Raises OSError when the scratch folder is not there, KeyError for an unknown limit.
    """
    return _enter_child(limits, scratch, readable, keep_fds, without).held


def probe(without: Set[str] = NOTHING_HIDDEN) -> dict[str, str]:
    """For each layer an empty string when it holds on this system, else why not.

    Forks a process that takes all layers and then tries what each of them is to stop. Asked once per process.
    """
    return dict(_probe(frozenset(without)))


def _enter_child(limits, scratch, readable, keep_fds, without) -> _Taken:
    taken = _Taken(without)
    taken.take("descriptors", _close_descriptors, keep_fds)
    taken.take("environment", _clear_environment)
    os.chdir(scratch)
    taken.take("user", _become_powerless, readable)
    if sys.platform == "linux":
        _die_with_parent()
    taken.take("landlock", _restrict_files, readable, scratch)
    taken.take("rlimits", _limit_resources, limits)
    taken.take("seccomp", _filter_system_calls)  # last: the steps before need some of what it refuses
    return taken


# -------------------------------------------------------------------------------------------------- talking to the kernel

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 24, 38, 39, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SIGKILL = 9

SYS_PIVOT_ROOT, SYS_CAPGET, SYS_CAPSET = "pivot_root", "capget", "capset"
SYS_CLOSE_RANGE, SYS_MOUNT_SETATTR = 436, 442  # new calls have had one number on all machines since 424
SYS_LANDLOCK_CREATE_RULESET, SYS_LANDLOCK_ADD_RULE, SYS_LANDLOCK_RESTRICT_SELF = 444, 445, 446


@functools.cache
def _libc():
    if sys.platform != "linux":
        raise Refused(f"only Linux has it, this is {sys.platform}")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.syscall.argtypes = [ctypes.c_long] * 7
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
    libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
    return libc


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise Refused(f"the kernel refused {what}: {errno.errorcode.get(code, code)}")
    return result


def _system_call(what: str, call: int | str, *arguments: int) -> int:
    number = call if isinstance(call, int) else _number(call)
    return _checked(_libc().syscall(number, *arguments, *[0] * (6 - len(arguments))), what)


def _prctl(what: str, option: int, argument: int = 0, second: int = 0) -> int:
    return _checked(_libc().prctl(option, argument, second, 0, 0), what)


def _address(buffer) -> int:
    return ctypes.addressof(buffer)


def _die_with_parent() -> None:
    _prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL)


# ------------------------------------------------------------------------------------------------------------ namespaces

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CAP_SYS_ADMIN = 21


def _unshare(what: str, flags: int) -> None:
    _checked(_libc().unshare(flags), what)


def _separate(own_proc: int) -> None:
    """New pid, network (its loopback stays down), ipc and uts namespaces; the pid one counts from the next fork."""
    _need_privilege(own_proc)
    _unshare("new pid, net, ipc and uts namespaces", CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    _libc().sethostname(b"sandbox", 7)  # the machine's name is nobody's business; no matter if it fails


def _need_privilege(own_proc: int) -> None:
    """The right to mount and unshare: at hand (root, or taken before), else as master of a new user namespace."""
    if not any(_capabilities()[0] >> CAP_SYS_ADMIN & 1 for _ in (0,)):
        _enter_user_namespace(own_proc)


def _enter_user_namespace(own_proc: int) -> None:
    """A user namespace that knows one user, the caller, under the number that it has outside."""
    uid, gid = os.geteuid(), os.getegid()
    _unshare("user namespaces", CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        handle = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=own_proc)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)


def _open_own_proc() -> int:
    """A handle on /proc/self, which can be used after /proc is gone; -1 where there is none."""
    try:
        return os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, AttributeError):
        return -1
