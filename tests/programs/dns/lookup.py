"""Looks up names with the C library's resolver: lookup.py THREADS ROUNDS FAMILY NAME…

Each thread asks for all names in turn, ROUNDS times. Prints the seconds that all calls took, one by one added up.
"""

import socket
import sys
import threading
import time

threads, rounds = int(sys.argv[1]), int(sys.argv[2])
family = {"A": socket.AF_INET, "AAAA": socket.AF_INET6, "both": socket.AF_UNSPEC}[sys.argv[3]]
names = sys.argv[4:]
took = [0.0] * threads


def work(n):
    for _ in range(rounds):
        for name in names:
            before = time.perf_counter()
            try:
                socket.getaddrinfo(name, 80, family, socket.SOCK_STREAM)
            except socket.gaierror:
                pass
            took[n] += time.perf_counter() - before


workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(sum(took))
