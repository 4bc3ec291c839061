"""openssl s_client: which TLS is spoken, and which is not."""
import os
import subprocess

from served import Client, expect, program

REQUEST = b"GET /notes/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def s_client(port, certificate, *arguments):
    # Without the machine's configuration, which may keep the client itself from old versions.
    return subprocess.run(
        [program("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(certificate),
         "-verify_return_error", "-brief", "-ign_eof", *arguments], input=REQUEST, capture_output=True, timeout=60,
        env=os.environ | {"OPENSSL_CONF": "/dev/null"})


def accepted(server, certificate):
    for flag, version in (("-tls1_2", b"TLSv1.2"), ("-tls1_3", b"TLSv1.3")):
        done = s_client(server.secure_port, certificate, flag)
        said = done.stdout + done.stderr
        expect(b"Protocol version: " + version in said, f"{flag}: {said.decode()}")
        expect(b"HTTP/1.1 200 OK\r\n" in said and b'"as ever"' in said, f"{flag}: {said.decode()}")


def refused(server, certificate):
    """By an alert of the server: a client that itself did not offer them would say otherwise."""
    for flag in ("-tls1", "-tls1_1"):
        done = s_client(server.secure_port, certificate, flag, "-cipher", "ALL:@SECLEVEL=0")
        said = (done.stdout + done.stderr).decode()
        expect(done.returncode != 0 and "alert protocol version" in said, f"{flag}: {said}")
        expect("HTTP/1.1" not in said, f"{flag}: {said}")


def weak_ciphers(server, certificate):
    for cipher in ("AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "aNULL"):
        done = s_client(server.secure_port, certificate, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
        said = (done.stdout + done.stderr).decode()
        expect(done.returncode != 0 and "alert handshake failure" in said, f"{cipher}: {said}")


def other_protocol(server, certificate):
    """Plain text where TLS is expected, and the other way round."""
    client = Client(server.secure_port)
    client.say(REQUEST)
    expect(client.ended(), "it goes on")
    expect(b"HTTP/" not in client.heard, f"plain text is answered: {client.heard}")
    client.close()
    done = s_client(server.port, certificate)
    expect(done.returncode != 0, "TLS where none is expected")
    expect(server.serves(), "it does not serve any more")
    done = s_client(server.secure_port, certificate, "-tls1_3")
    expect(b"200 OK" in done.stdout, "it serves no TLS any more")


def checks(server, certificate):
    return [("openssl: TLS 1.2 and 1.3", lambda: accepted(server, certificate)),
            ("openssl: no TLS 1.0 and 1.1", lambda: refused(server, certificate)),
            ("openssl: no weak ciphers", lambda: weak_ciphers(server, certificate)),
            ("openssl: plain text on the port of TLS", lambda: other_protocol(server, certificate))]
