#!/bin/bash
# Other processes of the same user can't look into a server, and it dumps no core, unless NBDCRYPT_ALLOW_CORE=1 says so.
. "$(dirname "$0")/../support/functions.sh"

# shellcheck disable=SC2034 # for run_nbdcrypt
if [ "$(id -u)" -eq 0 ]; then
    requires setpriv --version
    run_as=(setpriv --reuid=65534 --regid=65534 --clear-groups) # root may look into everything
    chmod 755 "$test_dir"
    "${run_as[@]}" "$NBDCRYPT" --version >"$log_dir/version" 2>&1 || skip "an ordinary user can't start it here"
fi

# What the server's own command sees of it.
# shellcheck disable=SC2016 # that is for its shell
looks='grep "^Max core file size" /proc/$PPID/limits | tr -s " " | cut -d " " -f 5
    if cat /proc/$PPID/environ >/dev/null; then echo open; else echo closed; fi'
run_nbdcrypt serve --raw --run "$looks" memory:1M
expect_equal "the limit of core dumps, and what others see" "0 closed" "$(paste -s -d ' ' "$out")"
expect_match "$err" 'Permission denied'

NBDCRYPT_ALLOW_CORE=1 run_nbdcrypt serve --raw --run "$looks" memory:1M
expect_equal "what others see when it is allowed" open "$(tail -n 1 "$out")"
