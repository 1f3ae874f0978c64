"""The standard library's HTTP server. PORT (or SOCKET for a Unix socket), ACCESS_LOG, PROTOCOL (HTTP/1.0 or HTTP/1.1)."""
import json
import os
import socketserver
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LOG = os.open(os.environ["ACCESS_LOG"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)


class Handler(BaseHTTPRequestHandler):
    protocol_version = os.environ.get("PROTOCOL", "HTTP/1.1")
    disable_nagle_algorithm = "SOCKET" not in os.environ

    def parse_request(self):
        self.started = time.perf_counter()  # the request line was read just now
        self.first = None
        self.status = None
        self.sent = 0
        self.received = 0
        return super().parse_request()

    def address_string(self):
        return "local"

    def log_request(self, code="-", size="-"):
        pass

    def log_message(self, *args):
        pass

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    break
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.received = len(body)
        return body

    def head(self, status, fields):
        self.status = status
        self.send_response_only(status)
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        self.first = time.perf_counter()

    def body(self, data, count=None):
        if self.command != "HEAD":
            self.wfile.write(data)
            self.sent += len(data) if count is None else count

    def whole(self, status, data):
        if status in (204, 304):
            self.head(status, [])
        else:
            self.head(status, [("Content-Length", str(len(data)))])
            self.body(data)

    def chunks(self, chunks):
        if self.request_version == "HTTP/1.0" or self.protocol_version == "HTTP/1.0":
            self.close_connection = True
            self.head(200, [("Connection", "close")])
            for chunk in chunks:
                self.body(chunk)
            return
        self.head(200, [("Transfer-Encoding", "chunked")])
        for chunk in chunks:
            self.body(b"%x\r\n%s\r\n" % (len(chunk), chunk), len(chunk))
        self.body(b"0\r\n\r\n", 0)

    def answer(self):
        try:
            self.route()
        finally:
            ended = time.perf_counter()
            line = json.dumps(
                {
                    "method": self.command,
                    "path": self.path,
                    "status": self.status,
                    "request_body": self.received,
                    "response_body": self.sent,
                    "seconds": ended - self.started,
                    "first_byte_seconds": self.first and self.first - self.started,
                    "tid": threading.get_native_id(),
                }
            )
            os.write(LOG, line.encode() + b"\n")

    def route(self):
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if parts[0] == "early":
            self.close_connection = True
            self.head(413, [("Content-Length", "3"), ("Connection", "close")])
            self.body(b"no\n")
            return
        body = self.read_body()
        if parts[0] == "ok":
            self.whole(200, b"ok\n")
        elif parts[0] == "status":
            self.whole(int(parts[1]), b"status\n")
        elif parts[0] == "sleep":
            time.sleep(int(parts[1]) / 1000)
            self.whole(200, b"slept\n")
        elif parts[0] == "echo":
            self.whole(200, body)
        elif parts[0] == "bytes":
            self.whole(200, b"x" * int(parts[1]))
        elif parts[0] == "chunked":
            self.chunks([b"hello", b" ", b"world\n"])
        elif parts[0] == "stream":
            self.chunks(self.events(int(parts[1]), int(parts[2])))
        elif parts[0] == "close":
            self.close_connection = True
            self.head(200, [("Connection", "close")])
            self.body(b"c" * int(parts[1]))
        elif parts[0] == "call":
            query = parse_qs(url.query)
            with urllib.request.urlopen(query["url"][0]) as answer:
                self.whole(200, answer.read())
        elif parts[0] == "crash":
            self.head(200, [("Content-Length", "1000")])
            self.body(b"part")
            os._exit(1)
        else:
            self.whole(404, b"none\n")

    @staticmethod
    def events(count, milliseconds):
        for n in range(count):
            time.sleep(milliseconds / 1000)
            yield b"data: %d\n\n" % n

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_PROPFIND = answer


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class TcpServer(ThreadingHTTPServer):
    request_queue_size = 512


if __name__ == "__main__":
    if "SOCKET" in os.environ:
        server = UnixServer(os.environ["SOCKET"], Handler)
    else:
        server = TcpServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    server.serve_forever()
