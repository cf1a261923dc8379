"""Handlers that reach for what they were not given (issue of the sandbox; docs/security.md says what is promised)."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.host import Host
from tests.wire.server import Serve, Server
from workers.confinement.kernel import has_seccomp, landlock_version, separates_signals
from workers.confinement.paths import OLDEST

LANDLOCK = landlock_version()
pytestmark = [
    pytest.mark.skipif(LANDLOCK < OLDEST, reason=f"this kernel's Landlock has version {LANDLOCK}, {OLDEST} is needed"),
    pytest.mark.skipif(not has_seccomp(), reason="this kernel has no seccomp filters"),
]
needs_scopes = pytest.mark.skipif(
    not separates_signals(LANDLOCK), reason=f"this kernel's Landlock has version {LANDLOCK}, signals need 6"
)
REFUSED = {errno.EACCES, errno.EPERM, errno.EXDEV}

HANDLERS = """
import asyncio, ctypes, logging, multiprocessing, os, pathlib, resource, shutil, signal, socket, sqlite3, struct
import subprocess, sys, tempfile, threading
libc = ctypes.CDLL(None, use_errno=True)
def _checked(result):
    if result < 0: raise OSError(ctypes.get_errno(), "refused")
    return result
def _outcome(code, names):
    try:
        exec(code, {**globals(), **names})
    except OSError as error:
        return error.errno
    return 0
def attempt(code, **names): return _outcome(code, names)
def attempt_in_thread(code, **names):
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(_outcome(code, names)))
    thread.start(); thread.join()
    return outcomes[0]
def attempt_in_fork(code, **names):
    child = os.fork()
    if not child: os._exit(_outcome(code, names))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
def attempt_in_process(code, **names):
    text = "import errno, sys\\ntry: exec(sys.argv[1])\\nexcept OSError as error: sys.exit(error.errno)"
    prelude = "import ctypes, os, pathlib, resource, shutil, signal, socket, subprocess, threading\\n" \\
        "libc = ctypes.CDLL(None, use_errno=True)\\n" \\
        "def _checked(result):\\n    if result < 0: raise OSError(ctypes.get_errno(), 'refused')\\n" \\
        + "".join(f"{name} = {value!r}\\n" for name, value in names.items())
    return subprocess.run([sys.executable, "-c", text, prelude + code], capture_output=True).returncode
def run(code, **names):
    space = {**globals(), **names}
    exec(code, space)
    return space.get("r")
def pid(): return os.getpid()
def call(f, value): return f(value)
def call_in_thread(f):
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(f(1)))
    thread.start(); thread.join()
    return outcomes[0]
async def later(value):
    await asyncio.sleep(0)
    return value
def shout(text): logging.getLogger("tested").warning(text)
def make(): return Store()
class Store:
    def __init__(self): self.value = 1
    def attempt(self, code, **names): return _outcome(code, names)
    def attempt_in_thread(self, code, **names): return attempt_in_thread(code, **names)
    def pid(self): return os.getpid()
    def add(self, f): self.value = f(self.value); return self.value
