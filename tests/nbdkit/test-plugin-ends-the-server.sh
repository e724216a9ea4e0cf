#!/bin/bash
# A plugin of nbdkit that calls exit() or crashes ends the server with a sentence that names it, and never with status 0.
. "$(dirname "$0")/../support/functions.sh"

# A sanitizer's report of the crash is not what is looked for here.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}handle_segv=0:handle_abort=0"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}handle_segv=0:handle_abort=0"
export TSAN_OPTIONS="${TSAN_OPTIONS:+$TSAN_OPTIONS:}handle_segv=0:handle_abort=0"
ulimit -c 0

folder=$(realpath "${top_builddir:-.}/tests/support")
plugin=$folder/nbdkit-bad-plugin.so
[ -e "$plugin" ] || fail "tests/support/nbdkit-bad-plugin.so was not built"

# status_of HOW: what the server has to end with.
status_of() {
    case $1 in
    exit) echo 1 ;;
    abort) echo $((128 + $(kill -l ABRT))) ;;
    crash) echo $((128 + $(kill -l SEGV))) ;;
    esac
}

# sentence_of HOW CALL NAME
sentence_of() {
    case $1 in
    exit) echo "nbdcrypt: the nbdkit plugin '$3' ended the program in $2, which ends the server; it has to return an error instead" ;;
    *) echo "nbdcrypt: the nbdkit plugin '$3' crashed in $2, which ends the server" ;;
    esac
}

for how in exit abort crash; do
    for where in config config_complete get_ready open get_size; do
        run_nbdcrypt serve --raw --unix "$(temp_socket)" "nbdkit:$plugin?how=$how&where=$where"
        expect_equal "status after $how in $where" "$(status_of $how)" "$status"
        expect_message "$err" "$(sentence_of "$how" "$where" "$plugin")"
        [ ! -s "$out" ] || fail "it pretended to be ready"
    done
    start_nbdcrypt --raw "nbdkit:$plugin?how=$how&where=pread"
    nbdcopy "$uri" - >"$test_dir/copy" 2>"$log_dir/nbdcopy" && fail "it was read from"
    status=0
    wait "$pid" || status=$?
    expect_equal "status after $how in a request" "$(status_of $how)" "$status"
    sentence=$(sentence_of "$how" 'a request' "$plugin")
    expect_match "$server_log" "${sentence#nbdcrypt: }\$"
done

# Found by its name where the user says.
NBDCRYPT_NBDKIT_PLUGINDIR=$folder start_nbdcrypt --raw nbdkit:bad
expect_equal "size" 1048576 "$(nbdinfo --size "$uri")"
stop_nbdcrypt
run_nbdcrypt serve --raw --unix "$(temp_socket)" nbdkit:bad
expect_match "$err" "there is no nbdkit plugin 'bad'"
NBDCRYPT_NBDKIT_PLUGINDIR=/nowhere run_nbdcrypt serve --raw --unix "$(temp_socket)" nbdkit:bad
expect_match "$err" "there is no nbdkit plugin 'bad'"
