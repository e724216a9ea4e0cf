"""For the test of this name: RECIPES FOLDER ROOT LOG-FOLDER."""

import sys

from machine import Machine
from vm_recipes import LOAD, Recipes, Server

recipes, folder, root, log_dir = sys.argv[1:]
server = Server(root, log_dir)
recipes = Recipes(recipes, server.port)
server.start()
machine = Machine(
    folder, *recipes.options("boot"), *recipes.options("x509"), *recipes.options("psk")
)

# What the machine writes, under load and while its server dies.
machine.write("/load", LOAD)
machine.run("echo written by the machine >/root/kept; sync")
for disk in "vdb", "vdc":
    machine.run("mkfs.ext4 -q /dev/%s; mkdir /%s; mount /dev/%s /%s" % ((disk,) * 4))
    machine.run("mkdir /tmp/%s; sh /load /%s /tmp/%s >/dev/null 2>&1 &" % ((disk,) * 3))
machine.run("mkdir /tmp/vda; sh /load /root /tmp/vda >/dev/null 2>&1 &")
for _ in range(3):
    for disk in "vda", "vdb", "vdc":
        machine.run("rm -f /tmp/%s/rounds" % disk)
        machine.until("[ -e /tmp/%s/rounds -o -e /tmp/%s/ended ]" % (disk, disk))
    server.kill()
    server.start()
for disk in "vda", "vdb", "vdc":
    machine.run("touch /tmp/%s/enough" % disk)
    machine.until("[ -e /tmp/%s/ended ]" % disk)
    if machine.run("cat /tmp/%s/ended" % disk) != "well\n":
        raise SystemExit("a request for %s has failed: %s" % (disk, machine.run("dmesg | tail -n 20")))
machine.run("! dmesg | grep -iE 'I/O error|remount|aborted'")
machine.run("fstrim /vdb")

# Once more, by itself.
sums = machine.run("cd / && md5sum root/kept root/data vdb/data vdc/data")
machine.run("umount /vdb /vdc; sync")
machine.begin("reboot -f")
machine.booted()
machine.run("mount /dev/vdb /vdb; mount /dev/vdc /vdc")
again = machine.run("cd / && md5sum root/kept root/data vdb/data vdc/data")
if again != sums:
    raise SystemExit("the machine has written %s, and reads %s" % (sums, again))
if machine.has_event("BLOCK_IO_ERROR"):
    raise SystemExit("a request has failed: %s" % machine.events)
machine.run("umount /vdb /vdc; sync; mount -o remount,ro /")
machine.quit()
server.stop()
