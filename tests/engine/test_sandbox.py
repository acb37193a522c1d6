"""The sandbox: each layer is proved by an attempt that it stops, alone, and that succeeds when it is hidden.

Every attempt runs in a process of its own, a child of a server, which prints what came of it. Where root runs the
tests, they are run twice: with a server started by root, and with one started by the user nobody.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from grader.system import sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox's layers are Linux's")

ROOT = Path(__file__).parents[2]
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
USERS = ("root", "nobody") if IS_ROOT else ("self",)
ALL = frozenset(sandbox.LAYERS)
READABLE = [sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", str(Path(sandbox.__file__).parent)]
LIMITS = {"memory_mb": 1024, "cpu_seconds": 20, "file_mb": 1, "open_files": 64, "processes": 64}

SCRIPT = r'''
import ctypes, errno, fcntl, json, mmap, os, resource, select, shutil, signal, socket, sys, tempfile, threading, time
import warnings
config = json.loads(sys.argv[1])
sys.path.insert(0, config["folder"])
import sandbox
libc = ctypes.CDLL(None, use_errno=True)
if config["numpy"]:
    import numpy
if config["user"] == "nobody":
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)

def name(error):
    return errno.errorcode[error.errno] if isinstance(error, OSError) and error.errno else type(error).__name__

def attempt(source):
    """What the expression's value is, or the name of its error."""
    try:
        return eval(source, globals())
    except BaseException as error:
        return name(error)

def called(result):
    """For functions of libc."""
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"

