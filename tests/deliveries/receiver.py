"""A receiver of signed requests that keeps what it gets in SQLite; made from the specification alone.

receiver.py DATABASE PORT SECRET [CERTIFICATE KEY]: prints its port when it listens.
"""

import base64
import hashlib
import hmac
import json
import sqlite3
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

AGE_MAX_S = 300
database, port, secret = sys.argv[1], int(sys.argv[2]), sys.argv[3]
store = sqlite3.connect(database, isolation_level=None)
store.execute("pragma synchronous = full")
store.execute("create table if not exists taken (key text primary key, position integer, body text)")
store.execute("create table if not exists heard (entries integer)")


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.answer(*self.take(body))

    def take(self, body):
        stamp = self.headers["webhook-timestamp"]
        if abs(time.time() - int(stamp)) > AGE_MAX_S:
            return 401, "too old"
        signed = self.headers["webhook-id"].encode() + b"." + stamp.encode() + b"." + body
        wanted = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
        given = self.headers["webhook-signature"].split(" ")
        if not any(hmac.compare_digest("v1," + wanted, one) for one in given):
            return 401, "not signed by whom we know"
        entries = json.loads(body)["entries"]
        if any("poison" in entry["envelope"]["payload"] for entry in entries):
            return 422, "poison"
        store.execute("begin")
        store.execute("insert into heard values (?)", (len(entries),))
        for entry in entries:
            row = (entry["envelope"]["key"], entry["position"], json.dumps(entry["envelope"]))
            store.execute("insert or ignore into taken values (?, ?, ?)", row)
        store.execute("commit")
        return 204, ""

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Server(HTTPServer):
    def handle_error(self, request, client_address):
        """A box that was killed in the middle is what the tests are about."""


server = Server(("127.0.0.1", port), Receiver)
if len(sys.argv) > 4:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4], sys.argv[5])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
