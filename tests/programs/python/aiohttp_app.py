"""aiohttp (asyncio), with its own access log hook as the log."""
import asyncio
import json
import os

from aiohttp import ClientSession, web
from aiohttp.abc import AbstractAccessLogger

LOG = os.open(os.environ["ACCESS_LOG"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)


class AccessLog(AbstractAccessLogger):
    @property
    def enabled(self):
        return True

    def log(self, request, response, seconds):
        line = {
            "method": request.method,
            "path": request.raw_path,
            "status": response.status,
            "seconds": seconds,
            # Of a response without a length aiohttp's own count takes in heads and framing.
            "response_body": 0 if request.method == "HEAD" else response.content_length,
        }
        os.write(LOG, json.dumps(line).encode() + b"\n")


async def ok(request):
    await request.read()
    return web.Response(text="ok\n")


async def status(request):
    code = int(request.match_info["status"])
    return web.Response(status=code, text=None if code in (204, 304) else "status\n")


async def sleep(request):
    await asyncio.sleep(int(request.match_info["ms"]) / 1000)
    return web.Response(text="slept\n")


async def echo(request):
    return web.Response(body=await request.read())


async def some_bytes(request):
    return web.Response(body=b"x" * int(request.match_info["count"]))


async def chunks(request, parts):
    response = web.StreamResponse()
    if request.version.minor:
        response.enable_chunked_encoding()
    await response.prepare(request)
    async for part in parts:
        await response.write(part)
    await response.write_eof()
    return response


async def chunked(request):
    async def parts():
        for part in (b"hello", b" ", b"world\n"):
            yield part

    return await chunks(request, parts())


async def stream(request):
    async def parts():
        for n in range(int(request.match_info["count"])):
            await asyncio.sleep(int(request.match_info["ms"]) / 1000)
            yield b"data: %d\n\n" % n

    return await chunks(request, parts())


async def call(request):
    async with ClientSession() as session, session.get(request.query["url"]) as answer:
        return web.Response(body=await answer.read())


def main():
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/ok", ok)
    app.router.add_get("/status/{status}", status)
    app.router.add_get("/sleep/{ms}", sleep)
    app.router.add_get("/sleep/{ms}/{tag}", sleep)
    app.router.add_post("/echo", echo)
    app.router.add_get("/bytes/{count}", some_bytes)
    app.router.add_get("/chunked", chunked)
    app.router.add_get("/stream/{count}/{ms}", stream)
    app.router.add_get("/call", call)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log_class=AccessLog, print=None)


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("aiohttp.access").setLevel(logging.INFO)
    main()
