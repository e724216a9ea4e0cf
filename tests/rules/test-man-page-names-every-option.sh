#!/bin/bash
# The man pages name each option and each kind of IMAGE that --help knows, know no others, and are clean mdoc.  What the other pages name,
# nbdcrypt-security(7), is an option of some command.  nbdcrypt.conf(5) has each key of each section.
set -euo pipefail
export LC_ALL=C

docs=${top_srcdir:-$(dirname "$0")/../..}/docs
program=${NBDCRYPT:-${top_builddir:-.}/nbdcrypt}
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
    # shellcheck disable=SC2086 # "tls init" is two words
    "$program" $1 --help | sed -nE 's/^ *(-[a-zA-Z], *)?--([a-z][a-z0-9-]*).*/\2/p' | sort -u
}

# check_page PAGE COMMAND...
check_page() {
    local command help documented option

    page=$1
    shift
    for command in "$@"; do
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
    check_mdoc
}

# A word behind an option is an option to mdoc, too: ".Fl -raw , or" shows "-or".
check_mdoc() {
    if grep -nE '^\.(.* )?Fl \\?-[^ ]+( [,.:;()]+)* [a-z]' "$page"; then fail "words are marked as options in $page"; fi
    if command -v mandoc >/dev/null; then
        mandoc -Tlint -Wwarning "$page" || fail "mandoc finds fault with $page"
    elif [ "${CI-}" = true ]; then
        fail "mandoc is not installed (Debian package mandoc)"
    fi
}

# What is named anywhere in the text: ".Fl -key-file , -raw", ".Pq Fl -allow", "--key-file" in an example.
options_named() {
    sed -nE '/^\.(.* )?Fl /p' "$page" | tr ' ' '\n' | sed -nE 's/^\\?-([a-z][a-z0-9-]*)$/\1/p'
    sed -nE '/^[^.]/p' "$page" | tr -c 'a-z0-9-' '\n' | sed -nE 's/^--([a-z][a-z0-9-]*)$/\1/p'
}

# check_named PAGE COMMAND...: a page about options that are described elsewhere.
check_named() {
    local command known named option

    page=$1
    shift
    known=$(for command in "$@"; do options_of_help "$command"; done | sort -u)
    named=$(options_named | sort -u)
    [ "$(wc -l <<<"$named")" -ge 20 ] || fail "only these options were found in $page: $named"
    while read -r option; do
        [ -z "$option" ] || fail "$page names --$option, which no command has"
    done < <(comm -13 <(echo "$known") <(echo "$named"))
    check_mdoc
}

# What IMAGE may be: "  memory:SIZE, a disk ..." and ".It Cm memory : Ns Ar SIZE", up to the colon.
schemes_of_help() {
    "$program" --help | sed -nE '/^An IMAGE is one of:$/,/^$/s/^  ([a-z+]+):.*/\1/p' | sort
}

schemes_of_page() {
    awk '/^\.Ar IMAGE$/ { inside = 1 } /^\.El/ { inside = 0 } inside' "$docs/nbdcrypt.1" |
        sed -nE 's/^\.It Cm ([a-z+]+) ?:.*/\1/p' | sort
}

[ "$(schemes_of_help | wc -l)" -ge 3 ] || fail "'nbdcrypt --help' does not say what IMAGE may be"
# Ceph is optional.
diff <(schemes_of_help | grep -vx rbd) <(schemes_of_page | grep -vx rbd) || fail "--help (<) and nbdcrypt(1) (>) know different kinds of IMAGE"

# "section key", as ".Ss [export NAME]" and ".It Ic key Ar VALUE" have it.
keys_of_page() {
    sed -nE -e 's/^\.Ss \[([a-z-]+).*/\1/p' -e 's/^\.Sh .*/-/p' -e 's/^\.It Ic ([a-z0-9-]+) .*/= \1/p' "$page" |
        awk '$1 != "=" { section = $1; next } section != "-" { print section, $2 }' | sort -u
}

# A key of a configuration file is one of the page, and the other way round.
check_keys() {
    local key keys documented

    page=$1
    keys=$("$program" check --keys | cut -f 1,2 | tr '\t' ' ' | sort -u)
    documented=$(keys_of_page)
    [ "$(wc -l <<<"$keys")" -ge 50 ] || fail "'check --keys' lists only $keys"
    while read -r key; do
        [ -z "$key" ] || fail "'check --keys' knows [$key], the man page does not"
    done < <(comm -23 <(echo "$keys") <(echo "$documented"))
    while read -r key; do
        [ -z "$key" ] || fail "the man page has [$key], 'check --keys' does not"
    done < <(comm -13 <(echo "$keys") <(echo "$documented"))
    check_mdoc
}

check_page "$docs/nbdcrypt.1" serve check audit format info list
check_page "$docs/nbdcrypt-luks.1" 'key add' 'key change' 'key remove' 'key priority' 'key test' 'key list' \
    'header backup' 'header restore' 'header discard' 'header zero-holes' erase 'token list' 'token import' 'token export' 'token remove'
check_page "$docs/nbdcrypt-convert.1" convert map measure compare
check_page "$docs/nbdcrypt-tls.1" 'tls init' 'tls client' 'tls server' 'tls revoke' 'tls psk' 'tls show'
check_page "$docs/nbdcrypt-ctl.1" ctl
check_page "$docs/nbdcrypt-attach.8" attach attached detach
check_named "$docs/nbdcrypt-security.7" serve format info
check_keys "$docs/nbdcrypt.conf.5"
for page in "$docs"/nbdcrypt-{metrics,service,troubleshoot,vm}.7; do
    check_mdoc
done

[ "$failures" -eq 0 ] || exit 1
echo "the man pages and --help agree"
