"""JSON Schemas (2020-12) of policy documents, for editors: made of the tables that the readers use.

A schema says what one document alone can get wrong: keys, types, closed words, shapes of names. What needs the other
documents or the engine (a field that nobody defines, an expression that does not compile) only `compile_bundle` says.
Whatever loads, the schemas accept.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fujie.policy.compile import DOCUMENT_NAME
from fujie.policy.schema_kinds import SPECS
from fujie.policy.schema_shapes import Shape, mapping, matching, text
from fujie.policy.source import API_VERSION

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EVERY = ""
"""The name of the schema for files that hold several kinds."""


def schema(kind: str) -> Shape:
    """Return the schema of a kind, or with `EVERY` of all kinds. Raises KeyError for a kind that is not known."""
    if kind != EVERY:
        return {"$schema": DIALECT, "title": f"fujie {kind}", **_document(kind)}
    return {
        "$schema": DIALECT,
        "title": "fujie policy document",
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": sorted(SPECS)}},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/{name}"},
            }
            for name in sorted(SPECS)
        ],
        "$defs": {name: _document(name) for name in sorted(SPECS)},
    }


def _document(kind: str) -> Shape:
    metadata = mapping(
        {"name": matching(DOCUMENT_NAME)},
        {"annotations": {"type": "object", "additionalProperties": text()}},
    )
    envelope = {"apiVersion": {"const": API_VERSION}, "kind": {"const": kind}}
    return mapping({**envelope, "metadata": metadata, "spec": SPECS[kind]})


SCHEMAS: Mapping[str, str] = MappingProxyType(
    {EVERY: "policy.json", **{kind: f"{kind}.json" for kind in sorted(SPECS)}}
)
"""Kind to the name of its file in `schemas/`."""