"""

# How to get at the file `secret`, or to change it or what lies beside it.
READS = {
    "open": "open(secret).read()",
    "os.open": "os.open(secret, os.O_RDONLY)",
    "pathlib": "pathlib.Path(secret).read_text()",
    "the C library": "_checked(libc.open(secret.encode(), 0))",
    "a system call": "_checked(libc.syscall(257 if os.uname().machine == 'x86_64' else 56, -100, secret.encode(), 0))",
    "a program": "if subprocess.run(['cat', secret], capture_output=True).returncode: raise PermissionError(13, '')",
    "a shell": "if subprocess.run(f': < {secret}', shell=True, stderr=-3).returncode: raise PermissionError(13, '')",
    "a link": "link = f'{mine}/link{threading.get_ident()}{os.getpid()}'; os.symlink(secret, link); open(link)",
    "a hard link": "os.link(secret, mine + '/hard'); open(mine + '/hard')",
    "a move": "os.rename(secret, mine + '/moved'); open(mine + '/moved')",
    "a copy": "shutil.copy(secret, mine + '/copy')",
    "dots": "open(mine + '/..' * 20 + secret)",
    "its own root": "open('/proc/self/root' + secret)",
    "its own folder": "os.chdir(mine); open('/proc/self/cwd/../' + os.path.relpath(secret, os.path.dirname(mine)))",
    "a folder opened before": "open(os.path.basename(secret), opener=lambda p, f: os.open(p, f, "
    "dir_fd=os.open(os.path.dirname(secret), os.O_PATH)))",
    "a handle": "at = ctypes.create_string_buffer(b'\\x80' + bytes(135)); "
    "_checked(libc.name_to_handle_at(-100, secret.encode(), at, ctypes.byref(ctypes.c_int()), 0))",
    "the list of its folder": "os.listdir(os.path.dirname(secret))",
    "a stay in its folder": "os.chdir(os.path.dirname(secret)); open(os.path.basename(secret))",
}
WRITES = {
    "open": "open(secret, 'w')",
    "append": "open(secret, 'a')",
    "truncate": "os.truncate(secret, 0)",
    "unlink": "os.unlink(secret)",
    "replace": "open(mine + '/new', 'w').close(); os.replace(mine + '/new', secret)",
    "a new file": "open(secret + '.new', 'w')",
    "a new folder": "os.mkdir(secret + '.new')",
    "a new link": "os.symlink('x', secret + '.new')",
    "a new pipe": "os.mkfifo(secret + '.new')",
    "the end of its folder": "os.rmdir(os.path.dirname(secret) + '/empty')",
    "a program": "if subprocess.run(['rm', secret], capture_output=True).returncode: raise PermissionError(13, '')",
    "a device": "os.mknod(mine + '/device', 0o20600, os.makedev(1, 1))",
}
NETWORK = {
    "TCP": "socket.socket().connect(('127.0.0.1', port))",
    "TCP over IPv6": "socket.socket(socket.AF_INET6)",
    "UDP": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
    "listening": "socket.create_server(('127.0.0.1', 0))",
    "the kernel's own": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "the hypervisor": "socket.socket(socket.AF_VSOCK)",
    "the C library": "_checked(libc.socket(2, 1, 0))",
    "io_uring": "_checked(libc.syscall(425, 8, ctypes.create_string_buffer(200)))",
}
OTHERS = {
    "ptrace": "_checked(libc.ptrace(16, victim, 0, 0))",
    "memory": "open(f'/proc/{victim}/mem', 'rb')",
    "environment": "open(f'/proc/{victim}/environ', 'rb')",
    "arguments": "open(f'/proc/{victim}/cmdline', 'rb')",
    "descriptors": "os.listdir(f'/proc/{victim}/fd')",
    "a copied descriptor": "_checked(libc.syscall(438, os.pidfd_open(victim), 0, 0))",
    "peeking": "_checked(libc.process_vm_readv(victim, None, 0, None, 0, 0))",
    "limits": "resource.prlimit(victim, resource.RLIMIT_CPU, (1, 1))",
}
MACHINE = {
    "a namespace": "_checked(libc.unshare(0x10000000))",
    "a namespace for a child": "_checked(libc.syscall(56 if os.uname().machine == 'x86_64' else 220, "
    "0x10000000 | 17, 0, 0, 0, 0))",
    "another's namespace": "_checked(libc.setns(0, 0))",
    "a mount": "_checked(libc.mount(b'none', mine.encode(), b'tmpfs', 0, None))",
    "a root": "os.chroot(mine)",
    "keys": "_checked(libc.syscall(250 if os.uname().machine == 'x86_64' else 219, 0, -3, 0))",
    "the kernel's log": "_checked(libc.klogctl(3, ctypes.create_string_buffer(10), 10))",
}
ATTEMPTS = ("attempt", "attempt_in_thread", "attempt_in_fork", "attempt_in_process")


class Places:
    """A secret outside of what is allowed, with an empty folder beside it, and a folder that is allowed."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        outside = tmp_path_factory.mktemp("outside")
        self.secret = outside / "secret"
        self.secret.write_text("hidden")
        (outside / "empty").mkdir()
        self.mine = tmp_path_factory.mktemp("mine")
        self.names = {"secret": str(self.secret), "mine": str(self.mine)}

    def check(self) -> None:
        assert sorted(path.name for path in self.secret.parent.iterdir()) == ["empty", "secret"]
        assert self.secret.read_text() == "hidden"
        copies = [path for path in self.mine.iterdir() if not path.is_symlink() and path.read_text() == "hidden"]
        assert not copies
        for path in self.mine.iterdir():
            path.unlink()


