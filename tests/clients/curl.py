"""curl: versions of HTTP, methods, bodies, codings, TLS."""
import json
import subprocess
import time

from served import Failed, expect, program

NOTE = '{"id":1,"text":"x"}'


def curl(*arguments, body=None):
    """(status, what it printed, what it said with -v, milliseconds)."""
    began = time.monotonic()
    done = subprocess.run([program("curl", "curl"), "-q", "-sS", "--noproxy", "*", "--max-time", "20", *map(str, arguments)],
                          input=body, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode(), (time.monotonic() - began) * 1e3


def answered(*arguments, body=None):
    """What it printed, where all went well."""
    status, out, said, _ = curl(*arguments, body=body)
    expect(status == 0, f"curl ended with {status}: {said}")
    return out


def same(got, wanted):
    expect(got == wanted, f"{got!r} instead of {wanted!r}")


def versions(server):
    for flag in ("--http1.0", "--http1.1"):
        same(answered(flag, "-w", " %{http_code} %{content_type}", f"{server.address}/notes/1?language=pt"),
             '{"id":1,"text":"as ever","language":"pt"} 200 application/json')
    # Without chunks, until the end of the connection.
    out = answered("--http1.0", "-i", f"{server.address}/pieces?count=3&bytes=10")
    head, _, body = out.partition("\r\n\r\n")
    same(body, 30 * "x")
    expect("transfer-encoding" not in head.lower(), head)
    out = answered("--raw", f"{server.address}/pieces?count=3&bytes=10")
    same(out, 3 * "a\r\nxxxxxxxxxx\r\n" + "0\r\n\r\n")


def reuse(server):
    url = f"{server.address}/notes/1"
    for flag, connects in (("--http1.1", "10"), ("--http1.0", "11")):
        same(answered(flag, "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects}", url, url), connects)
    same(answered("--http1.0", "-H", "Connection: keep-alive", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects}",
                  url, url), "10")
    # One that was refused goes on all the same, as far as the request was whole.
    same(answered("-o", "/dev/null", "-o", "/dev/null", "-w", "%{http_code}%{num_connects} ", f"{server.address}/nowhere", url),
         "4041 2000 ")


def expect_continue(server, room):
    whole, much = room / "body", room / "long"
    whole.write_bytes(102_400 * b"y")
    much.write_bytes(2_000_000 * b"y")
    status, out, said, _ = curl("-v", "-H", "Expect: 100-continue", "--data-binary", f"@{whole}", f"{server.address}/measure")
    same((status, out), (0, "102400\n"))
    expect("< HTTP/1.1 100 Continue" in said, said)
    status, out, said, _ = curl("-v", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}", "-H", "Expect: 100-continue",
                                "--data-binary", f"@{much}", f"{server.address}/measure")
    same((status, out), (0, "413 0"))
    expect("100 Continue" not in said, said)


def head(server):
    whole = answered(f"{server.address}/text")
    out = answered("-I", f"{server.address}/text").lower()
    expect(out.startswith("http/1.1 200 ok\r\n"), out)
    expect(f"\r\ncontent-length: {len(whole)}\r\n" in out and out.endswith("\r\n\r\n"), out)


def methods(server):
    def code(method, path, *more):
        return answered("-o", "/dev/null", "-w", "%{http_code}", "-X", method, *more, f"{server.address}{path}")
    json_body = ["-H", "Content-Type: application/json", "-d"]
    for method, path, more, wanted in (
            ("GET", "/notes/1", [], "200"), ("POST", "/notes", [*json_body, NOTE], "200"),
            ("PUT", "/notes/1", [*json_body, '{"text":"x"}'], "200"), ("PATCH", "/notes/1", [*json_body, '{"text":"x"}'], "200"),
            ("DELETE", "/notes/1", [], "204"), ("OPTIONS", "/notes/1", [], "204"), ("OPTIONS", "/nowhere", [], "404"),
            ("POST", "/notes/1", [*json_body, NOTE], "405"), ("TRACE", "/notes/1", [], "405"), ("BREW", "/notes/1", [], "405"),
            ("POST", "/notes", [*json_body, "{"], "400"), ("POST", "/notes", ["-d", NOTE], "415"), ("GET", "/notes/x", [], "400"),
            ("POST", "/notes", ["-H", "Content-Encoding: gzip", *json_body, NOTE], "415")):
        got = code(method, path, *more)
        expect(got == wanted, f"{method} {path} is {got} instead of {wanted}")
    out = answered("-i", "-X", "OPTIONS", f"{server.address}/notes/1").lower()
    allow = next((line for line in out.splitlines() if line.startswith("allow:")), "none")
    same({each.strip() for each in allow[6:].split(",")}, {"get", "head", "put", "patch", "delete", "options"})
    same(answered("-X", "PUT", *json_body, '{"text":"é"}', f"{server.address}/notes/7"), '{"id":7,"text":"é"}')


