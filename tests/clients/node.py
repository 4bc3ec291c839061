"""Clients that are written for Node, with packages of npm that setup.sh puts into a folder."""
import json
import os
import pathlib
import subprocess

from served import Absent, Failed, expect, program

HERE = pathlib.Path(__file__).resolve().parent
SECONDS_MAX = 180
MAJOR_MIN = 18


def node_with(tools, package):
    node = program("node", "nodejs")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < MAJOR_MIN:
        raise Absent(f"node is {version}, and has to be {MAJOR_MIN} at least (Debian: nodejs)")
    if not (tools / "node_modules" / package).is_dir():
        raise Absent(f"no {package} in {tools}/node_modules (npm; see setup.sh)")
    return node


def told_by(node, tools, script, *arguments, home):
    """Runs a script that prints {"what should hold": true, or what was there instead}; says what held."""
    done = subprocess.run([node, str(HERE / script), *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS_MAX,
                          env=os.environ | {"NODE_PATH": str(tools.resolve() / "node_modules"), "HOME": str(home)})
    try:
        told = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise Failed(f"{script} ended with {done.returncode}: {done.stdout}{done.stderr}") from None
    wrong = [f"{what}: {got}" for what, got in told.items() if got is not True]
    expect(told and not wrong and done.returncode == 0, "; ".join(wrong) + done.stderr)
    return "".join(f"\n        {what}" for what in told)
