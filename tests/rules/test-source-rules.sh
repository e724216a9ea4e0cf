#!/bin/bash
# The rules of the source tree that a machine can check; each is explained in CONTRIBUTING.md.
set -euo pipefail
export LC_ALL=C

FUNCTION_LINES_MAX=70
FILE_LINES_MAX=700

cd "${top_srcdir:-$(dirname "$0")/../..}"
broken=0

# report RULE: prints what standard input names, if anything, and remembers it.
report() {
    local found

    found=$(cat)
    if [ -n "$found" ]; then
        printf '%s:\n%s\n\n' "$1" "$found"
        broken=$((broken + 1))
    fi
}

# search REGEX FILE...: file:line:text of what matches outside of comments.
search() {
    local regex=$1

    shift
    awk -v regex="$regex" '
        FNR == 1 { in_comment = 0 }
        {
            line = $0
            if (in_comment) {
                if (!sub(/^.*\*\//, "", line)) next
                in_comment = 0
            }
            gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, "", line)
            sub(/\/\/.*/, "", line)
            if (sub(/\/\*.*/, "", line)) in_comment = 1
            if (line ~ regex) printf "  %s:%d: %s\n", FILENAME, FNR, $0
        }' "$@"
}

# lastpipe: the report at the end of a pipe runs in this shell, and counts.
shopt -s nullglob lastpipe
server=(server/{,*/}*.[ch])
crypto=(crypto/{,*/}*.[ch])
plugins=(plugins/{,*/}*.[ch])
product=("${server[@]}" "${crypto[@]}" "${plugins[@]}")
sources=("${product[@]}" tests/*.[ch] tests/*/*.[ch] bench/*.[ch])
if [ ${#server[@]} -eq 0 ] || [ ${#crypto[@]} -eq 0 ]; then
    echo "no sources in $PWD"
    exit 1
fi

# ---- size ----

awk -v max=$FILE_LINES_MAX 'FNR == max + 1 { print "  " FILENAME }' "${sources[@]}" {tests,bench}/{,*/}*.{sh,py} |
    report "files of more than $FILE_LINES_MAX lines (split by what they are about)"

# The brace that opens a function stands in the first column, and so does the one that ends it.
awk -v max=$FUNCTION_LINES_MAX '
    FNR == 1 { start = 0 }
    /^[A-Za-z_].*\(/ && !start { heading = $0 }
    /^\{/ { start = FNR }
    /^\}/ && start {
        if (FNR - start + 1 > max) printf "  %s:%d: %d lines: %s\n", FILENAME, start, FNR - start + 1, heading
        start = 0
    }' "${sources[@]}" |
    report "functions of more than $FUNCTION_LINES_MAX lines"

awk '
    FNR == 1 { tag = "" }
    tag != "" && $0 == tag { if (FNR - start > 11) printf "  %s:%d\n", FILENAME, start; tag = "" }
    tag == "" && match($0, /<<.[A-Z_]*PY[A-Z_]*./) { tag = substr($0, RSTART + 3, RLENGTH - 4); start = FNR }' tests/*/*.sh |
    report "Python of more than 10 lines in a here-document (a file beside the test)"

awk 'length($0) > 100 { printf "  %s:%d\n", FILENAME, FNR }' "${product[@]}" |
    report "lines of more than 100 columns"

# Another version of it formats differently.
if clang-format --version 2>/dev/null | grep -q ' version 14\.'; then
    clang-format --dry-run "${sources[@]}" 2>&1 | sed -n 's/^\([^:]*:[0-9]*\):.*clang-format-violations.*/  \1/p' | sort -u |
        report "lines that clang-format writes differently (clang-format -i FILE)"
elif [ "${CI-}" = true ]; then
    echo "clang-format 14 is not here, and CI must install it" | report "the format"
fi

# ---- who may start programs ----

search '(^|[^A-Za-z0-9_])(fork|vfork|clone|clone3|system|popen|posix_spawnp?|exec[lv][a-z]*)[[:space:]]*\\(' "${product[@]}" |
    { grep -vE '^  server/(base/spawn(-held)?|attach/nbd-device-use)\.c:' || true; } | # the last one is left behind
    report "only server/base/spawn.c and spawn-held.c start other programs"

# ---- who may know whom ----

grep -nE '#[[:space:]]*include[[:space:]]*<liburing' "${sources[@]}" |
    grep -vE '^(server/loop/loop|tests/sim/ring-(kernel|tables))\.c:' | sed 's/^/  /' |
    report "only server/loop/loop.c may include liburing, and what simulates it" || true

# From the ground up: a file includes only what stands in its own folder or on a line above it.
folder_order='
server/base
server/config
server/qcow2
crypto
crypto/cipher
crypto/gcm
crypto/luks
server/audit
server/loop
server/sandbox
server/nbd
server/board
server/report
server/access
server/keys
server/block
server/tls
server/volume
server/transport
server/export
server/client
server/pki
server/connection
server/control
server/metrics
server/cli
server/copy
server/serve
server/attach
plugins/file
plugins/nbdkit
plugins/rbd
plugins/remote
plugins
server
'
awk -v order="$folder_order" '
    BEGIN { count = split(order, folders, /[ \n]+/); for (i = 1; i <= count; i++) place[folders[i]] = i }
    FNR == 1 { from = FILENAME; sub(/\/[^\/]*$/, "", from) }
    /^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^"]*\// {
        to = $0; sub(/^[^"]*"/, "", to); sub(/\/[^\/"]*".*/, "", to)
        if (!(from in place)) { print "  " FILENAME ": its folder is not in the order"; nextfile }
        if (to != from && !(place[to] < place[from])) printf "  %s:%d: %s\n", FILENAME, FNR, $0
    }' "${product[@]}" |
    report "a folder includes only those below it (see the order in this script)"

# A file here is X.c and X.h together, named X.  No two need each other, nor round a corner: so each can be read, tested
# and replaced without those above it.
awk '/^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^"]*\// {
         from = FILENAME; to = $0
         sub(/^[^"]*"/, "", to); sub(/".*/, "", to)
         sub(/\.[ch]$/, "", from); sub(/\.[ch]$/, "", to)
         if (from != to) print from, to
     }' "${product[@]}" | sort -u |
    { tsort 2>&1 >/dev/null || true; } | sed 's/.*contains a loop:$/  these:/; s/^tsort: /    /' |
    report "files need each other in a circle (tell by an event, or take out what both need)"

grep -nE '#[[:space:]]*include[[:space:]]*"tests/' "${product[@]}" | sed 's/^/  /' |
    report "the product may include nothing of tests/" || true

grep -nE '#[[:space:]]*include[[:space:]]*"[^/"]*"' "${sources[@]}" |
    grep -v '"config.h"' | sed 's/^/  /' |
    report "own headers are included from the top: \"server/base/error.h\"" || true

# ---- what must not be used ----

word='(^|[^[:alnum:]_>.])'
search "${word}(strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca|atoi|atol)[[:space:]]*\\(" "${sources[@]}" |
    report "banned functions (use snprintf, strtok_r, strtoul with checks)"

# memset() on a secret may be removed by the compiler, memcmp() on one tells its prefix by time.
search "${word}memset[[:space:]]*\\([^,]*(key|pass|secret)" "${product[@]}" |
    report "memset() does not wipe: use secret_wipe()"
search "${word}memcmp[[:space:]]*\\([^;]*(key|pass|secret)" "${product[@]}" |
    grep -vE 'key_?slot|keyslot' |
    report "memcmp() takes as long as the secrets agree: use secret_equal()" || true
search "${word}explicit_bzero[[:space:]]*\\(" "${product[@]}" | grep -v '  crypto/secret\.c:' |
    report "only crypto/secret.c wipes by itself: use secret_wipe()" || true

# The letters are apart so that this file does not find itself.
grep -nwE "T[O]DO|F[I]XME|X[X]X|H[A]CK" "${sources[@]}" ./*.sh tests/{,*/}*.sh bench/*.sh ./*/Makemodule.am \
    Makefile.am configure.ac | sed 's/^/  /' |
    report "marks of unfinished work (finish it, or say in the docs what is not there)" || true

# ---- habits ----

awk '
    FNR == 1 && guard != "" { print "  " header ": " guard }
    FNR == 1 {
        header = guard = FILENAME
        sub(/^.*\//, "", guard)
        gsub(/[-.]/, "_", guard)
        guard = "NBDCRYPT_" toupper(guard)
    }
    $1 == "#ifndef" && $2 == guard { guard = "" }
    END { if (guard != "") print "  " header ": " guard }' {server,crypto,plugins}/{,*/}*.h | report "include guards are NBDCRYPT_<FILE>_H"

grep -nE '[[:space:]]+$' "${sources[@]}" | sed 's/^/  /' | report "white space at the end of lines" || true
grep -nP '\t' "${sources[@]}" | sed 's/^/  /' | report "tabs (4 spaces)" || true

# ---- the build ----

# What no Makemodule.am names is neither built nor run nor part of a release.  NAME.so is made of NAME.c.
awk '
    FILENAME ~ /Makemodule/ { for (i = 1; i <= NF; i++) { named[$i]; if (sub(/\.so$/, ".c", $i)) named[$i] } next }
    { program = $0; sub(/\.c$/, "", program) }
    !($0 in named) && !(program in named) { print "  " $0 }' ./*/Makemodule.am \
    <(printf '%s\n' {server,crypto,plugins,tests,bench}/{,*/}*.{c,h,sh,py,txt} tests/*/*-suppressions) | report "files that no Makemodule.am names"

if [ "$broken" -gt 0 ]; then
    echo "$broken rules are broken"
    exit 1
fi
echo "all rules hold in ${#sources[@]} files"
