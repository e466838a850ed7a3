"""A server of hawkBit's device API, made from its public description alone.

ddi_server.py BUNDLE VERSION CONTROLLER TOKEN CUT LOG: prints its port when it listens.
The first download ends after CUT bytes; what the device says is written to LOG, a JSON object a line.
LOG.tricks, where it is there, says what goes wrong meanwhile: `sha256` is announced instead of the right one, `host` is
named in front of the path of the bundle, a download stops after `stall` bytes until that is gone, `cancel` takes the
action of this id back.
"""

import hashlib
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

bundle_path, version, controller, token, cut, log_path = sys.argv[1:7]
bundle = open(bundle_path, "rb").read()
home = f"/DEFAULT/controller/v1/{controller}"
state = {"cut": int(cut), "closed": False, "configured": False, "action": "8"}


def log(what, **more):
    with open(log_path, "a") as out:
        out.write(json.dumps({"what": what, **more}) + "\n")


def tricks():
    path = f"{log_path}.tricks"
    return json.load(open(path)) if os.path.exists(path) else {}


class Device(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def is_known(self):
        if self.headers.get("authorization") == f"TargetToken {token}":
            return True
        self.answer(401, {})
        return False

    def do_GET(self):
        if not self.is_known():
            return
        if self.path == home:
            links = {}
            # As the real one: links name the server as it knows itself, which may not be how the box reaches it.
            if not state["configured"]:
                links["configData"] = {"href": f"http://hawkbit.invalid{home}/configData"}
            if "cancel" in tricks():
                links["cancelAction"] = {"href": f"http://hawkbit.invalid{home}/cancelAction/{state['action']}"}
            elif not state["closed"]:
                links["deploymentBase"] = {
                    "href": f"http://hawkbit.invalid{home}/deploymentBase/{state['action']}?c=-2129030598"
                }
            self.answer(200, {"config": {"polling": {"sleep": "00:00:01"}}, "_links": links})
        elif self.path == f"{home}/cancelAction/{state['action']}":
            action = tricks()["cancel"]
            self.answer(200, {"id": action, "cancelAction": {"stopId": action}})
        elif self.path.startswith(f"{home}/deploymentBase/{state['action']}?"):
            self.answer(200, {"id": state["action"], "deployment": deployment()})
        elif self.path.endswith(f"{home}/artifacts/update.raucb"):
            self.download()
        else:
            self.answer(404, {})

    def download(self):
        begin = 0
        if self.headers.get("range"):
            begin = int(self.headers["range"].removeprefix("bytes=").split("-")[0])
        rest = bundle[begin:]
        log("download", begin=begin, path=self.path)
        self.send_response(206 if begin else 200)
        self.send_header("content-length", str(len(rest)))
        if begin:
            self.send_header("content-range", f"bytes {begin}-{len(bundle) - 1}/{len(bundle)}")
        self.end_headers()
        if state["cut"]:
            self.wfile.write(rest[: state["cut"]])
            self.wfile.flush()
            state["cut"] = 0
            self.close_connection = True
            return
        first = tricks().get("stall", len(rest))
        self.wfile.write(rest[:first])
        self.wfile.flush()
        while "stall" in tricks():
            time.sleep(0.1)
        self.wfile.write(rest[first:])

    def do_PUT(self):
        if not self.is_known():
            return
        body = self.rfile.read(int(self.headers["content-length"]))
        log("config", data=json.loads(body))
        state["configured"] = True
        self.answer(200, {})

    def do_POST(self):
        if not self.is_known():
            return
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == f"{home}/cancelAction/{state['action']}/feedback":
            log("cancel", id=body["id"], **body["status"])
        elif self.path == f"{home}/deploymentBase/{state['action']}/feedback":
            log("feedback", **body["status"])
            state["closed"] = state["closed"] or body["status"]["execution"] == "closed"
        else:
            self.answer(404, {})
            return
        self.answer(200, {})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/hal+json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def deployment():
    artifact = {
        "filename": "update.raucb",
        "hashes": {
            "sha1": hashlib.sha1(bundle).hexdigest(),
            "md5": hashlib.md5(bundle).hexdigest(),
            "sha256": tricks().get("sha256", hashlib.sha256(bundle).hexdigest()),
        },
        "size": len(bundle),
        "_links": {"download": {"href": f"http://hawkbit.invalid{tricks().get('host', '')}{home}/artifacts/update.raucb"}},
    }
    chunk = {"part": "os", "name": "storebox", "version": version, "artifacts": [artifact]}
    return {"download": "forced", "update": "forced", "chunks": [chunk]}


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A box that ends in the middle of an answer is no error."""


server = Quiet(("127.0.0.1", 0), Device)
print(server.server_port, flush=True)
server.serve_forever()
