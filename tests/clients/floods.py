"""Floods: more connections than may be, that say nothing, that are reset in each phase, that never read, and no descriptors."""
import os
import pathlib
import resource
import tempfile
import time

from served import LONG, Client, Failed, Server, allow_files, certificates, expect, wait_for

SILENT = 2_000 if LONG else 500
RESETS = 200 if LONG else 50   # in each phase
DEAF = 100 if LONG else 20
# Of a client that never reads: 64 KiB that may be unsent, as much that is being made, what came of its requests, and
# the allocator's rounding. And once for all of them: the arenas of threads.
BYTES_MAX_DEAF = 512 * 1024
BYTES_MAX_ALL = 16 * 1024 * 1024
# What the gateway answers itself, so that no function that is shed is taken for a connection that is.
GET = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENT = ("--idle-ms", 300_000)  # of checks that on a slow machine may leave a client alone for long


def closed(clients):
    for client in clients:
        client.close()


def beyond_limits(server_path):
    """First an address has its share, then all have theirs; who was there is served throughout."""
    with Server(server_path, "--connections", 200, "--connections-per-address", 150, *PATIENT) as server:
        good = Client(server.port, "127.0.0.2")

        def served():
            good.say(GET)
            expect(good.hear()[0] == 200, "who was there first is not served")
        served()
        flood = []
        try:
            for source, count, wanted in (("127.0.0.3", 150, 0), ("127.0.0.3", 300, 429), ("127.0.0.4", 49, 0),
                                          ("127.0.0.5", 300, 503)):
                for i in range(count):
                    flood.append(Client(server.port, source))
                    if wanted:
                        status, _ = flood[-1].hear()
                        expect(status == wanted and flood[-1].ended(), f"{status} instead of {wanted} for {source}, {i}")
                    else:
                        flood[-1].say(GET)
                        status, _ = flood[-1].hear()
                        expect(status == 200, f"{status} for {source}, {i}, which is within the limits")
                served()
            good.say("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _, text = good.hear()
            for line in (b"\nwisp_http_connections 200\n", b"\nwisp_http_connections_refused_total 600\n"):
                expect(line in text, f"no {line} in {text}")
        finally:
            closed(flood)
            good.close()
        server.recovers()
        with_all = [Client(server.port, "127.0.0.3") for _ in range(150)]
        with_all[-1].say(GET)
        expect(with_all[-1].hear()[0] == 200, "an address has its share no more")
        closed(with_all)
        server.recovers()


def silent(server_path):
    """They connect and say nothing, or begin to: the server ends them itself, and serves others meanwhile."""
    allow_files(SILENT + 1_000)
    with Server(server_path, "--connections-per-address", SILENT + 100, "--idle-ms", 2_000, "--head-ms", 3_000) as server:
        said = []
        for what in ("", "GET / HTTP/1.1\r\nHost: loc"):
            clients = []
            for _ in range(SILENT):
                clients.append(Client(server.port))
                clients[-1].say(what)
            good = Client(server.port, "127.0.0.2")
            good.say(GET)
            expect(good.hear()[0] == 200, "another is not served")
            good.close()
            began = time.monotonic()
            heard = [client.ended() and client.heard for client in clients]
            said.append(f"{time.monotonic() - began:.1f} s")
            wanted = b"HTTP/1.1 408 " if what else b""
            expect(all(each.startswith(wanted) and bool(each) == bool(wanted) for each in heard), f"{what!r}: {heard[0]}")
            closed(clients)
            server.recovers()
    return f"{SILENT} were ended after " + " and ".join(said)


def phases(server):
    """What a client said and heard when it goes: its name, by which port, what it does."""
    def asks(text, hear=0):
        def act(client):
            client.say(text)
            if hear:
                expect(client.socket.recv(hear), "nothing came")
        return act
    post = "POST /measure HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    chunks = "POST /measure HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"
    return (("before a head", server.port, lambda client: None),
            ("in the head", server.port, asks("GET /notes/1 HTTP/1.1\r\nHost: loc")),
            ("in the body", server.port, asks(post + 1_000 * "x")),
            ("in a chunk", server.port, asks(chunks)),
            ("while served", server.port, asks("GET /waits?ms=20000 HTTP/1.1\r\nHost: localhost\r\n\r\n")),
            ("while served, with more to come", server.port,
             asks("GET /waits?ms=20000 HTTP/1.1\r\nHost: localhost\r\n\r\n" + 100 * GET)),
            ("while the answer is sent", server.port,
             asks("GET /pieces?count=100000&bytes=65536 HTTP/1.1\r\nHost: localhost\r\n\r\n", 10_000)),
            ("while it follows events", server.port, asks("GET /written HTTP/1.1\r\nHost: localhost\r\n\r\n", 10)),
            ("before a handshake", server.secure_port, lambda client: None),
            ("in a handshake", server.secure_port, asks(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")),
            ("after no handshake", server.secure_port, asks(GET)))


def of_function(server, name, function):
    return sum(value for sample, value in server.metrics().items() if sample.startswith(f'{name}{{function="{function}",'))


def resets(server_path):
    with tempfile.TemporaryDirectory() as name:
        certificate, key = certificates(pathlib.Path(name))
        with Server(server_path, "--certificate", certificate, "--key", key, *PATIENT) as server:
            for what, port, act in phases(server):
                clients = []
                for _ in range(RESETS):
                    clients.append(Client(port, receive_bytes=65_536))
                    act(clients[-1])
                for client in clients:
                    client.reset()
                try:
                    server.recovers()
                except Failed as failed:
                    raise Failed(f"{what}: {failed}") from None
            expect(server.metrics()["wisp_http_event_streams"] == 0, "streams are left")
            # Each that was called has failed by now, as its 20 s have not passed.
            expect(wait_for(lambda: of_function(server, "wisp_calls_total", "waits")
                            == of_function(server, "wisp_errors_total", "waits"), 5), "calls of clients that have gone go on")
            expect(of_function(server, "wisp_calls_total", "waits") > 0, "nothing was called")
    return f"{RESETS} in each of {len(phases(server))} phases"


def open_files(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def few_descriptors(server_path, sanitized):
    """Started with few it refuses who is too many; with fewer still, while it runs, it waits until there are some again."""
    with Server(server_path, *PATIENT, files=100) as server:
        clients = [Client(server.port) for _ in range(64)]
        for i, client in enumerate(clients):
            client.say(GET)
            status, _ = client.hear()
            expect(status == 200, f"{status} for connection {i}: 64 are within what it can have")
        late = Client(server.port)
        expect(late.hear()[0] == 503, "who is too many is not told so")
        closed([*clients, late])
        server.recovers()
    with Server(server_path, *PATIENT) as server:
        kept = Client(server.port)
        kept.say(GET)
        expect(kept.hear()[0] == 200, "it does not serve")
        pid = server.process.pid
        most = open_files(pid) + 20
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
        clients = [Client(server.port) for _ in range(200)]
        for client in clients:
            client.say(GET)
        expect(wait_for(lambda: open_files(pid) >= most), "it never had all that it may have")
        cpu = cpu_seconds(server)
        time.sleep(1)
        cpu = cpu_seconds(server) - cpu
        kept.say(GET)
        expect(kept.hear()[0] == 200, "without descriptors it serves nobody")
        expect(sanitized or cpu < 0.5, f"it burns {cpu} s of a second while it waits for descriptors")
        # As they go, those who wait come in.
        for i, client in enumerate(clients):
            status, _ = client.hear()
            expect(status == 200, f"{status} for client {i}: it was left out")
            client.close()
        kept.close()
        server.recovers()
    return f"{cpu * 1e3:.0f} ms of CPU in a second without any"


def cpu_seconds(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def deaf(server_path, sanitized):
    """They ask for much, or often, and never read; the server holds little for them, and ends them in time."""
    with Server(server_path, "--write-ms", 8_000) as server:
        expect(server.serves(), "it does not serve")
        before = most = server.rss_bytes()
        there, clients = 0, []
        for i in range(DEAF):
            client = Client(server.port, "127.0.0.2", receive_bytes=4_096)
            client.socket.setblocking(False)
            text = ("GET /pieces?count=1000000&bytes=65536 HTTP/1.1\r\nHost: localhost\r\n\r\n" if i % 2
                    else "GET /text HTTP/1.1\r\nHost: localhost\r\n\r\n").encode()
            client.socket.send(text if i % 2 else 10_000 * text)  # as much of it as is taken
            clients.append(client)
        end = time.monotonic() + 60
        while (now := server.connections()) > 0:
            there, most = max(there, now), max(most, server.rss_bytes())
            expect(server.serves(), "others are not served")
            expect(time.monotonic() < end, f"{now} are still there after a minute")
            time.sleep(0.05)
        closed(clients)
        server.recovers()
        expect(there >= DEAF, f"only {there} of {DEAF} were there at once")
        grown, bound = most - before, DEAF * BYTES_MAX_DEAF + BYTES_MAX_ALL
        expect(sanitized or grown <= bound, f"{grown} bytes for {DEAF} clients, and {bound} are the most")
    return f"{grown >> 10} KiB for {DEAF} clients, of {bound >> 10}"


def checks(server, sanitized):
    return [("flood: beyond the limits", lambda: beyond_limits(server)),
            ("flood: nothing said", lambda: silent(server)),
            ("flood: resets in each phase", lambda: resets(server)),
            ("flood: no descriptors", lambda: few_descriptors(server, sanitized)),
            ("flood: never reads", lambda: deaf(server, sanitized))]
