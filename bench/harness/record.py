"""The CSV: one row for each measurement, the machine and the versions in lines that begin with '#'."""
import csv

COLUMNS = (
    "round",
    "server",
    "job",
    "storage",
    "transport",
    "client",
    "image_bytes",
    "block_bytes",
    "write_percent",
    "pattern",
    "connections",
    "depth",
    "elapsed_ns",
    "requests",
    "bytes",
    "iops",
    "mb_per_s",
    "p50_ns",
    "p99_ns",
    "server_cpu_ns",
    "server_cpu_ns_per_kib",
    "server_cpu_ns_per_request",
    "client_cpu_ns",
    "server_peak_kib",
    "idle_bytes_per_connection",
    "start_ns",
)
TEXT_COLUMNS = ("server", "job", "storage", "transport", "client", "pattern")


def derive(row):
    """Adds what follows from the other columns."""
    if row.get("elapsed_ns"):
        row["iops"] = round(row["requests"] * 1e9 / row["elapsed_ns"], 1)
        row["mb_per_s"] = round(row["bytes"] * 1e3 / row["elapsed_ns"], 2)
    if row.get("bytes"):
        row["server_cpu_ns_per_kib"] = round(row["server_cpu_ns"] * 1024 / row["bytes"], 2)
    if row.get("requests"):
        row["server_cpu_ns_per_request"] = round(row["server_cpu_ns"] / row["requests"], 1)
    return row


class Writer:
    """Each row is in the file as soon as it is known: a run that is interrupted keeps what it has."""

    def __init__(self, path, machine):
        self.file = open(path, "w", newline="", encoding="utf-8")
        for line in machine:
            self.file.write("# %s\n" % line)
        self.writer = csv.DictWriter(self.file, COLUMNS, restval="", lineterminator="\n")
        self.writer.writeheader()
        self.file.flush()

    def write(self, row):
        self.writer.writerow(row)
        self.file.flush()

    def close(self):
        self.file.close()


def _value_of(column, text):
    if column in TEXT_COLUMNS:
        return text
    return float(text) if text else None


def load(path):
    """(lines about the machine, rows with numbers in them) of a file; what is empty is None."""
    with open(path, newline="", encoding="utf-8") as file:
        lines = file.readlines()
    machine = [line[1:].strip() for line in lines if line.startswith("#")]
    reader = csv.DictReader(line for line in lines if not line.startswith("#"))
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise ValueError("%s: no column %s" % (path, ", ".join(sorted(missing))))
    return machine, [{column: _value_of(column, row[column]) for column in COLUMNS} for row in reader]
