"""Where a server listens, what it calls that, and what it says when it cannot."""

from __future__ import annotations

import socket

import pytest

from workers.http.listening import ListenError, is_public, listen, url


@pytest.mark.parametrize(
    ("address", "shown", "public"),
    [("127.0.0.1:0", "http://127.0.0.1:", False), ("localhost:0", "http://", False), (":0", "http://0.0.0.0:", True)],
)
def test_an_address_becomes_a_socket(address: str, shown: str, public: bool) -> None:
    with listen(address) as bound:
        assert url(bound, "http") == f"{shown}{bound.getsockname()[1]}" or address.startswith("localhost")
        assert url(bound, "https").startswith("https://")
        assert is_public(bound) == public
        socket.create_connection(("127.0.0.1", bound.getsockname()[1])).close()


def test_what_is_taken_is_refused() -> None:
    with listen("127.0.0.1:0") as bound:
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ListenError, match=f"cannot listen on {address}: Address already in use; name another"):
            listen(address)


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no-such-host.invalid:0"])
def test_what_is_not_here_is_refused(address: str) -> None:
    with pytest.raises(ListenError, match=f"cannot listen on {address}"):
        listen(address)
