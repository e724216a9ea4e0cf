"""Charts by gnuplot, as PNG files on a white ground: they look the same on a light and on a dark page."""
import os
import shutil
import statistics
import subprocess
from collections import namedtuple

from harness.job import JOBS
from harness.process import Failure
from harness.server import FLAVOURS
from harness.summary import TITLES, Figures

OURS_COLOUR = "#174ea6"
PEER_COLOURS = {
    "nbdkit-file": "#8d9399",
    "qemu-raw": "#b9bec3",
    "nbd-server": "#63696f",
    "nbdkit-luks": "#8d9399",
    "qemu-luks": "#b9bec3",
}
# Lines of ours differ by their dashes, which a colour could not show on every screen and printer.
DASHES = {"nbdcrypt-raw": 3, "nbdcrypt-luks2-512": 2}

# Beside bars and lines.
NAMES = {
    "nbdkit-file": "nbdkit",
    "qemu-raw": "qemu-nbd",
    "nbd-server": "nbd-server",
    "nbdkit-luks": "nbdkit + luks filter",
    "qemu-luks": "qemu-nbd luks",
    "nbdcrypt-raw": "nbdcrypt",
    "nbdcrypt-luks1": "nbdcrypt LUKS1",
    "nbdcrypt-luks2-512": "nbdcrypt LUKS2, 512",
    "nbdcrypt-luks2-4096": "nbdcrypt LUKS2, 4096",
}

# Above the bars of a kind; what is in the clear is not to be compared with what is encrypted.
KINDS = (("encrypted", True), ("plaintext", False))

WIDTH_PX = 1200
BAR_PX = 21  # from one bar to the next

# what of the measurements, column of the CSV, what its values are divided by, the unit, a panel for each job
BarRow = namedtuple("BarRow", "statistic column scale unit jobs")
BAR_CHARTS = {
    "compare-cpu": (
        "CPU time that the server takes (less is better)",
        (
            BarRow(
                "",
                "server_cpu_ns_per_kib",
                1,
                "ns per KiB",
                ("read", "write", "copy-read"),
            ),
            BarRow(
                "",
                "server_cpu_ns_per_request",
                1e3,
                "µs per request",
                ("randread-1", "randread-32", "randread-4x16"),
            ),
        ),
    ),
    "compare-latency": (
        "Latency of requests of 4 KiB (less is better)",
        (
            BarRow("median, ", "p50_ns", 1e3, "µs", ("randread-1", "randread-32", "randwrite-32")),
            BarRow("99 %, ", "p99_ns", 1e3, "µs", ("randread-1", "randread-32", "randwrite-32")),
        ),
    ),
}

# title, job of growth.py, column on the x axis, column on the y axis, its divisor, label of the x axis
LinePanel = namedtuple("LinePanel", "title job x y scale x_label")
LINE_CHARTS = {
    "growth": (
        "How costs grow (less is better)",
        (
            LinePanel(
                "reading: server CPU, ns per KiB",
                "request-size-read",
                "block_bytes",
                "server_cpu_ns_per_kib",
                1,
                "bytes of a request",
            ),
            LinePanel(
                "random reads of 4 KiB: server CPU, µs per request",
                "connections",
                "connections",
                "server_cpu_ns_per_request",
                1e3,
                "busy connections",
            ),
            LinePanel(
                "memory of an idle connection, KiB",
                "idle",
                "connections",
                "idle_bytes_per_connection",
                1024,
                "idle connections",
            ),
            LinePanel(
                "start until the first greeting, ms",
                "image-size",
                "image_bytes",
                "start_ns",
                1e6,
                "bytes of the disk (sparse)",
            ),
        ),
    ),
}


