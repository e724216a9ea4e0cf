#!/bin/bash
# Of more reports than --report-keep the oldest go.  Those of a time that is still to come, made while a clock was wrong, go before
# them: a report that was just made stays.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"

mkdir -p "$reports"
make_report() {
    touch "$reports/report-$1-77-asked.txt" "$reports/report-$1-77-asked.json"
}
make_report 20200101T000000Z
make_report 20200102T000000Z
make_report 29990101T000000Z
make_report 29990102T000000Z
touch "$reports/report-of-somebody.txt" "$reports/other"
start_nbdcrypt --raw --report-directory "$reports" --report-keep 3 memory:1M
kept() {
    (cd "$reports" && printf '%s\n' report-[0-9]*.txt report-[0-9]*.json | sed "s/report-[0-9TZ]*-$pid-asked/new/; s/report-//; s/-77-asked//" |
        sort | paste -sd' ')
}
are_kept() {
    [ "$(kept)" = "$*" ]
}
kill -USR1 "$pid"
wait_until 20 are_kept 20200101T000000Z.json 20200101T000000Z.txt 20200102T000000Z.json 20200102T000000Z.txt new.json new.txt
for name in report-of-somebody.txt other; do
    [ -e "$reports/$name" ] || fail "$name, which is no report, was removed"
done