def compressed(server):
    plain = answered(f"{server.address}/text")
    expect(answered("-I", f"{server.address}/text").lower().find("content-encoding") < 0, "gzip for who did not ask")
    same(answered("--compressed", f"{server.address}/text"), plain)
    out = answered("--compressed", "-D", "-", "-o", "/dev/null", "-w", "%{size_download}", f"{server.address}/text")
    head, _, size = out.rpartition("\r\n\r\n")
    expect("content-encoding: gzip" in head.lower(), head)
    expect(int(size) < len(plain) / 10, f"{size} bytes of {len(plain)}")
    return f"{size} bytes of {len(plain)}"


def secure(server, certificate):
    url = f"{server.secure}/notes/1"
    for flags in (["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3"], ["--http2"], ["--http1.0"]):
        same(answered(*flags, "--cacert", certificate, "-w", " %{http_version}", url), '{"id":1,"text":"as ever"} 1.1')
    same(answered("--cacert", certificate, "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects}", url, url), "10")
    expect(curl(url)[0] == 60, "a certificate that nobody vouches for was taken")
    same(answered("--cacert", certificate, "-H", "Expect:", "--data-binary", "@-", f"{server.secure}/measure",
                  body=1_000_000 * b"z"), "1000000\n")


def chunked_upload(server):
    for size in (0, 1, 100_000):
        status, out, said, _ = curl("-v", "-T", "-", f"{server.address}/measure", body=size * b"z")
        same((status, out), (0, f"{size}\n"))
        expect("> Transfer-Encoding: chunked" in said, said)
    same(answered("-o", "/dev/null", "-w", "%{http_code}", "-T", "-", f"{server.address}/measure", body=2_000_000 * b"z"), "413")


def events(server):
    follower = subprocess.Popen([program("curl", "curl"), "-q", "-sSN", "--noproxy", "*", "--max-time", "20",
                                 f"{server.address}/written"], stdout=subprocess.PIPE)
    try:
        same(follower.stdout.readline(), b":\n")
        same(answered("-H", "Content-Type: application/json", "-d", NOTE, f"{server.address}/notes"), NOTE)
        seen = []
        while not seen or not seen[-1].startswith(b"data:"):
            line = follower.stdout.readline()
            if not line:
                raise Failed(f"the stream ended after {seen}")
            seen.append(line)
        same(json.loads(seen[-1][5:]), json.loads(NOTE))
    finally:
        follower.terminate()
        follower.wait(timeout=20)
        follower.stdout.close()
    status, out, _, took = curl("-N", "--max-time", "1", f"{server.address}/written")
    expect(status == 28 and out.startswith(":\n"), f"a stream without an end ended: {status} after {took:.0f} ms: {out}")


def too_long(server, room):
    much = room / "much"
    much.write_bytes(2_000_000 * b"y")
    for more in (["-H", "Expect:"], ["-H", "Expect:", "-H", "Transfer-Encoding: chunked"]):
        status, out, said, _ = curl("-o", "/dev/null", "-w", "%{http_code}", *more, "--data-binary", f"@{much}",
                                    f"{server.address}/measure")
        expect(out == "413", f"curl ended with {status} and {out}: {said}")
    just = room / "just"
    just.write_bytes(1_048_576 * b"y")
    same(answered("--data-binary", f"@{just}", f"{server.address}/measure"), "1048576\n")
    status, out, _, _ = curl("-o", "/dev/null", "-w", "%{http_code}", f"{server.address}/notes/{8_200 * 'a'}")
    same((status, out), (0, "414"))
    status, out, _, _ = curl("-o", "/dev/null", "-w", "%{http_code}", "-H", f"X: {8_200 * 'a'}", f"{server.address}/notes/1")
    same((status, out), (0, "431"))


def other_versions(server):
    refused = server.metrics()['wisp_http_requests_total{status="5xx"}']
    status, out, said, took = curl("--http2-prior-knowledge", f"{server.address}/notes/1")
    expect(status not in (0, 28), f"HTTP/2 without being asked: {status} {out}")
    expect(took < 10_000, f"only after {took:.0f} ms")
    expect(server.metrics()['wisp_http_requests_total{status="5xx"}'] == refused + 1, "it was not refused by 505")
    # One who asks first goes on as it is.
    same(answered("--http2", "-w", " %{http_version}", f"{server.address}/notes/1"), '{"id":1,"text":"as ever"} 1.1')
    return f"curl said {said.strip()}"


def checks(server, room, certificate):
    return [("curl: HTTP/1.0 and 1.1", lambda: versions(server)),
            ("curl: keeps a connection", lambda: reuse(server)),
            ("curl: expects 100-continue", lambda: expect_continue(server, room)),
            ("curl: HEAD", lambda: head(server)),
            ("curl: methods", lambda: methods(server)),
            ("curl: --compressed", lambda: compressed(server)),
            ("curl: TLS", lambda: secure(server, certificate)),
            ("curl: an upload in chunks", lambda: chunked_upload(server)),
            ("curl: server-sent events", lambda: events(server)),
            ("curl: what is too long", lambda: too_long(server, room)),
            ("curl: HTTP/2", lambda: other_versions(server))]
