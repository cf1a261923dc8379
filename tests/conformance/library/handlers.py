"""Functions and classes of the common library: those of the recorded session, and those that the rules speak of."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any


def boom(message: str) -> None:
    """Raise a ValueError."""
    raise ValueError(message)


def add(a: Any, b: Any) -> Any:
    """Return the sum of two values."""
    return a + b


def kw(a: Any, b: Any = 2) -> list[Any]:
    """Return both arguments."""
    return [a, b]


def nest(value: Any) -> dict[str, Any]:
    """Return a value among others."""
    return {"l": [value, [], {}], "n": None, "t": False}


def apply(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    """Return the function's results for all items."""
    return [function(item) for item in items]


def echo(*args: Any, **kwargs: Any) -> Any:
    """Return the one argument, or all of them."""
    return args[0] if len(args) == 1 and not kwargs else [list(args), kwargs]


def pause(seconds: float) -> str:
    """Take a while."""
    time.sleep(seconds)
    return "rested"


def evaluate(expression: str) -> Any:
    """Return the value of an expression of Python."""
    return eval(expression, {})


def described(value: Any) -> str:
    """Return how Python writes a value, with its type."""
    return f"{type(value).__name__} {value!r}"


def first_of(container: dict[str, list[Callable[..., Any]]], **more: Any) -> Any:
    """Call every function in a container, and those in keyword arguments."""
    results = [function(key) for key, functions in container.items() for function in functions]
    return [results, {key: value["call"](1, two=2) for key, value in more.items()}]


def caught(function: Callable[[], Any]) -> list[str]:
    """Return the type and text of what a function of the host's raises."""
    try:
        function()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return []


def through(function: Callable[[], Any]) -> Any:
    """Return what a function of the host's returns."""
    return function()


_kept: list[Any] = []


class Counter:
    """Counts."""

    def __init__(self, start: int = 0) -> None:
        """Begin somewhere."""
        self._value = start

    def inc(self, by: int = 1) -> int:
        """Count on."""
        self._value += by
        return self._value

    def each(self, function: Callable[[int], Any]) -> list[Any]:
        """Call a function with every number up to the count."""
        return [function(number) for number in range(self._value)]

    @property
    def value(self) -> int:
        """The count."""
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        self._value = value

    @property
    def double(self) -> int:
        """Twice the count."""
        return 2 * self._value

    def itself(self) -> Counter:
        """Return this very counter."""
        return self

    def next(self) -> Counter:
        """Return a new counter, one further."""
        return Counter(self._value + 1)

    def both(self) -> dict[str, list[Counter]]:
        """Return two counters in containers."""
        return {"both": [self, Counter(100)]}

    def plus(self, other: Counter, more: list[Counter] = ()) -> int:  # type: ignore[assignment]
        """Return the sum of this and other counters."""
        return self._value + other._value + sum(each._value for each in more)

    def fail(self) -> None:
        """Raise a KeyError."""
        raise KeyError("nothing")

    def keep(self, function: Callable[[], Any]) -> None:
        """Keep a function of the host's for later."""
        self._function = function

    def call_kept(self) -> Any:
        """Call what was kept."""
        return self._function()

    def call_self(self, function: Callable[[], Any]) -> list[Any]:
        """Call a function of the host's, which may use this object meanwhile."""
        before = self._value
        return [before, function(), self._value]

    def _hidden(self) -> str:
        return "hidden"


class Tally(Counter):
    """Inherits, and tells of its end."""

    def __init__(self, start: int = 0, label: str = "", path: str = "") -> None:
        super().__init__(start)
        self.label = label
        self.path = path

    def name(self) -> str:
        """Return the label."""
        return self.label

    def __del__(self) -> None:
        if self.path:
            with contextlib.suppress(OSError), open(self.path, "a") as file:  # noqa: PTH123
                file.write(f"{self.label}\n")


class Asks:
    """Calls the host while it is made."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        self.answer = function("made")

    def told(self) -> Any:
        """Return what the host has said."""
        return self.answer


class Unregistered:
    """Not a class of this plugin."""


def make(start: int = 0) -> Counter:
    """Return a new counter."""
    return Counter(start)


def make_many(number: int) -> dict[str, list[Counter]]:
    """Return counters in containers."""
    return {"all": [Counter(start) for start in range(number)]}


def make_unregistered() -> dict[str, list[Any]]:
    """Return what cannot be sent."""
    return {"when": [1, Unregistered()]}


def use(counter: Counter, by: int) -> list[Any]:
    """Use every kind of member of an object of the plugin."""
    counter.inc(by)
    counter.value += 1
    return [counter.value, counter.double, counter.inc(by=2)]


def use_nested(container: dict[str, list[Counter]]) -> list[int]:
    """Use objects in containers."""
    return [counter.inc() for counters in container.values() for counter in counters]


def same(counter: Counter) -> list[Counter]:
    """Return an object that was given."""
    return [counter]
