#!/bin/bash
# The man page of nbdcrypt-bench names each option that --help knows, knows no others, and is clean mdoc.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

page=$source_dir/docs/nbdcrypt-bench.1
documented=$(sed -nE 's/^\.It .*Fl \\?-([a-z][a-z0-9-]*).*/\1/p' "$page" | sed 's/\\-/-/g' | sort -u)
expect_bench --help
known=$(sed -nE 's/^ *(-[a-zA-Z], *)?--([a-z][a-z0-9-]*).*/\2/p' "$out" | sort -u)
expect_equal "options of the man page" "$known" "$documented"
requires command -v mandoc
mandoc -Tlint -Wwarning "$page" || fail "mandoc finds fault with $page"
