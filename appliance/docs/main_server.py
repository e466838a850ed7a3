#!/usr/bin/env python3
"""A main server of a few hundred lines: what a chain's own back office has to speak, and nothing more.

It authors masterdata for boxes and settles their transactions, by the contract in integrators.md.
It needs the packages `blake3` and `cryptography` and shares no code with Storebox: the tests run a real box on it.

    main_server.py LEDGER TOKEN

serves on a free port of 127.0.0.1 and prints a line of JSON with its address and its public key.
Each line on standard input is a change set, {"Product": {"4711": {"name": "Milk"}, "4712": null}}:
records by model and id, null for a removal; the line that comes back says which revision it became.
Settled transactions are appended to LEDGER, one JSON object a line.
"""

import json
import os
import struct
import sys
import threading
import time
import zlib
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from blake3 import blake3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# The feed of each model that this server authors; a real one takes the table from the registry.
FEEDS = {"Product": "catalogue", "Brand": "catalogue", "BusinessPartner": "partners", "Terminal": "estate"}
FEED_NAMES = sorted(set(FEEDS.values()))
NODE = "back-office"
LONG_POLL_MAX_S = 55
BLOCK_RECORDS_MAX, BLOCK_BYTES_TARGET = 64, 24 * 1024
SEGMENT_RECORDS_MEAN, SEGMENT_RECORDS_MAX, SEGMENT_CONTENT_MAX = 1024, 4096, 8 * 1024 * 1024
RUN_PAGE_RECORDS_MAX, RUNS_MAX = 4096, 64


def now():
    """A time as it is written wherever it is signed: in UTC, milliseconds at most, no zeros at the end of the fraction."""
    moment = datetime.now(timezone.utc)
    fraction = f".{moment.microsecond // 1000:03}".rstrip("0").rstrip(".")
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def hash32(data):
    return blake3(data).hexdigest()


def checksum(data):
    return blake3(data).digest(8)


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def row(name, body):
    """A record as it lies in a segment; no body is a removal."""
    name = name.encode()
    tail = varint(0) if body is None else varint(len(body) + 1) + body
    return varint(len(name)) + name + tail


def text(value):
    value = value.encode()
    return bytes([len(value)]) + value


def pack(model, kind, revision, rows):
    """The file of a segment, and its content before compression. `rows` are pairs of id and body, ascending."""
    blocks, block = [], []
    for name, body in rows:
        block.append((name, row(name, body)))
        if len(block) == BLOCK_RECORDS_MAX or sum(len(one) for _, one in block) >= BLOCK_BYTES_TARGET:
            blocks.append(block)
            block = []
    if block:
        blocks.append(block)
    directory, packed_blocks, content = b"", b"", b""
    for block in blocks:
        raw = b"".join(one for _, one in block)
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = deflate.compress(raw) + deflate.flush()
        directory += struct.pack("<IIH", len(packed), len(raw), len(block)) + text(block[0][0]) + checksum(packed)
        packed_blocks += packed
        content += raw
    fields = text(model) + struct.pack("<QIIH", revision, len(rows), len(content), len(blocks)) + directory
    head = b"SBXS\x01" + bytes([kind]) + struct.pack("<I", 10 + len(fields) + 8) + fields
    return head + checksum(head) + packed_blocks, content


def cut(records):
    """Splits a model into segments, after records that the contract names."""
    segment, content = [], 0
    for name, body in records:
        segment.append((name, body))
        content += len(row(name, body))
        boundary = int.from_bytes(blake3(name.encode()).digest(4), "little") % SEGMENT_RECORDS_MEAN == 0
        if boundary or len(segment) == SEGMENT_RECORDS_MAX or content >= SEGMENT_CONTENT_MAX:
            yield segment
            segment, content = [], 0
    if segment:
        yield segment


