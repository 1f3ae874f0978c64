"""Asks by the standard library: urllib (a connection a request) and http.client (one kept connection). BASE COUNT."""
import http.client
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

base, count = sys.argv[1], int(sys.argv[2])
for n in range(count):
    with urllib.request.urlopen(f"{base}/bytes/{1000 + n}") as answer:
        answer.read()
try:
    urllib.request.urlopen(f"{base}/status/503").read()
except urllib.error.HTTPError as error:
    error.read()
kept = http.client.HTTPConnection(urlsplit(base).netloc)
for n in range(count):
    kept.request("POST", "/echo", body=b"p" * (n * 1000 + 1))
    kept.getresponse().read()
    kept.request("HEAD", "/ok")
    kept.getresponse().read()
