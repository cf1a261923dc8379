"""Descriptions and signatures: from the source text for functions, from the objects for classes."""

import ast
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest

from scriptling.protocol.messages import FunctionSchema, ParameterSchema, SignatureSchema
from scriptling.registry import FunctionDeclaration, Handler
from scriptling.schema import (
    check_handler,
    describe,
    describe_callable,
    describe_class,
    describe_function,
    public_members,
)

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))

    return write


def described(folder: Path, reference: str) -> FunctionSchema:
    return describe_function(Handler(reference), [str(folder)])


def problem(folder: Path, reference: str) -> str | None:
    return check_handler(Handler(reference), [str(folder)])


def test_docstring_and_signature_without_importing(tmp_path: Path, write: Write) -> None:
    write(
        "handlers.py",
        '''
        raise SystemExit("imported")
        def add(a, /, b: int = 1 + 1, *rest: "str", key: list[int] | None = None, need, **more) -> float:
            """Add.

                Indented.
            """
        ''',
    )
    schema = described(tmp_path, "handlers.add")
    assert schema.name == "add"
    assert schema.description == "Add.\n\nIndented."
    assert schema.signature == SignatureSchema(
        [
            ParameterSchema("a", "positional_only"),
            ParameterSchema("b", "positional_or_keyword", "1 + 1", "int"),
            ParameterSchema("rest", "var_positional", None, "'str'"),
            ParameterSchema("key", "keyword_only", "None", "list[int] | None"),
            ParameterSchema("need", "keyword_only"),
            ParameterSchema("more", "var_keyword"),
        ],
        "float",
    )
    assert "handlers" not in sys.modules


def test_registered_name_is_the_name(tmp_path: Path, write: Write) -> None:
    write("handlers.py", "def add(a): 'Sum.'")
    declared = FunctionDeclaration("plus", Handler("handlers.add"))
    assert describe(declared, [str(tmp_path)]).name == "plus"
    assert describe(declared, [str(tmp_path)]).description == "Sum."


def test_schema_made_at_registration_is_taken(tmp_path: Path) -> None:
    made = FunctionSchema("f", "by value")
    assert describe(FunctionDeclaration("f", Handler("f", b"x"), schema=made), [str(tmp_path)]) is made


@pytest.mark.parametrize(
    "text",
    [
        "from impl import add",
        "from impl import *",
        "from middle import plus as add",
        "try:\n    from impl import add\nexcept ImportError:\n    add = None",
        "if True:\n    def add(a):\n        'Deep.'",
        "def add(x): 'Old.'\ndef add(a):\n    'Deep.'",
        "async def add(a):\n    'Deep.'",
        "@decorator\ndef add(a):\n    'Deep.'",
    ],
)
def test_definitions_are_found_where_they_are(tmp_path: Path, write: Write, text: str) -> None:
    write("impl.py", "def add(a):\n    'Deep.'")
    write("middle.py", "from impl import add as plus")
    write("handlers.py", text)
    schema = described(tmp_path, "handlers.add")
    assert schema.description == "Deep." or "except" in text
    assert problem(tmp_path, "handlers.add") is None


def test_packages_and_relative_imports(tmp_path: Path, write: Write) -> None:
    write("app/__init__.py", "from .api import create")
    write("app/api/__init__.py", "from .handlers import create\nfrom ..other import delete")
    write("app/api/handlers.py", "def create():\n    'Make.'")
    write("app/other.py", "def delete():\n    'Remove.'")
    write("space/deep/mod.py", "def f():\n    'Here.'")
    for reference in ("app.create", "app.api.create", "app.api.handlers.create"):
        assert described(tmp_path, reference).description == "Make."
    assert described(tmp_path, "app.api.delete").description == "Remove."
    assert described(tmp_path, "space.deep.mod.f").description == "Here."
    assert problem(tmp_path, "space.deep.mod.f") is None


def test_class_as_a_function_is_described_by_its_constructor(tmp_path: Path, write: Write) -> None:
    write("handlers.py", "class A:\n    'An A.'\n    def __init__(self, x=1): pass")
    schema = described(tmp_path, "handlers.A")
    assert schema.description == "An A."
    assert schema.signature == SignatureSchema([ParameterSchema("x", default="1")])


def test_functions_of_python_are_described_without_importing(tmp_path: Path) -> None:
    sys.modules.pop("colorsys", None)
    assert described(tmp_path, "os.path.join").description.startswith("Join two or more")
    assert described(tmp_path, "colorsys.rgb_to_hsv").signature is not None
    assert "colorsys" not in sys.modules
    assert described(tmp_path, "math.sqrt") == FunctionSchema("sqrt")
    for reference in ("os.path.join", "math.sqrt", "msgspec.json.encode", "colorsys.rgb_to_hsv", "time.time"):
        assert problem(tmp_path, reference) is None


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("handlers.ad", 'no handler handlers.ad: the library handlers has no "ad"; did you mean "add"?'),
        ("handlrs.add", 'no handler handlrs.add: there is no library "handlrs"; did you mean "handlers"?'),
        ("pkg.mood.f", 'no handler pkg.mood.f: there is no library "pkg.mood"; did you mean "mod"?'),
        (
            "colorsys.rgb_to_hvs",
            'no handler colorsys.rgb_to_hvs: the library colorsys has no "rgb_to_hvs"; did you mean',
        ),
        ("add", "'add' is no handler"),
        ("broken.f", "broken.py, line 2: "),
    ],
)
def test_mistakes_that_the_text_shows(tmp_path: Path, write: Write, reference: str, sentence: str) -> None:
    write("handlers.py", "def add(a): pass\ndef multiply(a): pass")
    write("pkg/__init__.py", "")
    write("pkg/mod.py", "")
    write("broken.py", "\ndef f(:")
    assert sentence in (problem(tmp_path, reference) or "")


