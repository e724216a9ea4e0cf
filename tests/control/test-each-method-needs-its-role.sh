#!/bin/bash
# Who may do what on the control socket: every method with every role.  Roles come from rules of users and of groups, also of
# groups that are not the first one of a user; the user of the server and root have all of them.  Who has none can do
# nothing but ask what this is.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
truncate --size=1M "$image"
control=$(temp_socket)

# answers_to [COMMAND-PREFIX...]: "METHOD answer" for each, by whoever the prefix makes of us; an answer is ok, denied, or an error.
answers_to() {
    # All of it by the shell, which may read it.
    "$@" "$PYTHON" - "$control" < <(
        cat "$support_dir/varlink_client.py"
        grep -v '^from varlink_client ' "$source_dir/tests/control/each-method-needs-its-role-answers-to.py"
    )
}

# expect_role ROLE [COMMAND-PREFIX...]
expect_role() {
    local role=$1 view=ok operate=ok admin=ok conflict=Conflict follows=ExpectedMore exists=NotPossible missing=NoSuchExport
    local absent=NoSuchExport nobody=NoSuchClient ungrouped=NoSuchGroup
    local keyless=InvalidParameter

    shift
    case $role in
    none) view='denied: view' operate='denied: operate' absent=$operate nobody=$operate ungrouped=$operate admin='denied: admin' follows=$view conflict=$admin exists=$admin missing=$admin keyless=$admin ;;
    view) operate='denied: operate' absent=$operate nobody=$operate ungrouped=$operate admin='denied: admin' conflict=$admin exists=$admin missing=$admin keyless=$admin ;;
    operate) admin='denied: admin' conflict=$admin exists=$admin missing=$admin keyless=$admin ;;
    esac
    expect_equal "answers to $role ($*)" "GetInfo ok
GetInterfaceDescription ok
Status $view
ListExports $view
ListGroups $view
GetMetadata $view
ListClients $follows
ListRequests $follows
ListSlowRequests $view
ListFigures $follows
Events $follows
Report $operate
SetLogLevel $operate
Rescan $operate
Disconnect $nobody
Reload $admin
SetMetadata $missing
SetLimits $absent
SetGroupLimits $ungrouped
Suspend $absent
Resume $missing
AddKey $keyless
ChangeKey $keyless
RemoveKey $keyless
AddExport $exists
ReplaceExport $missing
RemoveExport $missing
ConnectClient $missing
Drain $conflict" "$(answers_to "$@")"
}

start_nbdcrypt --raw --control "$control" "$image"
expect_role admin
expect_equal "mode of the socket" 660 "$(stat --format=%a "$control")"
stop_nbdcrypt
[ ! -e "$control" ] || fail "the socket is still there"

[ "$(id -u)" -eq 0 ] || skip "the rest takes root, to be several users"
requires setpriv --version

# be UID [GROUPS]: sets run_as.
be() {
    run_as=(setpriv "--reuid=$1" "--regid=$1")
    if [ -n "${2-}" ]; then run_as+=("--groups=$2"); else run_as+=(--clear-groups); fi
}

# expect_role_of ROLE UID [GROUPS]
expect_role_of() {
    be "$2" "${3-}"
    expect_role "$1" "${run_as[@]}"
}

chmod 755 "$test_dir"
start_nbdcrypt --raw --control "$control" --control-mode 0666 --control-view uid:64001 --control-view gid:64100 \
    --control-operate gid:64101 --control-admin 'uid:64003&gid:64102' "$image"
expect_role_of view 64001
expect_role_of view 64002 64099,64100
expect_role_of operate 64002 64100,64101
expect_role_of operate 64001 64101
expect_role_of none 64002
expect_role_of none 64003
expect_role_of none 64002 64102
expect_role_of admin 64003 64102
found_in "$server_log" -E "warning: client pid [0-9]+ uid 64002: control: it may not do AddExport name='' image='': that takes the role admin"
found_in "$server_log" -E "client pid [0-9]+ uid 64003: control: Reload\$"

# The same told by the command, with its status.
be 64001
run_nbdcrypt ctl --socket "$control" status
expect_equal "status for a viewer" 0 "$status"
expect_match "$out" '^your role +view$'
expect_failure 4 "this user may not do that: it takes the role operate, which the server gives by its options \
--control-view, --control-operate and --control-admin" ctl --socket "$control" rescan
stop_nbdcrypt

# ---- each verb of the command, by each role ----

# VERB | the role that it takes | its status for who has that: 124 goes on until it is interrupted
verbs='status|view|0
exports|view|0
clients|view|0
requests|view|0
top --batch --count 1 --delay 1|view|0
metrics|view|0
show none|view|1
events|view|124
metadata get none|view|1
log notice|operate|0
rescan|operate|0
report|operate|0
limits none limit-iops=1|operate|1
suspend none|operate|1
disconnect 99999|operate|1
disconnect --export none|operate|1
limits --group none|view|1
limits --group none limit-iops=3|operate|1
groups|view|0
disconnect --rule psk:nobody|operate|0
metadata set none x.y /dev/null|admin|1
metadata remove none x.y|admin|1
add x /nothing raw=yes|admin|1
replace none /nothing raw=yes|admin|1
remove none|admin|1
resume none|admin|1
key remove none slot=1|admin|1
reload|admin|0
reload --dry-run|admin|1
drain|admin|0'
"$NBDCRYPT" ctl --help >"$out"
known=$(awk '/^Verbs:/ { inside = 1; next } /^$/ { inside = 0 } inside && /^  [a-z]/ { print $1 }' "$out" | sort -u)
expect_equal "verbs of the table" "$known" "$(grep -o '^[a-z]*' <<<"$verbs" | sort -u)"

start_nbdcrypt --raw --control "$control" --control-mode 0666 --control-view uid:64001 --control-operate uid:64002 \
    --control-admin uid:64003 "$image"
rank() {
    case $1 in none) echo 0 ;; view) echo 1 ;; operate) echo 2 ;; admin) echo 3 ;; esac
}
for role in none view operate admin; do
    be $((64000 + $(rank "$role")))
    while IFS='|' read -r verb needed wanted; do
        [ "$(rank "$role")" -ge "$(rank "$needed")" ] || wanted=4
        got=0
        # shellcheck disable=SC2086 # the words of the verb
        timeout 2 "${run_as[@]}" "$NBDCRYPT" ctl --socket "$control" $verb >"$log_dir/verb" 2>&1 </dev/null || got=$?
        expect_equal "status of 'ctl $verb' for $role" "$wanted" "$got"
    done <<<"$verbs"
done
wait "$pid" || fail "the server that was drained failed"

# Who can't connect is told that, too.
start_nbdcrypt --raw --control "$control" "$image"
be 64001
expect_failure 4 "the control socket '$control': this user may not connect to it" ctl --socket "$control" status
stop_nbdcrypt
