"""For the test of this name: RECIPES FOLDER ROOT LOG-FOLDER."""

import json
import os
import subprocess
import sys
import time

from machine import Machine
from vm_recipes import LOAD, TIMEOUT_S, Recipes, Server

recipes, folder, root, log_dir = sys.argv[1:]
server = Server(root, log_dir)
recipes = Recipes(recipes, server.port)


def on_server(name):
    subprocess.run(["bash", "-euo", "pipefail", os.path.join(root, "..", name + ".sh")], check=True, timeout=TIMEOUT_S)


def tell(name):
    for command in recipes.commands(name):
        machine.qmp_line(command)


def clients_of(export):
    ctl = [os.environ["NBDCRYPT"], "ctl", "clients", "--json"]
    clients = json.loads(subprocess.run(ctl, check=True, stdout=subprocess.PIPE, timeout=TIMEOUT_S).stdout)
    return sum(client["export"] == export for client in clients)


def expect(what, expected, found):
    if found != expected:
        raise SystemExit("%s: expected %r, found %r" % (what, expected, found))


server.start()
options = recipes.options("boot") + recipes.options("port")
machine = Machine(folder, *options)

# It comes.
on_server("add")
tell("plug")
machine.until("[ -b /dev/vdb ]")
size = int(machine.run("blockdev --getsize64 /dev/vdb"))
expect("sectors of it", "4096\n4096\n", machine.run("cd /sys/block/vdb/queue; cat logical_block_size physical_block_size"))
expect("sectors of the first", "512\n4096\n", machine.run("cd /sys/block/vda/queue; cat logical_block_size physical_block_size"))
machine.run("mkfs.ext4 -q /dev/vdb; mount /dev/vdb /mnt; echo as it was >/mnt/kept; sync")

# Its copy is of the moment when the job began, whatever is written meanwhile.
machine.write("/load", LOAD)
machine.run("mkdir /tmp/vdb; sh /load /mnt /tmp/vdb >/dev/null 2>&1 &")
machine.until("[ -e /tmp/vdb/rounds -o -e /tmp/vdb/ended ]")
on_server("backup-disk")
tell("backup")
machine.run("echo as it is >/mnt/kept; sync")
expect("error of the job", None, machine.event("BLOCK_JOB_COMPLETED", device="backup").get("error"))
tell("backup-end")
expect("clients of the copy", 0, clients_of("backup"))

# It grows under load: a request connects again, and then QEMU has the size.
on_server("grow")
machine.run("rm -f /tmp/vdb/rounds")
machine.until("[ -e /tmp/vdb/rounds -o -e /tmp/vdb/ended ]")
tell("grow-told")
machine.until("[ $(blockdev --getsize64 /dev/vdb) -eq %d ]" % (2 * size))
machine.run(recipes.text("grow-inside").replace("vdd", "vdb").strip())
machine.run("[ $(stat -f -c %%b /mnt) -gt %d ]" % (1.5 * size / 4096))
machine.run("touch /tmp/vdb/enough")
machine.until("[ -e /tmp/vdb/ended ]")
expect("load on it", "well\n", machine.run("cat /tmp/vdb/ended"))

# It goes.
machine.run("umount /mnt")
tell("unplug")
machine.event("DEVICE_DELETED", device="vdd")
tell("unplug-end")
on_server("remove")
machine.until("[ ! -e /dev/vdb ]")

# The machine moves, while it writes.
machine.run("mkdir /tmp/vda; sh /load /root /tmp/vda >/dev/null 2>&1 &")
there = Machine(folder, *options, *recipes.options("migrate-to"), ready=False)
expect("clients of the machine's disk", 2, clients_of("vm1"))
machine.run("rm -f /tmp/vda/rounds")
machine.until("[ -e /tmp/vda/rounds -o -e /tmp/vda/ended ]")
tell("migrate")
while True:
    status = machine.qmp("query-migrate")["status"]
    if status in ("completed", "failed", "cancelled"):
        break
    time.sleep(0.1)
expect("migration", "completed", status)
expect("requests that failed", False, machine.has_event("BLOCK_IO_ERROR"))
machine.quit()
there.run("rm -f /tmp/vda/rounds")
there.until("[ -e /tmp/vda/rounds -o -e /tmp/vda/ended ]")
there.run("touch /tmp/vda/enough")
there.until("[ -e /tmp/vda/ended ]")
expect("load on the machine's disk", "well\n", there.run("cat /tmp/vda/ended"))
with open(os.path.join(log_dir, "sum"), "w") as file:
    file.write(there.run("md5sum </root/data"))
there.run("! dmesg | grep -iE 'I/O error|remount|aborted'; mount -o remount,ro /")
expect("requests that failed", False, there.has_event("BLOCK_IO_ERROR"))
there.quit()
server.stop()