def job(source, keep=(1, 2)):
    """Fork a child that takes its layers and evaluates; prints what comes of it. Returns the status."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        layers = sandbox.enter_child(config["limits"], config["scratch"], config["readable"], keep, without)
        print(json.dumps({"layers": layers, "result": attempt(source)}, default=repr), flush=True)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

without = frozenset(config["without"])
exec(config["before"])
layers = sandbox.enter_server(config["readable"], config["scratch"], without)
print(json.dumps(layers), flush=True)
exec(config["server"])
sys.stdout.flush()
os._exit(0)
'''


@dataclass
class Outcome:
    server: list  # layers
    jobs: list  # one {"layers": …, "result": …} for each child that came to its end
    exit: int
    errors: str

    @property
    def result(self):
        assert self.jobs, self.errors
        return self.jobs[0]["result"]


def command(user, without, scratch, server, before="", readable=None, limits=None, numpy=False):
    config = {
        "folder": str(Path(sandbox.__file__).parent),
        "user": user,
        "without": sorted(without),
        "scratch": str(scratch),
        "readable": readable or READABLE,
        "limits": LIMITS if limits is None else limits,
        "numpy": numpy,
        "before": before,
        "server": server,
    }
    return [sys.executable, "-I", "-c", SCRIPT, json.dumps(config)]


def run(user, without, scratch, server, environment=None, **others):
    environment = {"OPENBLAS_NUM_THREADS": "1"} if environment is None else environment
    ended = subprocess.run(
        command(user, without, scratch, server, **others), capture_output=True, text=True, timeout=60, env=environment
    )
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    return Outcome(lines[0] if lines else [], lines[1:], ended.returncode, ended.stderr)


def attempt(user, without, scratch, source, **others):
    return run(user, without, scratch, f"job({source!r})", **others).result


@cache
def reasons(user):
    """What the probe says when that user asks."""
    script = SCRIPT.split("without =")[0] + "print(json.dumps(sandbox.probe()))"
    config = {"folder": str(Path(sandbox.__file__).parent), "user": user, "numpy": False}
    asked = subprocess.run(
        [sys.executable, "-I", "-c", script, json.dumps(config)], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(asked.stdout)


def need(user, *layers):
    for layer in layers:
        if reasons(user)[layer]:
            pytest.skip(f"no {layer} here: {reasons(user)[layer]}")


def need_interpreter_for(user):
    """Nobody can import what lies in a closed folder; root's server binds it, and then nobody's child can."""
    folders = [Path(sys.base_prefix), *Path(sys.base_prefix).parents]
    if user == "nobody" and not all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders):
        pytest.skip("this interpreter lies where the user nobody cannot read")


@contextlib.contextmanager
def folder_for_all():
    """A folder that every user can reach and write to, which those that pytest makes are not."""
    folder = Path(tempfile.mkdtemp(prefix="sandbox-test-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def place():
    with folder_for_all() as folder:
        yield folder


@pytest.fixture
def scratch(place):
    return place / "scratch"


@pytest.fixture(params=USERS)
def user(request):
    return request.param


# -------------------------------------------------------------------------------------- what each layer stops by itself

# What is attempted: the expression · what it gives when nothing stops it · the layers of which each must stop it alone.
# {outside} is a folder where everyone may do everything; at the port {port} and at the abstract socket {abstract}
# somebody listens; {pid} is a process of the same user.
ATTEMPTS = {
    "read a file": ("len(open('/etc/passwd').read(1))", 1, ("root", "landlock")),
    "read a file for all": ("open('{outside}/secret').read()", "secret", ("root", "landlock")),
    "list a folder for all": ("os.listdir('{outside}') and 'done'", "done", ("root", "landlock")),
    "write outside scratch": ("open('{outside}/new', 'w').write('x')", 1, ("root", "landlock")),
    "delete outside scratch": ("os.unlink('{outside}/secret')", None, ("root", "landlock")),
    "read through a link": ("os.symlink('{outside}', 'l') or os.listdir('l') and 'done'", "done", ("root", "landlock")),
    "change a mode": ("os.chmod('{outside}/secret', 0o777)", None, ("root", "seccomp")),
    "connect": ("stream.connect(('127.0.0.1', {port}))", None, ("namespaces", "landlock", "seccomp")),
    "send a datagram": ("datagram.sendto(b'x', ('127.0.0.1', {port}))", 1, ("namespaces", "seccomp")),
    "connect to an abstract socket": ("unix.connect('\\0{abstract}')", None, ("namespaces", "landlock", "seccomp")),
    "make a socket": ("socket.socket().close()", None, ("seccomp",)),
    "make a pair of sockets": ("len(socket.socketpair())", 2, ("seccomp",)),
    "fork": ("os.fork() and 'done' or os._exit(0)", "done", ("seccomp",)),
    "start a thread": ("threading.Thread(target=int).start()", None, ("seccomp",)),
    "execute": ("os.execv('/no/such/program', ['x'])", "ENOENT", ("seccomp",)),
    "execute a readable program": (
        """os.execv('/usr/bin/env', ['env', 'echo', '{{"result": null}}'])""", None, ("landlock", "seccomp"),
    ),
    "signal the server": ("os.kill(os.getppid(), 0)", None, ("landlock", "seccomp")),
    "signal a process outside": ("os.kill({pid}, 0)", None, ("namespaces", "landlock", "seccomp")),
    "signal a group": ("os.killpg(2**30, 0)", "ESRCH", ("seccomp",)),
    "have the kernel signal": ("fcntl.fcntl(2, 8, os.getppid())", 0, ("seccomp",)),
    "be traced": ("called(libc.ptrace(0, 0, 0, 0))", "done", ("seccomp",)),
    "read memory": ("called(libc.process_vm_readv(os.getpid(), None, 0, None, 0, 0))", "done", ("seccomp",)),
    "limit the server": ("resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0)) and 1", 1, ("seccomp",)),
    "new namespaces": ("called(libc.unshare(0))", "done", ("seccomp",)),
    "memory as a file": ("os.memfd_create('x') and 'done'", "done", ("seccomp",)),
    "memory that stays": ("called(libc.shmget(77, 1, 0))", "ENOENT", ("seccomp",)),
    "type into a terminal": ("fcntl.ioctl(1, 0x5412, b'x')", "ENOTTY", ("seccomp",)),
    "write a large file": ("open('large', 'wb').write(bytes(2**21))", 2**21, ("rlimits",)),
    "take much memory": ("len(mmap.mmap(-1, 2**31))", 2**31, ("rlimits",)),
    "open many files": ("len([os.dup(1) for _ in range(100)])", 100, ("rlimits",)),
    "read an inherited descriptor": ("os.pread(planted, 6, 0).decode()", "secret", ("descriptors",)),
    "read the environment": ("os.environ.get('SECRET')", "secret", ("environment",)),
}  # fmt: skip
MISTAKES = {"NameError", "SyntaxError", "TypeError", "AttributeError", "ImportError", "ModuleNotFoundError", "KeyError"}

BEFORE = """
outside = {outside!r}
def reset():
    try:
        for name in ("secret", "new"):
            if os.path.lexists(os.path.join(outside, name)):
                os.unlink(os.path.join(outside, name))
        open(os.path.join(outside, "secret"), "w").write("secret")
    except OSError:
        pass  # not in view
