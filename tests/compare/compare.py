"""Storebox beside what a user would pick instead, on the same data, in one run; writes one page with plots.

compare.py PROGRAM LOAD FOLDER PAGE [--short]: the release of storebox, storebox-load, where files go, the page.
Pairs are interleaved, and medians and spreads are told, so that a busy machine disturbs both sides alike.
"""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import page
import peers

PRODUCTS = 20_000
FLOOR = "our HTTP library alone"
ROUNDS, SECONDS = 5, 2.0
PRODUCERS = [1, 8, 64]
TILLS = [1, 2, 5, 10, 20, 50, 100, 200]


class Run:
    def __init__(self, program, load, folder, short):
        self.program, self.load = program, load
        self.folder = tempfile.mkdtemp(prefix="compare-", dir=os.path.abspath(folder))
        os.chmod(self.folder, 0o755)
        self.rounds, self.seconds = (3, 1.0) if short else (ROUNDS, SECONDS)
        self.short = short
        self.dice = random.Random(20261122)

    def path(self, name):
        os.makedirs(f"{self.folder}/{name}", exist_ok=True)
        return f"{self.folder}/{name}"

    def ask(self, protocol, port, producers, *more):
        command = [self.load, protocol, f"127.0.0.1:{port}", str(producers), str(self.seconds), *more]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{protocol}, {producers} producers: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def interleaved(self, sides):
        """Each side in turn, round after round, in an order that changes."""
        found = {name: [] for name in sides}
        for _ in range(self.rounds):
            names = list(sides)
            self.dice.shuffle(names)
            for name in names:
                found[name].append(sides[name]())
        return found


def products(count):
    for number in range(count):
        yield {"id": f"P{number:07}", "name": f"{WORDS[number * 7919 % len(WORDS)]} {number % 997} product",
               "barcode": f"40{number:011}", "categoryId": f"C{number % 200}",
               "description": "an article of the shop, as it is told to a customer who asks " * 2}


WORDS = [a + b for a in ("apple", "bread", "cheese", "dark", "extra", "fresh", "green", "honey", "iced", "juicy")
         for b in ("berry", "corn", "dates", "eggs", "figs", "grape", "herbs", "jam", "kale", "lemon")]


def shop(run, count):
    """A server with so many products, and the token of somebody who may read them."""
    folder = run.path(f"shop-{count}")
    office = peers.Storebox(run.program, folder, "main")
    listing = f"{folder}/import"
    os.makedirs(listing)
    with open(f"{listing}/Product.ndjson", "w") as file:
        for one in products(count):
            file.write(json.dumps(one) + "\n")
    office.ask("import", listing)
    token = office.ask("operator", "add", "bench")
    last = list(products(count))[-1]
    while True:
        try:
            fetch(office.port, f"/v1/models/Product/records/{last['id']}", token)
            return office, token
        except urllib.error.HTTPError:
            time.sleep(0.05)


def fetch(port, path, token):
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return answer.read()


def by_barcode(run):
    """Product by barcode over HTTP against nginx serving the same bytes from files."""
    (office, node), nginx = shop(run, PRODUCTS), peers.nginx(run.path("nginx"))
    request = "/v1/models/Product/records?field=barcode&value={}&limit=1"
    paths, files = [], []
    for one in run.dice.sample(list(products(PRODUCTS)), 4000 if run.short else PRODUCTS):
        path = request.format(one["barcode"])
        body = fetch(office.port, path, node)
        with open(f"{run.folder}/nginx/www/{one['barcode']}.json", "wb") as file:
            file.write(body)
        paths.append(path)
        files.append(f"/{one['barcode']}.json")
    script = run.path("wrk") + "/paths.lua"
    with open(script, "w") as file:
        file.write('local paths = {}\nfor line in io.lines(os.getenv("PATHS")) do paths[#paths + 1] = line end\n'
                   'local at = 0\nfunction init(args) math.randomseed(os.time()) at = math.random(#paths) end\n'
                   'function request() at = at % #paths + 1 return wrk.format("GET", paths[at]) end\n')
    for name, lines in [("box", paths), ("nginx", files)]:
        with open(f"{run.folder}/wrk/{name}", "w") as file:
            file.write("\n".join(lines))

    def wrk(name, port):
        command = ["wrk", "-t2", "-c16", f"-d{max(1, round(run.seconds))}s", "--latency", "-s", script,
                   "-H", f"Authorization: Bearer {node}", f"http://127.0.0.1:{port}/"]
        told = subprocess.run(command, check=True, capture_output=True, text=True,
                              env={**os.environ, "PATHS": f"{run.folder}/wrk/{name}"}).stdout
        if "Non-2xx" in told:
            raise RuntimeError(told)
        unit = {"us": 1, "ms": 1e3, "s": 1e6}
        found = dict(re.findall(r"(50|99)%\s+([\d.]+(?:us|ms|s))", told))
        times = {key: float(re.match(r"[\d.]+", text)[0]) * unit[re.sub(r"[\d.]", "", text)] for key, text in found.items()}
        return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]),
                "median_us": times["50"], "p99_us": times["99"]}

    floor = peers.floor(run.program, run.path("floor"), body)
    found = run.interleaved({
        "Storebox": lambda: wrk("box", office.port),
        "nginx, files": lambda: wrk("nginx", nginx.port),
        FLOOR: lambda: wrk("nginx", floor.port),
    })
    floor.stop()
    nginx.stop()
    office.stop()
    return found