class Author:
    """The feeds: records, objects by their name, and a signed head each."""

    def __init__(self, key):
        self.key = key
        self.epoch = int(time.time())
        self.records = {model: {} for model in FEEDS}
        self.revision = {feed: 0 for feed in FEED_NAMES}
        self.runs = {feed: [] for feed in FEED_NAMES}
        self.objects, self.heads = {}, {}
        self.changed = threading.Condition()
        for feed in FEED_NAMES:
            self.publish(feed, {})

    def put(self, data):
        name = hash32(data)
        self.objects[name] = data
        return name

    def publish(self, feed, changes):
        with self.changed:
            revision = self.revision[feed] = self.revision[feed] + 1
            pages = []
            for model, rows in sorted(changes.items()):
                rows = sorted(rows.items(), key=lambda pair: pair[0].encode())
                for name, body in rows:
                    if body is None:
                        self.records[model].pop(name, None)
                    else:
                        self.records[model][name] = body
                for start in range(0, len(rows), RUN_PAGE_RECORDS_MAX):
                    page = rows[start:start + RUN_PAGE_RECORDS_MAX]
                    data, content = pack(model, 1, revision, page)
                    pages.append({"model": model, "name": self.put(data), "digest": hash32(content),
                                  "count": len(page), "bytes": len(data)})
            # The first revision has no run: whoever has nothing takes the snapshot.
            if pages:
                self.runs[feed] = (self.runs[feed] + [{"revision": revision, "pages": pages}])[-RUNS_MAX:]
            models = [self.snapshot(model) for model in sorted(FEEDS) if FEEDS[model] == feed]
            head = {"version": 1, "feed": feed, "epoch": self.epoch, "revision": revision,
                    "horizon": revision - len(self.runs[feed]), "published": now(),
                    "models": models, "runs": self.runs[feed]}
            payload = compact(head).decode()
            signature = self.key.sign(b"storebox-head-v1\n" + payload.encode())
            signed = compact({"payload": payload, "key": public(self.key), "signature": signature.hex()})
            self.heads[feed] = (revision, signed)
            self.changed.notify_all()
            return revision

    def snapshot(self, model):
        """The manifest of a model: its segments, each only written if it is new."""
        entries, over = [], blake3(b"storebox-model-v1\n")
        records = sorted(self.records[model].items(), key=lambda pair: pair[0].encode())
        for segment in cut(records):
            data, content = pack(model, 0, 0, segment)
            digest = blake3(content).digest()
            over.update(digest + struct.pack("<I", len(segment)))
            entries.append({"first": segment[0][0], "last": segment[-1][0], "count": len(segment),
                            "bytes": len(data), "name": self.put(data), "digest": digest.hex()})
        manifest = compact({"model": model, "segments": entries})
        return {"model": model, "count": len(records), "digest": over.hexdigest(),
                "manifest": self.put(manifest), "manifest_bytes": len(manifest)}

    def head(self, feed, epoch, revision, wait_s):
        """The signed head, or nothing if it is still the one that the caller has."""
        with self.changed:
            same = lambda: (epoch, revision) == (self.epoch, self.heads[feed][0])
            self.changed.wait_for(lambda: not same(), min(wait_s, LONG_POLL_MAX_S))
            return None if same() else self.heads[feed]


class Ledger:
    """What was settled: on the disk before anybody is told."""

    def __init__(self, path, key):
        self.file, self.key = open(path, "ab"), key
        self.receipts, self.lock = {}, threading.Lock()

    def settle(self, envelope, raw):
        digest, name = hash32(raw), envelope["key"]
        with self.lock:
            known = self.receipts.get(name)
            if known is None:
                self.file.write(raw + b"\n")
                self.file.flush()
                os.fsync(self.file.fileno())
                known = self.receipts[name] = self.receipt(name, digest, len(self.receipts) + 1)
        if known["digest"] != digest:
            problem = {"type": "about:blank", "status": 409, "code": "key_conflict", "retryable": False,
                       "detail": "another content is settled under this key"}
            return {"key": name, "result": "refused", "problem": problem}
        return {"key": name, "result": "taken", "receipt": known}

    def receipt(self, name, digest, position):
        at = now()
        signed = f"storebox-receipt-v1\n{name}\n{digest}\nsettled\n{NODE}\n{position}\n{at}\n"
        return {"key": name, "digest": digest, "grade": "settled", "node": NODE, "position": position,
                "at": at, "signature": self.key.sign(signed.encode()).hex()}


