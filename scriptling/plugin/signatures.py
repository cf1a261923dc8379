"""Signatures for ``help()`` and editors, from what a plugin tells of its functions (protocol section 3, schema)."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import Parameter, Signature

from scriptling.protocol.messages import ParameterSchema, SignatureSchema

_KINDS = {
    "positional_only": Parameter.POSITIONAL_ONLY,
    "positional_or_keyword": Parameter.POSITIONAL_OR_KEYWORD,
    "var_positional": Parameter.VAR_POSITIONAL,
    "keyword_only": Parameter.KEYWORD_ONLY,
    "var_keyword": Parameter.VAR_KEYWORD,
}


class SourceText:
    """A default or an annotation, of which only the source text is known; shown as that."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceText) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def signature_of(schema: SignatureSchema | None, first: Sequence[str] = ()) -> Signature | None:
    """Return a signature, or None if the plugin told none, or none that Python could have.

    :param first: names of parameters to put before those of the schema (``self``)
    """
    if schema is None:
        return None
    try:
        leading = [Parameter(name, Parameter.POSITIONAL_ONLY) for name in first]
        parameters = [*leading, *(_parameter(parameter) for parameter in schema.parameters)]
        return Signature(parameters, return_annotation=_text(schema.returns, Signature.empty))
    except (KeyError, ValueError):
        return None


def _parameter(schema: ParameterSchema) -> Parameter:
    default = _text(schema.default, Parameter.empty)
    annotation = _text(schema.annotation, Parameter.empty)
    return Parameter(schema.name, _KINDS[schema.kind], default=default, annotation=annotation)


def _text(text: str | None, empty: type) -> SourceText | type:
    return empty if text is None else SourceText(text)
