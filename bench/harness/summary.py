"""Medians of the rounds, their spread, and the ratio to each peer."""
import statistics
from collections import namedtuple

from harness.job import JOBS
from harness.server import FLAVOURS, OURS, PEERS

# What is compared with each other: measurements of one place, one transport and one client.
Group = namedtuple("Group", "storage transport client")

TITLES = {
    "cache": "page cache",
    "tmpfs": "tmpfs",
    "direct": "O_DIRECT",
    "unix": "Unix socket",
    "tcp": "TCP on the loopback interface",
    "tls-x509": "TLS with certificates, Unix socket",
    "tls-psk": "TLS with a pre-shared key, Unix socket",
}


def of(mine, theirs):
    """(ratio of the medians, least and greatest ratio of one round), or None; of values by round."""
    rounds = [mine[number] / theirs[number] for number in mine if theirs.get(number)]
    if not rounds:
        return None
    return (statistics.median(mine.values()) / statistics.median(theirs.values()), min(rounds), max(rounds))


class Figures:
    """The measurements of the jobs (not those of growth.py), by job and server, one value for each round."""

    def __init__(self, rows):
        self.rows = {}
        self.idle = [row for row in rows if row["job"] == "idle"]
        for row in rows:
            if row["job"] in JOBS:
                group = Group(row["storage"], row["transport"], row["client"])
                self.rows.setdefault((group, row["job"], row["server"]), []).append(row)

    def places(self):
        """(storage, transport) in the order in which they were measured."""
        return list(dict.fromkeys((group.storage, group.transport) for group, _, _ in self.rows))

    def group_of(self, storage, transport, job):
        """The group in which a job was measured there, or None."""
        for group, of_job, _ in self.rows:
            if (group.storage, group.transport, of_job) == (storage, transport, job):
                return group
        return None

    def servers(self, group, job):
        return [name for name in FLAVOURS if (group, job, name) in self.rows]

    def values(self, group, job, server, column):
        """By round, without the rounds in which it was not measured."""
        rows = self.rows.get((group, job, server), [])
        return {row["round"]: row[column] for row in rows if row[column] is not None}

    def median(self, group, job, server, column):
        values = self.values(group, job, server, column)
        return statistics.median(values.values()) if values else None

    def ratio(self, group, job, server, peer, column):
        """(ratio of the medians, least and greatest ratio of one round), or None."""
        return of(self.values(group, job, server, column), self.values(group, job, peer, column))


def number(value, digits=0, scale=1.0):
    return "-" if value is None else "%.*f" % (digits, value / scale)


def cost_of(job):
    """The column that counts: handshakes move no data."""
    return "server_cpu_ns_per_kib" if JOBS[job].block_bytes > 0 else "server_cpu_ns_per_request"


def _row(figures, group, job, server, peers):
    def median(column):
        return figures.median(group, job, server, column)

    cost = cost_of(job)
    costs = list(figures.values(group, job, server, cost).values())
    ratios = (figures.ratio(group, job, server, peer, cost) for peer in peers)
    return [
        server,
        number(median(cost)),
        "%.0f-%.0f" % (min(costs), max(costs)) if costs else "-",
        number(median("server_cpu_ns_per_request"), 1, 1e3),
        number(median("mb_per_s")),
        number(median("iops"), 1, 1e3),
        number(median("p50_ns"), 0, 1e3),
        number(median("p99_ns"), 0, 1e3),
        number(median("server_peak_kib"), 0, 1024),
    ] + [number(ratio[0] if ratio else None, 3) for ratio in ratios]


def print_table(out, rows):
    """The first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        out.write("  " + "  ".join(cells) + "\n")


def _print_job(out, figures, group, job):
    servers = figures.servers(group, job)
    peers = [name for name in servers if name in PEERS]
    unit = "ns/KiB" if JOBS[job].block_bytes > 0 else "ns/request"
    head = ["", unit, "min-max", "us/request", "MB/s", "kIOPS", "p50 us", "p99 us", "peak MiB"]
    out.write("\n%s, by %s\n" % (JOBS[job].title, group.client))
    print_table(
        out,
        [head + ["/" + peer for peer in peers]]
        + [_row(figures, group, job, server, peers) for server in servers],
    )


def print_summary(out, machine, rows):
    figures = Figures(rows)
    for line in machine:
        out.write(line + "\n")
    for storage, transport in figures.places():
        out.write("\n==== %s, %s ====\n" % (TITLES[storage], TITLES[transport]))
        out.write(
            "CPU time and memory are the server's; medians of the rounds, CPU per KiB with its least and\n"
            "greatest, and in the columns /NAME its ratio to that server.\n"
        )
        for job in JOBS:
            group = figures.group_of(storage, transport, job)
            if group is not None:
                _print_job(out, figures, group, job)
    out.write("\n")
    for row in figures.idle:
        out.write(
            "%d idle connections%s, %s: %.1f KiB of resident memory each\n"
            % (
                row["connections"],
                " under TLS" if row["transport"].startswith("tls-") else "",
                row["server"],
                row["idle_bytes_per_connection"] / 1024,
            )
        )


# ---- for the README ----

MARKDOWN_SERVERS = ("nbdkit-file", "qemu-raw", "nbd-server", "nbdkit-luks", "qemu-luks") + OURS


def print_markdown(out, rows, jobs):
    """CPU time in ns per KiB, MB/s in brackets."""
    figures = Figures(rows)
    for storage, transport in figures.places():
        measured = [(job, figures.group_of(storage, transport, job)) for job in jobs]
        measured = [(job, group) for job, group in measured if group is not None]
        servers = [
            name
            for name in MARKDOWN_SERVERS
            if any(name in figures.servers(group, job) for job, group in measured)
        ]
        out.write(
            "| %s, %s | %s |\n"
            % (TITLES[storage], TITLES[transport], " | ".join(FLAVOURS[name].title for name in servers))
        )
        out.write("| --- |" + " --- |" * len(servers) + "\n")
        for job, group in measured:
            cells = (
                "%s (%s)"
                % (
                    number(figures.median(group, job, name, "server_cpu_ns_per_kib")),
                    number(figures.median(group, job, name, "mb_per_s")),
                )
                for name in servers
            )
            out.write("| %s | %s |\n" % (JOBS[job].title, " | ".join(cells)))
        out.write("\n")
