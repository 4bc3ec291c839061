#!/usr/bin/env python3
"""Hostile clients of a gateway, all on the loopback, bounded in number and time.

    hostile.py --server PROGRAM [--sanitized] slow|floods|idle ...

Prints a line for each check, with its figures. Exits 1 if one failed, 77 if a program is absent or this machine allows too few
open files, and 1 for that too with WISP_REQUIRE_CLIENTS=1. With WISP_CLIENTS_LONG=1 there are as many clients as the project
promises to bear, otherwise fewer. With --sanitized what a server uses is not judged: most of it is the sanitizer's.
"""
import argparse

import floods
import idle
import slow
from served import main

KINDS = {"slow": slow.checks, "floods": floods.checks, "idle": idle.checks}


def run():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--sanitized", action="store_true")
    parser.add_argument("kinds", nargs="+", choices=list(KINDS))
    asked = parser.parse_args()
    main([check for kind in asked.kinds for check in KINDS[kind](asked.server, asked.sanitized)])


if __name__ == "__main__":
    run()
