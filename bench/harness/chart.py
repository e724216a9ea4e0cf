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

COLOURS = {
    "nbdkit-file": "#9aa0a6",
    "qemu-raw": "#c4c8cc",
    "nbd-server": "#6f757b",
    "nbdkit-luks": "#e8710a",
    "qemu-luks": "#f2b077",
    "nbdcrypt-raw": "#a8c7fa",
    "nbdcrypt-luks1": "#7b61c4",
    "nbdcrypt-luks2-512": "#4285f4",
    "nbdcrypt-luks2-4096": "#174ea6",
}

WIDTH_PX = 1200

# title of the panel, column of the CSV, what its values are divided by, whether the axis is logarithmic, jobs
BarPanel = namedtuple("BarPanel", "title column scale logarithmic jobs")
BAR_CHARTS = {
    "compare-cpu": (
        "CPU time that the server takes (less is better)",
        (
            BarPanel(
                "requests of 256 KiB: ns per KiB, logarithmic",
                "server_cpu_ns_per_kib",
                1,
                True,
                ("read", "write", "copy-read"),
            ),
            BarPanel(
                "requests of 4 KiB: µs per request",
                "server_cpu_ns_per_request",
                1e3,
                False,
                ("randread-1", "randread-32", "randread-4x16"),
            ),
        ),
    ),
    "compare-latency": (
        "Latency of 4 KiB requests (less is better)",
        (
            BarPanel(
                "median, µs, logarithmic",
                "p50_ns",
                1e3,
                True,
                ("randread-1", "randread-32", "randwrite-32"),
            ),
            BarPanel(
                "99 %, µs, logarithmic", "p99_ns", 1e3, True, ("randread-1", "randread-32", "randwrite-32")
            ),
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
        "set label 1000 " + _quoted(title) + " at screen 0.5,0.97 center font 'Sans,14'",
        "set label 1001 \"%s\" at screen 0.5,0.075 center font 'Sans,9' textcolor rgb '#444444'"
        % (footer.replace('"', "")),
        "set border 3 linecolor rgb '#666666'",
        "set tics nomirror",
        "set grid ytics linecolor rgb '#dddddd' linetype 1",
        "unset key",
    ]


def _legend(servers, y_screen):
    """Two rows of colour and title; gnuplot's own key does not spread over two panels."""
    lines = []
    per_row = (len(servers) + 1) // 2
    for index, server in enumerate(servers):
        x_screen = 0.05 + 0.94 * (index % per_row) / per_row
        y_row = y_screen - 0.04 * (index // per_row)
        lines += [
            "set object %d rectangle from screen %.4f,%.4f to screen %.4f,%.4f fillcolor rgb '%s' "
            "fillstyle solid noborder"
            % (index + 1, x_screen, y_row - 0.01, x_screen + 0.015, y_row + 0.012, COLOURS[server]),
            "set label %d %s at screen %.4f,%.4f font 'Sans,10'"
            % (index + 1, _quoted(FLAVOURS[server].title), x_screen + 0.02, y_row),
        ]
    return lines


def _frame(column, columns, row=0, rows=1):
    """Margins of a panel: between the title above and the legend and the machine below."""
    left, width = column / columns, 1 / columns
    top, height = 0.93 - row * (0.70 / rows), 0.70 / rows
    return [
        "set lmargin at screen %.3f" % (left + 0.06),
        "set rmargin at screen %.3f" % (left + width - 0.02),
        "set tmargin at screen %.3f" % (top - 0.045),
        "set bmargin at screen %.3f" % (top - height + 0.055),
    ]


# ---- bars ----


def _bar_panel(number, panel, figures, place, servers):
    """A cluster for each job, a bar for each server, with its value above."""
    lines = ["$panel%d << EOD" % number]
    values = []
    for job in panel.jobs:
        group = figures.group_of(*place, job)
        medians = [
            figures.median(group, job, server, panel.column) if group else None for server in servers
        ]
        values += [value / panel.scale for value in medians if value]
        lines.append("\t".join(["%g" % (value / panel.scale) if value else "NaN" for value in medians]))
    if not values:
        return []
    bar_width = 0.8 / len(servers)
    middle = (len(servers) - 1) / 2
    lines += [
        "EOD",
        "set title " + _quoted(panel.title),
        "set xrange [-0.55:%.2f]" % (len(panel.jobs) - 0.45),
        "set xtics (%s)"
        % ", ".join(
            '"%s" %d' % (JOBS[job].title.replace(", ", "\\n", 1), index)
            for index, job in enumerate(panel.jobs)
        ),
        "set boxwidth %.4f absolute" % (bar_width * 0.92),
        "set style fill solid noborder",
    ]
    if panel.logarithmic:
        lines += ["set logscale y", "set yrange [%g:%g]" % (min(values) / 2, max(values) * 2.2)]
    else:
        lines += ["unset logscale y", "set yrange [0:%g]" % (max(values) * 1.2)]
    parts = []
    for index, server in enumerate(servers):
        shift = "($0+%.4f)" % ((index - middle) * bar_width)
        colour = COLOURS[server]
        parts.append(
            "$panel%d using %s:%d with boxes linecolor rgb '%s'" % (number, shift, index + 1, colour)
        )
        parts.append(
            "$panel%d using %s:%d:(sprintf(' %%.%df', $%d)) with labels rotate left font 'Sans,8'"
            % (number, shift, index + 1, 0 if max(values) >= 100 else 1, index + 1)
        )
    lines.append("plot " + ", \\\n  ".join(parts))
    return lines


def _bar_chart(path, title, panels, machine, figures, place):
    servers = [
        name
        for name in FLAVOURS
        if any(
            name in figures.servers(figures.group_of(*place, job), job)
            for panel in panels
            for job in panel.jobs
        )
    ]
    clients = sorted({group.client for group, _, _ in figures.rows})
    note = "image in the %s, %s; clients: %s" % (TITLES[place[0]], TITLES[place[1]], ", ".join(clients))
    lines = _head(path, title, machine, note, 600)
    lines += _legend(servers, 0.185) + ["set multiplot", "set xtics scale 0"]
    drawn = False
    for number, panel in enumerate(panels):
        body = _bar_panel(number, panel, figures, place, servers)
        lines += _frame(number, len(panels)) + body
        if body and not drawn:
            lines += ["unset label", "unset object"]
            drawn = True
    return lines + ["unset multiplot"] if drawn else None


# ---- lines ----


def _medians(rows, panel, server):
    points = {}
    for row in rows:
        if row["job"] == panel.job and row["server"] == server and row[panel.y] is not None:
            points.setdefault(row[panel.x], []).append(row[panel.y] / panel.scale)
    return [(x, statistics.median(values)) for x, values in sorted(points.items())]


def _line_panel(number, panel, rows, servers):
    lines = []
    parts = []
    for index, server in enumerate(servers):
        points = [(x, y) for x, y in _medians(rows, panel, server) if y > 0]
        name = "$line%d_%d" % (number, index)
        if not points:
            continue
        lines += [name + " << EOD"] + ["%g %g" % point for point in points] + ["EOD"]
        parts.append(
            "%s using 1:2 with linespoints linewidth 2 pointtype 7 pointsize 0.8 linecolor rgb '%s'"
            % (name, COLOURS[server])
        )
    if not parts:
        return []
    lines += [
        "set title " + _quoted(panel.title),
        "set xlabel " + _quoted(panel.x_label) + " offset 0,0.5",
        "set logscale x 2" if panel.x.endswith("_bytes") else "set logscale x 10",
        "set logscale y",
        "set yrange [*:*]",
        "set format x '%.0b%B'" if panel.x.endswith("_bytes") else "set format x '%.0f'",
    ]
    return lines + ["plot " + ", \\\n  ".join(parts)]


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
    lines += _legend(servers, 0.20) + ["set multiplot"]
    drawn = False
    for number, panel in enumerate(panels):
        body = _line_panel(number, panel, rows, servers)
        lines += _frame(number % 2, 2, number // 2, 2) + body
        if body and not drawn:
            lines += ["unset label", "unset object"]
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
        for name, (title, panels) in BAR_CHARTS.items():
            path = os.path.join(folder, name + ".png")
            scripts.append((path, _bar_chart(path, title, panels, machine, figures, figures.places()[0])))
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
