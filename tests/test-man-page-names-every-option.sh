#!/bin/bash
# The man page names each option that --help knows, knows no others, and is clean mdoc.
set -euo pipefail
export LC_ALL=C

docs=${top_srcdir:-$(dirname "$0")/..}/docs
program=${NBDCRYPT:-${top_builddir:-.}/nbdcrypt}
# PAGE COMMAND
pages=(nbdcrypt.1 nbdcrypt-luks.1)
commands=(
    'nbdcrypt.1 serve' 'nbdcrypt.1 format' 'nbdcrypt.1 info'
    'nbdcrypt-luks.1 key add' 'nbdcrypt-luks.1 key change' 'nbdcrypt-luks.1 key remove'
    'nbdcrypt-luks.1 key test' 'nbdcrypt-luks.1 key list'
    'nbdcrypt-luks.1 header backup' 'nbdcrypt-luks.1 header restore' 'nbdcrypt-luks.1 erase'
    'nbdcrypt-luks.1 token list' 'nbdcrypt-luks.1 token import' 'nbdcrypt-luks.1 token export'
    'nbdcrypt-luks.1 token remove'
)
failures=0

fail() {
    echo "$*"
    failures=$((failures + 1))
}

# section COMMAND: the lines of its own section, ".Ss nbdcrypt serve ..." up to the next heading.
section() {
    awk -v heading="$1" '/^\.S[sh] / { inside = ($1 == ".Ss" && $0 ~ ("(^| )" heading "( |$)")) } inside' "$page"
}

# The long options of a section: ".It Fl \-key-file Ar FILE", ".It Fl -key-file Ar FILE".
options_of_page() {
    section "$1" | sed -nE 's/^\.It .*Fl \\?-([a-z][a-z0-9-]*).*/\1/p' | sed 's/\\-/-/g' | sort -u
}

# "  --key-file FILE   ..." and "  -k, --key-file FILE  ...": the first one of each line that begins with a dash.
options_of_help() {
    local words

    read -r -a words <<<"$1"
    "$program" "${words[@]}" --help | sed -nE 's/^ *(-[a-zA-Z], *)?--([a-z][a-z0-9-]*).*/\2/p' | sort -u
}

for entry in "${commands[@]}"; do
    page=$docs/${entry%% *} command=${entry#* }
    help=$(options_of_help "$command")
    documented=$(options_of_page "$command")
    [ -n "$help" ] || fail "'$command --help' lists no options"
    while read -r option; do
        [ -z "$option" ] || fail "'$command --help' knows --$option, the man page does not"
    done < <(comm -23 <(echo "$help") <(echo "$documented"))
    while read -r option; do
        [ -z "$option" ] || fail "the man page has --$option for '$command', '$command --help' does not"
    done < <(comm -13 <(echo "$help") <(echo "$documented"))
done

if command -v mandoc >/dev/null; then
    for page in "${pages[@]}"; do
        mandoc -Tlint -Wwarning "$docs/$page" || fail "mandoc finds fault with $page"
    done
elif [ "${CI-}" = true ]; then
    fail "mandoc is not installed (Debian package mandoc)"
fi

[ "$failures" -eq 0 ] || exit 1
echo "the man page and --help agree"
