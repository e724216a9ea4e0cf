"""SOURCES: what the dashboard asks for, as rules for promtool; that there are such figures."""
import json
import re
import sys

top = sys.argv[1]
page = open(f"{top}/docs/nbdcrypt-metrics.7").read()
known = set(re.findall(r"^\.It Ic ((?:nbdcrypt|process)_\w+)", page, re.M))
alerts = open(f"{top}/dist/prometheus/nbdcrypt-alerts.yml").read()
dashboard = json.load(open(f"{top}/dist/grafana/nbdcrypt.json"))
queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
assert len(queries) >= 12 and len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
for text in queries + [alerts] + [one["query"]["query"] for one in dashboard["templating"]["list"][1:]]:
    for name in re.findall(r"\b(?:nbdcrypt|process)_\w+", text):
        assert name in known or re.sub("_(bucket|count|sum)$", "", name) in known, name
print("groups:\n- name: dashboard\n  rules:")
for i, query in enumerate(queries):
    query = query.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$export", ".*")
    print(f"  - record: dashboard:{i}\n    expr: {json.dumps(query)}")
