#!/usr/bin/env python3
"""Runs web_backend and uses it as clients would: accounts, notes, a webhook that it sends, its limits and its end.

    check.py [--sanitized] PROGRAM

Exits 1 naming each statement that does not hold.
"""
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

PATIENCE_S = 60
SECRET = b"a secret of thirty-two bytes, so"
faults = []
told = []


def check(holds, what):
    if not holds:
        faults.append(what)


class Hook(http.server.BaseHTTPRequestHandler):
    """Who is notified. Fails the first time, so that there is a second."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told.append((dict(self.headers.items()), body))
        self.send_response(503 if len(told) == 1 else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Api:
    def __init__(self, address):
        self.host = address.removeprefix("http://")

    def __call__(self, method, path, body=None, token=None, fields=None):
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE_S)
        headers = dict(fields or {})
        if body is not None:
            headers["Content-Type"] = "application/json"
        if token is not None:
            headers["Authorization"] = "Bearer " + token
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
        kind = response.headers.get("Content-Type", "")
        connection.close()
        return response.status, json.loads(text) if text and "json" in kind else text, response.headers


def wait_for(holds):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return False


def check_accounts(api):
    anna = {"email": "anna@example.com", "password": "correct horse", "plan": "pro"}
    status, account, _ = api("POST", "/accounts", anna)
    check(status == 200 and account["email"] == anna["email"], f"sign-up: {status} {account}")
    check("password" not in account, "an account shows its password")
    check(api("POST", "/accounts", anna)[0] == 409, "an address signs up twice")
    for change in ({"email": "anna"}, {"email": "a b@c"}, {"password": "short"}, {"password": "x" * 300},
                   {"plan": "gold"}):
        status, problem, _ = api("POST", "/accounts", {**anna, "email": "bert@example.com", **change})
        check(status == 400 and problem["detail"], f"sign-up with {change}: {status}")
        check("x" * 300 not in json.dumps(problem), "a refusal repeats the password")
    sign_in = {"email": anna["email"], "password": anna["password"]}
    status, session, _ = api("POST", "/sessions", sign_in)
    check(status == 200 and session["expires_in"] == 900, f"sign-in: {status}")
    wrong = api("POST", "/sessions", {**sign_in, "password": "wrong horse"})
    nobody = api("POST", "/sessions", {**sign_in, "email": "nobody@example.com"})
    check(wrong[0] == 401 and wrong[1] == nobody[1], f"sign-in gives accounts away: {wrong[:2]} {nobody[:2]}")
    return session["token"]


def second_account(api):
    account = {"email": "carl@example.com", "password": "battery staple", "plan": "free"}
    check(api("POST", "/accounts", account)[0] == 200, "a second account")
    return api("POST", "/sessions", {k: account[k] for k in ("email", "password")})[1]["token"]


def check_notes(api, anna, carl):
    status, note, _ = api("POST", "/notes", {"text": "buy milk"}, anna)
    check(status == 200 and note["text"] == "buy milk", f"a note: {status} {note}")
    path = f"/notes/{note['id']}"
    check(api("GET", path, token=anna)[1] == note, "a note reads as it was written")
    check(api("PUT", path, {"text": "buy oat milk"}, anna)[1]["text"] == "buy oat milk", "a note changes")
    check([each["id"] for each in api("GET", "/notes", token=anna)[1]] == [note["id"]], "a list of one")
    # Another's.
    check(api("GET", "/notes", token=carl)[1] == [], "a list of none")
    for method, body in (("GET", None), ("PUT", {"text": "mine"}), ("DELETE", None)):
        check(api(method, path, body, carl)[0] == 404, f"{method} of another's note")
    # Nobody's and a forged owner's.
    for token in (None, "x", anna[:-4] + "AAAA", anna + "A"):
        status, _, headers = api("GET", path, token=token)
        check(status == 401 and headers["WWW-Authenticate"], f"without a token that is one: {status}")
    check(api("POST", "/notes", {"text": "x", "owner": "somebody"}, carl)[0] == 400, "an owner in the body")
    check(api("GET", "/notes?owner=somebody", token=carl)[0] == 400, "an owner in the query")
    for text in ("", "x" * 10_001):
        check(api("POST", "/notes", {"text": text}, carl)[0] == 400, f"a note of {len(text)} bytes")
    check(api("GET", "/notes/seven", token=anna)[0] == 400, "a note that is no number")
    check(api("DELETE", path, token=anna)[0] == 204, "a note goes")
    check(api("GET", path, token=anna)[0] == 404, "a note that has gone")


def check_webhook():
    check(wait_for(lambda: len(told) >= 4), f"notified {len(told)} times, not 4")
    whats = []
    for headers, body in told:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mac = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        check(headers["webhook-signature"] == "v1," + mac, "a notification is not signed")
        whats.append(json.loads(body)["what"])
    check(set(whats) == {"created", "changed", "removed"}, f"notified of {whats}")
    ids = [headers["webhook-id"] for headers, _ in told]
    check(len(set(ids)) == 3, "a second attempt has another id than the first")


def check_documents(api, anna):
    check(api("GET", "/healthz")[0] == 200, "/healthz")
    check(api("GET", "/metrics")[0] == 401, "/metrics without a token")
    status, document, _ = api("GET", "/openapi.json", token=anna)
    check(status == 200 and "/notes/{id}" in document["paths"], "/openapi.json")
    check("owner" not in json.dumps(document["paths"]), "the document asks for an owner")


def check_rate(api, carl):
    statuses = [api("GET", "/notes", token=carl)[0] for _ in range(150)]
    check(set(statuses) == {200, 429}, f"150 requests of the free plan: {set(statuses)}")


def main():
    arguments = [each for each in sys.argv[1:] if each != "--sanitized"]
    program = arguments[0]
    for bad in (["--port"], ["--port", "x"], ["--port", "70000"], ["--nothing"], ["--report-seconds", "0"], ["--notify", "foo bar"],
                ["--notify", "http://"], ["--notify", "https:///hook"], ["--notify", "http://:80/hook"]):
        done = subprocess.run([program, *bad], capture_output=True, timeout=PATIENCE_S)
        check(done.returncode == 2 and b"usage" in done.stderr, f"{bad} is not refused")
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    secret = "whsec_" + base64.b64encode(SECRET).decode()
    url = f"http://127.0.0.1:{hook.server_port}/hook"
    server = subprocess.Popen([program, "--port", "0", "--notify", url, "--report-seconds", "1"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env={**os.environ, "WEB_BACKEND_SECRET": secret})
    try:
        api = Api(server.stdout.readline().strip())
        anna = check_accounts(api)
        carl = second_account(api)
        check_notes(api, anna, carl)
        check_webhook()
        check_documents(api, anna)
        if "--sanitized" not in sys.argv:
            check_rate(api, carl)
        reports = [server.stdout.readline() for _ in range(2)]
        check(all(each.startswith("report: ") for each in reports), f"no report: {reports}")
        server.send_signal(signal.SIGTERM)
        out, errors = server.communicate(timeout=PATIENCE_S)
        check(server.returncode == 0, f"exit {server.returncode}: {errors}")
        check("correct horse" not in out + errors and secret not in out + errors and anna not in out + errors,
              "a secret in the log")
    finally:
        if server.poll() is None:
            server.kill()
        hook.shutdown()
    for each in faults:
        print("fault:", each)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
