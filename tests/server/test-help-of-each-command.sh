#!/bin/bash
# `nbdcrypt help COMMAND` and `nbdcrypt COMMAND --help` print the same, for each command that a list of commands names: in 80
# columns, and with defaults written in one way.
. "$(dirname "$0")/../support/functions.sh"

# commands_of HELP-OUTPUT: the first words of the lines under "Commands:".
commands_of() {
    awk '/^Commands:/ { inside = 1; next } /^$/ { inside = 0 } inside { print $1 }' "$1"
}

# expect_same COMMAND...
expect_same() {
    local first

    expect_success help "$@"
    first=$out
    expect_success "$@" --help
    cmp "$first" "$out" || fail "'help $*' and '$* --help' differ"
    expect_success "$@" -h
    cmp "$first" "$out" || fail "'help $*' and '$* -h' differ"
    expect_match "$out" "^Usage: nbdcrypt $*"
    ! grep -E '^.{81}' "$out" || fail "'$* --help' has lines of more than 80 columns"
    # "(default: X)", or behind something else in the parenthesis.
    ! paste -s -d ' ' "$out" | tr -s ' ' | grep -oE '.{30}\(?default[^:s].{20}' || fail "'$* --help' tells a default in another way"
}

expect_success --help
top=$out
expect_success help
cmp "$top" "$out" || fail "'help' and '--help' differ"
count=0
while read -r command; do
    [ "$command" != help ] || continue
    expect_same "$command"
    while read -r word; do
        expect_same "$command" "$word"
        count=$((count + 1))
    done < <(commands_of "$out")
    count=$((count + 1))
done < <(commands_of "$top")
[ "$count" -ge 20 ] || fail "only $count commands were found"

expect_failure 2 "there is no command 'nosuch': nbdcrypt --help lists them" help nosuch
expect_failure 2 "there is no command 'key ad': did you mean key add?" help key ad
expect_failure 2 "there is no command 'luksDump': nbdcrypt info does that here" help luksDump
note "$count commands"