def envelopes(body):
    """Each envelope with the very bytes it came in: they are what its digest is over."""
    decoder, content = json.JSONDecoder(), body.decode()
    at = content.index('"envelopes":[') + len('"envelopes":[')
    while content[at] != "]":
        envelope, end = decoder.raw_decode(content, at)
        yield envelope, content[at:end].encode()
        at = end + 1 if content[end] == "," else end


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        parts, query = url.path.strip("/").split("/"), {key: value[0] for key, value in parse_qs(url.query).items()}
        if url.path == "/healthz":
            return self.answer(200, b"ok\n", "text/plain")
        if not self.admitted():
            return None
        server = self.server
        match parts:
            case ["sync", "v1", "feeds"]:
                offers = [{"feed": feed, "position": f"{server.author.epoch}.{server.author.heads[feed][0]}"}
                          for feed in FEED_NAMES]
                return self.answer(200, compact(offers))
            case ["sync", "v1", "feeds", feed, "head"] if feed in FEED_NAMES:
                number = lambda name: int(query.get(name, 0))
                found = server.author.head(feed, number("after_epoch"), number("after_revision"), number("wait_s"))
                if found is None:
                    return self.answer(304, b"")
                return self.answer(200, found[1], etag=f'"{server.author.epoch}-{found[0]}"')
            case ["sync", "v1", "objects", name] if name in server.author.objects:
                return self.answer(200, server.author.objects[name], "application/octet-stream")
            case ["sync", "v1", "transactions", name] if name in server.ledger.receipts:
                return self.answer(200, compact({"result": "taken", "receipt": server.ledger.receipts[name]}))
        return self.refuse(404, "path_unknown", "nothing is at this path")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not self.admitted():
            return None
        if self.path == "/sync/v1/transactions":
            answers = [self.server.ledger.settle(envelope, raw) for envelope, raw in envelopes(body)]
            return self.answer(200, compact({"answers": answers}))
        if self.path in ("/sync/v1/history", "/sync/v1/heartbeat"):
            return self.answer(204, b"")
        return self.refuse(404, "path_unknown", "nothing is at this path")

    def admitted(self):
        if self.headers.get("authorization") == f"Bearer {self.server.token}":
            return True
        self.refuse(401, "unauthenticated", "nobody has this token")
        return False

    def refuse(self, status, code, detail):
        problem = {"type": "about:blank", "status": status, "code": code, "detail": detail, "retryable": False}
        self.answer(status, compact(problem), "application/problem+json")

    def answer(self, status, body, kind="application/json", etag=None):
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
        if etag:
            self.send_header("etag", etag)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def public(key):
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return key.public_key().public_bytes(*raw).hex()


def main():
    path, token = sys.argv[1:3]
    key = Ed25519PrivateKey.generate()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.author, server.ledger, server.token = Author(key), Ledger(path, key), token
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    print(json.dumps({"address": address, "publicKey": public(key)}), flush=True)
    for line in sys.stdin:
        changes = {}
        for model, records in json.loads(line).items():
            bodies = {name: None if record is None else compact({"id": name, **record})
                      for name, record in records.items()}
            changes.setdefault(FEEDS[model], {})[model] = bodies
        revisions = {feed: server.author.publish(feed, models) for feed, models in changes.items()}
        print(json.dumps(revisions), flush=True)


if __name__ == "__main__":
    main()