@pytest.fixture
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    made = Places(tmp_path_factory)
    yield made
    made.check()


def attempts(server: Host, ways: dict[str, str], how: str, names: dict[str, Any]) -> dict[str, int]:
    """Try everything, and return what was not refused, with the outcome."""
    outcomes = {way: server.call(how, code, **names) for way, code in ways.items()}
    return {way: outcome for way, outcome in outcomes.items() if outcome not in REFUSED}


@pytest.mark.parametrize("how", ATTEMPTS)
@pytest.mark.parametrize("ways", [READS, WRITES], ids=["read", "write"])
def test_files_outside_are_out_of_reach(serve: Serve, places: Places, ways: dict[str, str], how: str) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--allowed-paths", str(places.mine))
    assert attempts(server, ways, how, places.names) == {}


def test_ways_work_without_a_sandbox(serve: Serve, tmp_path: Path) -> None:
    """Else the tests above would hold nothing."""
    server = serve(HANDLERS, "", "--workers", "1")
    secret = tmp_path / "here" / "secret"
    works = []
    for way, code in {**READS, **WRITES}.items():
        (secret.parent / "empty").mkdir(parents=True, exist_ok=True)
        secret.write_text("hidden")
        mine = tmp_path / way.replace(" ", "-")
        mine.mkdir(exist_ok=True)
        if server.call("attempt", code, secret=str(secret), mine=str(mine)) == 0:
            works.append(way)
        for path in secret.parent.glob("*.new"):
            path.rmdir() if path.is_dir() else path.unlink()
    assert {*READS, *WRITES} - {*works} <= {"a device", "a handle"}


def test_object_store_is_bound_by_the_same(serve: Serve, places: Places) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--allowed-paths", str(places.mine), "--no-network")
    store = server.new("Store")
    for ways in (READS, WRITES, NETWORK):
        for how in ("attempt", "attempt_in_thread"):
            outcomes = [server.method(store, how, code, **places.names, port=1) for code in ways.values()]
            assert {*outcomes} <= REFUSED


def test_processes_that_replace_others_are_bound_too(serve: Serve, places: Places) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--sandbox")
    store = server.new("Store")
    os.kill(server.method(store, "pid"), signal.SIGKILL)
    os.kill(server.call("pid"), signal.SIGKILL)
    assert server.call("attempt", READS["open"], **places.names) == errno.EACCES
    again = server.new("Store")
    assert server.method(again, "attempt", READS["open"], **places.names) == errno.EACCES


def test_allowed_folder_is_all_a_handler_needs(serve: Serve, places: Places) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--allowed-paths", str(places.mine))
    code = """
os.makedirs(mine + '/a/b')
open(mine + '/a/x', 'w').write('text')
os.rename(mine + '/a/x', mine + '/a/b/y')
shutil.copy2(mine + '/a/b/y', mine + '/z')
with sqlite3.connect(mine + '/data') as data: data.execute('create table t (x)')
data.close()
with tempfile.NamedTemporaryFile(dir=mine) as file: file.write(b'x')
r = subprocess.run(['cat', mine + '/z'], capture_output=True, text=True).stdout
shutil.rmtree(mine + '/a')
for name in os.listdir(mine): os.unlink(mine + '/' + name)
"""
    assert server.call("run", code, **places.names) == "text"


def test_path_that_may_be_read_may_not_be_changed(serve: Serve, places: Places, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "file").write_text("text")
    alone = tmp_path_outside(places) / "secret"
    server = serve(HANDLERS, "", "--workers", "1", "--allowed-paths", f"{folder}:ro", "--allowed-paths", f"{alone}:ro")
    assert server.call("run", "r = open(path).read()", path=str(folder / "file")) == "text"
    assert server.call("run", "r = open(path).read()", path=str(alone)) == "hidden"
    for code in ("open(path, 'w')", "os.unlink(path)", "os.truncate(path, 0)", "open(path + 'x', 'w')"):
        assert server.call("attempt", code, path=str(folder / "file")) in REFUSED
        assert server.call("attempt", code, path=str(alone)) in REFUSED


