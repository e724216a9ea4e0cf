#!/bin/bash
# --report-metadata, or [report] metadata, says whose values are in a report: all, none, a namespace, or those that begin like it; which
# namespaces there are is told in any case.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"

control=$(temp_socket)
cat >"$test_dir/nbdcrypt.conf" <<END
[server]
unix = $test_dir/socket
[export disk]
raw = yes
image = memory:1M
metadata org.example.one = {"told":"VALUE-1"}
metadata org.example.two = {"told":"VALUE-2"}
metadata org.examples = {"told":"VALUE-3"}
metadata net.other = {"told":"VALUE-4"}
END
chmod 600 "$test_dir/nbdcrypt.conf"

# check EXPECTED LINE [OPTION...]: the values in both forms, with that line in [report].
check() {
    local expected=$1 form

    { cat "$test_dir/nbdcrypt.conf" && printf '[report]\n%b\n' "$2"; } >"$test_dir/with.conf"
    chmod 600 "$test_dir/with.conf"
    shift 2
    start_nbdcrypt --control "$control" --config "$test_dir/with.conf" "$@"
    for form in "" --json; do
        # shellcheck disable=SC2086 # nothing, or one word
        "$NBDCRYPT" ctl --socket "$control" $form report >"$test_dir/report"
        expect_equal "values in a report $form" "$expected" "$({ grep -oE 'VALUE-[0-9]' "$test_dir/report" || true; } | sort -u | paste -sd' ')"
        expect_equal "namespaces in a report $form" 4 "$(grep -cE 'namespace.*(org\.example|net\.other)' "$test_dir/report")"
    done
    stop_nbdcrypt
}
check "VALUE-1 VALUE-2 VALUE-3 VALUE-4" "keep = 3"
check "VALUE-1 VALUE-2 VALUE-3 VALUE-4" "metadata = all"
check "" "metadata = none"
check "VALUE-2" "metadata = org.example.two"
check "VALUE-1 VALUE-2 VALUE-4" "metadata = org.example.*\nmetadata = net.other"
check "VALUE-4" "metadata = all" --report-metadata net.other

expect_failure 2 "--report-metadata none goes with no other --report-metadata" \
    serve --report-metadata none --report-metadata org.example --raw memory:1M
