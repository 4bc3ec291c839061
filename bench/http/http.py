#!/usr/bin/env python3
"""CPU of a server per request, and how long requests take, by turns with its peers, on the loopback. See bench/README.md.

  http.py [--rounds 9] [--seconds 3] [--json] [--nginx PATH] [--wrk PATH]

CPU is the user and system time of the server's processes over the requests that wrk counted, all answered 2xx. The time is
the 99th percentile of what http_open_loop sends at half of the rate that nginx had under wrk. Judged as compare.py does.
"""
import argparse, json, os, pathlib, re, shutil, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "compare"))
import compare

CONNECTIONS = 32
NGINX = """worker_processes 1; daemon off; pid {room}/nginx.pid; error_log {room}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {room}; proxy_temp_path {room}; fastcgi_temp_path {room}; uwsgi_temp_path {room}; scgi_temp_path {room};
  server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 "ok\\n"; }} }}
}}
"""
BODY = '{"kg":2.5,"country":"PT"}'
POST = f"""wrk.method = "POST"
wrk.body = '{BODY}'
wrk.headers["Content-Type"] = "application/json"
"""
# question, variant, ours, peer's name, peer, target; of the figures of rounds()
ROWS = [("N1", "fixed 200", "fixed", "nginx", "nginx", 1.25), ("N1", "fixed 200", "fixed", "cpp-httplib", "httplib", 0.45),
        ("N2", "typed route", "typed", "our fixed 200", "fixed", 1.6), ("N2", "on the workers", "pool", "our fixed 200", "fixed", None),
        ("N3", "p99, fixed 200", "fixed p99", "nginx", "nginx p99", 2), ("N3", "p99, typed route", "typed p99", "nginx", "nginx p99", None)]


def free_port():
    import socket
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def cpu_seconds(pid):
    """Of the process and its children, those that live."""
    total = 0.0
    for each in [pid] + [int(child) for child in
                         pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]:
        fields = pathlib.Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


class Server:
    def __init__(self, command, port=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = port or int(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait(timeout=10)


def nginx(path, room):
    port = free_port()
    (room / "nginx.conf").write_text(NGINX.format(room=room, port=port))
    server = Server([path, "-c", str(room / "nginx.conf"), "-p", str(room)], port)
    time.sleep(0.5)
    return server


def measure(server, wrk, path, seconds, script):
    """CPU of a request in nanoseconds, and requests a second."""
    before = cpu_seconds(server.process.pid)
    done = subprocess.run([wrk, f"-c{CONNECTIONS}", "-t1", f"-d{seconds}", *(["-s", script] if script else []),
                           f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, timeout=seconds + 60)
    after = cpu_seconds(server.process.pid)
    requests = re.search(r"(\d+) requests in", done.stdout)
    if done.returncode != 0 or requests is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        sys.exit(f"wrk on {path}: {done.stdout}{done.stderr}")
    count = int(requests.group(1))
    return (after - before) / count * 1e9, count / seconds


def p99(server, path, seconds, rate, body):
    """Of requests at `rate` a second in all, in nanoseconds; or what went wrong."""
    done = subprocess.run([HERE / "http_open_loop", str(server.port), path, str(rate), str(seconds), *([body] if body else [])],
                          capture_output=True, text=True, timeout=seconds + 60)
    return json.loads(done.stdout)["p99_ns"] if done.returncode == 0 else done.stderr.strip()


def rounds(asked, servers, room):
    """{figure: [that of each round]}, of the servers that are there."""
    jobs = {"fixed": ("ours", "/healthz", False), "typed": ("ours", "/price", True), "pool": ("ours", "/pool", True),
            "nginx": ("nginx", "/", False), "httplib": ("httplib", "/healthz", False)}
    jobs = {job: each for job, each in jobs.items() if each[0] in servers}
    script = room / "post.lua"
    script.write_text(POST)
    figures = {job: [] for job in jobs}
    rates = []
    for turn in range(asked.rounds):
        order = list(jobs)
        for job in order[turn % len(order):] + order[:turn % len(order)]:
            which, path, posts = jobs[job]
            cpu, rate = measure(servers[which], asked.wrk, path, asked.seconds, str(script) if posts else None)
            figures[job].append(cpu)
            if which == "nginx":
                rates.append(rate)
    timed = [job for job in ("fixed", "typed", "nginx") if job in jobs]
    if not rates:
        return figures | {f"{job} p99": ["no nginx, whose rate is halved"] for job in timed}
    rate = statistics.median(rates) / 2
    figures |= {f"{job} p99": [] for job in timed}
    for turn in range(asked.rounds):
        for job in timed[turn % len(timed):] + timed[:turn % len(timed)]:
            which, path, posts = jobs[job]
            figures[f"{job} p99"].append(p99(servers[which], path, asked.seconds, rate, BODY if posts else ""))
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--nginx", default=shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin"))
    parser.add_argument("--wrk", default=shutil.which("wrk"))
    asked = parser.parse_args()
    if asked.wrk is None:
        sys.exit("no wrk (Debian: wrk)")
    with tempfile.TemporaryDirectory() as name:
        room = pathlib.Path(name)
        servers = {}
        try:
            servers["ours"] = Server([HERE / "http_ours"])
            if (HERE / "http_httplib").exists():
                servers["httplib"] = Server([HERE / "http_httplib"])
            if asked.nginx:
                servers["nginx"] = nginx(asked.nginx, room)
            figures = rounds(asked, servers, room)
        finally:
            for each in servers.values():
                each.stop()
    runs = {}
    for job, values in figures.items():
        wrong = [each for each in values if isinstance(each, str)]
        runs[job, "http"] = wrong[0] if wrong else [{"ns": each} for each in values]
    results = []
    for question, variant, ours, peer, theirs, target in ROWS:
        sides = [(job, "http", "ns") for job in (ours, theirs)]
        for side in sides:
            runs.setdefault(side[:2], "absent")
        results.append(compare.judge((question, variant, sides[0], peer, sides[1], target, "most"), runs, {}))
    if asked.json:
        print(json.dumps(results, indent=1))
    else:
        compare.show(results)


main()
