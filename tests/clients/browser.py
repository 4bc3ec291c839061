"""A browser: pages of other origins that call a gateway with fetch and follow its events. What they do is in browser.cjs."""
import functools
import http.server
import pathlib
import tempfile
import threading

from node import node_with, told_by
from served import Server, program

PAGE = "<!doctype html><title>a page</title><link rel=icon href=data:,>\n"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Pages:
    """An origin of its own."""

    def __init__(self, folder):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def pages_call(server_path, tools):
    node, chromium = node_with(tools, "playwright-core"), program("chromium", "chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (pathlib.Path(folder) / "index.html").write_text(PAGE)
        friend, stranger = Pages(folder), Pages(folder)
        try:
            with Server(server_path, "--cors", friend.origin) as server:
                return told_by(node, tools, "browser.cjs", chromium, server.port, friend.origin, stranger.origin, home=folder)
        finally:
            friend.stop()
            stranger.stop()


def checks(server_path, tools):
    return [("browser: pages of two origins", lambda: pages_call(server_path, tools))]