reset()
planted = os.open(os.path.join(outside, "secret"), os.O_RDONLY)
"""
SERVER = """
for source in {sources!r}:
    reset()
    sandbox.fresh_scratch(config["scratch"])
    # Sockets are made here, so that using them is what is attempted.
    stream, datagram, unix = socket.socket(), socket.socket(type=socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX)
    job(source, (1, 2, stream.fileno(), datagram.fileno(), unix.fileno()))
"""


@cache
def outcomes(user, without):
    """What came of each attempt with all layers but these."""
    with folder_for_all() as place, socket.create_server(("127.0.0.1", 0)) as listening:
        (place / "outside").mkdir()
        (place / "outside").chmod(0o777)
        abstract = f"sandbox-test-{place.name}"
        bystander = subprocess.Popen(["sleep", "60"], user=65534 if user == "nobody" else None)
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(f"\0{abstract}")
            unix.listen(100)
            known = {
                "outside": place / "outside",
                "port": listening.getsockname()[1],
                "abstract": abstract,
                "pid": bystander.pid,
            }
            sources = [source.format(**known) for source, _, _ in ATTEMPTS.values()]
            before = BEFORE.format(outside=str(place / "outside"))
            environment = {"SECRET": "secret", "PATH": "/usr/bin:/bin"}
            outcome = run(user, without, place / "scratch", SERVER.format(sources=sources), environment, before=before)
        bystander.kill()
        bystander.wait()
    assert len(outcome.jobs) == len(ATTEMPTS), outcome
    return {name: job["result"] for name, job in zip(ATTEMPTS, outcome.jobs, strict=True)}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_succeeds_where_nothing_stops_it(user, name):
    _, unstopped, _ = ATTEMPTS[name]

    result = outcomes(user, ALL)[name]

    assert result == unstopped


@pytest.mark.parametrize(("name", "layer"), [(name, layer) for name in ATTEMPTS for layer in ATTEMPTS[name][2]])
def test_a_layer_stops_an_attempt_alone(user, name, layer):
    need(user, layer)
    _, unstopped, _ = ATTEMPTS[name]

    result = outcomes(user, ALL - {layer})[name]

    assert result != unstopped and result not in MISTAKES


@pytest.mark.parametrize("name", ATTEMPTS)
def test_all_layers_together_stop_an_attempt(user, name):
    need(user, *ATTEMPTS[name][2])
    _, unstopped, _ = ATTEMPTS[name]

    result = outcomes(user, frozenset())[name]

    assert result != unstopped and result not in MISTAKES


# ----------------------------------------------------------------------------------------------------- what is reported


def test_every_layer_that_the_probe_grants_is_taken(user, scratch):
    granted = {layer for layer, reason in reasons(user).items() if not reason}
    if user == "root":
        granted -= {"user"}  # tested below: it needs a view, or an interpreter that everyone can read

    outcome = run(user, (), scratch, "job('0')")

    assert granted <= {*outcome.server, *outcome.jobs[0]["layers"]}


@pytest.mark.parametrize("hidden", sandbox.LAYERS)
def test_one_hidden_layer_leaves_the_others(user, scratch, hidden):
    depends = {"user"} if (user, hidden) == ("root", "root") else set()  # without a view nobody may not reach the paths
    granted = {layer for layer, reason in reasons(user).items() if not reason} - {hidden} - depends

    outcome = run(user, {hidden}, scratch, "job('os.getcwd()')")

    taken = {*outcome.server, *outcome.jobs[0]["layers"]}
    assert granted <= taken and hidden not in taken
    assert outcome.result == str(scratch)


def test_the_probe_answers_for_every_layer():
    answer = sandbox.probe()

    assert tuple(answer) == sandbox.LAYERS
    assert all(isinstance(reason, str) and "\n" not in reason for reason in answer.values())


@pytest.mark.parametrize("hidden", sandbox.LAYERS)
def test_the_probe_tells_what_is_hidden(hidden):
    answer = sandbox.probe(without={hidden})

    assert answer[hidden] == "hidden by the caller"


OTHER_SYSTEM = r"""
import ctypes, json, os, shutil, sys, tempfile
for name in ("resource", "fcntl", "pwd", "grp", "termios", "_posixsubprocess"):
    sys.modules[name] = None
{change}
sys.path.insert(0, sys.argv[1])
import sandbox
print(json.dumps(sandbox.probe()))
"""


@pytest.mark.parametrize(
    ("system", "change", "lacking"),
    [
        ("win32", "del os.fork, os.geteuid, os.chown, os.sysconf", set(sandbox.LAYERS)),
        ("darwin", "", set(sandbox.LAYERS) - {"environment", "descriptors"}),
    ],
)
def test_on_other_systems_the_probe_says_what_is_lacking(system, change, lacking):
    script = OTHER_SYSTEM.format(change=f"sys.platform = {system!r}; {change}")

    asked = subprocess.run(
        [sys.executable, "-I", "-c", script, str(Path(sandbox.__file__).parent)], capture_output=True, text=True
    )

    assert asked.returncode == 0, asked.stderr
    assert {layer for layer, reason in json.loads(asked.stdout).items() if reason} == lacking


WITHOUT_USER_NAMESPACES = """
if user == "root":
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
with sandbox._own_proc() as own_proc:
    sandbox._enter_user_namespace(own_proc)
