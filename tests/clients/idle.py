"""Many connections that do nothing: what they cost."""
from served import LONG, Client, Server, allow_files, expect, wait_for

CONNECTIONS = 10_000 if LONG else 2_000
PER_ADDRESS = 500
BYTES_MAX = 15_000
WARM = 100


def opened(server, count, first):
    """So many more, from several addresses: each has asked once and goes on being there."""
    clients = []
    for i in range(first, first + count):
        client = Client(server.port, f"127.0.1.{1 + i // PER_ADDRESS}")
        client.say("GET /notes/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, _ = client.hear()
        expect(status == 200, f"connection {i} was answered {status}")
        clients.append(client)
    return clients


def cost(server_path):
    allow_files(CONNECTIONS + 1_000)
    clients = []
    with Server(server_path, "--connections", CONNECTIONS + 100, "--idle-ms", 300_000) as server:
        try:
            clients += opened(server, WARM, 0)
            before = server.rss_bytes()
            clients += opened(server, CONNECTIONS - WARM, WARM)
            each = (server.rss_bytes() - before) / (CONNECTIONS - WARM)
            expect(wait_for(lambda: server.connections() == CONNECTIONS), f"{server.connections()} of {CONNECTIONS} are open")
            # They are still served, the first as well as the last.
            for client in (clients[0], clients[-1]):
                client.say("GET /notes/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                expect(client.hear()[0] == 200, "an idle connection is served no more")
        finally:
            for client in clients:
                client.close()
        server.recovers()
    expect(each <= BYTES_MAX, f"{each:.0f} bytes for each, and {BYTES_MAX} are the most")
    return f"{each:.0f} bytes for each, of {BYTES_MAX}"


def checks(server, _):
    return [(f"{CONNECTIONS} idle connections", lambda: cost(server))]
