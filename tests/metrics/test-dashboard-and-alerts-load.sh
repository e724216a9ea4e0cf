#!/bin/bash
# Prometheus loads the alert rules, and each of them comes when it should; the dashboard asks for figures that there are, in sentences
# that Prometheus understands.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/promtool.sh"

alerts=$source_dir/dist/prometheus/nbdcrypt-alerts.yml
promtool check rules "$alerts" >"$log_dir/rules" 2>&1 || fail "promtool finds fault with the alerts: $(cat "$log_dir/rules")"
expect_match "$log_dir/rules" 'SUCCESS: [0-9]+ rules found'
sed "s|ALERTS\]|$alerts]|" "$source_dir/tests/metrics/alerts.yml" >"$test_dir/alerts.yml"
promtool test rules "$test_dir/alerts.yml" >"$log_dir/alerts" 2>&1 || fail "the alerts do not come as they should: $(cat "$log_dir/alerts")"
# Each one is tested.
while read -r name; do
    grep -q "alertname=\"$name\"" "$test_dir/alerts.yml" || fail "$name is not tested"
done < <(sed -nE 's/^ *- alert: (.*)/\1/p' "$alerts")

"$PYTHON" "$source_dir/tests/metrics/dashboard-and-alerts-load.py" "$source_dir" >"$test_dir/dashboard.yml"
promtool check rules "$test_dir/dashboard.yml" >"$log_dir/dashboard" 2>&1 ||
    fail "promtool finds fault with the dashboard: $(cat "$log_dir/dashboard")"
expect_match "$log_dir/dashboard" 'SUCCESS: [0-9][0-9] rules found'
