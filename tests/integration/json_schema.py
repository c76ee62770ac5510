"""As much of JSON Schema 2020-12 as the schema of documents uses; a word that it does not know is a failure, so that none goes unchecked."""
import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float), "integer": int}


def is_type(value, name):
    return isinstance(value, TYPES[name]) and (name in ("boolean",) or not isinstance(value, bool))


CHECKS = {
    "type": lambda v, want, *_: is_type(v, want),
    "const": lambda v, want, *_: v == want and type(v) is type(want),
    "enum": lambda v, want, *_: v in want,
    "pattern": lambda v, want, *_: not isinstance(v, str) or re.search(want, v) is not None,
    "minLength": lambda v, want, *_: not isinstance(v, str) or len(v) >= want,
    "maxLength": lambda v, want, *_: not isinstance(v, str) or len(v) <= want,
    "minimum": lambda v, want, *_: not is_type(v, "number") or v >= want,
    "maximum": lambda v, want, *_: not is_type(v, "number") or v <= want,
    "minItems": lambda v, want, *_: not isinstance(v, list) or len(v) >= want,
    "maxItems": lambda v, want, *_: not isinstance(v, list) or len(v) <= want,
    "minProperties": lambda v, want, *_: not isinstance(v, dict) or len(v) >= want,
    "maxProperties": lambda v, want, *_: not isinstance(v, dict) or len(v) <= want,
    "required": lambda v, want, *_: not isinstance(v, dict) or all(name in v for name in want),
    "properties": lambda v, want, _, root: not isinstance(v, dict) or all(fits(v[k], s, root) for k, s in want.items() if k in v),
    "propertyNames": lambda v, want, _, root: not isinstance(v, dict) or all(fits(k, want, root) for k in v),
    "additionalProperties": lambda v, want, schema, root: not isinstance(v, dict)
    or all(want is not False and fits(v[k], want, root) for k in v if k not in schema.get("properties", {})),
    "items": lambda v, want, _, root: not isinstance(v, list) or all(fits(item, want, root) for item in v),
    "anyOf": lambda v, want, _, root: any(fits(v, s, root) for s in want),
    "allOf": lambda v, want, _, root: all(fits(v, s, root) for s in want),
    "if": lambda v, want, schema, root: not fits(v, want, root) or fits(v, schema["then"], root),
    "$ref": lambda v, want, _, root: fits(v, root["$defs"][want[len("#/$defs/"):]], root),
}
SAY_NOTHING = {"$schema", "$defs", "title", "description", "default", "then"}


def fits(value, schema, root):
    """Whether `value` is as `schema`, a part of `root`, says."""
    return all(CHECKS[word](value, want, schema, root) for word, want in schema.items() if word not in SAY_NOTHING)


def leaves(schema, path=""):
    """(path, schema) of each field: "retries.attempts", "routes[].name"; what is a choice of forms has the fields of all of them."""
    for form in schema.get("anyOf", [schema]):
        if "items" in form:
            yield from leaves(form["items"], path + "[]")
        elif "properties" in form:
            for name, inner in form["properties"].items():
                yield (path + "." + name).lstrip("."), inner
                yield from leaves(inner, (path + "." + name).lstrip("."))
        elif isinstance(form.get("additionalProperties"), dict):
            yield from leaves(form["additionalProperties"], path + ".*")