open("/proc/sys/user/max_user_namespaces", "w").write("0")  # of this namespace only
sandbox._become_powerless([])
"""


def test_where_the_kernel_refuses_user_namespaces_the_rest_holds_and_the_reason_is_given(user, scratch):
    need(user, "namespaces", "root")
    before = f"user = {user!r}" + WITHOUT_USER_NAMESPACES + "print(json.dumps(sandbox.probe()))"

    outcome = run(user, (), scratch, "job('open(\"/etc/passwd\")')", before=before)

    said, server, job = outcome.server, *outcome.jobs
    assert said["namespaces"] == said["root"] == "the kernel refused user namespaces: ENOSPC"
    assert server == []
    assert {"user", "landlock", "seccomp", "rlimits"} <= set(job["layers"])
    assert job["result"] == "EACCES"


def test_a_user_namespace_that_cannot_be_set_up_does_no_harm(user, scratch):
    before = "import contextlib; sandbox._own_proc = lambda: contextlib.nullcontext(os.open('/usr', os.O_RDONLY))"
    if user == "root":
        pytest.skip("root needs none")

    outcome = run(user, (), scratch, "job(\"open('x', 'w').write('xy')\")", before=before)

    assert outcome.server == []
    assert outcome.result == 2


# ----------------------------------------------------------------------------------------------------------------- user


CAPABILITIES = "[sandbox._capabilities(), [libc.prctl(23, n, 0, 0, 0) for n in range(41)], libc.prctl(39, 0, 0, 0, 0)]"


def test_the_child_is_an_ordinary_user_without_capabilities(user, scratch):
    need(user, "user", "root")

    uids, groups, (held, bounding, no_new_privileges) = attempt(
        user, (), scratch, f"[os.getresuid() + os.getresgid(), os.getgroups(), {CAPABILITIES}]"
    )

    ids = [os.geteuid()] * 3 + [os.getegid()] * 3 if user == "self" else [sandbox.NOBODY] * 6
    assert uids == ids
    assert groups == [] or user == "self"  # the kernel lets no ordinary user drop groups
    assert held == 0 and no_new_privileges == 1
    assert set(bounding) == {0} or user == "self"


def test_root_that_nobody_could_not_read_for_stays_but_without_capabilities(place, scratch):
    if not IS_ROOT:
        pytest.skip("only root can try")
    closed = place / "closed"
    closed.mkdir(mode=0o700)

    outcome = run(
        "root", ("root",), scratch, f"job('[os.getuid(), {CAPABILITIES}]')", readable=[*READABLE, str(closed)]
    )

    uid, (held, _, no_new_privileges) = outcome.result
    assert "user" not in outcome.jobs[0]["layers"]
    assert (uid, held, no_new_privileges) == (0, 0, 1)


# ---------------------------------------------------------------------------------------------------- view of the files


def test_the_root_holds_what_is_readable_and_nothing_else(user, scratch):
    need(user, "root")

    names, devices = attempt(user, ALL - {"root"}, scratch, "[sorted(os.listdir('/')), sorted(os.listdir('/dev'))]")

    wanted = {Path(path).parts[1] for path in READABLE if os.access(path, os.R_OK) and path != sys.base_prefix}
    assert wanted | {"dev", "tmp"} <= set(names) <= wanted | {"dev", "tmp", Path(sys.base_prefix).parts[1]}
    assert devices == ["null", "urandom", "zero"]


def test_what_is_readable_is_read_only_even_for_root(user, scratch, place):
    need(user, "root")
    (place / "open").mkdir()
    (place / "open").chmod(0o777)

    results = [
        attempt(user, ALL - {"root"}, scratch, f"open({path!r}, 'w')", readable=[*READABLE, str(place / "open")])
        for path in (f"{place}/open/new", f"{place}/new", "/new", "/dev/new")
    ]

    assert set(results) <= {"EROFS", "EACCES"}


def test_links_on_the_way_are_reproduced(user, scratch, place):
    need(user, "root")
    (place / "real" / "deep").mkdir(parents=True)
    (place / "real" / "deep" / "file").write_text("here")
    (place / "real" / "beside").write_text("not here")
    (place / "link").symlink_to("elsewhere/../real")
    (place / "elsewhere").mkdir()
    (place / "absolute").symlink_to(place / "link")
    reading = f'[attempt("open(\'{place}/" + name + "\').read()") for name in {{names}}]'
    names = ["absolute/deep/file", "real/deep/file", "real/beside", "absolute/beside"]

    results = attempt(
        user, (), scratch, reading.format(names=names), readable=[*READABLE, str(place / "absolute" / "deep")]
    )

    assert results[:2] == ["here", "here"]
    assert "not here" not in results


def test_the_devices_work(user, scratch):
    need(user, "root")

    results = attempt(
        user, (), scratch,
        "[open('/dev/null', 'w').write('x'), *(len(open('/dev/' + it, 'rb').read(3)) for it in ('zero', 'urandom'))]",
    )  # fmt: skip

    assert results == [1, 3, 3]


@pytest.mark.parametrize(
    ("readable", "scratch"), [(["/usr", "/"], "/tmp/s"), (["/tmp/s/inside"], "/tmp/s"), (["/tmp/s"], "/tmp/s")]
)
def test_paths_that_undo_the_view_are_refused_at_once(readable, scratch):
    with pytest.raises(ValueError):
        sandbox.enter_server(readable, scratch)


# ------------------------------------------------------------------------------------------------------- scratch folder

LITTER = """[
    os.makedirs('a/b/c/d'), open('a/b/c/file', 'w').write('x'), os.symlink('/', 'a/link'), os.mkdir('.closed', 0),
    os.mkdir('shut'), open('shut/file', 'w').close(), os.mkdir('shut/inner', 0),
    [os.mkdir('deep') or os.chdir('deep') for _ in range(1200)] and 'done',
][-1]"""


@pytest.mark.parametrize("without", [(), ("root",), ("root", "namespaces"), ("landlock",)])
def test_scratch_is_empty_again_for_the_next_job(user, scratch, without):
    need(user, *{"root", "namespaces"} - {*without})
    server = f"""
