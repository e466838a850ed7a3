"""What Storebox is compared with, each started from Debian's packages in a folder of its own, on loopback."""
import glob
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The unit's settings, so that memory is that of a box in a shop.
ENVIRONMENT = {**os.environ, "MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def resident(pid):
    """Megabytes of a process and its children, shared pages counted once for each."""
    total, todo = 0, [pid]
    while todo:
        one = todo.pop()
        try:
            with open(f"/proc/{one}/smaps_rollup") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
            with open(f"/proc/{one}/task/{one}/children") as file:
                todo += file.read().split()
        except (OSError, StopIteration):
            pass
    return total / 1024


STARTED = []


def stop_all():
    """Stops whatever was started, however far the comparison came."""
    for one in STARTED:
        one.stop()


class Peer:
    """A server; `answers` says whether it is ready."""

    def __init__(self, name, command, port, **settings):
        self.name, self.port = name, port
        self.log = open(settings.pop("log"), "ab")
        begun = time.monotonic()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True, **settings)
        STARTED.append(self)
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() - begun > 60:
                raise RuntimeError(f"{name} does not start; see {self.log.name}")
            time.sleep(0.001)
        self.ready_s = time.monotonic() - begun

    def answers(self):
        ask, expected = {
            "redis": (b"PING\r\n", b"+PONG"), "nats": (b"", b"INFO"), "nginx": (b"GET / HTTP/1.0\r\n\r\n", b"HTTP"),
            "postgres": (bytes([0, 0, 0, 8, 4, 210, 22, 47]), b"N"),
            "floor": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 200"),
            "storebox": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 200"),
        }[self.name]
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as one:
                one.sendall(ask)
                return one.recv(64).startswith(expected)
        except OSError:
            return False

    def memory(self):
        return resident(self.process.pid)

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT if self.name == "postgres" else signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()


def redis(folder):
    port = free_port()
    os.makedirs(f"{folder}/redis", exist_ok=True)
    return Peer("redis", [
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", f"{folder}/redis", "--save", "",
        "--appendonly", "yes", "--appendfsync", "always"], port, log=f"{folder}/redis.log")


def nats_program():
    """The newest that is here: the setting that is compared came with 2.10."""
    newer = f"{ROOT}/target/peers/trixie/usr/sbin/nats-server"
    return newer if os.path.exists(newer) else shutil.which("nats-server")


def nats(folder):
    program, port = nats_program(), free_port()
    with open(f"{folder}/nats.conf", "w") as file:
        file.write(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/nats", sync_interval: always }}\n')
    check = subprocess.run([program, "-c", file.name, "-t"], capture_output=True)
    if check.returncode != 0:
        return None
    return Peer("nats", [program, "-c", file.name], port, log=f"{folder}/nats.log")


def nginx(folder):
    port = free_port()
    os.makedirs(f"{folder}/www", exist_ok=True)
    # As many files as a worker may hold open, less what its connections need.
    kept = min(50_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 2000)
    with open(f"{folder}/nginx.conf", "w") as file:
        file.write(f"""daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600; sendfile on; tcp_nopush on;
  open_file_cache max={kept} inactive=600s; open_file_cache_valid 600s; default_type application/json;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}
""")
    os.chmod(folder, 0o755)
    return Peer("nginx", ["nginx", "-c", file.name], port, log=f"{folder}/nginx.out")


def floor(program, folder, answer):
    """The HTTP library of the box with nothing behind it: the same bytes for every GET, one flush for all who post."""
    port = free_port()
    with open(f"{folder}/answer.json", "wb") as file:
        file.write(answer)
    return Peer("floor", [program, "bench", "--serve", f"127.0.0.1:{port}", "--dir", folder], port,
                log=f"{folder}/floor.log", env=ENVIRONMENT)


class Postgres(Peer):
    def __init__(self, folder):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        user = pwd.getpwnam("postgres")
        data = f"{folder}/postgres"
        os.makedirs(data, exist_ok=True)
        os.chown(data, user.pw_uid, user.pw_gid)
        os.chmod(data, 0o700)
        settings = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        subprocess.run([f"{programs}/initdb", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D", data],
                       check=True, stdout=subprocess.DEVNULL, cwd="/", **settings)
        port = free_port()
        super().__init__("postgres", [
            f"{programs}/postgres", "-D", data, "-p", str(port), "-k", "", "-c", "listen_addresses=127.0.0.1",
            "-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB", "-c", "max_connections=300"],
            port, log=f"{folder}/postgres.log", cwd="/", **settings)

    def sql(self, text, **more):
        command = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-qAt", "-v", "ON_ERROR_STOP=1"]
        return subprocess.run([*command, "-c", text], check=True, capture_output=True, text=True, **more).stdout


class Storebox(Peer):
    """A box with local data only, or a head office; `program` is the release."""

    def __init__(self, program, folder, role="store"):
        self.program, self.port = program, free_port()
        self.data = f"{folder}/{role}"
        os.makedirs(self.data, exist_ok=True)
        self.config = f"{folder}/{role}.toml"
        with open(self.config, "w") as file:
            file.write(f'role = "{role}"\nnode = "{role}-1"\ndata_dir = "{self.data}"\n[http]\n'
                       f'listen = ["127.0.0.1:{self.port}"]\nconnections_per_address_max = 512\n'
                       f'[discovery]\nannounce = false\n[outbox]\nentries_max = 10000000\n')
        super().__init__("storebox", [program, "--config", self.config, "run"], self.port,
                         log=f"{folder}/{role}.log", env=ENVIRONMENT)

    def ask(self, *words):
        command = [self.program, "--config", self.config, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
