"""Flask, under its own threaded server (python flask_app.py) or gunicorn's gthread workers (flask_app:application)."""
import json
import os
import threading
import time
import urllib.request

from flask import Flask, Response, request

LOG = os.open(os.environ["ACCESS_LOG"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]
app = Flask(__name__)


@app.route("/ok", methods=METHODS, provide_automatic_options=False)
def ok():
    request.get_data()
    return "ok\n"


@app.route("/status/<int:status>")
def status(status):
    return Response("" if status in (204, 304) else "status\n", status=status)


@app.route("/sleep/<int:milliseconds>")
@app.route("/sleep/<int:milliseconds>/<tag>")
def sleep(milliseconds, tag=None):
    time.sleep(milliseconds / 1000)
    return "slept\n"


@app.route("/echo", methods=["POST"])
def echo():
    return Response(request.get_data())


@app.route("/bytes/<int:count>")
def some_bytes(count):
    return Response(b"x" * count)


@app.route("/chunked")
def chunked():
    return Response(iter([b"hello", b" ", b"world\n"]))


@app.route("/stream/<int:count>/<int:milliseconds>")
def stream(count, milliseconds):
    def events():
        for n in range(count):
            time.sleep(milliseconds / 1000)
            yield b"data: %d\n\n" % n

    return Response(events(), mimetype="text/event-stream")


@app.route("/call")
def call():
    with urllib.request.urlopen(request.args["url"]) as answer:
        return Response(answer.read())


def application(environ, start_response):
    """Writes the access log around the application."""
    started = time.perf_counter()
    seen = {}

    def start(status, headers, exc_info=None):
        seen["status"] = int(status.split()[0])
        return start_response(status, headers, exc_info)

    sent = 0
    answer = app(environ, start)
    try:
        for part in answer:
            sent += len(part)
            yield part
    finally:
        answer.close()
        query = environ.get("QUERY_STRING")
        line = {
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"] + ("?" + query if query else ""),
            "status": seen.get("status"),
            "response_body": 0 if environ["REQUEST_METHOD"] == "HEAD" else sent,
            "seconds": time.perf_counter() - started,
            "tid": threading.get_native_id(),
        }
        os.write(LOG, json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    import logging

    from werkzeug.serving import run_simple

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    run_simple("127.0.0.1", int(os.environ["PORT"]), application, threaded=True)