for _ in range(3):
    job({LITTER!r}); sandbox.fresh_scratch(config["scratch"]); job("os.listdir('.')")
"""

    outcome = run(user, without, scratch, server)

    assert [job["result"] for job in outcome.jobs] == ["done", []] * 3, outcome.errors


TRACES = {
    "nothing": "None",
    "looked at": "os.stat('.')",
    "listed": "os.listdir('.')",
    "a file": "open('file', 'w').close()",
    "a file that is gone": "open('file', 'w').close() or os.unlink('file')",
    "a folder that is gone": "os.mkdir('folder') or os.rmdir('folder')",
    "its mode": "os.chmod('.', 0o750)",
    "its mode, there and back": "os.chmod('.', 0o750) or os.chmod('.', 0o700)",
    "its times": "os.utime('.', (1, 1))",
    "an attribute": "os.setxattr('.', 'user.mark', b'1')",
}


@pytest.mark.parametrize("trace", TRACES)
def test_a_scratch_folder_in_which_anything_was_done_is_another_one_for_the_next_job(user, scratch, trace):
    need(user, "root", "namespaces", "user")
    server = f"""
import time
mount, made, kept = sandbox._mount_scratch, [], []
sandbox._mount_scratch = lambda place: (made.append(place), mount(place))
for _ in range(4):
    made.clear()
    time.sleep(0.05)  # the kernel's clock goes on
    job({TRACES[trace]!r})
    sandbox.fresh_scratch(config["scratch"])
    kept.append(not made)
    found = os.stat(config["scratch"])
    kept.append([found.st_mode & 0o777, os.listdir(config["scratch"]), os.listxattr(config["scratch"])] == [0o700, [], []])
