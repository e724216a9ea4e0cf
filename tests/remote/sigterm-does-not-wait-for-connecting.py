import socket
import sys
import time

listener, clients = socket.socket(socket.AF_UNIX), []
listener.bind(sys.argv[1])
listener.listen(0)
for _ in range(8):
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    clients.append(client)
    if client.connect_ex(sys.argv[1]):
        break
print("full", flush=True)
time.sleep(60)
