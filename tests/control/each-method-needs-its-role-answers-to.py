import sys

from varlink_client import Connection, Error

calls = [
    ("org.varlink.service.GetInfo", {}),
    ("org.varlink.service.GetInterfaceDescription", {"interface": "org.nbdcrypt"}),
    ("Status", {}),
    ("ListExports", {"name": ""}),
    ("ListGroups", {}),
    ("GetMetadata", {"name": ""}),
    ("ListClients", {}),
    ("ListRequests", {}),
    ("ListSlowRequests", {}),
    ("ListFigures", {}),
    ("Events", {}),
    ("Report", {}),
    ("SetLogLevel", {"level": "notice"}),
    ("Rescan", {}),
    ("Disconnect", {"id": 1 << 60}),
    ("Reload", {}),
    ("SetMetadata", {"name": "none", "namespace": "x.y"}),
    ("SetLimits", {"name": "none", "limits": {}}),
    ("SetGroupLimits", {"name": "none", "limits": {}}),
    ("Suspend", {"name": "none"}),
    ("Resume", {"name": "none"}),
    ("AddKey", {"name": "none", "key_fd": 0, "new_key_fd": 1}),
    ("ChangeKey", {"name": "none", "key_fd": 0, "new_key_fd": 1}),
    ("RemoveKey", {"name": "none", "key_fd": 0}),
    ("AddExport", {"name": "", "image": ""}),
    ("ReplaceExport", {"name": "none", "image": ""}),
    ("RemoveExport", {"name": "none"}),
    ("ConnectClient", {"export": "none"}),
    ("Drain", {"if_revision": 1000000}),
]
client = Connection(sys.argv[1])
for method, parameters in calls:
    try:
        client.call(method, parameters)
        answer = "ok"
    except Error as error:
        answer = error.name.rpartition(".")[2]
        if answer == "Denied":
            answer = "denied: " + error.parameters["need"]
    print(method.rpartition(".")[2], answer)