print(json.dumps(kept))
"""

    *_, kept = run(user, ("seccomp",), scratch, server).jobs  # which refuses half of this

    assert kept[1::2] == [True] * 4
    if trace in ("nothing", "looked at"):
        assert kept[0::2] == [True] * 4
    elif trace not in ("listed", "an attribute"):  # times of access, and attributes, are kept by some systems only
        assert kept[0::2] == [False] * 4


def test_scratch_is_small(user, scratch):
    need(user, "root")

    too_large = attempt(user, ALL - {"root"}, scratch, "open('x', 'wb').write(bytes(17 * 2**20))")
    too_many = attempt(user, ALL - {"root"}, scratch, "[os.mkdir(str(n)) for n in range(5000)]")

    assert too_large == too_many == "ENOSPC"


def test_an_exchanged_scratch_folder_is_not_emptied(user, scratch, place):
    server = f"""
os.rmdir({str(scratch)!r}); os.symlink({str(place)!r}, {str(scratch)!r})
print(json.dumps(attempt("sandbox.fresh_scratch(config['scratch'])")))
"""
    (place / "precious").write_text("still here")

    outcome = run(user, ALL, scratch, server)

    assert outcome.jobs == ["ESTALE"]
    assert (place / "precious").read_text() == "still here"


def test_a_folder_with_something_in_it_is_not_taken_for_scratch(user, scratch):
    scratch.mkdir()
    scratch.chmod(0o777)
    (scratch / "precious").write_text("still here")

    outcome = run(user, ALL, scratch, "")

    assert outcome.exit == 1 and "not empty" in outcome.errors
    assert (scratch / "precious").read_text() == "still here"


# ------------------------------------------------------------------------------------- limits, environment, descriptors


def test_too_much_memory_is_a_memory_error(user, scratch):
    need(user, "rlimits")

    assert attempt(user, (), scratch, "len(bytearray(2**31))") == "MemoryError"


def test_too_much_time_is_the_end(user, scratch):
    need(user, "rlimits")
    server = "print(json.dumps(job('[None for _ in iter(int, 1)]')))"

    outcome = run(user, (), scratch, server, limits={"cpu_seconds": 1})

    assert outcome.jobs == [-signal.SIGKILL]


def test_limits_are_what_was_asked_for_and_cannot_be_raised(user, scratch):
    need(user, "rlimits", "user", "root")
    names = "AS", "CPU", "FSIZE", "NOFILE", "NPROC", "CORE"
    asking = f"[resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in {names}]"

    limits = attempt(user, (), scratch, asking)
    raised = attempt(user, {"seccomp"}, scratch, "resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))")

    amounts = 1024 * 2**20, 20, 2**20, 64, 64, 0
    assert limits == [[amount, amount] for amount in amounts]
    assert raised == "ValueError"


def test_an_unknown_limit_is_a_mistake_of_the_caller(user, scratch):
    outcome = run(user, (), scratch, "job('0')", limits={"memory": 1})

    assert outcome.jobs == [] and "KeyError" in outcome.errors


def test_the_environment_holds_four_kinds_of_names(user, scratch):
    environment = dict.fromkeys(("PATH", "LANG", "HOME", "OMP_NUM_THREADS", "PYTHONPATH", "TOKEN", "LD_PRELOAD_X"), "x")

    names = run(user, (), scratch, "job('sorted(os.environ)')", environment).result

    assert names == ["HOME", "LANG", "OMP_NUM_THREADS", "PATH"]


def test_only_the_descriptors_asked_for_are_open(user, scratch):
    server = "pipe = os.pipe(); high = os.dup2(1, 60); job({source!r}, (1, pipe[0], high))"
    opened = "[(n, os.fstat(n).st_rdev) for n in range(64) if attempt(f'os.fstat({n}) and 1') == 1]"

    found = run(user, {"rlimits"}, scratch, server.format(source=opened)).result

    null = os.stat("/dev/null").st_rdev
    assert [number for number, device in found if device == null] == [0, 2]
    assert len(found) == 5 and found[-1][0] == 60


# ----------------------------------------------------------------------------------------------------- what still works


def test_numpy_and_late_imports_work(user, scratch):
    need(user, *sandbox.LAYERS)
    need_interpreter_for(user)
    pytest.importorskip("numpy")
    source = """[
        float((numpy.ones((200, 300)) @ numpy.ones((300, 100))).sum()),
        round(float(abs(numpy.linalg.det(numpy.linalg.inv(numpy.eye(50) * 2)))) * 2**50, 6),
        __import__('numpy.polynomial').polynomial.Polynomial([1, 2])(3.0).item(),
        str(__import__('fractions').Fraction(1, 3)), 'fractions' in config, __import__('sqlite3').__name__,
        numpy.save('x.npy', numpy.arange(3)), numpy.load('x.npy').tolist(),
        __import__('tempfile').TemporaryFile().write(b'xyz'),
    ]"""

    result = attempt(user, (), scratch, source, numpy=True)

    assert result == [6_000_000.0, 1.0, 7.0, "1/3", False, "sqlite3", None, [0, 1, 2], 3]


@pytest.mark.parametrize(
    ("source", "status"),
    [("os.abort()", -signal.SIGABRT), ("os.kill(os.getpid(), 9)", -9), ("signal.raise_signal(15)", -15)],
)
def test_a_child_may_end_itself(user, scratch, source, status):
    outcome = run(user, (), scratch, f"print(json.dumps(job({source!r})))")

    assert outcome.jobs == [status]


MACHINE_CODE = """[
    page := mmap.mmap(-1, 4096, prot=7), page.write(bytes.fromhex({code!r})),
    ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))(),
]"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="machine code of x86-64")
@pytest.mark.parametrize(
    ("way", "code", "statuses"),
    [
        ("getpid as on i386", "b814000000cd80c3", {-signal.SIGSYS, -signal.SIGSEGV}),  # the latter: a kernel without it
        ("getpid as on x32", "b8270000400f05c3", {-signal.SIGSYS}),
    ],
)
def test_calls_by_another_machines_numbers_are_the_end(user, scratch, way, code, statuses):
    need(user, "seccomp")

    outcome = run(user, (), scratch, f"print(json.dumps(job({MACHINE_CODE.format(code=code)!r})))")

    assert outcome.jobs[-1] in statuses


