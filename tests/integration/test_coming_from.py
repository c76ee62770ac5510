"""docs/COMING-FROM.md: what it names of ours exists, and what exists has a place in it."""

import json
import os
import re
import unittest

from support import SRC


def read(*path):
    with open(os.path.join(SRC, *path), encoding="utf-8") as f:
        return f.read()


def fields():
    """The paths of all fields in force, by the schema."""
    schema = json.loads(read("docs", "mesh.schema.json"))
    found = set()

    def walk(node, path):
        while "$ref" in node:
            node = schema["$defs"][node["$ref"].split("/")[-1]]
        for way in ("anyOf", "oneOf", "allOf"):
            for one in node.get(way, []):
                walk(one, path)
        for name, value in node.get("properties", {}).items():
            found.add(".".join(path + [name]))
            walk(value, path + [name])
        for below in ("items", "additionalProperties"):
            if isinstance(node.get(below), dict):
                walk(node[below], path)

    for kind in schema["$defs"].values():
        walk(kind, [])
    return found


def not_yet():
    """The words that CONFIGURATION says are not in force yet."""
    section = re.search(r"^## Not in force yet\n(.*?)^(?:```|## )", read("docs", "CONFIGURATION.md"), re.M | re.S)
    return set(re.findall(r"`(\w+)`", section.group(1))) - {"kind", "policy"} if section else set()


def ours():
    """What the page names in code in the column that is ours."""
    page = read("docs", "COMING-FROM.md")
    of_theirs, of_ours = page.split("\n## In none of theirs\n")
    cells = [line.split(" | ", 1)[1] for line in of_theirs.splitlines() if line.startswith("| ")] + [line.split(" | ", 1)[0] for line in of_ours.splitlines() if line.startswith("| ")]
    return [token for cell in cells for token in re.findall(r"`([^`]+)`", cell)]


FIELD = re.compile(r"^(?!mesh_|kind: )[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*(: \w+)?$")


class ComingFrom(unittest.TestCase):
    def test_every_field_that_is_named_as_ours_exists(self):
        known, later = fields(), not_yet()
        wrong = [t for t in self.named_fields() if t not in known and not set(t.split(".")[:2]) & later]
        self.assertEqual(wrong, [])
        self.assertGreater(len(set(self.named_fields())), 80)

    def named_fields(self):
        return [t.split(": ")[0] for t in ours() if FIELD.match(t)]

    def test_every_other_word_of_ours_exists(self):
        commands = set(re.findall(r'const struct ctl_command ctl_\w+ = \{\s*"([a-z -]+)"', "".join(read("ctrl", "meshctl", name) for name in os.listdir(os.path.join(SRC, "ctrl", "meshctl")) if name.startswith("cmd_"))))
        kinds = set(re.findall(r'^\tX\([A-Z]+, "(\w+)", "\w+"\)', read("lib", "policy", "document.h"), re.M))
        calls = set(re.findall(r"\b(mesh_\w+)\(", read("include", "meshlib", "mesh.h")))
        metrics = set(re.findall(r"`(meshd?_\w+)`", read("docs", "OPERATIONS.md")))
        n = 0
        for token in ours():
            n += not FIELD.match(token)
            if token.startswith("meshctl "):
                words = token.split()[1:]
                self.assertTrue(words[0] in commands or " ".join(words[:2]) in commands, token)
            elif token.startswith("mesh_"):
                self.assertTrue(token in calls or token in metrics, token)
            elif token.startswith("kind: "):
                self.assertIn(token[6:], kinds)
            else:
                self.assertRegex(token, FIELD)
        self.assertGreater(n, 30)

    def test_every_field_of_ours_has_its_place(self):
        named = set(self.named_fields())

        def has_place(path):
            """Itself, what is in it, or a map that it is in; not all that a list of many has."""
            steps = path.split(".")
            return any(name.startswith(path + ".") for name in named) or any(".".join(steps[:n]) in named for n in range(len(steps), 0, -1) if n == len(steps) or n > 1 or steps[0] not in ("routes", "authorization", "subsets"))

        self.assertEqual([path for path in sorted(fields()) if not has_place(path)], [], "say what they call it, or list it under \"In none of theirs\"")


if __name__ == "__main__":
    unittest.main()
