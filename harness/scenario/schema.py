"""The JSON Schema of scenario files, for editors: generated from the models, with every fault's, check's and store's own keys.

It accepts whatever the loader accepts, so a value may also be a `${{ matrix.x }}`, and a file that `extends` another may
lack what the other has. What only the loader can tell (names of workers, times that outlast one another) is left to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.model.scenario import Scenario, TimelineItem
from harness.ports.registry import Registry
from harness.scenario.schedule import CALL_KEYS

__all__ = ["SCHEMA_PATH", "build_schema", "schema_text", "write_schema"]

#: The committed copy, which scenario files name in their first line.
SCHEMA_PATH = Path(__file__).with_name("schema.json")

Schema = dict[str, Any]

_PLACEHOLDER: Schema = {"type": "string", "pattern": r"\$\{\{.*\}\}", "description": "a value of the matrix: ${{ matrix.name }}"}
_PLACEHOLDER_REF: Schema = {"$ref": "#/$defs/placeholder"}
#: pydantic's limits of a duration are of its seconds; the schema's value is text.
_NUMERIC_LIMITS = ("gt", "ge", "lt", "le", "exclusiveMinimum", "exclusiveMaximum", "minimum", "maximum")
#: Read before the matrix is filled in.
_LITERAL = ("version", "extends", "matrix")

#: A file that says what to explore needs no calls.
_ONLY_EXPLORED: Schema = {
    "required": ["explore"],
    "not": {"anyOf": [{"required": ["load"]}, {"required": ["locust"]}, {"required": ["schedule"]}]},
}


def build_schema(registry: Registry) -> Schema:
    """The schema for what this registry knows; the same registry gives the same schema, key by key."""
    definitions: Schema = {}
    root = _model_schema(Scenario, "", definitions)
    properties = root["properties"]
    system = definitions["System"]
    _name_brokers(system, definitions, registry)
    system["properties"]["services"]["additionalProperties"] = _services(registry, definitions)
    properties["timeline"]["items"] = _timeline(registry, definitions)
    properties["schedule"]["items"] = _schedule(definitions)
    definitions.pop("Step", None)
    properties["checks"] = _checks(registry, definitions, properties["checks"])
    whole = {
        "required": [name for name in root.pop("required") if name != "load"],
        "properties": {"system": {"required": system.pop("required")}},
        "oneOf": [{"required": ["load"]}, {"required": ["locust"]}, {"required": ["schedule"]}, _ONLY_EXPLORED],
    }
    for name, definition in definitions.items():
        definitions[name] = _open(definition)
    for name, value in properties.items():
        properties[name] = value if name in _LITERAL else _or_placeholder(_open(value))
    definitions["placeholder"] = _PLACEHOLDER
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "celery-harness scenario",
        **root,
        "description": "What is started, what is sent to it, what goes wrong meanwhile, and what must hold.",
        "if": {"not": {"required": ["extends"]}},
        "then": whole,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text(registry: Registry) -> str:
    """The schema as the committed file has it."""
    return json.dumps(build_schema(registry), indent=2, ensure_ascii=False) + "\n"


def write_schema(registry: Registry, path: Path = SCHEMA_PATH) -> Path:
    """Write the committed copy; its path."""
    path.write_text(schema_text(registry), encoding="utf-8")
    return path


def _model_schema(model: type[BaseModel], prefix: str, definitions: Schema) -> Schema:
    """A model's schema; what it refers to goes into ``definitions`` under names that start with ``prefix``."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    for name, definition in schema.pop("$defs", {}).items():
        definitions[prefix + name] = _tidied(definition)
    tidied: Schema = _tidied(schema)
    return tidied


