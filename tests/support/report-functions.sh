# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what functions.sh and the tests set and use
# What the tests of reports share; after functions.sh.

reports=$test_dir/reports

# reports_of KIND [DIRECTORY]: the text files, the oldest first.
reports_of() {
    find "${2-$reports}" -name "report-*-$1.txt" -o -name "report-*-$1-?.txt" 2>/dev/null | sort
}
has_reports() {
    [ "$(reports_of "$1" | wc -l)" -ge "$2" ]
}
# wait_for_report KIND [COUNT]: sets `report` to the last one of at least so many, and `json` to its other form.
wait_for_report() {
    wait_until 30 has_reports "$1" "${2-1}"
    report=$(reports_of "$1" | tail -n 1)
    json=${report%.txt}.json
    wait_until 10 is_whole "$json"
}
is_whole() {
    "$PYTHON" -c 'import json, sys; json.load(open(sys.argv[1]))' "$1" 2>/dev/null
}
# expect_in_report PATTERN [FILE]
expect_in_report() {
    grep -qE -e "$1" "${2-$report}" && return
    tail -n 400 "${2-$report}" >&2
    fail "there is no '$1' in the report"
}
# expect_same_facts TEXT JSON: each name and value of the one is in the other.
expect_same_facts() {
    "$PYTHON" "$source_dir/tests/report/same-facts.py" "$1" "$2"
}

# make_trouble THREAD TROUBLE: see trouble.py; the program was started with LD_PRELOAD=$trouble.
trouble=$(realpath "${top_builddir:-.}/tests/support/trouble.so")
make_trouble() {
    "$PYTHON" "$source_dir/tests/support/trouble.py" "$pid" "$1" "$2"
}
