#!/usr/bin/env python3
"""Real clients of a gateway: what each says about itself is compared with what it was told.

    run.py --server PROGRAM [--tools FOLDER] curl|openssl|wrk|promtool|browser|cloudevents ...

Prints a line for each check. Exits 1 if one failed, 77 if a client is absent, and 1 for that too with WISP_REQUIRE_CLIENTS=1.
FOLDER is where setup.sh put what is no package.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

import browser
import cloudevents
import curl
import tls
from served import Absent, Server, certificates, expect, program, run_checks, say_absent

WRK_SECONDS = 2


def wrk(server, url):
    done = subprocess.run([program("wrk", "wrk"), "-c32", "-t1", f"-d{WRK_SECONDS}", url], capture_output=True, text=True,
                          timeout=60 + WRK_SECONDS)
    requests = re.search(r"(\d+) requests in", done.stdout)
    expect(done.returncode == 0 and requests is not None, f"{done.stdout}{done.stderr}")
    expect("Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout)
    expect(int(requests.group(1)) > 32, done.stdout)
    return f"{requests.group(1)} requests in {WRK_SECONDS} s"


def wrk_refused(server):
    """That such a run can fail."""
    done = subprocess.run([program("wrk", "wrk"), "-c2", "-t1", "-d1", f"{server.address}/nowhere"], capture_output=True,
                          text=True, timeout=60)
    expect("Non-2xx" in done.stdout, done.stdout)


def promtool(server):
    def verdict(text):
        return subprocess.run([program("promtool", "prometheus"), "check", "metrics"], input=text, capture_output=True,
                              text=True, timeout=60)
    expect(server.serves(), "it does not serve")
    _, text = server.ask("GET", "/metrics")
    done = verdict(text.decode())
    expect(done.returncode == 0 and not done.stderr, f"{done.returncode}: {done.stdout}{done.stderr}")
    expect(verdict("1 is no metric\n").returncode != 0, "promtool takes anything")
    return f"{len(text.splitlines())} lines"


def checks_of(client, server, room, tools, certificate):
    if client == "curl":
        return curl.checks(server, room, certificate)
    if client == "openssl":
        return tls.checks(server, certificate)
    if client == "wrk":
        return [("wrk: 32 connections", lambda: wrk(server, f"{server.address}/notes/1")),
                ("wrk: 32 connections with TLS", lambda: wrk(server, f"{server.secure}/notes/1")),
                ("wrk: sees what is not 2xx", lambda: wrk_refused(server))]
    if client == "promtool":
        return [("promtool: check metrics", lambda: promtool(server))]
    if client == "cloudevents":
        return cloudevents.checks(server, room, tools)
    return browser.checks(server.process.args[0], tools)


def run():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--tools", type=pathlib.Path, default=pathlib.Path("build/clients"))
    parser.add_argument("clients", nargs="+", choices=["curl", "openssl", "wrk", "promtool", "browser", "cloudevents"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        room = pathlib.Path(name)
        try:
            certificate, key = certificates(room)
        except Absent as absent:
            sys.exit(say_absent("a certificate for the server", absent))
        with Server(asked.server, "--certificate", certificate, "--key", key) as server:
            checks = []
            for client in asked.clients:
                checks += checks_of(client, server, room, asked.tools, certificate)
            status = run_checks(checks)
    sys.exit(status)  # out here, so that the server's end is looked at too


if __name__ == "__main__":
    run()
