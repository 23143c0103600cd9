#!/usr/bin/python3
"""Validates documents against a JSON Schema in which no object may have a field that the schema does not describe, and checks that the
documents have every field and every form that it describes.

Usage: validate.py SCHEMA <DOCUMENTS   (a JSON array; each error is one line, and the exit status is 1 if there is one)
"""

import copy
import json
import sys

from jsonschema import Draft202012Validator


def closed(node):
    """Forbids other fields than those described, in the schema and all that is in it."""
    if isinstance(node, dict):
        for value in node.values():
            closed(value)
        if isinstance(node.get("properties"), dict):
            node["additionalProperties"] = False
    elif isinstance(node, list):
        for value in node:
            closed(value)
    return node


def deepest(error):
    """The error that is farthest inside of a value that has none of several forms."""
    inner = max(error.context, key=lambda inner: len(inner.absolute_path), default=error)
    return deepest(inner) if len(inner.absolute_path) > len(error.absolute_path) else error


class Coverage:
    """The fields and forms of a schema, and those that documents have."""

    def __init__(self, schema):
        self.schema = schema
        self.validator = Draft202012Validator(schema)
        self.seen = set()

    def described(self):
        """The pointers of all fields and forms."""
        pointers = set(self.of("#", self.schema))
        for name, node in self.schema["$defs"].items():
            pointers.update(self.of(f"#/$defs/{name}", node))
        return pointers

    def of(self, pointer, node):
        """The pointers below one node, without what it refers to."""
        for name, field in node.get("properties", {}).items():
            yield f"{pointer}/properties/{name}"
            yield from self.of(f"{pointer}/properties/{name}", field)
        for kind in ("oneOf", "anyOf"):
            for number, form in enumerate(node.get(kind, [])):
                yield f"{pointer}/{kind}/{number}"
                yield from self.of(f"{pointer}/{kind}/{number}", form)

    def walk(self, pointer, node, value):
        """Records which fields and forms a value has."""
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            self.walk(node["$ref"], self.schema["$defs"][name], value)
        for kind in ("oneOf", "anyOf"):
            for number, form in enumerate(node.get(kind, [])):
                if self.validator.evolve(schema=form).is_valid(value):
                    self.seen.add(f"{pointer}/{kind}/{number}")
                    self.walk(f"{pointer}/{kind}/{number}", form, value)
        for name, field in node.get("properties", {}).items():
            if isinstance(value, dict) and name in value:
                self.seen.add(f"{pointer}/properties/{name}")
                self.walk(f"{pointer}/properties/{name}", field, value[name])
        if isinstance(value, list):
            for item in value:
                self.walk(f"{pointer}/items", node.get("items", {}), item)


def main():
    """Prints what is wrong."""
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    schema = closed(copy.deepcopy(schema))
    coverage = Coverage(schema)
    errors = []
    for number, document in enumerate(json.load(sys.stdin)):
        for error in coverage.validator.iter_errors(document):
            error = deepest(error)
            place = "/".join(str(part) for part in error.absolute_path)
            errors.append(f"document {number}: {place or 'the document'}: {error.message[:300]}")
        coverage.walk("#", schema, document)
    errors += [f"no document has {pointer}" for pointer in sorted(coverage.described() - coverage.seen)]
    print("\n".join(errors), end="")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