@pytest.mark.parametrize(
    "text",
    [
        "globals()['add'] = lambda a: a",
        "def __getattr__(name): return print",
        "from nowhere import *",
        "import sys\nsetattr(sys.modules[__name__], 'add', print)",
        "exec('def add(): pass')",
        "def define():\n    global add\n    def add(): pass\ndefine()",
        "add = make()",
        "add: object = make()",
        "(add, other) = make()",
        "for add in make(): pass",
        "with make() as add: pass",
        "import add",
        "import add.more",
        "if (add := make()): pass",
        "class add: pass",
        "match make():\n    case {'x': add}: pass",
        "try: pass\nexcept E as add: pass",
    ],
)
def test_what_the_text_does_not_rule_out_is_no_mistake(tmp_path: Path, write: Write, text: str) -> None:
    write("handlers.py", text)
    assert problem(tmp_path, "handlers.add") is None
    described(tmp_path, "handlers.add")


def test_functions_by_value_are_not_looked_up(tmp_path: Path) -> None:
    assert check_handler(Handler("add", b"pickled"), [str(tmp_path)]) is None
    assert describe_function(Handler("add", b"pickled"), [str(tmp_path)]) == FunctionSchema("add")


def test_large_module_is_parsed_once(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("many.py", "\n".join(f"def f{i}(a, b=1):\n    'Text {i}.'" for i in range(1000)))
    parsed: list[str] = []
    parse = ast.parse

    def counting(text: bytes, name: str) -> ast.Module:
        parsed.append(name)
        return parse(text, name)

    monkeypatch.setattr(ast, "parse", counting)
    for i in range(1000):
        assert described(tmp_path, f"many.f{i}").description == f"Text {i}."
        assert problem(tmp_path, f"many.f{i}") is None
    assert len(parsed) == 1


def test_import_cycles_end(tmp_path: Path, write: Write) -> None:
    write("a.py", "from b import f")
    write("b.py", "from a import f")
    assert described(tmp_path, "a.f") == FunctionSchema("f")


# Objects


class Base:
    """What a base is."""

    def inherited(self) -> None:
        """From the base."""

    @property
    def plain(self) -> int:
        """Read only."""
        return 1


class Thing(Base):
    """A thing."""

    limit = 3

    class Nested:
        pass

    def __init__(self, size: int, *, colour: str = "red") -> None:
        """Make one."""
        self.size = size
        self._colour = colour

    def grow(self, by: int = 1, how: Any = print) -> "Thing":
        """Make it larger."""
        self.size += by
        return how(self)  # type: ignore[no-any-return]

    @classmethod
    def make(cls, n: int) -> None:
        """Another way."""

    @staticmethod
    def help(topic: str) -> None:
        """No self."""

    @property
    def value(self) -> int:
        """The value."""
        return self.size

    @value.setter
    def value(self, value: int) -> None:
        self.size = value

    @functools.cached_property
    def slow(self) -> int:
        """Once."""
        return 1

    def _private(self) -> None: ...

    def __del__(self) -> None: ...


def test_class_with_everything() -> None:
    schema = describe_class("Thing", Thing)
    assert schema.description == "A thing."
    assert schema.constructor == FunctionSchema(
        "Thing",
        "Make one.",
        signature=SignatureSchema(
            [ParameterSchema("size", annotation="int"), ParameterSchema("colour", "keyword_only", "'red'", "str")],
            "None",
        ),
    )
    assert [method.name for method in schema.methods] == ["grow", "make", "help", "inherited"]
    assert [method.description for method in schema.methods][-1] == "From the base."
    assert schema.methods[0].signature == SignatureSchema(
        [ParameterSchema("by", default="1", annotation="int"), ParameterSchema("how", default="...", annotation="Any")],
        "Thing",
    )
    signatures = [method.signature for method in schema.methods[1:3]]
    assert [signature and signature.parameters[0].name for signature in signatures] == ["n", "topic"]
    assert [(p.name, p.settable, p.description) for p in schema.properties] == [
        ("value", True, "The value."),
        ("slow", False, "Once."),
        ("plain", False, "Read only."),
    ]


def test_class_without_words_has_no_description() -> None:
    class Bare:
        pass

    schema = describe_class("Bare", Bare)
    assert (schema.description, schema.methods, schema.properties) == ("", [], [])
    assert schema.constructor is not None
    assert schema.constructor.description == ""


def test_class_derived_from_a_builtin() -> None:
    class Stack(list[int]):
        pass

    assert {"append", "pop"} <= public_members(Stack)[0].keys()
    assert "append" in {method.name for method in describe_class("Stack", Stack).methods}


def test_callables() -> None:
    assert describe_callable("f", lambda x, *y: x).signature == SignatureSchema(
        [ParameterSchema("x"), ParameterSchema("y", "var_positional")]
    )
    assert describe_callable("add", Thing.grow).description == "Make it larger."
    assert describe_callable("p", functools.partial(max, 1)).name == "p"


def test_half_surrogates_in_docstrings_can_be_sent(tmp_path: Path, write: Write) -> None:
    write("handlers.py", "def f():\n    'half \\ud800'")
    msgspec.json.encode(described(tmp_path, "handlers.f"))