def tmp_path_outside(places: Places) -> Path:
    return places.secret.parent


def test_libraries_of_the_plugin_are_read_and_not_changed(serve: Serve, tmp_path: Path) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--sandbox")
    assert server.call("run", "r = open(path).readline()", path=str(tmp_path / "handlers.py")) == "\n"
    assert server.call("attempt", "open(path, 'a')", path=str(tmp_path / "handlers.py")) in REFUSED
    assert server.call("attempt", "open(path, 'w')", path=str(tmp_path / "new.py")) in REFUSED


def test_setup_script_is_not_confined(serve: Serve, places: Places) -> None:
    setup = f"""
import scriptling.runtime.plugin as plugin
plugin.serve("tested")
plugin.register_constant("SECRET", open({str(places.secret)!r}).read())
plugin.register_function("attempt", "handlers.attempt")
"""
    server = serve(HANDLERS, setup, "--sandbox")
    (constant,) = server.handshake()["schema"]["constants"]
    assert constant["value"]["value"] == "hidden"
    assert server.call("attempt", READS["open"], **places.names) == errno.EACCES


# The network, and other programs on this machine


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.mark.parametrize("how", ATTEMPTS)
def test_network_is_out_of_reach(serve: Serve, listener: socket.socket, how: str) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--no-network")
    assert attempts(server, NETWORK, how, {"port": listener.getsockname()[1]}) == {}


def test_network_is_there_unless_it_was_forbidden(serve: Serve, listener: socket.socket) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--sandbox")
    for way in ("TCP", "UDP", "listening"):
        assert server.call("attempt", NETWORK[way], port=listener.getsockname()[1]) == 0


@pytest.mark.parametrize("how", ATTEMPTS)
@pytest.mark.parametrize("kind", ["a path", "no path"])
def test_sockets_of_other_programs_are_out_of_reach(serve: Serve, tmp_path: Path, how: str, kind: str) -> None:
    address = str(tmp_path / "socket") if kind == "a path" else f"\0{tmp_path}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        server = serve(HANDLERS, "", "--workers", "1", "--sandbox")
        assert server.call(how, "socket.socket(socket.AF_UNIX).connect(address)", address=address) in REFUSED
        assert server.call(how, "socket.socketpair()[0].close()") == 0


@pytest.mark.parametrize("how", ATTEMPTS)
def test_other_processes_are_out_of_reach(serve: Serve, how: str) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--sandbox")
    assert attempts(server, OTHERS, how, {"victim": server.program.process.pid}) == {}


@needs_scopes
@pytest.mark.parametrize("how", ATTEMPTS)
def test_other_processes_get_no_signals(serve: Serve, how: str) -> None:
    server = serve(HANDLERS, "", "--workers", "2", "--sandbox")
    nursery = server.call("run", "r = os.getppid()")
    for victim in (nursery, server.program.process.pid, os.getpid()):
        assert server.call(how, "os.kill(victim, signal.SIGKILL)", victim=victim) == errno.EPERM
    code = "child = subprocess.Popen(['sleep', '1000']); child.kill(); child.wait()"
    assert server.call("attempt", code) == 0, "children of its own it may end"


@pytest.mark.parametrize("how", ATTEMPTS)
def test_machine_is_out_of_reach(serve: Serve, places: Places, how: str) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--sandbox")
    assert attempts(server, MACHINE, how, places.names) == {}


