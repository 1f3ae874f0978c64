"""Serves HTTP (PORT) and says so: a line on standard output while a request is handled, http.server's own on standard error."""
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = self.path.split("/")
        if parts[1] == "late":  # says it between two sleeps
            time.sleep(int(parts[2]) / 1000)
        sys.stdout.write(f"handling {self.path}\n")
        sys.stdout.flush()
        if parts[1] in ("sleep", "late"):
            time.sleep(int(parts[2]) / 1000)
        if parts[1] == "fail":
            raise ValueError(f"none left of {self.path}")
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")


print("begin", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
