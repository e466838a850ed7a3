#!/usr/bin/env python3
"""Makes the vectors of the sealed transport, version 1, from the specification alone (appliance/proto/SEALED.md).

Nothing here is shared with the program: the ciphers are those of the package `cryptography`, XChaCha20 is made from
ChaCha20 as its draft says. With --check the file is only compared. If it differs, boxes in the field would no longer
understand each other: do not change the vectors, mend the program.
"""

import base64
import hashlib
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FILE = pathlib.Path(__file__).with_name("vectors.json")
DAY = 86400


def lp(*parts):
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def num(value):
    return struct.pack(">Q", value)


def hkdf(key, info, length=32):
    return HKDF(hashes.SHA256(), length, b"storebox/seal/v1", info).derive(key)


def padded(fields, bucket):
    out = struct.pack(">I", len(fields)) + fields
    return out + bytes(-len(out) % bucket)


def pairs(items):
    return lp(num(len(items))) + b"".join(lp(a.encode(), b.encode()) for a, b in items)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def quarter(s, a, b, c, d):
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & 0xFFFFFFFF
        s[z] ^= s[x]
        s[z] = ((s[z] << turn) | (s[z] >> (32 - turn))) & 0xFFFFFFFF


def hchacha20(key, nonce):
    s = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), *struct.unpack("<4I", nonce)]
    for _ in range(10):
        for column in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)):
            quarter(s, *column)
        for diagonal in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(s, *diagonal)
    return struct.pack("<8I", *(s[:4] + s[12:]))


def xseal(key, nonce, bound, plain):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain, bound)


def known_answers():
    """The primitives themselves, against the documents that define them."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    bound = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    sealed = AESSIV(key).encrypt(bytes.fromhex("112233445566778899aabbccddee"), [bound])
    assert sealed.hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c", "RFC 5297 A.1"
    key = bytes.fromhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    want = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    assert hchacha20(key, nonce).hex() == want, "XChaCha draft 2.2.1"


class Ring:
    def __init__(self, key, site, scope, generation):
        make = lambda purpose, n=32: hkdf(key, lp(purpose, site.encode(), scope.encode(), struct.pack(">I", generation)), n)
        self.tag = make(b"tag", 4)
        self.shift = struct.unpack(">I", make(b"shift", 4))[0] % DAY
        self.chain, self.storage = make(b"chain"), make(b"storage")

    def begin(self, unix_s):
        self.first = self.epoch(unix_s) - 1
        return self

    def epoch(self, unix_s):
        return (unix_s + self.shift) // DAY

    def keys(self, epoch):
        chain = self.chain
        for _ in range(epoch - self.first):
            chain = hkdf(chain, b"ratchet")
        kid = self.tag + struct.pack(">I", epoch)
        return kid, hkdf(chain, b"url", 64), hkdf(chain, b"answer"), hkdf(chain, b"write")


def read(keys, path, query):
    kid, url_key, _, _ = keys
    frame = padded(lp(b"GET", path.encode()) + pairs(sorted(query)), 64)
    sealed = AESSIV(url_key).encrypt(frame, [lp(b"read"), kid])
    return frame, f"/x/{kid.hex()}/{b64(sealed)}"


def answer(keys, question, nonce, made_ms, body):
    kid, _, key, _ = keys
    frame = lp(num(200)) + pairs([("content-type", "application/json")])
    frame += lp(num(made_ms), num(30), num(0x0102030405060708), b"catalogue", num(7), num(42), body)
    return kid + nonce + xseal(key, nonce, lp(b"answer", question, kid), padded(frame, 256))


def write(keys, nonce, body):
    kid, _, _, key = keys
    frame = lp(num(0x0102030405060708), num(77), bytes(range(16)), b"POST", b"/v1/transactions?wait=held")
    frame += pairs([("authorization", "Bearer sbt_example"), ("content-type", "application/json")]) + lp(body)
    return f"/x/{kid.hex()}/{b64(nonce)}", xseal(key, nonce, lp(b"write", kid), padded(frame, 256))


def stored(ring, name, data):
    names, objects, nonces = (hkdf(ring.storage, purpose) for purpose in (b"names", b"objects", b"nonces"))
    nonce = hkdf(nonces, hashlib.sha256(lp(name.encode(), data)).digest(), 24)
    sealed = xseal(objects, nonce, lp(b"object", ring.tag, name.encode()), data)
    return hkdf(names, name.encode(), 20).hex(), b"SBX1" + ring.tag + nonce + sealed


def case(site, scope, generation, seed, begun_s, now_s):
    ring = Ring(bytes([seed] * 32), site, scope, generation).begin(begun_s)
    keys = ring.keys(ring.epoch(now_s))
    query = [("value", "Käse & Brot"), ("field", "name"), ("limit", "20")]
    frame, url = read(keys, "/v1/models/Product/records", query)
    body = b'{"records":[]}'
    question = hashlib.sha256(lp(b"GET", url.encode())).digest()
    write_url, write_body = write(keys, bytes([seed + 2] * 24), b'{"key":"0198"}')
    name, sealed = stored(ring, "objects/00ff", b"a segment")
    return {
        "siteKey": bytes([seed] * 32).hex(), "site": site, "scope": scope, "generation": generation,
        "begunMs": begun_s * 1000, "nowMs": now_s * 1000, "tag": ring.tag.hex(), "shiftS": ring.shift,
        "epoch": ring.epoch(now_s), "path": "/v1/models/Product/records", "query": query,
        "frame": frame.hex(), "url": url, "answerNonce": bytes([seed + 1] * 24).hex(),
        "answerBody": body.hex(), "answer": answer(keys, question, bytes([seed + 1] * 24), now_s * 1000, body).hex(),
        "writeNonce": bytes([seed + 2] * 24).hex(), "writeBody": b'{"key":"0198"}'.hex(),
        "writeUrl": write_url, "write": write_body.hex(),
        "objectName": "objects/00ff", "object": b"a segment".hex(), "storedName": name, "stored": sealed.hex(),
    }


def main():
    known_answers()
    vectors = {
        "about": "sealed transport, version 1; made by make.py from the specification",
        "cases": [
            case("store-7", "tills", 1, 7, 1_793_500_000, 1_793_500_000),
            case("store-7", "tills", 1, 7, 1_793_500_000, 1_793_500_000 + 400 * DAY),
            case("store-7", "boxes", 1, 7, 1_793_500_000, 1_793_500_000),
            case("store-7", "tills", 2, 9, 1_793_500_000, 1_793_510_000),
            case("store-8", "tills", 1, 7, 1_793_500_000, 1_793_500_000),
        ],
    }
    urls = [one["url"] for one in vectors["cases"]]
    assert len(set(urls)) == len(urls), "no two scopes, sites, generations or epochs share a URL"
    text = json.dumps(vectors, indent=1, ensure_ascii=False) + "\n"
    if "--check" in sys.argv:
        sys.exit(0 if FILE.read_text() == text else "the vectors differ from the specification")
    FILE.write_text(text)


main()
