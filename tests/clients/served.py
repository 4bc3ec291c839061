"""What the checks of real and hostile clients share: a server of one's own, its figures, and how a check is told."""
import http.client
import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback

ABSENT = 77  # as ctest skips
REQUIRED = os.environ.get("WISP_REQUIRE_CLIENTS", "0") not in ("", "0")
LONG = os.environ.get("WISP_CLIENTS_LONG", "0") not in ("", "0")


class Absent(Exception):
    """A client that is not here, or that this machine cannot serve."""


class Failed(Exception):
    """What should hold and does not."""


def expect(holds, what):
    if not holds:
        raise Failed(what)


def program(name, package):
    path = shutil.which(name)
    if path is None:
        raise Absent(f"no {name} (Debian: {package}; see setup.sh)")
    return path


def say_absent(name, absent):
    """The status to exit with where all checks lack the same."""
    print(f"absent  {name}: {absent}", flush=True)
    return 1 if REQUIRED else ABSENT


def run_checks(checks):
    """Runs them all, a (name, function) each, and says of each whether it is ok, failed or absent; the status to exit with. A
    function returns what else is to be said, or nothing."""
    worst = 0
    for name, check in checks:
        try:
            word, said = "ok", check() or ""
        except Absent as absent:
            word, said = "absent", str(absent)
        except Failed as failed:
            word, said = "failed", str(failed)
        except Exception:  # whatever it is, the others are run too
            word, said = "failed", traceback.format_exc()
        print(f"{word:7} {name}{': ' if said else ''}{said}", flush=True)
        if word == "failed" or (word == "absent" and REQUIRED):
            worst = 1
        elif word == "absent" and worst == 0:
            worst = ABSENT
    return worst


def wait_for(holds, seconds=20.0):
    """Whether that came true in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def allow_files(wanted):
    """Lets this process, and those that it starts, have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, OSError):
        raise Absent(f"{wanted} open files are wanted, and {hard} are allowed here") from None


def certificates(folder):
    """A key and a certificate of 127.0.0.1 for it, which vouches for itself: (certificate, key)."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    done = subprocess.run(
        [program("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)], capture_output=True, text=True, timeout=60)
    expect(done.returncode == 0, f"openssl req: {done.stderr}")
    return certificate, key


class Server:
    """A clients_server, until the end of a with. It has to end in peace, but for what a check did to it itself."""

    def __init__(self, path, *arguments, files=None):
        limit = None if files is None else lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        # Without a buffer, so that select sees all there is.
        self.process = subprocess.Popen([path, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        bufsize=0, preexec_fn=limit)
        self.address = self.line()
        self.port = int(self.address.rsplit(":", 1)[1])
        self.secure = self.line() if "--certificate" in map(str, arguments) else None
        self.secure_port = int(self.secure.rsplit(":", 1)[1]) if self.secure else None

    def line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        line = self.process.stdout.readline().decode().strip() if ready else ""
        if not line:
            self.process.kill()
            raise Failed(f"{self.process.args[0]} said no address within 60 s; it ended with {self.process.wait()}")
        return line

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "no end within 60 s"
        self.process.stdout.close()
        if error is None:
            expect(status == 0, f"the server ended with {status}")

    def rss_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Failed("the server has gone")

    def ask(self, method, path, body=None, fields=None):
        """(status, body) of one request on a connection of its own."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            client.request(method, path, body, fields or ({"Content-Type": "application/json"} if body else {}))
            answer = client.getresponse()
            return answer.status, answer.read()
        finally:
            client.close()

    def serves(self):
        """Whether it does, and as it should."""
        try:
            return self.ask("GET", "/notes/4711") == (200, b'{"id":4711,"text":"as ever"}')
        except OSError:
            return False

    def metrics(self):
        """Without the one that asks: {"wisp_http_connections": 0.0, ...}; samples with labels keep them in the name."""
        status, text = self.ask("GET", "/metrics")
        expect(status == 200, f"/metrics: {status}")
        figures = {name: float(value) for name, value in
                   (line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))}
        figures["wisp_http_connections"] -= 1
        return figures

    def connections(self):
        return int(self.metrics()["wisp_http_connections"])

    def recovers(self):
        """What holds after each attack: nobody is left, and it serves."""
        expect(wait_for(lambda: self.connections() == 0), f"{self.connections()} connections are left")
        expect(wait_for(self.serves), "it does not serve any more")


class Client:
    """A socket that says what it is told to, from an address of the loopback."""

    def __init__(self, port, source="127.0.0.1", receive_bytes=None):
        self.socket = socket.socket()
        self.socket.settimeout(20)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if source != "127.0.0.1":
            self.socket.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.heard = b""

    def say(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def hear(self):
        """(status, body) of the next response that has a Content-Length; (0, what came) at the end of the connection."""
        while b"\r\n\r\n" not in self.heard:
            if not self.more():
                return 0, self.heard
        head, _, rest = self.heard.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(rest) < length:
            if not self.more():
                return 0, self.heard
            rest = self.heard.partition(b"\r\n\r\n")[2]
        self.heard = rest[length:]
        return int(head.split()[1]), rest[:length]

    def more(self):
        try:
            piece = self.socket.recv(65_536)
        except ConnectionResetError:
            return False
        self.heard += piece
        return bool(piece)

    def ended(self):
        """Whether the server closes, within the patience of 20 s."""
        while self.more():
            pass
        return True

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


def main(checks):
    """Exits as the checks did."""
    sys.exit(run_checks(checks))