def _quoted(text):
    """As gnuplot's string in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def _colour(server):
    return PEER_COLOURS.get(server, OURS_COLOUR)


def _head(path, title, machine, note, height_px):
    facts = dict(line.split(": ", 1) for line in machine if ": " in line)
    footer = "%s; %s\\n%s\\n%s" % (
        facts.get("machine", "?"),
        facts.get("kernel", "?"),
        facts.get("versions", "?"),
        note,
    )
    return [
        "set terminal pngcairo size %d,%d background '#ffffff' font 'Sans,11' noenhanced"
        % (WIDTH_PX, height_px),
        "set output " + _quoted(path),
        "set label 1000 %s at screen 0.5,%.4f center font 'Sans,14'" % (_quoted(title), 1 - 22 / height_px),
        "set label 1001 \"%s\" at screen 0.5,%.4f center font 'Sans,9' textcolor rgb '#444444'"
        % (footer.replace('"', ""), 52 / height_px),
        "set tics nomirror",
        "unset key",
    ]


# ---- bars ----


def _bars(row, job, figures, place):
    """[(y, title or heading, value or None, server)] from the top of a panel down: by kind, the cheapest first."""
    group = figures.group_of(*place, job)
    bars = []
    y = 0
    for kind, encrypted in KINDS:
        values = []
        for server in FLAVOURS:
            value = figures.median(group, job, server, row.column) if group else None
            if value and (FLAVOURS[server].image != "plain") == encrypted:
                values.append((value / row.scale, server))
        if values:
            bars.append((y, kind, None, None))
            bars += [
                (y - 1 - index, NAMES[server], value, server)
                for index, (value, server) in enumerate(sorted(values))
            ]
            y -= len(values) + 1.5
    return bars


def _bar_panel(name, bars):
    """Bars from left to right, each with its name before it and its value behind it."""
    values = [(y, text, value, server) for y, text, value, server in bars if value]
    digits = 0 if max(value for _, _, value, _ in values) >= 100 else 1
    lines = ["$%s << EOD" % name]
    lines += [
        "%g %g %d %.*f" % (y, value, int(_colour(server)[1:], 16), digits, value)
        for y, _, value, server in values
    ]
    lines += [
        "EOD",
        "set xrange [0:%g]" % (max(value for _, _, value, _ in values) * 1.2),
        "set yrange [%g:0.9]" % (min(y for y, _, _, _ in values) - 0.7),
        "set ytics (%s)" % ", ".join("%s %g" % (_quoted(text), y) for y, text, _, _ in values),
    ]
    lines += [
        "set label %d %s at graph 0, first %g left offset 0.4,0 font 'Sans:Italic,10' textcolor rgb '#444444'"
        % (2 + index, _quoted(text), y)
        for index, (y, text, value, _) in enumerate(bars)
        if not value
    ]
    return lines + [
        "plot $%s using (0):1:(0):2:($1-0.4):($1+0.4):3 with boxxyerror linecolor rgb variable "
        "fillstyle solid noborder, $%s using 2:1:4 with labels left offset 0.4,0 font 'Sans,9'" % (name, name)
    ]


def _panels(rows, figures, place):
    """(row of the picture, column, name, title, bars) of the jobs that something was measured of."""
    panels = []
    for number, row in enumerate(rows):
        for column, job in enumerate(row.jobs):
            bars = _bars(row, job, figures, place)
            if bars:
                title = "%s: %s%s" % (JOBS[job].title, row.statistic, row.unit)
                panels.append((number, column, "bars%d_%d" % (number, column), title, bars))
    return panels


def _bar_chart(path, title, rows, machine, figures, place):
    panels = _panels(rows, figures, place)
    if not panels:
        return None
    clients = sorted({group.client for group, _, _ in figures.rows})
    note = "image in the %s, %s; clients: %s" % (TITLES[place[0]], TITLES[place[1]], ", ".join(clients))
    height_of_row = BAR_PX * (max(len(bars) for _, _, _, _, bars in panels) + 0.5) + 62
    drawn_rows = sorted({number for number, _, _, _, _ in panels})
    height_px = round(50 + height_of_row * len(drawn_rows) + 80)
    lines = _head(path, title, machine, note, height_px)
    lines += [
        "set multiplot",
        "set border 2 linecolor rgb '#999999'",
        "set ytics scale 0 font 'Sans,9' textcolor rgb '#222222'",
        "unset xtics",
    ]
    for number, column, name, heading, bars in panels:
        columns = max(len(row.jobs) for row in rows)
        top = 1 - (50 + drawn_rows.index(number) * height_of_row + 34) / height_px
        lines += [
            "set label 1 %s at screen %.4f,%.4f center"
            % (_quoted(heading), (column + 0.5) / columns, top + 12 / height_px),
            "set lmargin at screen %.4f" % (column / columns + 0.13),
            "set rmargin at screen %.4f" % ((column + 1) / columns - 0.01),
            "set tmargin at screen %.4f" % top,
            "set bmargin at screen %.4f" % (top - (height_of_row - 62) / height_px),
        ]
        lines += _bar_panel(name, bars) + ["unset label"]
    return lines + ["unset multiplot"]


# ---- lines ----


def _medians(rows, panel, server):
    points = {}
    for row in rows:
        if row["job"] == panel.job and row["server"] == server and row[panel.y] is not None:
            points.setdefault(row[panel.x], []).append(row[panel.y] / panel.scale)
    return [(x, statistics.median(values)) for x, values in sorted(points.items())]


def _line_panel(number, panel, rows, servers):
    """Lines with their names beside them: both axes are logarithmic, and say so."""
    lines = []
    parts = []
    for index, server in enumerate(servers):
        points = [(x, y) for x, y in _medians(rows, panel, server) if y > 0]
        name = "$line%d_%d" % (number, index)
        if not points:
            continue
        lines += [name + " << EOD"] + ["%g %g" % point for point in points] + ["EOD"]
        parts.append(
            "%s using 1:2 with linespoints linewidth 2 pointtype 7 pointsize 0.7 dashtype %d "
            "linecolor rgb '%s' title %s"
            % (name, DASHES.get(server, 1), _colour(server), _quoted(NAMES[server]))
        )
    if not parts:
        return []
    lines += [
        "set title " + _quoted(panel.title),
        "set xlabel " + _quoted(panel.x_label + ", logarithmic") + " offset 0,0.5",
        "set ylabel 'logarithmic' font 'Sans,9' offset 1,0",
        "set logscale x 2" if panel.x.endswith("_bytes") else "set logscale x 10",
        "set logscale y",
        "set yrange [*:*]",
        "set key top right font 'Sans,9' samplen 3",
        "set format x '%.0b%B'" if panel.x.endswith("_bytes") else "set format x '%.0f'",
    ]
    return lines + ["plot " + ", \\\n  ".join(parts)]


def _frame(column, row):
    """Margins of a panel: two by two, between the title above and the machine below."""
    top = 0.93 - row * 0.42
    return [
        "set lmargin at screen %.3f" % (column / 2 + 0.075),
        "set rmargin at screen %.3f" % (column / 2 + 0.48),
        "set tmargin at screen %.3f" % (top - 0.045),
        "set bmargin at screen %.3f" % (top - 0.35),
    ]


def _line_chart(path, title, panels, machine, rows):
    servers = [
        name
        for name in FLAVOURS
        if any(row["server"] == name and row["job"] == panel.job for row in rows for panel in panels)
    ]
    lines = _head(
        path,
        title,
        machine,
        "image in the page cache, disks of several sizes in tmpfs; Unix socket; client: nbdcrypt-bench",
        900,
    )
    lines += [
        "set multiplot",
        "set border 3 linecolor rgb '#666666'",
        "set grid ytics linecolor rgb '#dddddd' linetype 1",
    ]
    drawn = False
    for number, panel in enumerate(panels):
        body = _line_panel(number, panel, rows, servers)
        lines += _frame(number % 2, number // 2) + body
        if body and not drawn:
            lines += ["unset label"]
            drawn = True
    return lines + ["unset multiplot"] if drawn else None


# ---- all of them ----


def _draw(lines):
    result = subprocess.run(
        ["gnuplot"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise Failure("gnuplot failed: %s" % result.stderr.strip())


def draw(folder, machine, rows):
    """Makes the charts that the rows have something for; returns their paths, or None without gnuplot."""
    if shutil.which("gnuplot") is None:
        return None
    drawn = []
    figures = Figures(rows)
    scripts = []
    if figures.places():
        for name, (title, rows_of_panels) in BAR_CHARTS.items():
            path = os.path.join(folder, name + ".png")
            place = figures.places()[0]
            scripts.append((path, _bar_chart(path, title, rows_of_panels, machine, figures, place)))
    for name, (title, panels) in LINE_CHARTS.items():
        path = os.path.join(folder, name + ".png")
        # The idle connections of a comparison are a line of its table, no chart.
        if any(row["job"] == panel.job for row in rows for panel in panels if panel.job != "idle"):
            scripts.append((path, _line_chart(path, title, panels, machine, rows)))
    for path, lines in scripts:
        if lines is not None:
            _draw(lines)
            drawn.append(path)
    return drawn
