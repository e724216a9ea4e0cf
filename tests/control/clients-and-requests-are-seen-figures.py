import json
import sys

from varlink_client import Connection, Error

looks = [json.loads(line) for line in open(sys.argv[1])]
assert len(looks) == 2 and all({row["name"] for row in look} == {"far", "idle"} for look in looks), looks
client = Connection(sys.argv[2])
figures = {reply["figures"]["name"]: reply["figures"] for reply in client.list("ListFigures")}
far, idle = figures["far"], figures["idle"]
assert far["requests"] >= 403 and far["written_bytes"] == 1 << 20 and far["attached"] == 2, far
assert sum(one["count"] for one in far["durations"]) == far["requests"], far
assert [one["us"] for one in far["durations"]] == sorted(one["us"] for one in far["durations"])
assert max(one["us"] for one in far["durations"]) >= 200000, "the one that waited is not there"
assert idle["requests"] == 0 and idle["durations"] == [], idle
one = client.list("ListClients")[0]["client"]
assert client.call("ListClients", {"id": one["id"]})["client"]["peer"] == one["peer"]
for method, parameters, name in (
    ("ListClients", {"id": 1 << 60}, "org.nbdcrypt.NoSuchClient"),
    ("ListClients", {}, "org.varlink.service.ExpectedMore"),
    ("ListRequests", {}, "org.varlink.service.ExpectedMore"),
    ("ListFigures", {}, "org.varlink.service.ExpectedMore"),
):
    try:
        client.call(method, parameters)
        sys.exit(f"{method} {parameters} did not fail")
    except Error as error:
        assert error.name == name, error
