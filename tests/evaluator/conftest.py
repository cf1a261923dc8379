"""A script's folder with libraries in it, and an evaluator that this process lends itself to for one test."""

import builtins
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from scriptling.evaluator import Evaluator
from scriptling.registry import Handler


class Script:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._evaluator: Evaluator | None = None

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    def start(self, reload: bool = False) -> None:
        self._evaluator = Evaluator([self.folder], reload)
        self._evaluator.install()

    @property
    def evaluator(self) -> Evaluator:
        if self._evaluator is None:
            self.start()
        assert self._evaluator is not None
        return self._evaluator

    def call(self, handler: str | Handler, *args: Any, **kwargs: Any) -> Any:
        evaluator = self.evaluator
        evaluator.begin()
        try:
            return evaluator.function(Handler(handler) if isinstance(handler, str) else handler)(*args, **kwargs)
        finally:
            evaluator.end()

    def twice(self, handler: str, *args: Any) -> tuple[Any, Any]:
        """Call twice: the first finds the modules, the second takes the short cut."""
        return self.call(handler, *args), self.call(handler, *args)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    modules, path, finders, importing = dict(sys.modules), [*sys.path], [*sys.meta_path], builtins.__import__
    yield Script(tmp_path)
    builtins.__import__ = importing
    sys.path[:], sys.meta_path[:] = path, finders
    sys.modules.update(modules)
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def raised(script: Script) -> Callable[..., BaseException]:
    """Call a handler that raises, and return what it raised."""

    def call(handler: str | Handler, *args: Any) -> BaseException:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - each test looks at what it gets
            script.call(handler, *args)
        return caught.value

    return call
