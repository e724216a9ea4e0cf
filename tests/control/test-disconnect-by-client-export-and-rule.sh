#!/bin/bash
# nbdcrypt ctl disconnect sends away one client, those of an export, those that a rule matches, or those of both, and nobody
# else; and says how many they were.
. "$(dirname "$0")/../support/functions.sh"

control=$(temp_socket)
start_nbdcrypt --control "$control" --raw --threads 2 --unix "$(temp_socket)" --listen 127.0.0.1:0 --export a=memory:1M --export b=memory:1M

"$PYTHON" "$source_dir/tests/control/disconnect-by-client-export-and-rule.py" "$NBDCRYPT" "$control" "$socket" </dev/null

expect_failure 2 "which clients? write an ID (nbdcrypt ctl clients shows them), --export NAME or --rule RULE" \
    ctl --socket "$control" disconnect
expect_failure 2 "'a' is no ID: nbdcrypt ctl clients shows them" ctl --socket "$control" disconnect a
expect_failure 1 "there is no client 99999 (any more)" ctl --socket "$control" disconnect 99999
expect_failure 1 "there is no export 'c'" ctl --socket "$control" disconnect --export c
run_nbdcrypt ctl --socket "$control" disconnect --rule nonsense:x
expect_equal "status of a bad rule" 1 "$status"
expect_match "$err" 'nbdcrypt: rule: nonsense:x: '
expect_failure 2 "--rule is for ctl disconnect" ctl --socket "$control" remove a --rule any
stop_nbdcrypt
