#!/bin/bash
# A request costs as many instructions as before, within 3 %: noise of the machine can't hide it.
#
#     UPDATE=1 tests/rules/test-instructions-per-request.sh    writes the figures of this build

. "$(dirname "$0")/../support/functions.sh"

mixes="read-512-simple read-512-structured write-512-simple write-512-structured flush-simple
    read-1M-simple read-1M-structured read-4K-blocks write-4K-blocks write-512-blocks read-512-limited"
figures=$support_dir/instructions-per-request.txt
program=${top_builddir:-$source_dir}/bench/bench-request

requires valgrind --version
[ "$(uname -m)" = x86_64 ] || skip "the figures are those of x86-64"
if grep -qaE '__(asan|tsan)_init' "$program"; then
    skip "sanitizers add instructions of their own"
fi
compiler=$(readelf --string-dump=.comment "$program" | grep -o 'GCC: .*\|clang version.*' | head -n 1)
case $compiler in
"GCC: (Debian 12."*) ;;
*) skip "the figures are those of Debian 12's gcc, this is $compiler" ;;
esac

# own_instructions MIX COUNT: in the program's own files; not in libraries, nor in what plays
# the kernel and the client.
own_instructions() {
    local counts=$test_dir/callgrind-$1-$2

    valgrind --tool=callgrind --callgrind-out-file="$counts" "$program" "$1" "$2" \
        >"$log_dir/valgrind" 2>&1
    callgrind_annotate --threshold=100 --auto=no "$counts" 2>/dev/null |
        awk '/(server|plugins|crypto)\/([a-z-]*\/)?[a-z0-9-]*\.[ch]:/ {
                 gsub(",", "", $1)
                 sum += $1
             }
             END { print sum + 0 }'
}

measured=$test_dir/measured
for mix in $mixes; do
    case $mix in
    *-1M-*) few=32 many=96 ;;
    *) few=320 many=960 ;;
    esac
    echo "$mix $((($(own_instructions "$mix" $many) - $(own_instructions "$mix" $few)) / (many - few)))"
done >"$measured"
cat "$measured"
if [ "${UPDATE-}" = 1 ]; then
    cp "$measured" "$figures"
    exit
fi
[ -s "$figures" ] || fail "no figures are committed: UPDATE=1 writes them"
awk 'NR == FNR { before[$1] = $2; next }
     !($1 in before) { print $1 ": no figure is committed"; bad = 1; next }
     $2 > before[$1] * 1.03 { print $1 ": " $2 " instructions, it was " before[$1]; bad = 1 }
     $2 < before[$1] * 0.97 {
         print $1 ": " $2 " instructions, it was " before[$1] ": better; commit it with UPDATE=1"
         bad = 1
     }
     END { exit bad }' "$figures" "$measured" >&2 || fail "the cost of a request has changed"