def test_programs_gain_no_privileges_and_leave_no_memory_behind(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--sandbox")
    status = server.call("run", "r = open('/proc/self/status').read()")
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert server.call("run", "r = resource.getrlimit(resource.RLIMIT_CORE)") == [0, 0]


# What goes on as ever


@pytest.fixture
def confined(serve: Serve, places: Places) -> Server:
    return serve(HANDLERS, "", "--workers", "2", "--allowed-paths", str(places.mine), "--no-network")


def test_callbacks_from_every_thread_and_into_each_other(confined: Server) -> None:
    assert confined.call("call", lambda value: value + 1, 1) == 2
    assert confined.call("call_in_thread", lambda value: value + 1) == 2

    def nested(depth: int) -> int:
        return depth if depth == 5 else confined.call("call", nested, depth + 1)

    assert confined.call("call", nested, 0) == 5


def test_objects_made_by_hosts_and_by_functions(confined: Server) -> None:
    for store in (confined.new("Store"), confined.call("make")):
        assert confined.method(store, "add", lambda value: value + 1) == 2
        confined.destroy(store)


def test_everyday_python(confined: Server) -> None:
    assert confined.call("later", 5) == 5
    assert confined.call("run", "import zoneinfo; r = zoneinfo.ZoneInfo('UTC').key") == "UTC"
    assert confined.call("run", "import ssl; r = ssl.create_default_context().verify_mode") == 2
    assert confined.call("run", "import pwd; r = pwd.getpwuid(os.getuid()).pw_uid") == os.getuid()
    assert confined.call("run", "r = os.cpu_count()") == os.cpu_count()
    assert confined.call("run", "p = multiprocessing.Process(target=int); p.start(); p.join(); r = p.exitcode") == 0
    assert confined.call("run", "a, b = multiprocessing.Pipe(); a.send(1); r = b.recv()") == 1
    assert confined.call("run", "r = subprocess.run(['uname'], capture_output=True, text=True).stdout") == "Linux\n"
    assert confined.call("run", "import email.mime.text, decimal, xml.etree.ElementTree; r = 1") == 1


def test_tracebacks_show_the_user_s_lines(confined: Server) -> None:
    failure = confined.failure(confined.begin("run", "open('/etc/shadow')"))
    assert failure.data["type"] == "PermissionError"
    assert "exec(code, space)" in failure.data["traceback"]


def test_stores_in_memory_and_on_disk(serve: Serve, places: Places, tmp_path: Path) -> None:
    """The folder of the default store need not exist before."""
    storage = tmp_path / "kept" / "store"
    server = serve(HANDLERS, "", "--workers", "2", "--sandbox", "--no-network", "--kv-storage", str(storage))
    use = "import scriptling.runtime.kv as kv; r = [store.incr('n') for store in (kv.default, kv.open(':memory:x'))]"
    object_s_use = "import scriptling.runtime.kv as kv; kv.default.incr('n')"
    assert [server.call("run", use) for _ in range(20)] == [[number, number] for number in range(1, 21)]
    assert server.method(server.new("Store"), "attempt", object_s_use) == 0
    assert storage.is_dir()
    assert (
        "Permission denied"
        in server.failure(
            server.begin(
                "run",
                "import scriptling.runtime.kv as kv; kv.open(path).set('a', 1)",
                path=str(places.secret.parent / "store"),
            )
        ).message
    )


def test_log_records_reach_the_host(confined: Server) -> None:
    confined.call("shout", "loud")
    assert confined.question()["params"]["message"] == "loud"


# Refusing to start

WITHOUT_LANDLOCK = """
import ctypes, os, struct, sys
step = lambda code, value, yes=0, no=0: struct.pack("=HBBI", code, yes, no, value)
text = step(0x20, 0) + step(0x15, 444, 0, 1) + step(6, 0x50000 | 38) + step(6, 0x7FFF0000)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(text) // 8, text)), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("flags", [["--sandbox"], ["--allowed-paths", "/usr"]])
def test_server_does_not_start_where_it_cannot_confine(serve: Serve, flags: list[str]) -> None:
    server = serve(HANDLERS, "", *flags, wrapper=[sys.executable, "-c", WITHOUT_LANDLOCK])
    assert server.program.exit_code(10) == 2
    assert "--sandbox needs Landlock" in server.program.all_stderr()


def test_wrapped_server_starts_where_nothing_is_asked_of_landlock(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--no-network", wrapper=[sys.executable, "-c", WITHOUT_LANDLOCK])
    assert server.call("attempt", NETWORK["TCP"], port=1) == errno.EPERM
