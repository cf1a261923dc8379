"""``scriptling.runtime.kv`` as scripts use it, on every kind of store."""

from __future__ import annotations

import math
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import scriptling.runtime as runtime
import scriptling.runtime.kv as kv
from scriptling.stores import places

DEADLINE = 20.0


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis or Valkey of the test's own."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        problem = "no valkey-server or redis-server is installed"
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    socket = tmp_path_factory.mktemp("redis") / "socket"
    command = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(socket.parent)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists)
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait(DEADLINE)


@pytest.fixture(params=["memory", "path", "redis", "redis with a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[kv.KV]:
    if request.param == "memory":
        name = f":memory:{tmp_path}"
    elif request.param == "path":
        name = str(tmp_path / "store")
    else:
        name = request.getfixturevalue("redis_url") + ("?prefix=ours*:" if "prefix" in request.param else "")
    store = kv.open(name)
    store.clear()
    yield store
    store.clear()
    store.close()


def wait_until(condition: Callable[[], Any]) -> None:
    """Look again and again at what ends by the clock alone."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -5, 2**63 - 1, -(2**63), 2**63, -(2**100), 0.5, -math.inf,
        "", "5", "ü\0", b"", b"5", b"\xc1",
        [], {}, [1, "1", b"1", None, [True, {"a": {}}]], {"a": [2**90], 1: 2, None: 3},
    ],
    ids=repr,
)  # fmt: skip
def test_values_come_back_as_they_were(store: kv.KV, value: Any) -> None:
    store.set("k", value)
    assert (store.get("k"), type(store.get("k"))) == (value, type(value))
    assert store.exists("k")


@pytest.mark.parametrize("value", [(1,), {1}, object(), 1j, [{"a": (1,)}]])
def test_other_types_are_refused_by_key_and_type(store: kv.KV, value: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot store 'the key': a (tuple|set|object|complex).* is none of"):
        store.set("the key", value)
    with pytest.raises(TypeError, match="cannot store 'the key'"):
        store.update("the key", lambda _: value)
    assert store.keys() == []


def test_what_is_not_there(store: kv.KV) -> None:
    assert (store.get("k"), store.get("k", 5), store.exists("k"), store.delete("k"), store.ttl("k")) == (
        None, 5, False, False, -2,
    )  # fmt: skip


def test_keys_expire(store: kv.KV) -> None:
    store.set("k", 1, ttl=0.05)
    store.set("long", 1, ttl=100)
    store.set("ever", 1)
    assert 0 < store.ttl("k") <= 0.05
    assert 99 < store.ttl("long") <= 100
    assert store.ttl("ever") == -1
    wait_until(lambda: not store.exists("k"))
    assert (store.get("k"), store.keys(), store.ttl("k")) == (None, ["ever", "long"], -2)


@pytest.mark.parametrize("ttl", [-1, math.nan, math.inf, "1", True])
def test_a_ttl_is_a_number_of_seconds(store: kv.KV, ttl: Any) -> None:
    with pytest.raises(ValueError, match="a ttl is a number of seconds"):
        store.set("k", 1, ttl=ttl)


def test_counting(store: kv.KV) -> None:
    assert [store.incr("k"), store.incr("k", -3), store.incr("k", 2**63), store.incr("k", -(2**63))] == [
        1, -2, 2**63 - 2, -2,
    ]  # fmt: skip
    assert store.get("k") == -2


def test_counting_keeps_the_expiry(store: kv.KV) -> None:
    store.set("k", 2**62, ttl=100)
    for delta in (1, 2**62, 2**62):
        store.incr("k", delta)
    assert 99 < store.ttl("k") <= 100


@pytest.mark.parametrize("value", ["1", 1.0, True, None, [1], b"1"])
def test_counting_needs_an_int(store: kv.KV, value: Any) -> None:
    store.set("k", value)
    with pytest.raises(TypeError, match=f"cannot increment 'k': its value is a {type(value).__name__}, not an int"):
        store.incr("k")
    with pytest.raises(TypeError, match="cannot increment 'other' by"):
        store.incr("other", value)
    assert store.get("k") == value


def test_updates(store: kv.KV) -> None:
    assert store.update("k", lambda value: [*value, 1], []) == [1]
    assert store.update("k", lambda value: [*value, 2], []) == store.get("k") == [1, 2]
    store.set("n", 1, ttl=100)
    store.update("n", lambda value: "text")
    assert (store.get("n"), 99 < store.ttl("n") <= 100) == ("text", True)


def test_an_update_is_tried_again_if_the_value_changed_meanwhile(store: kv.KV) -> None:
    seen = []

    def function(value: Any) -> Any:
        seen.append(value)
        if len(seen) == 1:
            store.set("k", 10)
        if len(seen) == 2:
            store.delete("k")
        return len(seen)

    assert store.update("k", function, "default") == 3
    assert seen == ["default", 10, "default"]


def test_an_update_that_raises_changes_nothing(store: kv.KV) -> None:
    with pytest.raises(ZeroDivisionError):
        store.update("k", lambda value: 1 // value, 0)
    assert not store.exists("k")


def test_keys_by_pattern(store: kv.KV) -> None:
    for key in ("user:1", "user:2", "user:10", "User:1", "[x]", "a*b", "a\\b"):
        store.set(key, 1)
    assert store.keys("user:*") == ["user:1", "user:10", "user:2"]
    assert store.keys("user:?") == ["user:1", "user:2"]
    assert store.keys("user:[!1]") == ["user:2"]
    assert store.keys("[[]x]") == ["[x]"]
    assert store.keys("a\\*") == ["a\\b"]
    assert len(store.keys()) == 7


def test_clear_and_delete(store: kv.KV) -> None:
    for number in range(50):
        store.set(str(number), number)
    assert store.delete("7")
    assert len(store.keys()) == 49
    store.clear()
    assert store.keys() == []


def test_keys_that_cannot_be(store: kv.KV) -> None:
    methods: list[Callable[[Any], object]] = [store.get, store.incr, store.delete, store.exists, store.ttl]
    for method in methods:
        with pytest.raises(TypeError, match="a key is a str, not a int: 5"):
            method(5)
        with pytest.raises(ValueError, match="is too long"):
            method("k" * 70_000)


def test_a_closed_store_says_so_and_opens_again(store: kv.KV) -> None:
    store.set("k", 1)
    again = kv.open(store._opened_as)
    again.close()
    again.close()
    with pytest.raises(ValueError, match=r"is closed; open it again with kv\.open"):
        again.get("k")
    assert store.get("k") == 1
    with kv.open(store._opened_as) as once_more:
        assert once_more.get("k") == 1


def test_a_store_may_travel_between_processes(store: kv.KV) -> None:
    store.set("k", 1)
    assert pickle.loads(pickle.dumps(store)).get("k") == 1
    assert pickle.loads(pickle.dumps(kv.default)) is kv.default


def test_names_of_stores() -> None:
    with pytest.raises(ValueError, match="a store needs a name"):
        kv.open("")
    with pytest.raises(TypeError, match="the name of a store is a str, not a NoneType: None"):
        kv.open(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'http://x' names no store"):
        kv.open("http://x")
    with pytest.raises(ValueError, match="a store in memory is called ':memory:x'"):
        kv.open("memory:x")


def test_the_default_store_is_always_open() -> None:
    key = f"test {os.getpid()}"
    kv.default.set(key, 1)
    kv.default.close()
    assert kv.default.get(key) == 1
    assert kv.default.delete(key)
    assert repr(kv.default) == "<scriptling.runtime.kv store 'default'>"


def test_the_default_store_persists_where_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places._Given, "storage", str(tmp_path / "storage"))
    kv._Default().set("k", 1)
    assert kv.open(str(tmp_path / "storage")).get("k") == 1


def test_both_ways_to_reach_it() -> None:
    assert runtime.kv is kv


def test_redis_without_a_server_is_an_error_that_names_it_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    store = kv.open("redis://:secret@127.0.0.1:1/0")
    with pytest.raises(kv.StoreError, match=r"redis://127\.0\.0\.1:1/0 failed") as caught:
        store.get("k")
    assert "secret" not in f"{caught.value}{store!r}"


def test_redis_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "scriptling.stores.redis_store", raising=False)
    with pytest.raises(kv.StoreError, match=r"pip install 'scriptling\[redis\]'"):
        kv.open("redis://localhost")


def test_what_others_wrote_into_redis_is_not_guessed(redis_url: str) -> None:
    import redis  # noqa: PLC0415 - an extra

    store = kv.open(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.set("theirs", "text")
    with pytest.raises(kv.StoreError, match=r"the value of 'theirs' in .* was not written by a store of ours"):
        store.get("theirs")
    store.clear()


def test_a_full_redis_is_an_error_of_its_own(redis_url: str) -> None:
    import redis  # noqa: PLC0415 - an extra

    store = kv.open(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(kv.StoreFullError, match="is full"):
            store.set("k", 1)
        client.config_set("maxmemory", "0")
