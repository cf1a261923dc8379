"""Peers that die, keep silent, speak garbage or start badly: each error names the peer and says how it fared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import scriptling.plugin as plugin
from tests.plugin.conftest import FAKE_ARGS, WritePeer
from tests.workers.fakes import is_alive, wait_until

COMPLAIN = 'sys.stderr.write("first complaint\\nsecond complaint\\n"); sys.stderr.flush()\n'


def load_error(path: Path | str, timeout: float = 15.0) -> str:
    with pytest.raises(plugin.PluginLoadError) as caught:
        plugin.load("bad", path, scriptling=True, timeout=timeout)
    assert plugin.list() == []
    return str(caught.value)


def test_peer_that_exits_at_once(write_peer: WritePeer) -> None:
    path = write_peer(COMPLAIN + "sys.exit(3)")
    message = load_error(path)
    assert f"plugin 'bad' ({path})" in message
    assert "it exited with status 3" in message
    assert "second complaint" in message


def test_peer_that_is_killed(write_peer: WritePeer) -> None:
    message = load_error(write_peer("import os, signal; receive(); os.kill(os.getpid(), signal.SIGSEGV)"))
    assert "it was killed by SIGSEGV" in message
    assert "wrote nothing to stderr" in message


def test_mute_peer(write_peer: WritePeer) -> None:
    path = write_peer(COMPLAIN + "while receive(): pass")
    with pytest.raises(
        plugin.PluginLoadError, match=r"did not answer scriptling.handshake within 0.3 seconds"
    ) as caught:
        plugin.load("bad", path, scriptling=True, timeout=0.3)
    assert isinstance(caught.value, TimeoutError)
    assert "it is still running" in str(caught.value)


def test_mute_peer_that_ignores_being_asked_to_end_is_killed(
    write_peer: WritePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scriptling.plugin.process._TERMINATE_GRACE", 0.1)
    path = write_peer("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()")
    load_error(path, 0.3)


@pytest.mark.parametrize("line", ["usage: something", "[]", "\\udcff", '{"id": 9, "result": 1}'])
def test_peer_that_speaks_garbage(write_peer: WritePeer, line: str) -> None:
    path = write_peer(
        f"receive(); sys.stdout.buffer.write({line.encode()!r} + b'\\n'); sys.stdout.flush(); sys.exit(2)"
    )
    message = load_error(path)
    assert f"plugin 'bad' ({path})" in message
    assert "sent something that is not" in message or "answered a request that it was not sent" in message
    assert "it exited with status 2" in message


def test_garbage_is_shown(write_peer: WritePeer) -> None:
    assert "usage: something" in load_error(write_peer("print('usage: something', flush=True); receive(); receive()"))


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("[]", "answered the handshake with something else"),
        ('{"protocol": "2.0", "library": {}}', "speaks version 2.0"),
        ('{"schema": {"constants": [{"name": "C", "value": {"type": "x"}}]}, "library": {}}', "type \"x\" at C"),
        ('{"schema": {"functions": [{"name": "f", "source": "def g("}]}, "library": {}}', "source of f cannot be"),
        ('{"schema": {"functions": [{"name": "f", "source": "g = 1"}]}, "library": {}}', "does not define f"),
    ],
)  # fmt: skip
def test_handshake_that_cannot_be_agreed_with(write_peer: WritePeer, result: str, told: str) -> None:
    assert told in load_error(write_peer(f"answer(receive(), json.loads({result!r}))\nreceive()"))


def test_handshake_that_is_refused(write_peer: WritePeer) -> None:
    refusal = '{"jsonrpc": "2.0", "id": receive()["id"], "error": {"code": -32601, "message": "what handshake?"}}'
    assert "refused the handshake: what handshake?" in load_error(write_peer(f"send({refusal})\nreceive()"))


def test_executables_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no plugin at './nothing'" in load_error("./nothing")
    assert "there is no executable 'surely-not-there' on PATH" in load_error("surely-not-there")
    assert "is a folder" in load_error(tmp_path)
    script = tmp_path / "script"
    script.write_text("no shebang")
    assert "is not executable" in load_error(script)
    script.chmod(0o755)
    assert "cannot be started: Exec format error" in load_error(script)


@pytest.mark.parametrize(
    ("function", "args", "told"),
    [
        ("exit", (5,), "it exited with status 5"),
        ("die", (), "it was killed by SIGKILL"),
        ("close_stdout", (), "has closed its output"),
        ("exit_leaving_child", (), "it exited with status 4"),
        ("garbage", (), "this is no JSON"),
        ("unknown_id", (), "answered a request that it was not sent"),
    ],
)
def test_end_of_a_peer_wakes_every_waiter(local_fake: str, function: str, args: tuple[int, ...], told: str) -> None:
    plugin.call_function(local_fake, "write_stderr", "last words\n")
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(plugin.call_function, local_fake, "pass_gate", "never") for _ in range(3)]
        plugin.call_function(local_fake, "wait_until_reached", "never")
        waiting.append(pool.submit(plugin.call_function, local_fake, function, *args))
        for future in waiting:
            with pytest.raises(plugin.PluginCrashed, match=r"plugin 'fake' .*") as caught:
                future.result()
            assert told in str(caught.value)
            assert "last words" in str(caught.value)


def test_dead_peer_says_so_at_once_and_is_replaced_by_the_next_load(local_fake: str) -> None:
    module = sys.modules["plugin.fake"]
    with pytest.raises(plugin.PluginCrashed):
        plugin.call_function(local_fake, "exit", 0)
    assert plugin.describe(local_fake)["alive"] is False
    with pytest.raises(plugin.PluginCrashed, match="it exited with status 0"):
        module.add(1, 2)
    plugin.load("fake", sys.executable, scriptling=True, args=FAKE_ARGS)
    assert module.add(1, 2) == 3
    assert sys.modules["plugin.fake"] is module


def test_unload_of_a_dead_peer_works(fake: str) -> None:
    os.kill(plugin.call_function(fake, "pid"), signal.SIGKILL)
    plugin.unload(fake)
    assert plugin.list() == []
    assert "plugin.fake" not in sys.modules


def test_error_without_id_reaches_the_caller(fake: str) -> None:
    with pytest.raises(plugin.PluginCallError, match="what"):
        plugin.call_function(fake, "null_id_error")
    assert plugin.call_function(fake, "echo", 1) == 1


def test_peer_that_reads_nothing_does_not_keep_the_caller_from_leaving(write_peer: WritePeer) -> None:
    path = write_peer("shake_hands()\nimport signal\nsignal.pause()")
    name = plugin.load("deaf", path, scriptling=True)
    with pytest.raises(plugin.PluginTimeout), plugin.time_limit(0.1):
        plugin.call_function(name, "f", "x" * 1_000_000)
    plugin.unload(name, timeout=0)


def test_peer_that_closes_its_input_is_given_up(write_peer: WritePeer) -> None:
    path = write_peer(
        "import os, signal\nshake_hands()\nos.close(0)\nsend({'jsonrpc': '2.0', 'method': 'x'})\nsignal.pause()"
    )
    name = plugin.load("deaf", path, scriptling=True)
    with pytest.raises(plugin.PluginCrashed, match="deaf"):
        plugin.call_function(name, "f", "x" * 100_000)
    plugin.unload(name, timeout=0)


def test_peer_that_does_not_end_by_itself_is_terminated(write_peer: WritePeer) -> None:
    path = write_peer("import signal\nshake_hands()\nwhile True: signal.pause()")
    name = plugin.load("stubborn", path, scriptling=True)
    plugin.unload(name, timeout=0.1)


def test_peer_is_told_goodbye_before_the_end_of_its_input(write_peer: WritePeer, tmp_path: Path) -> None:
    path = write_peer(
        f"""
        shake_hands()
        heard = [receive()["method"], receive()]
        open({str(tmp_path / "heard")!r}, "w").write(json.dumps(heard))
        """
    )
    plugin.unload(plugin.load("polite", path, scriptling=True))
    assert (tmp_path / "heard").read_text() == '["plugin.shutdown", null]'


INTERRUPTED = """
import sys, scriptling.plugin as plugin
plugin.load("fake", sys.executable, scriptling=True, args={args!r})
plugin.load("other", sys.executable, scriptling=True, args={args!r} + ["other"])
print(plugin.call_function("fake", "pid"), plugin.call_function("other", "pid"), flush=True)
plugin.call_function({called!r}, "stubborn", lambda text: print(text, flush=True))
"""


@pytest.mark.parametrize("called", ["fake", "other"])
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_with_a_call_in_flight_ends_program_and_plugins(called: str, times: int) -> None:
    code = INTERRUPTED.format(args=FAKE_ARGS, called=called)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        pids = [int(pid) for pid in client.stdout.readline().split()]
        while "stubborn" not in client.stdout.readline():
            pass
        client.send_signal(signal.SIGINT)
        if times == 2:
            while "KeyboardInterrupt" not in client.stderr.readline():
                pass
            client.send_signal(signal.SIGINT)
        # Less than a plugin has that is not working for nobody.
        client.communicate(timeout=8)
    # A dead one stays a zombie until whoever adopts orphans has come to it.
    wait_until(lambda: not any(map(is_alive, pids)), "the end of the plugins")