def accepts(run):
    """Durable before the answer: a transaction, a message, a value, a row of about a kilobyte."""
    box = peers.Storebox(run.program, run.path("accepts"))
    tokens = [box.ask("terminal", "add", f"till-{number}") for number in range(1, max(TILLS) + 1)]
    redis, nats, postgres = peers.redis(run.path("r")), peers.nats(run.path("n")), peers.Postgres(run.path("p"))
    postgres.sql("create table tickets (key uuid primary key, body jsonb)")
    floor = peers.floor(run.program, run.path("floor"), b"{}")
    by_producers = {}
    for producers in PRODUCERS:
        sides = {
            "Storebox": lambda: run.ask("transactions", box.port, producers, *tokens),
            "Redis, appendfsync always": lambda: run.ask("redis", redis.port, producers),
            "PostgreSQL, insert and commit": lambda: run.ask("rows", postgres.port, producers),
            FLOOR: lambda: run.ask("transactions", floor.port, producers),
        }
        if nats:
            streamed(run, nats.port)
            sides["NATS JetStream, sync_interval always"] = lambda: run.ask("jetstream", nats.port, producers)
        by_producers[producers] = run.interleaved(sides)
    tills = {count: [run.ask("transactions", box.port, count, *tokens) for _ in range(2)] for count in TILLS}
    memory = {"Storebox": box.memory(), "Redis": redis.memory(), "PostgreSQL": postgres.memory()}
    if nats:
        memory["NATS"] = nats.memory()
    for one in filter(None, [box, floor, redis, nats, postgres]):
        one.stop()
    return by_producers, tills, memory


def streamed(run, port):
    """Makes the stream, by the words that JetStream listens to."""
    import socket
    stream = json.dumps({"name": "LOAD", "subjects": ["load.*"], "storage": "file", "num_replicas": 1})
    with socket.create_connection(("127.0.0.1", port), 5) as one:
        one.sendall(f'CONNECT {{"verbose":false}}\r\nSUB _INBOX.m 1\r\nPUB $JS.API.STREAM.CREATE.LOAD _INBOX.m {len(stream)}\r\n{stream}\r\nPING\r\n'.encode())
        time.sleep(0.5)
        one.recv(65536)


def floors(run):
    """What a flush of a kilobyte and the signature of a receipt take here, in the words of the program."""
    command = [run.program, "bench", "--part", "floor", "--dir", run.folder]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {what: float(re.search(rf"{what} .*median ([\d.]+)", told)[1])
            for what in ["a kilobyte appended and flushed", "a receipt signed"]}


