"""The places in the documents that `make bench DOCS=1` rewrites: between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`."""

import os
import re

import picture
import report
import support


def path(*names):
    return os.path.join(support.SRC, *names)


def put(page, texts):
    """Replaces each marked place of a page by the text of its name; a place without a text is left alone."""
    with open(page, encoding="utf-8") as f:
        before = f.read()
    def replace(match):
        name = match[1]
        return f"<!-- bench:{name} -->\n\n{texts[name]}\n\n<!-- /bench:{name} -->" if name in texts else match[0]
    after = re.sub(r"<!-- bench:([a-z-]+) -->\n.*?<!-- /bench:\1 -->", replace, before, flags=re.S)
    with open(page, "w", encoding="utf-8") as f:
        f.write(after)


def rewrite(found):
    texts = {name: text for name, _, text in report.tables(found)}
    if "calls" in found:
        texts["short"] = report.short(found)
        with open(path("docs", "bench.svg"), "w", encoding="utf-8") as f:
            f.write(picture.draw(found))
    put(path("docs", "BENCHMARKS.md"), texts)
    put(path("README.md"), texts)
