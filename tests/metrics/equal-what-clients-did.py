"""FOLDER MAN-PAGE SCRAPE...: see the script of this name."""
import json
import re
import sys

from metrics_text import Metrics

folder, page = sys.argv[1], open(sys.argv[2]).read()
scrapes = [Metrics(open(name).read()) for name in sys.argv[3:]]
benches = {name: json.load(open(f"{folder}/bench-{name}")) for name in ("plain", "vm", "short", "vm-2")}
last = scrapes[-1]


def counted(bench, op):
    return bench.get(op, {}).get("requests", 0)


# ---- what clients did ----
for op in ("read", "write", "trim", "zero"):
    assert last.get("nbdcrypt_requests_total", export="plain", op=op) - (op == "read") == counted(benches["plain"], op), op
vm_read = last.get("nbdcrypt_requests_total", export="vm", op="read")
vm_write = last.get("nbdcrypt_requests_total", export="vm", op="write")
assert vm_read == counted(benches["vm"], "read") + counted(benches["vm-2"], "read"), vm_read
assert vm_write == counted(benches["vm"], "write"), vm_write
assert last.get("nbdcrypt_bytes_total", export="vm", direction="read") == 4096 * vm_read
assert last.get("nbdcrypt_bytes_total", export="vm", direction="write") == 4096 * vm_write
for direction, count in (("decrypt", vm_read), ("encrypt", vm_write)):
    assert last.get("nbdcrypt_crypto_bytes_total", export="vm", direction=direction) == 4096 * count, direction
    assert 0 < last.get("nbdcrypt_crypto_seconds_total", export="vm", direction=direction) < 10, direction
    assert last.get("nbdcrypt_crypto_bytes_total", export="plain", direction=direction) == 0, direction
for op in ("read", "write", "flush", "trim", "zero", "other"):
    requests = last.get("nbdcrypt_requests_total", export="vm", op=op)
    for name in ("request", "backend"):
        assert last.get(f"nbdcrypt_{name}_duration_seconds_count", export="vm", op=op) == requests
        assert last.get(f"nbdcrypt_{name}_duration_seconds_bucket", export="vm", op=op, le="+Inf") == requests
    buckets = [last.get("nbdcrypt_request_duration_seconds_bucket", export="vm", op=op, le=le) for le in (
        "1.6e-05", "6.4e-05", "0.000256", "0.001024", "0.004096", "0.016384", "0.065536", "0.262144", "1.048576",
        "4.194304", "16.777216", "+Inf")]
    assert buckets == sorted(buckets), buckets

# ---- what has gone ----
assert ("nbdcrypt_requests_total", (("export", "short"), ("op", "read"))) not in last.samples
assert last.get("nbdcrypt_requests_total", export="(others)", op="read") == 700
assert last.get("nbdcrypt_request_duration_seconds_count", export="(others)", op="read") == 700
everything = sum(bench["total"]["requests"] for bench in benches.values()) + 1
assert last.sum("nbdcrypt_requests_total") == everything, (last.sum("nbdcrypt_requests_total"), everything)
for before, after in zip(scrapes, scrapes[1:]):
    for key, value in before.counters().items():
        gone = dict(key[1]).get("export") in ("short", '"odd\\name')
        assert gone or after.samples[key] >= value, (key, value, after.samples[key])
    assert after.sum("nbdcrypt_requests_total") >= before.sum("nbdcrypt_requests_total")

# ---- the rest ----
assert scrapes[0].get("nbdcrypt_export_size_bytes", export='"odd\\name') == 1 << 20
assert last.get("nbdcrypt_connections", export="plain") == 1 and last.get("nbdcrypt_connections", export="vm") == 0
assert last.get("nbdcrypt_connections_attached_total", transport="unix", tls="no") >= 4 + 3 + 1 + 1 + 2 + 100
assert last.get("nbdcrypt_connections_attached_total", transport="tcp", tls="no") == 0
assert last.get("nbdcrypt_handshake_duration_seconds_count", tls="no") == \
    last.get("nbdcrypt_connections_attached_total", transport="unix", tls="no")
assert last.get("nbdcrypt_connections_rejected_total", reason="name") >= 1
assert scrapes[0].get("nbdcrypt_config_last_reload_successful") == 1 and last.get("nbdcrypt_config_last_reload_successful") == 0
assert last.get("nbdcrypt_config_reloads_total", result="success") == 1
assert last.get("nbdcrypt_config_reloads_total", result="failure") == 1
assert last.get("nbdcrypt_config_last_reload_success_timestamp_seconds") > 1.7e9
assert last.get("nbdcrypt_export_state", export="vm", state="serving") == 1
assert last.sum("nbdcrypt_worker_busy_seconds_total") > 0.01 and last.get("process_cpu_seconds_total") > 0
assert abs(last.get("process_start_time_seconds") - last.get("nbdcrypt_start_time_seconds")) < 60
assert last.get("process_open_fds") > 5 and last.get("nbdcrypt_board_lost_rows") == 0
info = [dict(labels) for name, labels in last.samples if name == "nbdcrypt_export_info"]
vm = next(one for one in info if one["export"] == "vm")
assert vm["backend"] == "file" and vm["cipher"] == "aes-xts-plain64" and re.fullmatch("[0-9a-f-]{36}", vm["uuid"]), vm

# ---- OpenMetrics says the same by other names ----
text = open(f"{folder}/openmetrics").read()
assert text.endswith("# EOF\n")
open_metrics = Metrics(text)
for family, kind in last.types.items():
    name = family.removesuffix("_total")
    assert open_metrics.types.get(name) == kind, (name, kind)
assert {name for name, _ in open_metrics.samples} == {name for name, _ in last.samples}

# ---- the man page has each of them, and no others ----
documented = set(re.findall(r"^\.It Ic ((?:nbdcrypt|process)_\w+)", page, re.M))
shown = set(last.types)
assert documented == shown, f"in the man page or in the metrics alone: {documented ^ shown}"
