"""By which names a server may be asked for that is for this machine only."""

from __future__ import annotations

import pytest

from workers.http.access import Access

LOCAL = Access(hosts=("localhost", "127.0.0.1", "::1"))


@pytest.mark.parametrize(
    "host", [b"localhost", b"LocalHost:80", b"127.0.0.1:8000", b"[::1]", b"[::1]:8000", b"localhost:"]
)
def test_a_server_of_this_machine_is_asked_for_by_its_names(host: bytes) -> None:
    assert LOCAL.refuse({"headers": [(b"host", host)]}) is None


@pytest.mark.parametrize(
    "host",
    [
        b"", b"evil.example", b"evil.example@localhost", b"localhost@evil.example", b"localhost/x", b"localhost?x",
        b"localhost#x", b"localhost:80:80", b"localhost:x", b"[localhost]", b"[::1", b"::1", b" localhost",
        b"localhost\\", b"localhost,evil.example", b"localh\xc3\xb6st", b"[evil.example]@[::1]",
    ],
)  # fmt: skip
def test_a_host_of_another_form_is_foreign(host: bytes) -> None:
    refusal = LOCAL.refuse({"headers": [(b"host", host)]})
    assert refusal is not None
    assert refusal.status == 421


def test_two_hosts_are_foreign() -> None:
    refusal = LOCAL.refuse({"headers": [(b"host", b"localhost"), (b"host", b"localhost")]})
    assert refusal is not None
    assert refusal.status == 421
