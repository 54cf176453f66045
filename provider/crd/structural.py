"""A model's JSON schema as the structural schema that the API server takes, with CEL rules instead of patterns.

The API server says of a pattern only that it does not match; a CEL rule says what is wanted, in words. So each pattern
becomes a rule with the sentence that `provider.api.fields` gives it. References are filled in, and an optional field is
absent instead of null.
"""

from collections.abc import Set
from typing import Any

from pydantic import BaseModel

from provider.api.fields import MESSAGE

Schema = dict[str, Any]

RULES = "x-kubernetes-validations"
INT_OR_STRING = "x-kubernetes-int-or-string"

_KEPT = (
    *("type", "description", "default", "enum", "format", "required"),
    *("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", INT_OR_STRING),
)


def structural(model: type[BaseModel]) -> Schema:
    """The schema of a part of an object."""
    schema = model.model_json_schema(by_alias=True)
    return _made(schema, schema.get("$defs", {}))


def _made(schema: Schema, definitions: Schema) -> Schema:
    schema = _resolved(schema, definitions)
    made = {key: schema[key] for key in _KEPT if key in schema}
    if made.get("default", 0) in (None, "", {}, []):
        del made["default"]
    if "const" in schema:
        made["enum"] = [schema["const"]]
    if made.get(INT_OR_STRING):
        del made["type"]
    if "properties" in schema:
        made["properties"] = {name: _made(each, definitions) for name, each in schema["properties"].items()}
        _default_of_parts(made, {name for name, each in schema["properties"].items() if "anyOf" in each})
    for values in (schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()):
        if isinstance(values, dict):
            made["additionalProperties"] = _made(values, definitions)
    if "items" in schema:
        made["items"] = _made(schema["items"], definitions)
    if rules := _rules(schema):
        made[RULES] = rules
    return made


def _default_of_parts(made: Schema, absent: Set[str]) -> None:
    """An optional part whose fields have defaults is made, so that people see the defaults in their object.

    Not one of which it means something that it is absent.
    """
    required = made.get("required", ())
    for name, each in made["properties"].items():
        parts = each.get("properties", {})
        if name in absent or name in required or each.get("required"):
            continue
        if any("default" in part for part in parts.values()):
            each["default"] = {}


def _rules(schema: Schema) -> list[Schema]:
    """Those of the pattern, of the pattern of a map's keys, and those that the model has."""
    found: list[Schema] = []
    if "pattern" in schema:
        subject = "string(self)" if schema.get(INT_OR_STRING) else "self"
        found.append(_rule(f"{subject}.matches({_quoted(schema['pattern'])})", schema))
    for pattern in schema.get("patternProperties", {}):
        keys = schema["propertyNames"]
        matches = f"key.size() <= {keys['maxLength']} && key.matches({_quoted(pattern)})"
        found.append(_rule(f"self.all(key, {matches})", keys))
    return found + [{"rule": each["rule"], "message": each["message"]} for each in schema.get(RULES, ())]


def _rule(rule: str, schema: Schema) -> Schema:
    return {"rule": rule, "message": schema[MESSAGE]}


def _quoted(pattern: str) -> str:
    """A raw CEL string."""
    assert "'" not in pattern
    return f"r'{pattern}'"


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """Without references, and without the `null` that an optional field may be."""
    own = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf")}
    if "anyOf" in schema:
        (inner,) = [each for each in schema["anyOf"] if each.get("type") != "null"]
    elif "$ref" in schema:
        inner = definitions[schema["$ref"].rpartition("/")[2]]
    else:
        return schema
    inner = _resolved(inner, definitions)
    both = {**inner, **own}
    if rules := [*inner.get(RULES, ()), *own.get(RULES, ())]:
        both[RULES] = rules
    return both
