"""The figures of the calls as one SVG: for each body and number of callers a group of bars, beside raw libcurl's."""

import math

import measure
import report

COLOURS = {"mesh": "#1b7837", "nginx": "#e08214", "haproxy": "#8073ac"}
LABELS = {"mesh": "mesh_call", "nginx": "nginx sidecars", "haproxy": "haproxy sidecars"}
PANELS = [("p50", "Latency (p50), in multiples of raw libcurl's"), ("allCpu", "CPU of all processes a call, in multiples of raw libcurl's")]
WIDTH, LEFT, RIGHT = 960, 56, 16
PANEL_HEIGHT, PANEL_TOP, PANEL_GAP = 200, 96, 84


def text(x, y, words, size=12, anchor="start", fill="#333", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" font-weight="{weight}">{words}</text>'


def bar(x, y, width, height, colour, title):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"><title>{title}</title></rect>'


def line(x1, y1, x2, y2, colour, width=1.0, dash=""):
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"{dashed}/>'


def groups(found, figure):
    """(label of the group, {way: ratio to raw}) for each cell."""
    return [(cell, {name: measure.ratio(cell, name, "raw", figure) for name in COLOURS}) for cell in found["calls"]["cells"]]


def axis(top, height, highest):
    """Lines across at round values; how tall 1 is."""
    unit = height / highest
    step = next(n for n in (1, 2, 5, 10, 20, 50, 100, 1000, 10000) if highest / n <= 8 or n == 10000)
    parts = []
    for value in range(0, int(highest) + 1, step):
        y = top + height - value * unit
        parts += [line(LEFT, y, WIDTH - RIGHT, y, "#ddd"), text(LEFT - 8, y + 4, f"{value}", anchor="end", fill="#666")]
    return parts, unit


def panel(found, figure, title, top):
    cells = groups(found, figure)
    highest = math.ceil(max([1.2] + [q["high"] for _, ways in cells for q in ways.values()]) * 1.08)
    parts, unit = axis(top, PANEL_HEIGHT, highest)
    bottom = top + PANEL_HEIGHT
    group_width = (WIDTH - LEFT - RIGHT) / len(cells)
    bar_width = min(22.0, group_width * 0.8 / len(COLOURS))
    for i, (cell, ways) in enumerate(cells):
        middle = LEFT + group_width * (i + 0.5)
        for j, (name, q) in enumerate(ways.items()):
            x = middle + (j - len(COLOURS) / 2) * bar_width
            height = q["median"] * unit
            parts.append(bar(x + 1, bottom - height, bar_width - 2, height, COLOURS[name], f"{LABELS[name]}: {q['median']:.2f}"))
            parts.append(line(x + bar_width / 2, bottom - q["low"] * unit, x + bar_width / 2, bottom - q["high"] * unit, "#222", 1.2))
            parts.append(text(x + bar_width / 2, bottom - max(height, q["high"] * unit) - 4, f"{q['median']:.1f}", 10, "middle", "#444"))
        parts.append(text(middle, bottom + 16, report.where(cell).replace(", ", " × "), 11, "middle"))
    parts.append(line(LEFT, bottom - unit, WIDTH - RIGHT, bottom - unit, "#b2182b", 1.4, "5 3"))
    return [text(LEFT, top - 14, title, 14, weight="bold")] + parts


def legend(y):
    parts, x = [], LEFT
    for name, colour in COLOURS.items():
        parts += [bar(x, y - 10, 12, 12, colour, LABELS[name]), text(x + 18, y, LABELS[name])]
        x += 150
    parts += [line(x, y - 4, x + 24, y - 4, "#b2182b", 1.4, "5 3"), text(x + 30, y, "raw libcurl = 1")]
    return parts


def draw(found):
    """The SVG's text. Groups are body × callers; whiskers are the quartiles of the rounds."""
    height = PANEL_TOP + len(PANELS) * PANEL_HEIGHT + (len(PANELS) - 1) * PANEL_GAP + 40
    parts = [f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', text(LEFT, 28, "The same request over mutual TLS: body × callers; whiskers are quartiles; lower is better", 15, weight="bold")]
    parts += legend(54)
    for i, (figure, title) in enumerate(PANELS):
        parts += panel(found, figure, title, PANEL_TOP + i * (PANEL_HEIGHT + PANEL_GAP))
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">\n' + "\n".join(parts) + "\n</svg>\n"
