"""Announces a service with python-zeroconf: NAME TYPE ADDRESS PORT KEY=VALUE..."""
import socket
import sys
import threading

from zeroconf import ServiceInfo, Zeroconf

name, kind, address, port = sys.argv[1:5]
info = ServiceInfo(
    kind,
    f"{name}.{kind}",
    addresses=[socket.inet_aton(address)],
    port=int(port),
    properties=dict(word.split("=", 1) for word in sys.argv[5:]),
    server=f"{name}.local.",
)
zc = Zeroconf()
zc.register_service(info)
print("published", flush=True)
sys.stdin.readline()
zc.unregister_service(info)
zc.close()
print("withdrawn", flush=True)
threading.Event().wait()
