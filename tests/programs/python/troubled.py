"""Troubles that operators look for, some of each again and again: no descriptors left, a listener that never accepts, a
peer that never reads, datagrams that nobody takes or wants, and questions that nobody answers (QUIET, an address of
loopback: there it does not answer on port 53)."""
import os
import resource
import socket
import struct
import time

UDP = (socket.AF_INET, socket.SOCK_DGRAM)

quiet = (os.environ["QUIET"], 53)
nobody = socket.socket(*UDP)
nobody.bind(quiet)

deaf = socket.socket()
deaf.bind(("127.0.0.1", 0))
deaf.listen(1)

meek = socket.socket()
meek.bind(("127.0.0.1", 0))
meek.listen(1)
pushing = socket.create_connection(meek.getsockname())
unread, _ = meek.accept()
pushing.setblocking(False)
try:
    while True:
        pushing.send(b"x" * 65536)
except BlockingIOError:
    pass

full = socket.socket(*UDP)
full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
full.bind(("127.0.0.1", 0))

gone = socket.socket(*UDP)
gone.bind(("127.0.0.1", 0))
closed = gone.getsockname()
gone.close()


def question(number):
    head = struct.pack("!6H", number % 65536, 0x0100, 1, 0, 0, 0)
    return head + b"\x07example\x03com\x00" + struct.pack("!2H", 1, 1)


asking = socket.socket(*UDP)
sending = socket.socket(*UDP)
sending.connect(closed)
number = 0
while True:
    number += 1
    asking.sendto(question(number), quiet)
    for _ in range(20):
        asking.sendto(b"x" * 1000, full.getsockname())
    for _ in range(2):
        try:
            sending.send(b"x")
        except ConnectionRefusedError:
            pass
    knocking = [socket.socket() for _ in range(4)]
    for client in knocking:
        client.setblocking(False)
        client.connect_ex(deaf.getsockname())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        os.open("/dev/null", os.O_RDONLY)
    except OSError:
        pass
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    time.sleep(0.3)
    for client in knocking:
        client.close()
