#!/usr/bin/env python3
"""The house rules that a machine can check.

    tests/lint/lint.py [--build DIR] [--root DIR]

One line a finding: `file:line: what; remedy`.  Exit code 1 if there is any.
Each rule is a function that yields findings; test_lint.py shows each one fire.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys

FUNCTION_LINES_MAX = 80
FILE_LINES_MAX = 800

# Who may include whom: section 3 of the design, in one table.
ROOMS = {
    "base": "",
    "wire": "base",
    "policy": "base wire",
    "telemetry": "base wire",
    "io": "base wire",
    "http": "base wire io telemetry",
    "identity": "base wire io http",
    "control": "base wire io http identity policy telemetry",
    "export": "base wire io http telemetry",
    "outbound": "base wire policy telemetry io http identity control export",
    "inbound": "base wire policy telemetry io http identity control export",
    "api": "base wire policy telemetry io http identity control export outbound inbound",
}
PROGRAMS = {
    "meshca": "base wire io",
    "meshd": "base wire policy telemetry io http export",
    "meshctl": "base wire policy telemetry io http export",
}

# One adapter a dependency: header, and the only files that may include it.
ADAPTERS = [
    (r"curl/", r"lib/http/curl_\w+\.c"),
    (r"(mbedtls|psa)/", r"lib/io/mbed_\w+\.[ch]"),
    (r"uv(\.h|/)", r"lib/io/uv_\w+\.[ch]"),
    (r"llhttp(\.h|/)", r"lib/http/h1\.c"),
    (r"nghttp2/", r"lib/http/h2_session\.c"),
    (r"(cjson/)?cJSON\.h", r"lib/wire/json\.c"),
    (r"yaml\.h", r"lib/wire/yaml\.c"),
    (r"pcre2\.h", r"lib/policy/regex\.c"),
    (r"xxhash\.h", r"lib/policy/hash\.c"),
    (r"sqlite3\.h", r"ctrl/meshd/store_sqlite(_config)?\.[ch]"),
    (r"openssl/", r"lib/http/curl_peer(_ctx|_sessions)?\.c"),
]

BANNED = {
    "strcpy": "use the bounded copies of base/str.h",
    "strcat": "use base/buf.h",
    "sprintf": "use snprintf or base/buf.h",
    "vsprintf": "use vsnprintf or base/buf.h",
    "gets": "use fgets",
    "strtok": "it keeps state in a global; use strtok_r or a parser of your own",
    "atoi": "it hides errors; use the number parser of base/str.h",
    "atol": "it hides errors; use the number parser of base/str.h",
    "rand": "use the environment's dice (base/env.h)",
}
RAW_MEMORY = ("malloc", "calloc", "realloc", "free", "strdup", "strndup")
SLEEPS = ("sleep", "usleep", "nanosleep", "clock_nanosleep")
WAIT_MARK = "lint: waits for an event"


# --- reading ------------------------------------------------------------------

TOKENS = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)


def blank(text):
    return re.sub(r"[^\n]", " ", text)


class Source:
    """A file: its text, and the same with comments (and strings) blanked."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
            self.text = f.read()
        self.lines = self.text.split("\n")
        self._code = None

    def uncommented(self):
        return TOKENS.sub(lambda m: blank(m[0]) if m[0].startswith("/") else m[0], self.text)

    def code(self):
        """No comments, no strings, no preprocessor lines."""
        if self._code is None:
            text = TOKENS.sub(lambda m: blank(m[0]), self.text)
            directive = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
            self._code = directive.sub(lambda m: blank(m[0]), text)
        return self._code

    def code_with_macros(self):
        return TOKENS.sub(lambda m: blank(m[0]), self.text)

    def includes(self):
        """(line, delimiter, header) of each #include."""
        for m in re.finditer(r"^[ \t]*#[ \t]*include[ \t]*([<\"])([^>\"\n]+)[>\"]", self.uncommented(), re.M):
            yield line_of(self.text, m.start()), m[1], m[2]


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def find(root, folders, suffixes):
    for folder in folders:
        for base, dirs, files in os.walk(os.path.join(root, folder)):
            dirs[:] = sorted(d for d in dirs if d not in ("__pycache__", "corpus"))
            for name in sorted(files):
                if name.endswith(suffixes):
                    yield Source(root, os.path.relpath(os.path.join(base, name), root))


# --- rules: includes ----------------------------------------------------------

def included_room(own, header, delimiter):
    """The room or program that a header belongs to; None for a system header."""
    head = header.split("/")[0]
    if "/" in header and (head in ROOMS or head in PROGRAMS):
        return head
    return own if delimiter == '"' and "/" not in header else None


