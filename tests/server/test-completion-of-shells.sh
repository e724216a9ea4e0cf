#!/bin/bash
# Completion offers each command and each option that --help names, values of which there are few, and files where a file
# is meant; and bash, zsh and fish take it from there.
. "$(dirname "$0")/../support/functions.sh"

completion=$(realpath "${top_srcdir:-$(dirname "$0")/../..}/dist/completion")
# The shells call the program by its name.
PATH=$(dirname "$NBDCRYPT"):$PATH
mkdir "$test_dir/work"
cd "$test_dir/work"
mkdir folder
touch disk.luks

# offered WORD...: what is offered for the last of these words, without what is said of it.
offered() { "$NBDCRYPT" __complete "$@" | cut -f 1; }

# expect_offered EXPECTED WORD...
expect_offered() {
    local expected=$1

    shift
    expect_equal "what is offered for '$*'" "$expected" "$(offered "$@" | paste -s -d ' ')"
}

# ---- what the program says ----

options=0
for command in serve ctl check format info map measure compare convert erase 'key add' 'key change' 'key remove' 'key priority' 'key test' 'key list' \
    'header backup' 'header restore' 'header discard' 'header zero-holes' 'token list' 'token import' 'token export' \
    'token remove' 'tls init' 'tls client' 'tls server' 'tls revoke' 'tls psk' 'tls show'; do
    # shellcheck disable=SC2086 # two words
    set -- $command
    expect_success "$@" --help
    sed -nE 's/^ *(-[a-zA-Z], *)?(--[a-z][a-z0-9-]*).*/\2/p' "$out" | sort -u >"$test_dir/known"
    offered "$@" -- | sort -u >"$test_dir/offered"
    cmp "$test_dir/known" "$test_dir/offered" || fail "completion of '$command' is not what --help names"
    options=$((options + $(wc -l <"$test_dir/known")))
done
[ "$options" -gt 150 ] || fail "only $options options were found"

expect_success help
commands=$(awk '/^Commands:/ { inside = 1; next } /^$/ { inside = 0 } inside { print $1 }' "$out" | paste -s -d ' ')
expect_match <(echo "$commands") '^serve .*format info .*help$'
expect_offered "$commands" ""
expect_success ctl --help
verbs=$(awk '/^Verbs:/ { inside = 1; next } /^$/ { inside = 0 } inside && /^  [a-z]/ { print $1 }' "$out" | paste -s -d ' ')
expect_match <(echo "$verbs") '^status .*drain'
expect_offered "$verbs" ctl --json ""
expect_offered "error warning notice info debug usual" ctl log ""
expect_offered "get set remove" ctl metadata ""
expect_offered "aes-xts-plain64 aes-cbc-essiv:sha256" format --cipher a
expect_offered "key" k
expect_offered "add change remove priority test list" key ""
expect_offered "key" help k
expect_offered "add" help key a
expect_offered "off on require-tcp require" serve --raw --tls ""
expect_offered "--tls=require-tcp --tls=require" serve --tls=r
expect_offered ":files" serve -r -U ""
expect_offered ":files" serve --key-file x ""
expect_offered ":files" compare disk.luks ""
expect_offered ":folders" tls init ""
expect_offered "on off" header discard x ""
expect_offered ":files" token export x ""
expect_offered "" token export x y ""
expect_offered "" key nosuch ""
expect_offered "" info --no

# ---- what a server has ----

control=$(temp_socket)
start_nbdcrypt --control "$control" --raw --export disk1=memory:1M --export disk2=memory:1M --export other=memory:1M
"$NBDCRYPT" ctl --socket "$control" metadata set disk1 org.example.app <<<'{"a":1}'
for verb in show remove suspend resume rescan replace; do
    expect_offered "disk1 disk2" ctl --socket "$control" "$verb" d
done
expect_offered "disk1 disk2 other" ctl "--socket=$control" show ""
expect_offered "disk1 disk2" ctl --socket "$control" reload --replace d
expect_offered "disk1 disk2" ctl --socket "$control" disconnect --export d
expect_offered "disk1 disk2 other" ctl --socket "$control" metadata get ""
expect_offered "org.example.app" ctl --socket "$control" metadata get disk1 ""
expect_offered ":files" ctl --socket "$control" metadata set disk1 org.example.app ""
expect_offered "" ctl --socket "$control" add ""
expect_offered ":files" ctl --socket "$control" add new ""
expect_offered "client client.attached client.detached client.denied" ctl events --type cl
expect_offered "" ctl --socket "$control" disconnect ""
"$PYTHON" -c '
import subprocess, sys
from nbd_client import Client
client = Client("nbd+unix:///disk1?socket=" + sys.argv[1])
command = [sys.argv[2], "__complete", "ctl", "--socket", sys.argv[3], "disconnect", ""]
word, _, help = subprocess.run(command, check=True, capture_output=True, text=True).stdout.rstrip("\n").partition("\t")
assert word.isdigit() and help.startswith("client pid"), (word, help)
' "$socket" "$NBDCRYPT" "$control" </dev/null
stop_nbdcrypt
expect_offered "" ctl --socket "$control" show ""

