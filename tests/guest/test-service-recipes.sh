#!/bin/bash
# The recipes of nbdcrypt-service(7), one after the other in a fresh system: a disk is made, served and attached, a second one comes
# beside it, a client loses its right and is gone, the passphrase is another one, a disk is suspended and resumed, grows, moves, is backed up and restored,
# and the server is restarted.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/guest-systemd.sh"

# recipes PAGE FOLDER: each section's commands, in a file that is named by its title.  Keys are derived quickly here.
recipes() {
    local title='' inside='' line

    while IFS= read -r line; do
        case $line in
        '.Ss '*) title=${line#.Ss } ;;
        '.Bd -literal'*) inside=$title ;; # those before the first recipe are for other tests
        .Ed) inside='' ;;
        *) [ -z "$inside" ] || printf '%s\n' "$line" >>"$2/${title// /-}" ;;
        esac
    done <"$1"
    sed -i 's,\\e$,\\,; s,^nbdcrypt \(format\|key change\) ,&--pbkdf pbkdf2 --pbkdf-iterations 1000 ,' "$2"/*
}
mkdir "$test_dir/recipes"
recipes "${top_srcdir:-$source_dir}/docs/nbdcrypt-service.7" "$test_dir/recipes"
expect_equal "recipes" 12 "$(find "$test_dir/recipes" -type f | wc -l)"
guest_add "$test_dir/recipes" /recipes
for program in install cp truncate; do # busybox has none, or one that knows no holes and no growing by a size
    guest_add "$(command -v "$program")" "/usr/local/bin/$program"
done

guest_run -- <<'SCRIPT' || fail "in the guest: $(cat "$guest_output")"
failed() {
    status=$?
    [ "$status" -eq 0 ] || journalctl --no-pager --boot | grep -vE 'kernel:|sysusers' | tail -n 40
    exit "$status"
}
trap failed EXIT
follow() {
    echo "== $*" | tee /dev/console
    sh -eu "/recipes/$(echo "$*" | tr ' ' -)"
}
# until_so COMMAND...: for ever, which is ended from outside.
# client USER DISK [OPTION...]: whether it writes, and reads what it wrote, as this user.
uri() { echo "nbd+unix:///$1?socket=/run/nbdcrypt/nbd.sock"; }
client() {
    user=$1 disk=$2
    shift 2
    su "$user" -s /bin/sh -c "echo \$\$ >/tmp/$user.pid; exec nbdcrypt-bench --write 50 --verify --size 1M --depth 4 --timeout 300 $* '$(uri "$disk")'"
}
has_clients() { [ "$(nbdcrypt ctl status | sed -n 's/^clients  *//p')" -eq "$1" ]; }
size_of() { nbdcrypt ctl show "$1" | grep '^size'; }
printf 'u vm1 -\nu vm2 -\nm vm1 nbdcrypt\nm vm2 nbdcrypt\nm backup nbdcrypt\n' >/usr/lib/sysusers.d/users.conf
systemd-sysusers >/dev/null 2>&1

follow The first disk
client vm1 vm1 --time 600 >/tmp/vm1 2>&1 &
vm1=$!
until_so has_clients 1
! client vm2 vm1 --count 1 2>/dev/null || exit 1

follow The second disk
client vm2 vm2 --count 50 >/dev/null
! client vm1 vm2 --count 1 2>/dev/null || exit 1
has_clients 1

follow A client that may no longer
! wait "$vm1" || exit 1
cat /tmp/vm1
! client vm1 vm1 --count 1 2>/dev/null || exit 1
client backup vm1 --count 10 >/dev/null
client vm2 vm2 --time 600 >/tmp/vm2 2>&1 &
vm2=$!
until_so has_clients 1

follow Another passphrase
nbdcrypt key test --key-file /etc/nbdcrypt/keys/vm1 /var/lib/nbdcrypt/vm1.luks
client backup vm1 --count 10 >/dev/null

follow A disk whose key must not be in memory
has_clients 1
kill -0 "$vm2"

follow A disk that takes too much
nbdcrypt ctl show vm1 | grep 500
has_clients 1

follow A larger disk
size_of vm1
has_clients 1
kill "$(cat /tmp/vm2.pid)"
wait "$vm2" || true
until_so has_clients 0

follow A disk moves
client vm2 vm2 --count 50 >/dev/null

follow Backup
client vm2 vm2 --count 50 >/dev/null

follow Restore
client backup vm1 --count 10 >/dev/null
client vm2 vm2 --count 10 >/dev/null

follow Something is wrong
has_report() { ls /var/lib/nbdcrypt/reports/*.txt >/dev/null 2>&1; }
until_so has_report

follow A restart
client vm2 vm2 --count 10 >/dev/null
systemctl stop nbdcrypt
[ "$(systemctl show --property Result --value nbdcrypt)" = success ]
SCRIPT
expect_match "$guest_output" '^size .*20'