def rule_rooms(root):
    """The include table."""
    for src in find(root, ["lib", "ctrl"], (".c", ".h")):
        parts = src.path.split(os.sep)
        if len(parts) < 3:
            continue
        top, own = parts[0], parts[1]
        table = ROOMS if top == "lib" else PROGRAMS
        if own not in table:
            yield src.path, 1, "%s/%s is not in the design's table" % (top, own), \
                "put the file into a room, or add the room to the design and to tests/lint"
            continue
        allowed = set(table[own].split()) | {own}
        for line, delimiter, header in src.includes():
            room = included_room(own, header, delimiter)
            if room and room not in allowed:
                yield src.path, line, "%s/ may not include %s/ (%s)" % (own, room, header), \
                    "it may include: " + (", ".join(sorted(allowed - {own})) or "libc and pthread only")
            elif delimiter == '"' and room == own and "/" not in header:
                yield src.path, line, 'include "%s" does not name its room' % header, \
                    'write "%s/%s"' % (own, header)


def rule_public_header(root):
    """meshca and meshd know nothing of the public header."""
    for src in find(root, ["ctrl/meshca", "ctrl/meshd"], (".c", ".h")):
        for line, _, header in src.includes():
            if header.startswith("meshlib/"):
                yield src.path, line, "includes <%s>" % header, "only ctrl/meshctl builds on the public library"


def rule_adapters(root):
    """One adapter a dependency."""
    for src in find(root, ["lib", "ctrl", "include", "examples"], (".c", ".h")):
        for line, _, header in src.includes():
            for pattern, files in ADAPTERS:
                if re.match(pattern, header) and not re.fullmatch(files, src.path):
                    where = "nothing" if files == "(?!)" else files.replace("\\", "")
                    yield src.path, line, "includes <%s>" % header, \
                        "only %s may; go through its adapter" % where


# --- rules: size --------------------------------------------------------------

def functions(src):
    """(first line, last line, name) of each function body at file level."""
    code, depth, transparent, last_end, start = src.code(), 0, [], 0, None
    for m in re.finditer(r"[{};]", code):
        ch, at = m[0], m.start()
        if ch == "{":
            head = code[last_end:at].strip()
            if depth == 0 and head == "extern":       # extern "C" {
                transparent.append(depth)
                last_end = at + 1
                continue
            if depth == 0 and head.endswith(")") and "=" not in head.split("(")[0]:
                start = line_of(code, at - len(code[last_end:at].lstrip())), head
            depth += 1
        elif ch == "}":
            if depth == 0:
                if transparent:
                    transparent.pop()
                last_end = at + 1
                continue
            depth -= 1
            if depth == 0:
                if start:
                    name = re.search(r"(\w+)\s*\(", start[1])
                    yield start[0], line_of(code, at), name[1] if name else "?"
                    start = None
                last_end = at + 1
        elif depth == 0:
            last_end = at + 1


def rule_size(root):
    """Functions and files stay readable."""
    for src in find(root, ["lib", "ctrl", "include", "tests"], (".c", ".h")):
        n = src.text.count("\n")
        if n > FILE_LINES_MAX:
            yield src.path, n, "the file has %d lines, at most %d are allowed" % (n, FILE_LINES_MAX), \
                "split it by concept"
        for first, last, name in functions(src):
            if last - first + 1 > FUNCTION_LINES_MAX:
                yield src.path, first, "%s() has %d lines, at most %d are allowed" % (
                    name, last - first + 1, FUNCTION_LINES_MAX), "split it into steps"


# --- rules: calls -------------------------------------------------------------

def calls(src, names):
    pattern = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(names))
    code = src.code_with_macros()
    for m in pattern.finditer(code):
        yield line_of(code, m.start()), m[1]


def rule_banned(root):
    """Calls that hide errors or overrun."""
    for src in find(root, ["lib", "ctrl", "include", "examples", "tests"], (".c", ".h")):
        for line, name in calls(src, BANNED):
            yield src.path, line, "calls %s()" % name, BANNED[name]


def rule_memory(root):
    """All memory comes through base/mem."""
    for src in find(root, ["lib", "ctrl"], (".c", ".h")):
        if src.path == "lib/base/mem.c":
            continue
        for line, name in calls(src, RAW_MEMORY):
            yield src.path, line, "calls %s()" % name, "use base/mem.h, so that the allocator can be injected and made to fail"


def rule_sleep(root):
    """Tests wait for events, never for time."""
    remedy = "wait for the event, with a deadline (a waiting helper's own pause is marked `%s`)" % WAIT_MARK
    for src in find(root, ["tests"], (".c", ".h")):
        for line, name in calls(src, SLEEPS):
            if WAIT_MARK not in src.lines[line - 1]:
                yield src.path, line, "calls %s()" % name, remedy
    for src in find(root, ["tests"], (".py",)):
        for i, text in enumerate(src.lines, 1):
            code = re.sub(r"\"[^\"]*\"|'[^']*'", "", text).split("#")[0]
            if re.search(r"\btime\.sleep\s*\(|\bfrom time import\b.*\bsleep\b", code) and WAIT_MARK not in text:
                yield src.path, i, "calls time.sleep()", remedy


# --- rules: preprocessor ------------------------------------------------------