# ---- bash ----

# in_bash LINE: what bash completes it to.
in_bash() {
    bash --norc -c '
        . "$1/nbdcrypt"
        COMP_WORDBREAKS=" =:" COMP_LINE=$2 COMP_POINT=${#2}
        _nbdcrypt
        printf "%s\n" "${COMPREPLY[@]}"' bash "$completion" "$1" | paste -s -d ' '
}

bash --norc -c '. "$1/nbdcrypt"; complete -p nbdcrypt' bash "$completion" >/dev/null || fail "bash has no completion"
expect_equal "bash: a command" "format" "$(in_bash 'nbdcrypt fo')"
expect_equal "bash: one of several" "priority" "$(in_bash 'nbdcrypt key pr')"
expect_equal "bash: an option" "--key-file --key-fd" "$(in_bash 'nbdcrypt serve --raw --key-f')"
expect_equal "bash: a value" "on off" "$(in_bash 'nbdcrypt header discard disk.luks ')"
expect_equal "bash: a value behind =" "require-tcp require" "$(in_bash 'nbdcrypt serve --tls=r')"
expect_equal "bash: a file" "disk.luks" "$(in_bash 'nbdcrypt info di')"
expect_equal "bash: a value with a colon" "sha256" "$(in_bash 'nbdcrypt format --cipher aes-cbc-essiv:s')"
expect_equal "bash: a folder" "folder" "$(in_bash 'nbdcrypt tls init ')"
# A key press runs no program but the one that is installed.
printf '#!/bin/sh\ntouch was-run\n' >nbdcrypt
chmod +x nbdcrypt
expect_equal "bash: by a path" "format" "$(in_bash './nbdcrypt fo')"

# ---- zsh ----

if command -v zsh >/dev/null; then
    # in_zsh WORD...: what zsh is told, by functions in the place of its own.
    in_zsh() {
        # shellcheck disable=SC2016 # for zsh
        zsh -f -c '
            compset() { : }
            _files() { print -r -- "files $*" }
            _describe() { print -rl -- "${(@P)2}" }
            folder=$1
            shift
            words=("$@") CURRENT=$#
            . $folder/_nbdcrypt' zsh "$completion" "$@" | cut -d : -f 1 | paste -s -d ' '
    }

    expect_equal "zsh: a command" "format" "$(in_zsh nbdcrypt fo)"
    expect_equal "zsh: an option" "--key-file --key-fd" "$(in_zsh nbdcrypt serve --raw --key-f)"
    expect_equal "zsh: a value" "on off" "$(in_zsh nbdcrypt header discard disk.luks '')"
    expect_equal "zsh: a file" "files " "$(in_zsh nbdcrypt info '')"
    expect_equal "zsh: by a path" "format" "$(in_zsh ./nbdcrypt fo)"
    expect_equal "zsh: a folder" "files -/" "$(in_zsh nbdcrypt tls init '')"
    zsh -f -c 'autoload -Uz compinit && fpath=($1 $fpath) && compinit -D -u && [[ $_comps[nbdcrypt] == _nbdcrypt ]]' \
        zsh "$completion" || fail "zsh does not find the completion of nbdcrypt"
else
    note "no zsh"
fi

# ---- fish ----

if command -v fish >/dev/null; then
    # in_fish LINE
    in_fish() {
        HOME=$test_dir XDG_CONFIG_HOME=$test_dir XDG_DATA_HOME=$test_dir fish --no-config -c "
            source $completion/nbdcrypt.fish
            complete -C '$1'" | cut -f 1 | paste -s -d ' '
    }

    expect_equal "fish: a command" "format" "$(in_fish 'nbdcrypt fo')"
    expect_equal "fish: an option" "--key-fd --key-file" "$(in_fish 'nbdcrypt serve --raw --key-f')"
    expect_equal "fish: a value" "off on" "$(in_fish 'nbdcrypt header discard disk.luks ')"
    expect_equal "fish: a file" "disk.luks" "$(in_fish 'nbdcrypt info di')"
    expect_equal "fish: by a path" "format" "$(in_fish './nbdcrypt fo')"
    expect_equal "fish: a folder" "folder/" "$(in_fish 'nbdcrypt tls init ')"
else
    note "no fish"
fi
[ ! -e was-run ] || fail "completion has run a program of the folder"