# ------------------------------------------------------------------------------------------------------------ processes


def test_the_server_is_process_one_and_its_status_is_passed_on(user, scratch):
    need(user, "namespaces")

    ended = run(user, (), scratch, "print(os.getpid(), flush=True); os._exit(7)")
    crashed = run(user, (), scratch, "ctypes.string_at(0)")

    assert ended.jobs == [1] and ended.exit == 7
    assert crashed.exit == 128 + signal.SIGSEGV


def ends_within(pipe, seconds):
    """Whether everyone who holds the other end is gone in time."""
    import select

    while select.select([pipe], [], [], seconds)[0]:
        if not os.read(pipe.fileno(), 4096):
            return True
    return False


LINGER = "os.fork() == 0 and (os.setsid(), os.fork()); print('1', flush=True); time.sleep(60)"


def test_with_the_waiting_process_dies_everything_inside(user, scratch):
    need(user, "namespaces")
    with subprocess.Popen(command(user, (), scratch, LINGER), stdout=subprocess.PIPE) as outer:
        lines = [outer.stdout.readline() for _ in range(4)]

        outer.kill()

        assert all(lines)
        assert ends_within(outer.stdout, 20)


def test_with_the_starter_of_the_server_dies_the_server(user, scratch):
    need(user, "namespaces")
    starter = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-I", "-c", starter, *command(user, (), scratch, LINGER)], stdout=subprocess.PIPE
    ) as started:
        lines = [started.stdout.readline() for _ in range(4)]

        started.kill()

        assert all(lines)
        assert ends_within(started.stdout, 20)


