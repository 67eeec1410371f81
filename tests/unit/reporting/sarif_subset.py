"""What we write of SARIF 2.1.0 as a JSON Schema: names, types and required properties of the OASIS schema, and what GitHub demands.

Nothing else is allowed, so a misspelt property fails here. GitHub ("SARIF support for code scanning"): each result needs a location with a
relative URI and a `startLine`, rules need `id`, the two descriptions and `help.text`; a run has at most 25,000 results, 20 tags to a rule.
"""

from __future__ import annotations

from typing import Any


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties, "additionalProperties": False}


_TEXT = {"type": "string", "minLength": 1}
_MESSAGE = _object("text", text=_TEXT)
_LEVEL = {"enum": ["note", "warning", "error"]}  # also "none", which we have no use for

_RULE = _object(
    "id shortDescription fullDescription help",
    id={"type": "string", "pattern": "^[A-Z]+$"},
    name={"type": "string", "pattern": "^[A-Z][A-Za-z]+$", "maxLength": 255},
    shortDescription=_object("text", text={"type": "string", "minLength": 1, "maxLength": 1024}),
    fullDescription=_object("text", text={"type": "string", "minLength": 1, "maxLength": 1024}),
    help=_object("text markdown", text=_TEXT, markdown=_TEXT),
    defaultConfiguration=_object("level", level=_LEVEL),
    properties={"type": "object", "properties": {"tags": {"type": "array", "maxItems": 20, "uniqueItems": True}}},
)

_RESULT = _object(
    "ruleId level message locations partialFingerprints",
    ruleId=_TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=_LEVEL,
    message=_MESSAGE,
    locations={
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": _object(
            "physicalLocation",
            physicalLocation=_object(
                "artifactLocation region",
                artifactLocation=_object(
                    "uri uriBaseId",
                    uri={"type": "string", "format": "uri-reference", "pattern": r"^(?!/)(?!\.\.?/)[A-Za-z0-9/._~%-]+$"},
                    uriBaseId={"const": "%SRCROOT%"},
                ),
                region=_object("startLine", startLine={"type": "integer", "minimum": 1}),
            ),
        ),
    },
    partialFingerprints={"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
)

_RUN = _object(
    "tool results",
    tool=_object(
        "driver",
        driver=_object(
            "name rules version",
            name=_TEXT,
            version=_TEXT,
            semanticVersion=_TEXT,
            rules={"type": "array", "uniqueItems": True, "items": _RULE},
        ),
    ),
    automationDetails=_object("id", id={"type": "string", "pattern": "^[A-Za-z0-9._/-]+/$"}),
    columnKind={"const": "unicodeCodePoints"},
    originalUriBaseIds={"type": "object", "additionalProperties": _object("description", description=_MESSAGE)},
    invocations={
        "type": "array",
        "items": _object(
            "executionSuccessful",
            executionSuccessful={"type": "boolean"},
            exitCode={"type": "integer"},
            toolExecutionNotifications={"type": "array", "items": _object("message", message=_MESSAGE, level=_LEVEL)},
        ),
    },
    results={"type": "array", "maxItems": 25_000, "items": _RESULT},
)

SCHEMA = _object(
    "version runs",
    **{
        "$schema": {"const": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "minItems": 1, "maxItems": 1, "items": _RUN},
    },
)