def replicas(run):
    """A replica with three indexes against COPY and the same indexes, and 20 rows by the start of a name."""
    built, searches = {}, None
    for count in [100_000] if run.short else [100_000, 1_000_000]:
        postgres = peers.Postgres(run.path(f"pg-{count}"))
        source = f"{run.folder}/products-{count}.csv"
        with open(source, "w") as file:
            for one in products(count):
                body = json.dumps(one).replace('"', '""')
                file.write(f'{one["id"]},{one["barcode"]},{one["categoryId"]},{one["name"].lower()},"{body}"\n')
        os.chmod(source, 0o644)
        ours, theirs = [], []
        for _ in range(3 if count == 100_000 else 1):
            part = {100_000: "replica100k", 1_000_000: "replica1m"}[count]
            told = subprocess.run([run.program, "bench", "--part", part, "--dir", run.folder], check=True,
                                  capture_output=True, text=True, cwd=peers.ROOT, env=peers.ENVIRONMENT).stdout
            ours.append((float(re.search(r"stored, verified, 3 indexes\s+([\d.]+) s", told)[1]),
                         float(re.search(r"on disk\s+([\d.]+) MB", told)[1])))
            begun = time.monotonic()
            postgres.sql("drop table if exists product; create unlogged table product (id text, barcode text, category text, name text, body jsonb)")
            postgres.sql(f"copy product from '{source}' csv; alter table product add primary key (id); create index on product (barcode); "
                         "create index on product (category); create index on product (name text_pattern_ops)")
            theirs.append((time.monotonic() - begun, int(postgres.sql("select pg_total_relation_size('product')")) / 1e6))
        built[count] = {"Storebox": ours, "PostgreSQL": theirs}
        if count == 100_000:
            searches = search(run, postgres)
        postgres.stop()
    return built, searches


def search(run, postgres):
    postgres.sql("analyze product")
    office, token = shop(run, 100_000)
    starts = [run.dice.choice(WORDS)[:5] for _ in range(2000)]
    words, paths = f"{run.folder}/words", f"{run.folder}/paths"
    with open(words, "w") as file:
        file.write("\n".join(starts))
    with open(paths, "w") as file:
        file.write("\n".join(f"/v1/models/Product/records?field=name&prefix={one}&limit=20" for one in starts))
    found = run.interleaved({
        "Storebox": lambda: run.ask("get", office.port, 1, paths, token),
        "PostgreSQL": lambda: run.ask("search", postgres.port, 1, words),
    })
    office.stop()
    shutil.rmtree(f"{run.folder}/shop-100000")
    return found


def growth(run):
    """Head office from import to serving, its memory, and lookups by barcode, by the number of records."""
    found = {}
    for count in [100_000] if run.short else [100_000, 1_000_000, 3_000_000]:
        begun = time.monotonic()
        office, token = shop(run, count)
        took = time.monotonic() - begun
        paths = f"{run.folder}/barcodes"
        with open(paths, "w") as file:
            numbers = [run.dice.randrange(count) for _ in range(20_000)]
            file.write("\n".join(f"/v1/models/Product/records?field=barcode&value=40{number:011}&limit=1" for number in numbers))
        rounds = [run.ask("get", office.port, 4, paths, token) for _ in range(3)]
        found[count] = {"took_s": took, "memory": office.memory(), "rounds": rounds}
        office.stop()
        shutil.rmtree(f"{run.folder}/shop-{count}")
    return found


def starts(run):
    """From the start of the process to its first answer, and how large the programs are."""
    found = {}
    for name, start in {
        "Storebox": lambda: peers.Storebox(run.program, run.path("ready")), "Redis": lambda: peers.redis(run.path("rr")),
        "NATS": lambda: peers.nats(run.path("rn")), "nginx": lambda: peers.nginx(run.path("rx")),
    }.items():
        times = []
        for _ in range(5):
            one = start()
            if one is None:
                break
            times.append(one.ready_s)
            one.stop()
        found[name] = times
    sizes = {"Storebox": run.program, "Redis": shutil.which("redis-server"), "NATS": peers.nats_program(),
             "nginx": shutil.which("nginx"), "PostgreSQL": sorted(__import__("glob").glob("/usr/lib/postgresql/*/bin/postgres"))[-1]}
    return found, {name: os.path.getsize(os.path.realpath(path)) / 1e6 for name, path in sizes.items()}


def main():
    short = "--short" in sys.argv
    # Whoever ends it, ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("compare: ended"))
    program, load, folder, target = [word for word in sys.argv[1:] if word != "--short"]
    begun, run = time.monotonic(), Run(os.path.abspath(program), os.path.abspath(load), folder, short)
    results = {"machine": page.machine(run.folder), "short": short}
    try:
        for name, part in [("barcode", by_barcode), ("floors", floors), ("accepts", accepts), ("replicas", replicas),
                           ("growth", growth), ("starts", starts)]:
            print(f"compare: {name}", flush=True)
            results[name] = part(run)
    finally:
        peers.stop_all()
        shutil.rmtree(run.folder, ignore_errors=True)
    results["took_s"] = time.monotonic() - begun
    page.write(results, target)
    print(f"compare: {target}, {results['took_s']:.0f} s")


if __name__ == "__main__":
    main()