# ---------------------------------------------------------------------------------------------------- seccomp's program

HEADERS = ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h")
NEWER_THAN_SOME_HEADERS = {"fchmodat2"}


@pytest.mark.parametrize(("column", "header"), list(enumerate(HEADERS)))
def test_the_numbers_are_those_of_the_kernels_headers(column, header):
    if not Path(header).exists():
        pytest.skip(f"no {header} here")
    defined = dict(re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", Path(header).read_text(), re.MULTILINE))

    for name, known in sandbox.NUMBERS.items():
        number = known if isinstance(known, int) else known[column]
        if name in defined or name not in NEWER_THAN_SOME_HEADERS:
            assert (name, number) == (name, int(defined[name]) if name in defined else None)


def verdict(program, number, arguments=(), arch=None):
    """What classic BPF, read as the kernel reads it, says of a call."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, arch, 0, *(word % 2**64 for word in words))
    at, loaded = 0, 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        if code == sandbox.BPF_LOAD:
            (loaded,) = struct.unpack_from("=I", data, k)
        elif code == sandbox.BPF_RETURN:
            return k
        else:
            k = 4242 if k == sandbox.OWN_PID else k
            holds = loaded == k if code == sandbox.BPF_JUMP_IF_EQUAL else loaded >= k
            at += if_true if holds else if_false


@pytest.fixture(params=range(2), ids=sandbox.MACHINES)
def judge(request, monkeypatch):
    """The verdict of that machine's filter, by name or number."""
    monkeypatch.setattr(sandbox, "_machine", lambda: request.param)
    sandbox._number.cache_clear()
    program = sandbox._program()
    arch = sandbox.AUDIT_ARCH[request.param]

    def judge(call, *arguments, arch=arch):
        number = sandbox._number(call) if isinstance(call, str) else call
        return verdict(program, number, arguments, arch)

    yield judge
    sandbox._number.cache_clear()


ALLOWED = 0x7FFF0000
EPERM, ENOSYS = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
KILLED = 0x80000000


def test_every_number_has_the_verdict_of_the_tables(judge):
    refused = {sandbox._number(name) for name in sandbox.REFUSED} - {None, 435}
    partly = {sandbox._number(name) for name in sandbox.REFUSED_WITH_SOME_ARGUMENTS}

    for number in set(range(sandbox.LAST_KNOWN_NUMBER + 1)) - partly:
        wanted = EPERM if number in refused else ENOSYS if number == 435 else ALLOWED
        assert (number, judge(number)) == (number, wanted)
    assert {judge(number) for number in (463, 500, 547, 2**20, 2**30 - 1)} == {ENOSYS}
    assert {judge(number) for number in (2**30, 2**30 + 39, 2**31, 2**32 - 1)} == {KILLED}
    assert {judge(39, arch=arch) for arch in (0x40000003, 0x40000028, 0)} == {KILLED}


@pytest.mark.parametrize("call", ["kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"])
def test_signals_go_to_oneself_only(judge, call):
    assert judge(call, 4242, 4242) == judge(call, 4242 + 2**32) == ALLOWED  # the kernel cuts the number as well
    assert {judge(call, pid) for pid in (0, 1, -1, -4242, 4243)} == {EPERM}


def test_limits_may_be_asked_for_only(judge):
    assert judge("prlimit64", 0, 7, 0, 1234) == ALLOWED
    assert {judge("prlimit64", 0, 7, pointer) for pointer in (1, 2**31, 2**32, 2**47)} == {EPERM}


def test_terminals_and_owners_of_signals_are_out_of_reach(judge):
    assert {judge("ioctl", 1, request) for request in (0x5412, 0x541C, 0x8901, 0x8902, 0x5412 + 2**32)} == {EPERM}
    assert {judge("ioctl", 1, request) for request in (0x5401, 0x5413, 0x541B, 0)} == {ALLOWED}
    assert {judge("fcntl", 1, request) for request in (8, 10, 15)} == {EPERM}
    assert {judge("fcntl", 1, request) for request in (*range(8), 9, 11, 14, 16, 1030)} == {ALLOWED}
