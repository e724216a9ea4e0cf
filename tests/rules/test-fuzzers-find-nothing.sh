#!/bin/bash
# libFuzzer, for a bounded time, with each of the targets in tests/fuzz and under sanitizers.  The headers of LUKS volumes get
# most of it, from the corpus in tests/fuzz/corpus.
#
# Needs programs that clang has built with -fsanitize=fuzzer-no-link: those of this build, or of one that is made here (a
# minute or two).  Environment: FUZZ_SECONDS, for headers (20); a fifth of it is for each of the others.
. "$(dirname "$0")/../support/functions.sh"

: "${top_srcdir:=$source_dir}" "${top_builddir:=$(dirname "$NBDCRYPT")}" "${FUZZ_SECONDS:=20}"
sources=$(realpath "$top_srcdir")
printf 'int LLVMFuzzerTestOneInput(const char *data, unsigned long size);
int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return data && size == 0; }\n' >"$test_dir/none.c"
requires clang -fsanitize=fuzzer,address,undefined -o "$test_dir/none" "$test_dir/none.c"

case ${SANITIZERS-} in
*fuzzer-no-link*) build=$top_builddir ;;
'')
    build=$test_dir/build
    mkdir "$build"
    (cd "$build" && "$sources/configure" CC=clang CFLAGS=-O1 \
        --enable-sanitizers=address,undefined,fuzzer-no-link) >"$log_dir/configure" 2>&1
    ;;
*) skip "this build has sanitizers of its own: the plain one does this" ;;
esac
make -C "$build" -j 2 fuzzers >"$log_dir/build" 2>&1

# fuzz TARGET SECONDS [OPTION...]: 1 when it found something.
fuzz() {
    local target=$1 seconds=$2 log=$log_dir/$1 work corpus input

    shift 2
    work=$(temp_dir)
    corpus=("$(temp_dir)")
    [ ! -d "$sources/tests/fuzz/corpus/$target" ] || corpus+=("$sources/tests/fuzz/corpus/$target")
    (cd "$work" && "$build/tests/fuzz/fuzz-$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
        -print_final_stats=1 "$@" "${corpus[@]}") >"$log" 2>&1 || {
        for input in "$work"/*; do
            [ ! -e "$input" ] || note "$(basename "$input"), in base64: $(base64 -w 0 "$input")"
        done
        note "fuzz-$target found something"
        return 1
    }
    note "fuzz-$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs"
}

found=no
fuzz luks-header "$FUZZ_SECONDS" -max_len=16384 -dict="$sources/tests/fuzz/luks-header.dict" &
headers=$!
for target in list-replies luks-policy handshake access config control tls-records qcow2 remote-replies; do
    fuzz "$target" $((FUZZ_SECONDS / 5)) || found=yes
done
wait "$headers" || found=yes
[ "$found" = no ] || fail "the inputs are above"
