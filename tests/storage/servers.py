"""A storage server on a free port of loopback: servers.py dav|ftp|old|web FOLDER [CERTIFICATE KEY]; prints its port."""

import logging
import ssl
import sys
from pathlib import Path

USER, PASSWORD = "box", "sesame"


def say(port):
    print(port, flush=True)


def dav(folder, *certified):
    from cheroot import wsgi
    from wsgidav.wsgidav_app import WsgiDAVApp

    users = {"*": {USER: {"password": PASSWORD}}}
    app = WsgiDAVApp({
        "provider_mapping": {"/": str(folder)},
        "simple_dc": {"user_mapping": users},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "verbose": 0,
    })
    server = wsgi.Server(("127.0.0.1", 0), app, numthreads=4)
    if certified:
        from cheroot.ssl.builtin import BuiltinSSLAdapter

        server.ssl_adapter = BuiltinSSLAdapter(*certified)
    server.prepare()
    say(server.bind_addr[1])
    server.serve()


def ftp(folder, *certified):
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    logging.basicConfig(level=logging.ERROR)
    if certified:
        from pyftpdlib.handlers import TLS_FTPHandler as FTPHandler

        FTPHandler.certfile, FTPHandler.keyfile = certified
        FTPHandler.tls_control_required = FTPHandler.tls_data_required = True
    FTPHandler.authorizer = DummyAuthorizer()
    FTPHandler.authorizer.add_user(USER, PASSWORD, str(folder), perm="elradfmwMT")
    server = FTPServer(("127.0.0.1", 0), FTPHandler)
    say(server.address[1])
    server.serve_forever()


def web(folder, *certified, newest=ssl.TLSVersion.MAXIMUM_SUPPORTED):
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    if certified:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = newest
        context.load_cert_chain(*certified)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    say(server.server_port)
    server.serve_forever()


def old(folder, *certified):
    """A web server that speaks nothing newer than TLS 1.2."""
    web(folder, *certified, newest=ssl.TLSVersion.TLSv1_2)


if __name__ == "__main__":
    {"dav": dav, "ftp": ftp, "old": old, "web": web}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