def include_guard(src):
    m = re.search(r"^[ \t]*#[ \t]*ifndef[ \t]+(\w+)[ \t]*\n[ \t]*#[ \t]*define[ \t]+\1\b", src.uncommented(), re.M)
    return line_of(src.text, m.start()) if m and src.path.endswith(".h") else 0


def rule_ifdef(root):
    """#if only inside an adapter."""
    adapters = "|".join(files for _, files in ADAPTERS)
    for src in find(root, ["lib", "ctrl", "include"], (".c", ".h")):
        if re.fullmatch(adapters, src.path):
            continue
        guard = include_guard(src)
        compiler = r"__cplusplus|__GNUC__" if src.path.startswith("include") else r"__cplusplus"
        for m in re.finditer(r"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)\b([^\n]*)", src.uncommented(), re.M):
            line = line_of(src.text, m.start())
            if line != guard and not re.search(compiler, m[2]):
                yield src.path, line, "#%s%s outside an adapter" % (m[1], m[2].rstrip()), \
                    "move the difference into the dependency's adapter"


# --- rules: the public face ---------------------------------------------------

HEADER = "include/meshlib/mesh.h"


def public_functions(root):
    src = Source(root, HEADER)
    for m in re.finditer(r"^MESH_API\b[^;{]*?\b(mesh_[a-z]\w*)\s*\(", src.code(), re.M):
        yield line_of(src.text, m.start(1)), m[1]


def words_in(root, folder, suffixes):
    words = set()
    for src in find(root, [folder], suffixes):
        words.update(re.findall(r"\bmesh_[a-z]\w*", src.text))
    return words


def rule_documented(root):
    """Every public function is documented, and used by a test."""
    if not os.path.exists(os.path.join(root, HEADER)):
        return
    docs = words_in(root, "docs", (".md", ".1", ".3", ".7", ".8"))
    tests = words_in(root, "tests", (".c", ".h", ".py"))
    for line, name in public_functions(root):
        if name not in docs:
            yield HEADER, line, "%s() is not in docs/" % name, "describe it in a man page or in docs/*.md"
        if name not in tests:
            yield HEADER, line, "%s() is used by no test" % name, "write the test that shows its contract"


def rule_header_alone(root):
    """The public header compiles alone, in every promised language."""
    if not os.path.exists(os.path.join(root, HEADER)):
        return
    cc, cxx = os.environ.get("CC", "gcc"), os.environ.get("CXX", "g++")
    for std in ("c99", "c11", "c17", "c++11", "c++20"):
        compiler, language = (cxx, "c++") if "++" in std else (cc, "c")
        if not shutil.which(compiler):
            print("lint: note: there is no %s, so %s was not compiled as %s" % (compiler, HEADER, std))
            continue
        r = subprocess.run([compiler, "-std=" + std, "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                            "-fsyntax-only", "-x", language, "-I" + os.path.join(root, "include"), "-"],
                           input="#include <meshlib/mesh.h>\n", capture_output=True, text=True, check=False)
        if r.returncode:
            first = next((t for t in r.stderr.split("\n") if "error" in t), r.stderr.strip())
            where = re.search(r"mesh\.h:(\d+)", first)
            yield HEADER, int(where[1]) if where else 1, "does not compile as %s: %s" % (
                std, first.split("error: ")[-1]), "keep to what C99 and C++11 share"


def exported(path):
    """Names that a built library shows to others."""
    args = ["nm", "--defined-only"] + (["-g"] if path.endswith(".a") else ["-D"]) + [path]
    out = subprocess.run(args, capture_output=True, text=True, check=True).stdout
    for m in re.finditer(r"^[0-9a-f]+ ([A-Za-z]) (\S+)$", out, re.M):
        if m[1] != "A":                                # the version's own name
            yield m[2].split("@")[0]


def rule_exports(root, build):
    """Only mesh_* leaves the libraries."""
    for name in ("lib/libmeshlib.so", "lib/libmeshlib.a"):
        path = os.path.join(build, name)
        if os.path.exists(path):
            for symbol in exported(path):
                if not re.match(r"mesh_[a-z]", symbol):
                    yield os.path.relpath(path, root), 1, "exports %s" % symbol, \
                        "make it static, or name it mesh__* and keep lib/meshlib.map as it is"


RULES = [rule_rooms, rule_public_header, rule_adapters, rule_size, rule_banned, rule_memory,
         rule_sleep, rule_ifdef, rule_documented, rule_header_alone]


def findings(root, build):
    for rule in RULES:
        yield from rule(root)
    yield from rule_exports(root, build)


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    p = argparse.ArgumentParser(description="Checks the house rules.")
    p.add_argument("--build", default="build")
    p.add_argument("--root", default=root)
    opt = p.parse_args()
    found = sorted(set(findings(opt.root, os.path.abspath(opt.build))))
    for path, line, what, remedy in found:
        print("%s:%d: %s; %s" % (path, line, what, remedy))
    print("lint: %d findings" % len(found) if found else "lint: clean")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
