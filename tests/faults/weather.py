"""The weather on lines between network namespaces: carries packets, and loses, doubles, delays, slows or stops them.

The kernel's own emulator (netem) is a module that many machines do not have, so packets pass through here.
Each argument is a line: NAME,ADDRESS,NAMESPACE,ADDRESS; the first end is in the network this is started in.
Orders come on standard input, a line of JSON each: the name of a line and what happens to it, for each direction
("out" is away from the first end): loss, double (of 1), delay_ms, jitter_ms, bytes_s, cut.
"""
import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
PLAIN = 0x0001 | 0x1000
FAIR = {"loss": 0, "double": 0, "delay_ms": 0, "jitter_ms": 0, "bytes_s": 0, "cut": False}
QUEUE_S_MAX = 3.0


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def device(name, address, peer, namespace=None):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), PLAIN))
    inside = []
    if namespace:
        ip("link", "set", name, "netns", namespace)
        inside = ["-n", namespace]
    ip(*inside, "addr", "add", address, "peer", peer, "dev", name)
    ip(*inside, "link", "set", name, "up")
    return fd


class Direction:
    def __init__(self, source, target):
        self.source, self.target = source, target
        self.weather = dict(FAIR)
        self.free_at = 0.0
        self.carried = self.lost = self.doubled = 0

    def take(self, packet, now, dice, waiting):
        how = self.weather
        if how["cut"] or dice.random() < how["loss"]:
            self.lost += 1
            return
        at = now
        if how["bytes_s"]:
            at = max(now, self.free_at)
            if at - now > QUEUE_S_MAX:
                self.lost += 1
                return
            self.free_at = at = at + len(packet) / how["bytes_s"]
        copies = 1 + (dice.random() < how["double"])
        self.doubled += copies - 1
        for _ in range(copies):
            late = how["delay_ms"] + dice.random() * how["jitter_ms"]
            heapq.heappush(waiting, (at + late / 1000, dice.random(), self, packet))

    def give(self, packet):
        self.carried += 1
        try:
            os.write(self.target, packet)
        except OSError:
            self.lost += 1


def main():
    dice = random.Random(int(sys.argv[1]))
    lines, waiting = {}, []
    eyes = selectors.DefaultSelector()
    for word in sys.argv[2:]:
        name, near, namespace, far = word.split(",")
        inner = device(name, near, far)
        outer = device(name + "-far", far, near, namespace)
        lines[name] = {"out": Direction(inner, outer), "in": Direction(outer, inner)}
        for direction in lines[name].values():
            eyes.register(direction.source, selectors.EVENT_READ, direction)
    eyes.register(sys.stdin, selectors.EVENT_READ, None)
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, direction, packet = heapq.heappop(waiting)
            direction.give(packet)
        pause = max(0.0, waiting[0][0] - now) if waiting else 1.0
        for key, _ in eyes.select(pause):
            direction = key.data
            if direction is None:
                order = sys.stdin.readline()
                if not order:
                    return
                order = json.loads(order)
                line = lines[order.pop("line")]
                for way, weather in order.items():
                    line[way].weather = {**FAIR, **weather}
                told = {way: [d.carried, d.lost, d.doubled] for way, d in line.items()}
                print(json.dumps(told), flush=True)
                continue
            for _ in range(64):
                try:
                    packet = os.read(direction.source, 65536)
                except OSError:
                    break
                direction.take(packet, time.monotonic(), dice, waiting)


main()
