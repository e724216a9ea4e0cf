#!/bin/bash
# The documents name files that are there, link to what is there, and keep to their size; each folder of the sources
# has a README, and the newest version in CHANGELOG.md is the one that is built.
set -euo pipefail
export LC_ALL=C.UTF-8

README_LINES_MAX=120
COLUMNS_MAX=100

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

shopt -s nullglob lastpipe
texts=(README.md CHANGELOG.md SECURITY.md docs/*.md bench/README.md tests/README.md {server,crypto,plugins}/*/README.md)
if [ ${#texts[@]} -lt 20 ]; then
    echo "only ${#texts[@]} documents in $PWD"
    exit 1
fi

# ---- what they name ----

# A path has a slash behind one of our folders.  The rest may be a name without its ending (a pair of .c and .h), or a
# pattern; what is written in capitals stands for something.
word='\b(server|crypto|plugins|tests|bench|docs|examples)/[A-Za-z0-9_*./-]*[A-Za-z0-9_*]'
grep -oHE "$word" "${texts[@]}" docs/*.[17] CONTRIBUTING.md |
    while IFS=: read -r text path; do
        case $path in
            *[A-Z]*.* | *...* | */server-cert.pem | */server-key.pem | */ca-cert.pem | */ca-crl.pem) continue ;;
            *-cache) continue ;; # in the folder of the build
        esac
        # shellcheck disable=SC2206 # it may be a pattern
        found=($path $path.[ch])
        for name in "${found[@]}"; do
            if [ -e "$name" ]; then continue 2; fi
        done
        echo "  $text: $path"
    done | sort -u | report "files that are not there"

# shellcheck disable=SC2016 # the backticks are of Markdown
grep -oHE '\]\([^)#]+' "${texts[@]}" | sed 's/](//' |
    while IFS=: read -r text target; do
        case $target in
            *://* | //*) continue ;;
        esac
        [ -e "$(dirname "$text")/$target" ] || echo "  $text: $target"
    done | report "links to what is not there"

# ---- their size ----

awk -v max=$COLUMNS_MAX '!/^\|/ && length($0) > max { printf "  %s:%d\n", FILENAME, FNR }' "${texts[@]}" |
    report "lines of more than $COLUMNS_MAX columns (but for tables)"

if [ "$(wc -l <README.md)" -gt $README_LINES_MAX ]; then wc -l README.md; fi |
    report "the README has more than $README_LINES_MAX lines (details are for the man pages)"

# ---- what has to be there ----

for folder in {server,crypto,plugins}/*/; do
    [ -e "${folder}README.md" ] || echo "  $folder"
done | report "folders without a README.md"

version=$(sed -nE 's/^AC_INIT\(\[nbdcrypt\], \[([^]]*)\].*/\1/p' configure.ac)
[ "$(sed -n 's/^## //p' CHANGELOG.md | head -n 1)" = "$version" ] || echo "  $version" |
    report "CHANGELOG.md does not begin with the version of configure.ac"

if [ "$broken" -gt 0 ]; then
    echo "$broken rules are broken"
    exit 1
fi
echo "all rules hold in ${#texts[@]} documents"