def _tidied(schema: Any) -> Any:
    """Without the titles that pydantic makes up, and with durations as people write them."""
    if isinstance(schema, list):
        return [_tidied(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        key: {name: _tidied(value) for name, value in inner.items()} if key in ("properties", "$defs") else _tidied(inner)
        for key, inner in schema.items()
        if not (key == "title" and isinstance(inner, str)) and not (key == "default" and (inner is None or isinstance(inner, dict)))
    }
    if tidy.get("type") == "string":
        for limit in _NUMERIC_LIMITS:
            tidy.pop(limit, None)
        default = tidy.get("default")
        if isinstance(default, (int, float)):
            tidy["default"] = f"{default:g}s" if tidy.get("examples") == ["5s"] else f"{default:g}"
    return tidy


def _one_of(names: Iterable[str], description: str) -> Schema:
    known = sorted(names)
    return {"type": "string", "description": description, **({"enum": known} if known else {})}


def _name_brokers(system: Schema, definitions: Schema, registry: Registry) -> None:
    kinds = _one_of(registry.brokers, "kind of broker")
    for role in ("broker", "backend"):
        members = system["properties"][role]["anyOf"]
        system["properties"][role]["anyOf"] = [kinds if member == {"type": "string"} else member for member in members]
    definitions["BrokerSpec"]["properties"]["kind"] = kinds
    # The extended file may have the kind.
    definitions["BrokerSpec"].pop("required", None)


def _services(registry: Registry, definitions: Schema) -> Schema:
    """`sqlite`, or `{http: {...}}`."""
    members: list[Schema] = [_one_of(registry.stores, "kind of service")]
    for kind, store in sorted(registry.stores.items()):
        parameters = _optional(_model_schema(store.Parameters, f"service.{kind}.", definitions))
        definitions[f"service.{kind}"] = {"description": store.summary, **parameters}
        value: Schema = {"anyOf": [{"$ref": f"#/$defs/service.{kind}"}, {"type": "null"}]}
        members.append({"type": "object", "properties": {kind: value}, "required": [kind], "additionalProperties": False})
    return {"anyOf": members}


def _timeline(registry: Registry, definitions: Schema) -> Schema:
    """One alternative per fault, told apart by its name, so that an editor completes the right keys."""
    planning = _model_schema(TimelineItem, "", definitions)["properties"]
    definitions.pop("TimelineItem", None)
    members: list[Schema] = []
    for name, fault in sorted(registry.faults.items()):
        own = _model_schema(fault.Parameters, f"fault.{name}.", definitions)
        itself = {"const": name, "description": fault.summary}
        definitions[f"fault.{name}"] = {
            "type": "object",
            "description": fault.summary,
            "properties": {"fault": itself, **_without(planning, "fault"), **own.get("properties", {})},
            "required": ["fault", *own.get("required", [])],
            "oneOf": [{"required": ["at"]}, {"required": ["when"]}],
            "additionalProperties": False,
        }
        members.append({"$ref": f"#/$defs/fault.{name}"})
    any_fault: Schema = {"type": "object", "properties": {"fault": _PLACEHOLDER_REF, **_without(planning, "fault")}, "required": ["fault"]}
    return {"anyOf": [*members, any_fault]}


def _schedule(definitions: Schema) -> Schema:
    """A call without its time, a fault without its `at`, `heal` or `wait`."""
    call = definitions["LoadItem"]
    definitions["call"] = {**call, "properties": {name: value for name, value in call["properties"].items() if name in CALL_KEYS}}
    members: list[Schema] = [{"$ref": "#/$defs/call"}]
    for name in [name for name in definitions if name.startswith("fault.")]:
        if definitions[name].get("properties", {}).get("fault", {}).get("const") is None:
            continue
        own = {**_without(definitions[name]["properties"], "at"), "as": {"type": "string", "description": "a name for `heal`"}}
        definitions[f"step.{name}"] = {**_without(definitions[name], "oneOf"), "properties": own}
        members.append({"$ref": f"#/$defs/step.{name}"})
    for kind, meaning in (("heal", "the name of a fault before it, or `all`"), ("wait", "a time such as 500ms, or `quiet`")):
        value: Schema = {"type": "string", "description": meaning}
        members.append({"type": "object", "properties": {kind: value}, "required": [kind], "additionalProperties": False})
    return {"anyOf": members}


def _checks(registry: Registry, definitions: Schema, written: Schema) -> Schema:
    """A key per check; `thresholds` has its own place in the file."""
    properties: Schema = {}
    for name, check in sorted(registry.checks.items()):
        if name == "thresholds":
            continue
        parameters = _optional(_model_schema(check.Parameters, f"check.{name}.", definitions))
        definitions[f"check.{name}"] = {**parameters, "description": check.summary}
        properties[name] = {"anyOf": [{"$ref": f"#/$defs/check.{name}"}, {"type": "null"}], "description": check.summary}
    return {**_without(written, "additionalProperties"), "properties": properties, "additionalProperties": False}


def _without(schema: Mapping[str, Any], key: str) -> Schema:
    return {name: value for name, value in schema.items() if name != key}


def _optional(schema: Schema) -> Schema:
    """Mappings are merged with the extended file's, which may have the required keys."""
    return _without(schema, "required")


def _open(schema: Schema) -> Schema:
    """The same with a placeholder allowed for every value further in."""
    opened = dict(schema)
    if "properties" in opened:
        opened["properties"] = {
            name: value if "const" in value else _or_placeholder(_open(value)) for name, value in opened["properties"].items()
        }
    if isinstance(opened.get("items"), dict):
        opened["items"] = _or_placeholder(_open(opened["items"]))
    if isinstance(opened.get("additionalProperties"), dict):
        opened["additionalProperties"] = _or_null(_or_placeholder(_open(opened["additionalProperties"])))
    for several in ("anyOf", "oneOf", "allOf"):
        if several in opened:
            opened[several] = [_open(member) for member in opened[several]]
    return opened


def _or_placeholder(schema: Schema) -> Schema:
    members = schema.get("anyOf", [schema])
    if not schema or schema == _PLACEHOLDER_REF or any(_takes_any_text(member) for member in members):
        return schema
    return _alternative(schema, _PLACEHOLDER_REF)


def _or_null(schema: Schema) -> Schema:
    """In a file that extends another, null removes an entry."""
    return _alternative(schema, {"type": "null"}) if schema and {"type": "null"} not in schema.get("anyOf", []) else schema


def _alternative(schema: Schema, other: Schema) -> Schema:
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], other]}
    outer = {key: value for key, value in schema.items() if key in ("description", "default")}
    return {**outer, "anyOf": [_without(_without(schema, "description"), "default"), other]}


def _takes_any_text(schema: Mapping[str, Any]) -> bool:
    if not schema or schema == _PLACEHOLDER_REF or schema == {"description": schema.get("description")}:
        return True
    return schema.get("type") == "string" and not {"pattern", "enum", "const", "format"} & set(schema)
