"""Prints what python-zeroconf sees of a service type."""
import sys
import threading

from zeroconf import ServiceBrowser, ServiceListener, Zeroconf


class Told(ServiceListener):
    def add_service(self, zc, kind, name):
        info = zc.get_service_info(kind, name, 3000)
        if info:
            text = {key.decode(): (value or b"").decode() for key, value in info.properties.items()}
            print("added", name, info.parsed_addresses(), info.port, text, flush=True)

    def update_service(self, zc, kind, name):
        pass

    def remove_service(self, zc, kind, name):
        print("removed", name, flush=True)


zc = Zeroconf()
ServiceBrowser(zc, sys.argv[1], Told())
print("browsing", flush=True)
threading.Event().wait()
