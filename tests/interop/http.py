#!/usr/bin/env python3
"""The source on HTTP: read from nginx, started here on the loopback address, and from a server of our own that misbehaves in
all the ways that servers do. Needs Python's standard library, libcurl and nginx. A word as argument: only the cases whose
names contain it.
"""
import base64
import email.utils
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import zipfile

import common
from common import ARCHIVE_DRIVER, HTTP_DRIVER, HTTP_DRIVER_SANITIZED, TMP, TOOL, TOOL_SANITIZED, Job, check, good, refused

FOLDER = os.path.join(TMP, "http")
MODIFIED = "Sat, 29 Oct 1994 19:43:31 GMT"
LATER = "Sat, 29 Oct 1994 19:43:32 GMT"
KEEP = 16 << 10             # bytes of a body nobody wants that are read
FIRST = 64 << 10            # bytes that are asked for first


def content(size, seed=1):
    start = common.mix(seed)
    return b"".join(struct.pack("<Q", common.mix(start + i)) for i in range((size + 7) // 8))[:size]


BYTES = content(200000)


# ---- a server that misbehaves --------------------------------------------------------------------------------

class Request:
    """What came, and how many for the same object came before."""

    def __init__(self, head, connection):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.headers = [tuple(line.split(": ", 1)) for line in lines[1:] if line]
        self.connection = connection
        self.number = 0

    def get(self, name):
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    def range(self, size):
        first, last = self.get("Range")[len("bytes="):].split("-")
        return int(first), min(int(last), size - 1)


class Answer:
    """`length`: what is told of the body, None is its length, "" nothing. `end`: how the connection is left: "keep", "close",
    "reset". `pause`: seconds between bytes."""

    def __init__(self, status, body=b"", length=None, end="keep", pause=0, **headers):
        self.status, self.body, self.length, self.end, self.pause = status, body, length, end, pause
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def head(self):
        length = len(self.body) if self.length is None else self.length
        lines = ["HTTP/1.1 %d Status" % self.status] + ["%s: %s" % item for item in self.headers.items()]
        if length != "":
            lines.append("Content-Length: %d" % length)
        if self.end != "keep":
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(request, data=BYTES, **headers):
    answer = Answer(200, data, **headers)
    if request.method == "HEAD":
        answer.length, answer.body = len(data), b""
    return answer


def served(request, data=BYTES, etag='"v1"', modified=MODIFIED, **headers):
    """As a good server does it."""
    headers.update({k: v for k, v in (("ETag", etag), ("Last_Modified", modified)) if v})
    condition = request.get("If-Range")
    if request.method == "HEAD" or not request.get("Range") or (condition and condition not in (etag, modified)):
        return whole(request, data, **headers)
    first, last = request.range(len(data))
    if first >= len(data):
        return Answer(416, b"no", Content_Range="bytes */%d" % len(data))
    return Answer(206, data[first:last + 1], Content_Range="bytes %d-%d/%d" % (first, last, len(data)), **headers)


class Server:
    """Answers each object by a function that takes the request; keeps all requests."""

    def __init__(self, host="127.0.0.1"):
        self.listener = socket.socket()
        self.listener.bind((host, 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.objects, self.requests, self.lock, self.connections = {}, {}, threading.Lock(), 0
        threading.Thread(target=self.listen, daemon=True).start()

    def add(self, function):
        """The URL of a new object."""
        with self.lock:
            path = "/object%d" % len(self.objects)
            self.objects[path], self.requests[path] = function, []
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def seen(self, url):
        with self.lock:
            return list(self.requests["/" + url.split("/", 3)[3].split("?")[0]])

    def listen(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection, self.connections), daemon=True).start()

    def serve(self, connection, number):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting = b""
        try:
            while True:
                while b"\r\n\r\n" not in waiting:
                    more = connection.recv(65536)
                    if not more:
                        return
                    waiting += more
                head, waiting = waiting.split(b"\r\n\r\n", 1)
                if not self.answer(connection, Request(head, number)):
                    return
        except OSError:
            pass            # the client went away
        finally:
            connection.close()

    def answer(self, connection, request):
        path = request.target.split("?")[0]
        with self.lock:
            if path not in self.objects:
                path = "/" + path.split("/")[1]
            request.number = len(self.requests[path])
            self.requests[path].append(request)
        answer = self.objects[path](request)
        if answer is None:
            return False
        if answer.end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if answer.pause:
            for byte in answer.head() + answer.body:
                connection.sendall(bytes([byte]))
                time.sleep(answer.pause)
        else:
            connection.sendall(answer.head() + answer.body)
        if answer.end == "reset":
            time.sleep(0.1)     # a reset throws away what was not yet read
        return answer.end == "keep" and (request.method == "HEAD" or answer.length in (None, len(answer.body)))

    def close(self):
        self.listener.close()


# ---- jobs ----------------------------------------------------------------------------------------------------

def about(url, **keys):
    return Job("about", url, **dict({"delay": 20}, **keys))


def read(url, *ranges, command="read", **keys):
    return Job(command, url, out=True, offsets=",".join(str(r[0]) for r in ranges), sizes=",".join(str(r[1]) for r in ranges),
               **dict({"delay": 20}, **keys))


def got(reply, data, requests, **facts):
    """The bytes, the number of requests, and what else the driver says."""
    told = reply.good().facts
    check((reply.out or b"") == data, "%d bytes, %d wanted, or others", len(reply.out or b""), len(data))
    check(told["requests"] == requests, "%d requests, %d wanted", told["requests"], requests)
    for name, value in facts.items():
        check(told[name] == value, "%s: %s", name, told)
    return told


def fails(reply, status, text):
    reply.refused(status)
    check(text in reply.text, "without %r: %s", text, reply.text)
    check("127.0.0.1" in reply.text, "does not name the object: %s", reply.text)


def asked(server, url, *wanted):
    """The requests that the server saw: methods and ranges."""
    seen = [r.method if r.method == "HEAD" else r.get("Range")[len("bytes="):] for r in server.seen(url)]
    check(seen == list(wanted), "requests %s, wanted %s", seen, list(wanted))
    return server.seen(url)


# ---- cases of the server that misbehaves ----------------------------------------------------------------------

def good_server(server):
    """Two ranges, the end, and beyond: on one connection, always on the same condition, never compressed."""
    url = server.add(served)
    reply = yield read(url, (0, 1000), (150000, 60000), (200000, 10), (300000, 10))
    told = got(reply, BYTES[:1000] + BYTES[150000:], 3, tag='"v1"', length=200000, times=2, bytes=51000)
    seen = asked(server, url, "HEAD", "0-999", "150000-199999")
    check(told["status"] == 206 and len({r.connection for r in seen}) == 1, "%d connections", len({r.connection for r in seen}))
    for request in seen:
        check(request.get("Accept-Encoding") == "identity", "Accept-Encoding: %s", request.get("Accept-Encoding"))
        check(request.get("If-Range") == ("" if request.method == "HEAD" else '"v1"'), "If-Range: %s", request.get("If-Range"))
        check(not request.get("Authorization"), "credentials: %s", request.headers)


def first_bytes(server):
    """By GET: what comes with the length is used; a small object takes one request."""
    small, large, empty = server.add(lambda r: served(r, BYTES[:500])), server.add(served), server.add(lambda r: served(r, b""))
    replies = yield [read(small, (0, 500), by="get"), read(small, (100, 1000), by="get"), read(large, (0, 100000), by="get"),
                     read(large, (70000, 10), by="get"), read(empty, (0, 10), by="get"),
                     read(large, (10, 10), (20, 10), by="get", first=100)]
    got(replies[0], BYTES[:500], 1, length=500, tag='"v1"')
    got(replies[1], BYTES[100:500], 1)
    got(replies[2], BYTES[:100000], 2, length=200000, times=2)
    got(replies[3], BYTES[70000:70010], 2)
    got(replies[4], b"", 1, length=0)
    got(replies[5], BYTES[10:30], 1)
    asked(server, large, "0-65535", "65536-99999", "0-65535", "70000-70009", "0-99")


def length_given(server):
    """The caller's word: no request for it, and the answers have to agree."""
    url, end = server.add(served), server.add(lambda r: served(r, etag=None, modified=None))
    replies = yield [about(url, by="given", length=200000), read(url, (5, 10), (7, 10), by="given", length=200000),
                     read(url, (5, 10), by="given", length=199999), read(end, (250000, 10), by="given", length=300000)]
    check(replies[0].good().facts["requests"] == 0 and replies[0].facts["tag"] == "", "%s", replies[0].facts)
    got(replies[1], BYTES[5:15] + BYTES[7:17], 2, tag="", length=200000)
    fails(replies[2], "ERR_CHANGED", "the object on the server has another length")
    got(replies[3], b"", 1)
    seen = asked(server, url, "5-14", "7-16", "5-14")
    check([r.get("If-Range") for r in seen] == ["", '"v1"', ""], "%s", [r.get("If-Range") for r in seen])


def unasked(server):
    """A read that nobody asked about before asks by itself."""
    url = server.add(served)
    got((yield read(url, (3, 4), unasked=1)), BYTES[3:7], 2)


def no_length(server):
    """HEAD without a length, or none at all: the range tells it."""
    def answer(request):
        return Answer(status, length="", end="close") if request.method == "HEAD" else served(request)
    for status in (200, 405, 501):
        url = server.add(answer)
        got((yield read(url, (0, 100), (FIRST, 5))), BYTES[:100] + BYTES[FIRST:FIRST + 5], 3, length=200000)
        asked(server, url, "HEAD", "0-65535", "65536-65540")
    url = server.add(lambda r: Answer(200, b"" if r.method == "HEAD" else BYTES, length="", end="close"))
    replies = yield [about(url), about(url, by="get"), about(url, whole=1)]
    for reply in replies:
        fails(reply, "ERR_UNSUPPORTED", "the server does not say how long the object is")
    url = server.add(lambda r: Answer(206, BYTES[:10], Content_Range="bytes 0-9/*"))
    fails((yield about(url, by="get", first=10)), "ERR_IO", "the server does not say how long the object is")


def short_bodies(server):
    """What is missing is asked for, from where it ended; in the end what came is kept."""
    def cut(request):
        answer = served(request)
        if request.method == "GET" and request.number in (1, 2):
            answer.length, answer.body = len(answer.body), answer.body[:30000]
        return answer

    def said_short(request):
        answer = served(request)
        answer.body = answer.body[:60000]
        return answer

    def mute(request):
        answer = served(request)
        if request.method == "GET":
            answer.length, answer.body = len(answer.body), b""
        return answer
    one, other, never = server.add(cut), server.add(said_short), server.add(mute)
    replies = yield [read(one, (0, 100000)), read(other, (0, 200000), tries=2), read(never, (0, 200000), tries=3)]
    got(replies[0], BYTES[:100000], 4, retries=2, times=1)
    asked(server, one, "HEAD", "0-99999", "30000-99999", "60000-99999")
    got(replies[1], BYTES, 5, times=2)
    asked(server, other, "HEAD", "0-199999", "60000-199999", "120000-199999", "180000-199999")
    fails(replies[2], "ERR_IO", "Transferred a partial file")
    check(len(server.seen(never)) == 4, "%d requests", len(server.seen(never)))


def long_bodies(server):
    def answer(request):
        good = served(request)
        good.body += b"x" * more if request.method == "GET" else b""
        return good
    for more in (1, 100000):
        url = server.add(answer)
        fails((yield read(url, (100, 1000))), "ERR_IO", "the server sends more bytes than it was asked for")
        asked(server, url, "HEAD", "100-1099")


def wrong_ranges(server):
    other = "the server sends another range than it was asked for"
    cases = [("bytes 101-1100/200000", "ERR_IO", other), ("bytes 0-999/200000", "ERR_IO", other),
             ("bytes 99-1099/200000", "ERR_IO", other), ("bytes 100-1098/200000", "ERR_IO", other),
             ("bytes 100-1100/200000", "ERR_IO", other),
             ("bytes 100-1099/200001", "ERR_CHANGED", "another length"), ("bytes 100-1099/*", "ERR_IO", "how long the object is"),
             ("bytes 1099-100/200000", "ERR_IO", "which range it sends"), ("bytes */200000", "ERR_IO", "which range it sends"),
             ("bytes 100-1099/200000x", "ERR_IO", "how long"), ("bytes 100-1099", "ERR_IO", "which range it sends"),
             ("items 100-1099/200000", "ERR_IO", "which range it sends"), ("", "ERR_IO", "which range it sends"),
             ("bytes 100-18446744073709551716/200000", "ERR_IO", "which range it sends"),
             ("bytes 100-1099/" + "0" * 300 + "200000", "ERR_IO", "which range it sends")]

    def answer(request, said):
        good = served(request)
        if request.method == "GET":
            good.headers["Content-Range"] = said
        return good
    for said, status, text in cases:
        url = server.add(lambda r, s=said: answer(r, s))
        fails((yield read(url, (100, 1000))), status, text)
        asked(server, url, "HEAD", "100-1099")
    for said in ("bytes 1-10/200000", "bytes 0-8/200000", "bytes 0-9/9"):
        url = server.add(lambda r, s=said: answer(r, s))
        fails((yield about(url, by="get", first=10)), "ERR_IO", other)


def no_ranges(server):
    """The whole object comes: refused, or taken as far as it is wanted."""
    url = server.add(lambda r: whole(r, ETag='"v1"'))
    bare = server.add(whole)
    replies = yield [read(url, (100, 1000)), read(url, (100, 1000), (150000, 50000), whole=1),
                     read(url, (1, 5), whole=1, limit=199999), about(url, by="get"),
                     read(url, (70000, 10), by="get", whole=1), read(url, (0, 200000)),
                     read(bare, (100, 1000)), read(bare, (100, 1000), whole=1), read(url, (0, 200000), by="get", first=300000)]
    no = "the server sends whole objects only, no ranges"
    fails(replies[0], "ERR_UNSUPPORTED", no)
    got(replies[1], BYTES[100:1100] + BYTES[150000:], 3)
    fails(replies[2], "ERR_LIMIT", "this one is over the limit")
    fails(replies[3], "ERR_UNSUPPORTED", no)
    got(replies[4], BYTES[70000:70010], 2)
    got(replies[5], BYTES, 2)
    fails(replies[6], "ERR_UNSUPPORTED", no)
    got(replies[7], BYTES[100:1100], 2, tag="")
    got(replies[8], BYTES, 1)


def whole_is_broken(server):
    """Of a whole object that breaks off, the rest comes with the next one."""
    def answer(request):
        good = whole(request, ETag='"v1"')
        if request.number in (1, 2):
            good.length, good.body = len(BYTES), BYTES[:80000 * request.number]
        return good
    url = server.add(answer)
    got((yield read(url, (50000, 150000), whole=1)), BYTES[50000:], 4, retries=2)
    asked(server, url, "HEAD", "50000-199999", "80000-199999", "160000-199999")


def changes(server):
    """An object that changes while it is read is noticed, however the server tells it."""
    other = content(200000, 2)
    text = "the object on the server is another one now"

    def now(request, **keys):
        new = request.number >= 2
        return served(request, other if new else BYTES, **(dict(etag='"v2"', modified=LATER, **keys) if new else keys))

    def deaf(request, **keys):              # does not heed If-Range
        request.headers = [h for h in request.headers if h[0] != "If-Range"]
        return now(request, **keys)

    def dated(request):
        return served(request, other if request.number >= 2 else BYTES, None, LATER if request.number >= 2 else MODIFIED)

    def grown(request):
        return served(request, BYTES + b"more" if request.number >= 2 else BYTES, None, None)

    def shrunk(request):
        return served(request, BYTES[:1000] if request.number >= 2 else BYTES, None, None)

    def whole_now(request):
        return whole(request, other if request.number >= 2 else BYTES, ETag='"v2"' if request.number >= 2 else '"v1"')

    def whole_grown(request):
        return whole(request, BYTES + b"more" if request.number >= 2 else BYTES)

    def silent(request):                    # has lost its ETag
        return whole(request, **({"ETag": '"v1"'} if request.number < 2 else {}))

    def broken(request, after=2):           # changes between two tries
        good = served(request, other, '"v2"', LATER) if request.number >= after else served(request)
        if request.number == after - 1:
            good.length, good.body = len(good.body), good.body[:30]
        return good
    cases = [(now, {}, text), (deaf, {}, text), (dated, {}, text), (grown, {}, "another length"), (shrunk, {}, "another length"),
             (whole_now, {"whole": 1}, text), (whole_grown, {"whole": 1}, "another length"), (now, {"whole": 1}, text),
             (silent, {"whole": 1}, "does not say whether the object is still the same")]
    replies = yield [read(server.add(answer), (0, 1000), (100000, 1000), **keys) for answer, keys, _ in cases]
    for reply, (_, _, why) in zip(replies, cases):
        fails(reply, "ERR_CHANGED", why)
    url = server.add(broken)
    fails((yield read(url, (0, 1000))), "ERR_CHANGED", text)
    asked(server, url, "HEAD", "0-999", "30-999")
    url = server.add(lambda r: broken(r, 1))
    fails((yield read(url, (0, 1000), by="given", length=200000)), "ERR_CHANGED", text)
    asked(server, url, "0-999", "30-999")
    url = server.add(lambda r: served(r, other, '"v2"') if r.number >= 3 else served(r))
    reply = yield read(url, (0, 1000), (5, 1000), command="again")      # asked again, it is another one, and read as such
    got(reply, BYTES[:1000] + other[5:1005], 5)


def tags(server):
    """Which tag there is, and on which condition ranges are asked for."""
    long_tag = '"%s"' % ("x" * 253)
    cases = [('"v1"', MODIFIED, '"v1"'), ('W/"v1"', MODIFIED, MODIFIED), ('W/"v1"', None, ""), (None, MODIFIED, MODIFIED),
             (None, None, ""), ("v1", MODIFIED, MODIFIED), ('"', None, ""), (long_tag, MODIFIED, long_tag),
             ('"x%s' % long_tag, MODIFIED, MODIFIED), ('"x%s' % long_tag, None, "")]
    for etag, modified, tag in cases:
        url = server.add(lambda r, e=etag, m=modified: served(r, etag=e, modified=m))
        for keys, method in (({}, "HEAD"), ({"by": "get", "first": 10}, "0-9")):
            reply = yield read(url, (100, 10), **keys)
            got(reply, BYTES[100:110], 2, tag=tag)
            check(server.seen(url)[-1].get("If-Range") == tag, "%s: If-Range: %s", tag, server.seen(url)[-1].get("If-Range"))


def busy(server):
    """429 and 5xx: tried again after a while, which the server may tell."""
    def answer(request):
        if request.number not in (1, 2):
            return served(request)
        date = email.utils.formatdate(time.time() + 2.5, usegmt=True)
        return Answer(status, b"later", **{name: value or date for name, value in headers.items()})
    for status, headers, least in ((500, {}, 0), (503, {}, 0), (502, {}, 0), (504, {}, 0), (429, {}, 0), (599, {}, 0),
                                   (429, {"Retry_After": "1"}, 2),
                                   (503, {"Retry_After": ""}, 2)):
        url = server.add(answer)
        told = got((yield read(url, (9, 100))), BYTES[9:109], 4, retries=2)
        asked(server, url, "HEAD", "9-108", "9-108", "9-108")
        check(told["seconds"] >= least, "%s: %.3f s", headers, told["seconds"])


def busy_for_ever(server):
    url, none = server.add(lambda r: Answer(503)), server.add(lambda r: Answer(501))
    waits = server.add(lambda r: Answer(429, Retry_After="3600"))
    dated = server.add(lambda r: Answer(503, Retry_After=email.utils.formatdate(time.time() + 3600, usegmt=True)))
    odd = server.add(lambda r: Answer(503, Retry_After="99999999999999999999999999"))
    replies = yield [about(url, tries=4), about(waits), about(none, by="get"), about(dated), about(url, tries=1),
                     about(odd, tries=2)]
    fails(replies[0], "ERR_IO", "the server is not available now")
    check("code 503" in replies[0].text and "[4 requests" in replies[0].text, "%s", replies[0].text)
    for reply in (replies[1], replies[3]):
        fails(reply, "ERR_IO", "the server wants us to wait longer than the options allow")
        check("[1 requests, 0." in reply.text, "%s", reply.text)
    fails(replies[2], "ERR_IO", "the server failed")
    check("[1 requests" in replies[2].text, "%s", replies[2].text)
    check("[1 requests" in replies[4].text, "%s", replies[4].text)
    fails(replies[5], "ERR_IO", "the server is not available now")


def delays(server):
    """They double, up to a limit, and a random part of at most the half is taken off."""
    url = server.add(lambda r: Answer(500))
    begun = time.time()
    replies = yield [about(url, tries=4, delay=200), about(url, tries=5, delay=200, longest=300)]
    for reply, low, high in zip(replies, (0.7, 0.55), (1.4 + 1, 1.1 + 1)):
        fails(reply, "ERR_IO", "the server failed")
        seconds = float(reply.text.rsplit(" s,", 1)[0].rsplit(" ", 1)[1])
        check(low <= seconds <= high, "%.3f s", seconds)
    check(time.time() > begun, "the clock")


def broken_connections(server):
    def silent(request):
        return None if request.number in (1, 2) else served(request)

    def reset(request):
        good = served(request)
        if request.number in (1, 3):
            good.length, good.body, good.end = len(good.body), good.body[:20000], "reset"
        return good
    one, other, never = server.add(silent), server.add(reset), server.add(lambda r: None)
    replies = yield [read(one, (0, 1000)), read(other, (0, 100000)), about(never, tries=3)]
    told = got(replies[0], BYTES[:1000], replies[0].good().facts["requests"])
    check(told["requests"] in (3, 4), "%d requests", told["requests"])     # libcurl itself tries a second time once
    got(replies[1], BYTES[:100000], len(server.seen(other)))
    check([r.get("Range") for r in server.seen(other)][-1] != "bytes=0-99999", "from the beginning again")
    fails(replies[2], "ERR_IO", "Server returned nothing")
    check("[3 requests" in replies[2].text, "%s", replies[2].text)
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))           # nobody listens
    fails((yield about("http://127.0.0.1:%d/x" % closed.getsockname()[1], tries=3)), "ERR_IO", "Connection refused")


def compressed(server):
    for encoding in ("gzip", "br", "deflate, gzip"):
        url = server.add(lambda r, e=encoding: served(r, Content_Encoding=e if r.number else "identity"))
        replies = yield [about(url), read(url, (0, 100)), about(url, by="get")]
        replies[0].good()
        for reply in replies[1:]:
            fails(reply, "ERR_UNSUPPORTED", "the server sends the object compressed, although asked not to")


def refusals(server):
    """Where there is nothing, and what needs other credentials; none is tried twice."""
    for status, name, text in ((404, "ERR_NOT_FOUND", "no such object"), (410, "ERR_NOT_FOUND", "no such object"),
                               (401, "ERR_PERMISSION", "credentials"), (403, "ERR_PERMISSION", "refuses access"),
                               (400, "ERR_IO", "refuses the request"), (204, "ERR_IO", "refuses the request"),
                               (300, "ERR_IO", "refuses the request"), (505, "ERR_IO", "the server failed")):
        def refuse(request, status=status):
            page = b"" if request.method == "HEAD" or status == 204 else b"x" * 100
            return Answer(status, page, length="" if status == 204 else None)
        url = server.add(refuse)
        later = server.add(lambda r, refuse=refuse: refuse(r) if r.number == 2 else served(r))
        replies = yield [about(url), about(url, by="get"), read(later, (0, 10), (10, 10))]
        for reply in replies:
            fails(reply, name, text)
            check("code %d" % status in reply.text, "%s", reply.text)
        check(len(server.seen(url)) == 2 and len(server.seen(later)) == 3, "%d requests", len(server.seen(url)))


def ends(server):
    """416: the end, unless the server says that there is more."""
    def answer(request, text):
        return served(request) if request.method == "HEAD" else Answer(416, b"beyond", **({"Content_Range": text} if text else {}))
    for text in (None, "bytes */200000"):
        got((yield read(server.add(lambda r, t=text: answer(r, t)), (100, 10))), b"", 2)
    fails((yield read(server.add(lambda r: answer(r, "bytes */100")), (100, 10))), "ERR_CHANGED", "another length")
    url = server.add(lambda r: answer(r, "bytes */100"))
    fails((yield about(url, by="get")), "ERR_IO", "refuses a range that lies in the object")
    got((yield read(server.add(lambda r: answer(r, None)), (0, 1), by="get")), b"", 1, length=0)


def redirected(server):
    """Followed, a limited number of times; permanent ones are remembered."""
    def to(url, status):
        return server.add(lambda r: Answer(status, b"" if r.method == "HEAD" else b"moved", Location=url))
    target = server.add(served)
    for status in (301, 302, 303, 307, 308):
        first = to(to("/" + target.split("/", 3)[3], status), status)
        got((yield read(first, (0, 10), (10, 10), redirects=2)), BYTES[:20], 5 if status in (301, 308) else 9, tag='"v1"')
        check(len(server.seen(first)) == (1 if status in (301, 308) else 3), "%d: asked %d times", status, len(server.seen(first)))
        fails((yield about(first, redirects=1)), "ERR_IO", "the server redirects too often")
        fails((yield about(first, none=1)), "ERR_IO", "the server redirects too often")
    wordy = server.add(lambda r: Answer(302, b"moved" * 20000, Location=target))
    got((yield read(wordy, (0, 10), by="get", first=5)), BYTES[:10], 4)
    mixed = to(to(target, 302), 301)
    got((yield read(mixed, (0, 10))), BYTES[:10], 6)
    path = {}
    loop = server.add(lambda r: Answer(302, Location=path["loop"]))
    path["loop"] = loop
    fails((yield about(loop)), "ERR_IO", "the server redirects too often")
    check(len(server.seen(loop)) == 6, "%d requests", len(server.seen(loop)))
    other = "the server redirects to what is not followed"
    for location, text in (("ftp://127.0.0.1/x", other), ("file:///etc/passwd", other), ("http://", other),
                           (target.replace("http://", "http://me:secret@"), other), (None, "redirects, but not to where")):
        url = server.add(lambda r, l=location: Answer(302, **({"Location": l} if l else {})))
        reply = yield about(url)
        fails(reply, "ERR_IO", text)
        check("secret" not in reply.text, "%s", reply.text)


def credentials(server, stranger):
    """They go to the server of the URL, not where it redirects to, and come from nowhere else (the environment of this test has
    some in .netrc and for a proxy)."""
    keys = {"user": "me:se:cret", "header": "X-Key: k"}
    basic = "Basic " + base64.b64encode(b"me:se:cret").decode()
    away = stranger.add(served)
    named = server.add(served)
    home = server.add(served)
    back = stranger.add(lambda r: Answer(302, Location=home))

    def to(url):
        return server.add(lambda r: Answer(302, Location=url))
    jobs = [(read(home, (0, 10), **keys), home, basic, "k"), (read(to(home), (0, 10), **keys), home, basic, "k"),
            (read(to(away), (0, 10), **keys), away, "", ""), (read(to(away), (0, 10), bearer="token"), away, "", ""),
            (read(to(named.replace("127.0.0.1", "localhost")), (0, 10), **keys), named, "", ""),
            (read(to(back), (0, 10), **keys), home, basic, "k"), (read(home, (0, 10), bearer="token"), home, "Bearer token", ""),
            (read(home, (0, 10)), home, "", "")]
    for job, url, authorization, key in jobs:
        before = len((stranger if url == away else server).seen(url))
        reply = yield job
        check(reply.good().out == BYTES[:10], "other bytes")
        seen = (stranger if url == away else server).seen(url)[before:]
        check(len(seen) == 2, "%d requests", len(seen))
        for request in seen:
            check((request.get("Authorization"), request.get("X-Key")) == (authorization, key), "%s: %s", job.describe(),
                  request.headers)
    check(all(not r.get("Authorization") and not r.get("X-Key") for r in stranger.seen(back)), "credentials went away")


def huge_headers(server):
    def lines(request):
        good = served(request)
        good.headers.update({"X-%d" % i: "x" * 1000 for i in range(number)})
        return good

    def line(request):
        return served(request, X_Long="x" * size)
    for number in (50, 100):
        url = server.add(lines)
        reply = yield read(url, (0, 10))
        if number == 50:
            got(reply, BYTES[:10], 2)
        else:
            fails(reply, "ERR_IO", "the server's header lines are too long")
    for size in (60000, 90000, 500000):
        reply = yield read(server.add(line), (0, 10))
        if size == 60000:
            got(reply, BYTES[:10], 2)
        else:
            fails(reply, "ERR_IO", "too long")
    odd = server.add(lambda r: served(r, etag='"\u00e4\u00ff"', modified="no date at all"))
    got((yield read(odd, (0, 10))), BYTES[:10], 2)


def trailers(server):
    """Headers behind the body change nothing."""
    def answer(request):
        good = served(request)
        good.body = b"%x\r\n%s\r\n0\r\nETag: \"v2\"\r\nContent-Range: bytes 1-2/3\r\n\r\n" % (len(good.body), good.body)
        good.length = ""
        good.headers["Transfer-Encoding"] = "chunked"
        return good
    url = server.add(answer)
    got((yield read(url, (0, 20), (50, 10), by="get", first=10)), BYTES[:20] + BYTES[50:60], 3, tag='"v1"')
    check(server.seen(url)[-1].get("If-Range") == '"v1"', "%s", server.seen(url)[-1].headers)


def slow(server):
    """Fewer bytes than there have to be end a request, and a wish to stop does, in a transfer and in a wait."""
    def hang(request):
        time.sleep(4)
        return None
    drips, busy = server.add(lambda r: Answer(200, pause=0.05, X="x" * 2000)), server.add(lambda r: Answer(503))
    hangs = server.add(hang)
    replies = yield [about(drips, stall=1, speed=1000, tries=1), about(hangs, stall=1, tries=2),
                     about(busy, delay=20000, cancel=300), about(hangs, cancel=300)]
    fails(replies[0], "ERR_IO", "Timeout was reached")
    fails(replies[1], "ERR_IO", "Timeout was reached")
    check("[2 requests" in replies[1].text, "%s", replies[1].text)
    for reply in replies[2:]:
        fails(reply, "ERR_CANCELLED", "cancelled")
        check(float(reply.text.rsplit(" s,", 1)[0].rsplit(" ", 1)[1]) < 2, "%s", reply.text)


def bodies_dropped(server):
    """The page that comes with an error: a short one is read, for the connection's sake, a long one is not."""
    for size, connections in ((KEEP, 1), (50 << 20, 2)):
        url = server.add(lambda r, s=size: Answer(500, b"x" * s) if r.number == 1 else served(r))
        told = got((yield read(url, (0, 10))), BYTES[:10], 3)
        seen = len({r.connection for r in server.seen(url)})
        check(seen == connections and told["bytes"] <= 1 << 20, "%d connections, %d bytes", seen, told["bytes"])


def urls(server):
    """What is no URL of ours, and keys below one."""
    for url, text in (("ftp://127.0.0.1/x", "does not begin with http"), ("no URL", "it is no URL"), ("", "it is no URL"),
                      ("http://me:secret@127.0.0.1/x", "user and password go into the options"),
                      ("file:///etc/passwd", "does not begin with http")):
        reply = yield about(url)
        reply.refused("ERR_ARGUMENT")
        check(text in reply.text and "secret" not in reply.text, "%s", reply.text)
    url = server.add(served)
    for base, key, target in ((url, "zarr.json", "/zarr.json"), (url + "/", "c/0/1", "/c/0/1"),
                              (url, "a b%\u00e4?#[]", "/a%20b%25%C3%A4%3F%23%5B%5D"),
                              (url + "?token=1/2", "c/0", "/c/0?token=1/2")):
        got((yield read(base, (0, 10), key=key)), BYTES[:10], 2)
        check(server.seen(url)[-1].target == "/" + url.split("/", 3)[3] + target, "%s", server.seen(url)[-1].target)
    gone = server.add(lambda r: Answer(404))
    reply = yield about(gone + "?signature=secret")
    fails(reply, "ERR_NOT_FOUND", "no such object")
    check("secret" not in reply.text, "the message tells the query: %s", reply.text)


ODD = [good_server, first_bytes, length_given, unasked, no_length, short_bodies, long_bodies, wrong_ranges, no_ranges,
       whole_is_broken, changes, tags, busy, busy_for_ever, delays, broken_connections, compressed, refusals, ends, redirected,
       huge_headers, trailers, slow, bodies_dropped, urls]


# ---- nginx ---------------------------------------------------------------------------------------------------

CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events { worker_connections 256; }
http {
    log_format ours '$request_method|$request_uri|$status|$http_range|$http_if_range|$http_accept_encoding|$connection';
    access_log access.log ours;
    types { application/json json; }
    default_type application/octet-stream;
    gzip on;
    gzip_min_length 1;
    gzip_types *;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    server {
        listen 127.0.0.1:%(port)d;
        %(tls)s
        root files;
        location /whole/ { alias files/; max_ranges 0; }
        location /dated/ { alias files/; etag off; }
        location /bare/ { alias files/; etag off; add_header Last-Modified ""; }
        location /basic/ { alias files/; auth_basic "ours"; auth_basic_user_file users; }
        location /bearer/ { alias files/; if ($http_authorization != "Bearer token") { return 401; } }
        location /moved/ { rewrite ^/moved/(.*)$ /$1 permanent; }
        location /found/ { rewrite ^/found/(.*)$ /$1 redirect; }
        location /loop/ { rewrite ^ /loop/ redirect; }
        location /down/ { return 302 http://127.0.0.1:%(port)d/large.bin; }
    }
}
"""
TLS = """listen 127.0.0.1:%d ssl%s;
        ssl_certificate certificate.pem;
        ssl_certificate_key key.pem;"""


def program(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def make_certificate(folder):
    """One for 127.0.0.1 that signs itself; False: no openssl here."""
    if program("openssl") is None:
        return False
    made = subprocess.run([program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=test",
                           "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", os.path.join(folder, "key.pem"),
                           "-out", os.path.join(folder, "certificate.pem")], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return made.returncode == 0


class Nginx:
    """nginx with files of ours, from `begin` to `end`."""

    FILES = {"large.bin": BYTES, "small.json": b"{\"text\": \"%s\"}" % (b"small " * 100), "empty.bin": b"",
             "deep/a b%\u00e4.bin": BYTES[:777]}

    def __init__(self):
        self.folder = os.path.join(FOLDER, "nginx")
        os.makedirs(os.path.join(self.folder, "files", "deep"))
        os.makedirs(os.path.join(self.folder, "tmp"))
        for name, data in self.FILES.items():
            self.put(name, data)
        with open(os.path.join(self.folder, "users"), "w") as file:
            file.write("me:{PLAIN}secret\n")
        self.secure = make_certificate(self.folder)
        self.process = None

    def put(self, name, data):
        with open(os.path.join(self.folder, "files", name), "wb") as file:
            file.write(data)

    def begin(self):
        """A port may be taken by somebody else in the moment before nginx takes it."""
        for _ in range(3):
            self.port, self.tls_port = free_ports(2)
            with open(os.path.join(self.folder, "nginx.conf"), "w") as file:
                file.write(CONFIGURATION % {"port": self.port, "tls": TLS % (self.tls_port, self.http2()) if self.secure else ""})
            with open(os.path.join(self.folder, "output.txt"), "w") as output:
                self.process = subprocess.Popen([program("nginx"), "-p", self.folder, "-c", "nginx.conf"], stdin=subprocess.DEVNULL,
                                                stdout=output, stderr=output)
            if self.answers():
                return
            self.end()
        with open(os.path.join(self.folder, "output.txt")) as file:
            raise common.Failure("nginx does not start: %s" % file.read()[-1000:])

    @staticmethod
    def http2():
        told = subprocess.run([program("nginx"), "-V"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return " http2" if b"http_v2" in told.stdout else ""

    def answers(self):
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self.process.poll() is None
            except OSError:
                if self.process.poll() is not None:
                    return False
                time.sleep(0.05)
        return False

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def url(self, path):
        return "http://127.0.0.1:%d/%s" % (self.port, path)

    def secure_url(self, path):
        return "https://127.0.0.1:%d/%s" % (self.tls_port, path)

    def log(self, word, count):
        """The requests of URLs that end with `word`; nginx notes them shortly after they are done."""
        for _ in range(100):
            with open(os.path.join(self.folder, "access.log")) as file:
                lines = [line.rstrip("\n").split("|") for line in file if line.split("|")[1].endswith(word)]
            if len(lines) >= count:
                break
            time.sleep(0.02)
        check(len(lines) == count, "nginx saw %d requests, %d wanted: %s", len(lines), count, lines)
        return lines


def nginx_read(nginx, word):
    """Ranges, uncompressed, on condition, on one connection."""
    reply = yield read(nginx.url("large.bin?" + word), (0, 65536), (100000, 5000), (199990, 100))
    told = got(reply, BYTES[:65536] + BYTES[100000:105000] + BYTES[199990:], 4, length=200000)
    lines = nginx.log(word, 4)
    check([line[2] for line in lines] == ["200", "206", "206", "206"], "%s", lines)
    check({line[5] for line in lines} == {"identity"} and len({line[6] for line in lines}) == 1, "%s", lines)
    check(told["tag"].startswith('"') and all(line[4].replace("\\x22", '"') == told["tag"] for line in lines[1:]), "%s", lines)


def nginx_small(nginx, word):
    small = nginx.FILES["small.json"]
    url, empty, large = [nginx.url(name + "?" + word) for name in ("small.json", "empty.bin", "large.bin")]
    replies = yield [read(url, (0, 10000), by="get"), read(empty, (0, 10), by="get"), read(empty, (0, 10)),
                     read(large, (FIRST - 10, 20), by="get")]
    got(replies[0], small, 1, length=len(small))
    got(replies[1], b"", 1, length=0)
    got(replies[2], b"", 1, length=0)
    got(replies[3], BYTES[FIRST - 10:FIRST + 10], 2, times=2)
    nginx.log(word, 5)


def nginx_keys(nginx, word):
    reply = yield read(nginx.url("deep?" + word), (700, 1000), key="a b%\u00e4.bin")
    got(reply, BYTES[700:777], 2)
    replies = yield [about(nginx.url("?" + word), key="missing/zarr.json"), about(nginx.url("?" + word), key="missing", by="get"),
                     about(nginx.url("deep/?" + word))]
    fails(replies[0], "ERR_NOT_FOUND", "no such object")
    fails(replies[1], "ERR_NOT_FOUND", "no such object")
    fails(replies[2], "ERR_PERMISSION", "refuses access")
    nginx.log(word, 5)


def nginx_whole(nginx, word):
    url = nginx.url("whole/large.bin?" + word)
    replies = yield [read(url, (1000, 10)), read(url, (1000, 10), (150000, 10), whole=1), read(url, (0, 200000))]
    fails(replies[0], "ERR_UNSUPPORTED", "whole objects only")
    got(replies[1], BYTES[1000:1010] + BYTES[150000:150010], 3)
    got(replies[2], BYTES, 2)
    nginx.log(word, 7)


def nginx_tags(nginx, word):
    for place, has in (("dated", True), ("bare", False)):
        reply = yield read(nginx.url("%s/large.bin?%s" % (place, word)), (5, 10))
        tag = got(reply, BYTES[5:15], 2)["tag"]
        check(tag.endswith(" GMT") if has else tag == "", "tag: %s", tag)
        condition = nginx.log(place + "/large.bin?" + word, 2)[1][4]
        check(condition == (tag if has else "-"), "If-Range: %s", condition)


def nginx_credentials(nginx, word):
    basic, bearer = nginx.url("basic/large.bin?" + word), nginx.url("bearer/large.bin?" + word)
    replies = yield [read(basic, (5, 10), user="me:secret"), about(basic, user="me:wrong"), about(basic),
                     read(bearer, (5, 10), bearer="token"), about(bearer, bearer="other"),
                     read(bearer, (5, 10), header="Authorization: Bearer token")]
    for number in (0, 3, 5):
        got(replies[number], BYTES[5:15], 2)
    for number in (1, 2, 4):
        fails(replies[number], "ERR_PERMISSION", "credentials")
    nginx.log(word, 9)


def nginx_redirects(nginx, word):
    for place, count in (("moved", 5), ("found", 8)):
        reply = yield read(nginx.url("%s/large.bin?%s%s" % (place, place, word)), (5, 10), (9, 10), (0, 5))
        got(reply, BYTES[5:15] + BYTES[9:19] + BYTES[:5], count)
        nginx.log(place + word, count)
    fails((yield about(nginx.url("loop/?loop" + word))), "ERR_IO", "redirects too often")


def nginx_changes(nginx, word):
    """The file is another one each time it is asked for: what is read is always of the one that was told of."""
    name = "changes-%s.bin" % word
    nginx.put(name, BYTES)
    first = (yield about(nginx.url(name))).good().facts["tag"]
    os.utime(os.path.join(nginx.folder, "files", name), (1, 1))
    second = (yield about(nginx.url(name))).good().facts["tag"]
    check(first != second, "the same tag: %s", first)


def nginx_secure(nginx, word):
    ca = os.path.join(nginx.folder, "certificate.pem")
    replies = yield [read(nginx.secure_url("large.bin?" + word), (5, 10), (90000, 50000), ca=ca), about(nginx.secure_url("large.bin?" + word)),
                     about(nginx.secure_url("down/?" + word), ca=ca)]
    got(replies[0], BYTES[5:15] + BYTES[90000:140000], 3)
    fails(replies[1], "ERR_IO", "SSL")
    check("[1 requests" in replies[1].text, "%s", replies[1].text)
    fails(replies[2], "ERR_IO", "the server redirects from https to http")


# ---- through mirrors -----------------------------------------------------------------------------------------

CHUNK = 65536
NODE, SHAPE = "deep/array", (100, 8000)
ELEMENTS = content(800000, 3)


def region(start, count):
    rows = [y * SHAPE[1] + start[1] for y in range(start[0], start[0] + count[0])]
    return b"".join(ELEMENTS[at:at + count[1]] for at in rows)


def local(name):
    path = os.path.join(FOLDER, "mirrors", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def mirror(url, path, *ranges, **keys):
    return read(url, *ranges, command="mirror", local=path, **dict({"ahead": NO_LIMIT}, **keys))


NO_LIMIT = 0xFFFFFFFFFFFFFFFF       # of read-ahead: none


def put_array(nginx):
    """One and the same array, in an archive and as files."""
    path = os.path.join(nginx.folder, "files", "array.zip")
    replies = common.drive(ARCHIVE_DRIVER, [
        Job("begin", path, create=1), Job("group", "", attributes="{}"),
        Job("array", NODE, dtype="uint8", shape="100,8000", chunk="10,1000", shard="50,4000", attributes="{}", data=ELEMENTS),
        Job("finish", "")])
    for reply in replies:
        reply.good()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(os.path.join(nginx.folder, "files", "array.zarr"))


def mirrored(nginx, word):
    """Each chunk is fetched once, in this run or another."""
    url, path = nginx.url("large.bin?" + word), local(word)
    replies = yield [mirror(url, path, (70000, 10), (CHUNK, 20), (70005, 100)), mirror(url, path, (70000, 10), later=1),
                     mirror(url, path, (0, 300000)), mirror(url, path, (0, 300000), later=1), mirror(url, path + "2", fill=1)]
    got(replies[0], BYTES[70000:70010] + BYTES[CHUNK:CHUNK + 20] + BYTES[70005:70105], 2, covered=CHUNK, fetched=CHUNK, opening=1)
    got(replies[1], BYTES[70000:70010], 0, covered=CHUNK)
    got(replies[2], BYTES, 3, covered=200000, fetched=200000 - CHUNK, mirrored=3)
    got(replies[3], BYTES, 0, covered=200000)
    got(replies[4], b"", 2, covered=200000)
    ranges = [line[3] for line in nginx.log(word, 7) if line[3] != "-"]
    check(ranges == ["bytes=65536-131071", "bytes=0-65535", "bytes=131072-199999", "bytes=0-199999"], "%s", ranges)


def mirror_of_small(nginx, word):
    """The first bytes come with the length: one request."""
    small = nginx.FILES["small.json"]
    replies = yield [mirror(nginx.url("small.json?" + word), local(word), (0, 1000), by="get"),
                     mirror(nginx.url("empty.bin?" + word), local(word + "-empty"), (0, 1000), by="get", fill=1)]
    got(replies[0], small, 1, covered=len(small))
    got(replies[1], b"", 1, covered=0)


def mirror_of_changed(nginx, word):
    """What was mirrored is not mixed with what is there now."""
    name, path = "mirrored-%s.bin" % word, local(word)
    url, other = nginx.url(name), content(200000, 4)
    nginx.put(name, BYTES)
    got((yield mirror(url, path, (0, 10))), BYTES[:10], 2)
    nginx.put(name, other)
    os.utime(os.path.join(nginx.folder, "files", name), (1, 1))
    replies = yield [mirror(url, path, (100000, 10)), mirror(url, path, (0, 10), (100000, 10), later=1),
                     mirror(url, path, (0, 10), (100000, 10), over=1)]
    for reply in replies[:2]:
        reply.refused("ERR_CHANGED")
        check("the source has another tag than what was mirrored" in reply.text, "%s", reply.text)
    got(replies[2], other[:10] + other[100000:100010], 3)


def mirror_of_missing(nginx, word):
    path = local(word)
    replies = yield [mirror(nginx.url("missing.bin"), path), mirror(nginx.url("whole/large.bin"), path + "2", (100, 10))]
    fails(replies[0], "ERR_NOT_FOUND", "the server has no such object")
    fails(replies[1], "ERR_UNSUPPORTED", "the server sends whole objects only, no ranges")
    check(not os.path.exists(path), "a file is left")


def array_on_server(nginx, word):
    """A Zarr array on a server, the second time without any request."""
    url, path = nginx.url("array.zarr?" + word), local(word)
    keys = {"local": path, "node": NODE, "later": 1, "by": "get"}
    part = {"start": "5,3500", "count": "20,1000"}
    replies = yield [Job("array", url, out=True, **dict(keys, **part)), Job("array", url, out=True, **dict(keys, **part)),
                     Job("array", url, out=True, **keys), Job("array", url, out=True, **keys)]
    few = replies[0].good().facts
    check(replies[0].out == region((5, 3500), (20, 1000)), "other elements")
    check(few["fetched"] < 600000 and few["requests"] <= 7, "%s", few)
    got(replies[1], region((5, 3500), (20, 1000)), 0)
    more = got(replies[2], ELEMENTS, replies[2].good().facts["requests"])
    check(more["requests"] <= 12, "%s", more)
    got(replies[3], ELEMENTS, 0)
    lines = nginx.log(word, few["requests"] + more["requests"])
    check(len({line[6] for line in lines}) <= 2, "%d connections", len({line[6] for line in lines}))


def missing_shards(nginx, word):
    """What is not there has the fill value, and is not asked for again."""
    files = os.path.join(nginx.folder, "files")
    shutil.copytree(os.path.join(files, "array.zarr"), os.path.join(files, word + ".zarr"))
    os.remove(os.path.join(files, word + ".zarr", *NODE.split("/"), "c", "1", "1"))
    wanted = b"".join(ELEMENTS[y * SHAPE[1]:(y + 1) * SHAPE[1] - (4000 if y >= 50 else 0)] + bytes(4000 if y >= 50 else 0)
                      for y in range(SHAPE[0]))
    job = Job("array", nginx.url(word + ".zarr?" + word), out=True, local=local(word), node=NODE, later=1, by="get")
    replies = yield [job, job]
    got(replies[0], wanted, replies[0].good().facts["requests"])
    got(replies[1], wanted, 0)


def archive_on_server(nginx, word):
    """A ZIP store on a server: two requests open it."""
    url, path = nginx.url("array.zip?" + word), local(word)
    part = {"start": "5,3500", "count": "20,1000"}
    keys = {"out": True, "local": path, "node": NODE}
    replies = yield [Job("zip", url, **dict(keys, **part)), Job("zip", url, **keys), Job("zip", url, later=1, **keys),
                     Job("zip", url, **dict(keys, local=path + "2", by="get"))]
    told = got(replies[0], region((5, 3500), (20, 1000)), replies[0].good().facts["requests"], opening=2)
    check(told["fetched"] < 600000, "%s", told)
    got(replies[1], ELEMENTS, replies[1].good().facts["requests"])
    got(replies[2], ELEMENTS, 0)
    got(replies[3], ELEMENTS, replies[3].good().facts["requests"], opening=2)


def flaky_source(server, word):
    """A mirror of a server that breaks off and has no time is whole in the end."""
    def answer(request):
        good = served(request)
        if request.number % 3 == 1:
            return Answer(503)
        if request.number % 3 == 2 and request.method == "GET":
            good.length, good.body = len(good.body), good.body[:len(good.body) // 2]
        return good
    url = server.add(answer)
    reply = yield mirror(url, local(word), (150000, 100), fill=1)
    reply.good()
    reply = yield mirror(url, local(word), (0, 200000), later=1)
    got(reply, BYTES, 0)


EXAMPLE = os.path.join(common.BUILD, "examples", "mirror")
LARGE = content(12 << 20, 5)


def example(server):
    """examples/mirror: lines in a pipe, one line that changes in a terminal; stopped, it goes on where it was."""
    def answer(request):
        time.sleep(0.01)
        return served(request, LARGE)
    url, path = server.add(answer), local("example")
    process = subprocess.Popen([EXAMPLE, url, path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = process.stdout.readline().decode()
    check(first.startswith("[") and first.endswith(" MiB local\n") and "-" in first and ":" in first, "%s", first)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    check(process.returncode == 130 and b"the next run goes on" in out and not err, "exit code %d: %s", process.returncode,
          out + err)
    before = len(server.seen(url))
    check(2 <= before < 60, "%d requests before it stopped", before)
    again = common.good(common.run(EXAMPLE, url, path)).out.decode().splitlines()
    check(again[-1].endswith(", all of it is local") and all(line.startswith("[") for line in again[:-1]), "%s", again)
    ranges = [r.range(len(LARGE)) for r in server.seen(url) if r.method == "GET"]
    check(sum(last + 1 - first for first, last in ranges) == len(LARGE), "something was fetched twice")
    with open(path, "rb") as file:
        check(file.read() == LARGE, "other bytes")
    shown = in_terminal([EXAMPLE, url, path + "2"], 70)
    lines = shown.split("\r")
    check(len(lines) > 64 and all(len(line.rstrip("\n")) <= 70 for line in lines[:-2]), "%s", [len(line) for line in lines])
    check("#" * 34 + "]      12.0 of 12.0 MiB local" in shown, "%s", lines[-3:])
    refused = common.run(EXAMPLE, server.add(lambda r: Answer(404)), path + "3")
    check(refused.code == 1 and "mirror: look at http://127.0.0.1" in refused.err and not refused.out, "%s", refused.describe())


def in_terminal(command, columns):
    """What a program shows in a terminal that is so wide."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:         # how Linux says that nobody holds the other end any more
            more = b""
        if not more:
            break
        shown += more
    os.close(ours)
    check(process.wait(30) == 0, "exit code %d: %s", process.returncode, shown[-300:])
    return shown.decode()


MIRRORED = [mirrored, mirror_of_small, mirror_of_changed, mirror_of_missing, array_on_server, missing_shards, archive_on_server]


def nginx_tests(counter):
    if program("nginx") is None:
        print("missing: nginx: make deps")
        return
    nginx = Nginx()
    try:
        nginx.begin()
        put_array(nginx)
        cases = [nginx_read, nginx_small, nginx_keys, nginx_whole, nginx_tags, nginx_credentials, nginx_redirects, nginx_changes]
        cases += MIRRORED
        if nginx.secure:
            cases.append(nginx_secure)
        else:
            print("left out: https: no openssl here to make a certificate")
        for driver, word in drivers():
            counter.together([("%snginx: %s" % (word, case.__name__), case(nginx, word[:1] + case.__name__))
                              for case in cases], [driver])
        tool_tests(counter, nginx)
    finally:
        nginx.end()


# ---- the tool ------------------------------------------------------------------------------------------------

class Tool:
    """The tool, plain or sanitized, and URLs of nginx that are told apart by a word."""

    def __init__(self, nginx, program, word):
        self.nginx, self.program, self.word, self.marks = nginx, program, word, 0

    def __call__(self, *arguments):
        return common.tool(*arguments, program=self.program)

    def json(self, *arguments):
        return json.loads(good(self(*arguments, "--json")).out.decode())

    def url(self, path):
        return self.nginx.url("%s?%s" % (path, self.word))

    def local(self, name):
        return local("%s-%s" % (self.word, name))

    def seen(self):
        """What nginx was asked for until now. A request of our own is noted behind the others."""
        self.marks += 1
        mark = "/small.json?mark-%s-%d" % (self.word, self.marks)
        with socket.create_connection(("127.0.0.1", self.nginx.port), 10) as connection:
            connection.sendall(b"GET %s HTTP/1.0\r\n\r\n" % mark.encode())
            while connection.recv(4096):
                pass
        for _ in range(100):
            with open(os.path.join(self.nginx.folder, "access.log")) as file:
                lines = [line.rstrip("\n").split("|") for line in file]
            if any(line[1] == mark for line in lines):
                return [line for line in lines if line[1].endswith("?" + self.word)]
            time.sleep(0.02)
        raise common.Failure("nginx does not note what it is asked")


def tool_exports_array(tool):
    """The same bytes as from the directory; the second time nothing is asked for."""
    keep, url = tool.local("keep"), tool.url("array.zarr")
    command = ["export", "--path", NODE, "--mirror", keep]
    part = good(tool(*command, "--region", "5:25,3500:4500", url, "-"))
    check(part.out == region((5, 3500), (20, 1000)), "other elements")
    few = len(tool.seen())
    check(0 < few <= 7, "%d requests", few)
    check(good(tool(*command, url, "-")).out == ELEMENTS, "other elements")
    more = len(tool.seen())
    check(more > few, "no request for the rest")
    for _ in range(2):
        check(good(tool(*command, url, "-")).out == ELEMENTS, "other elements")
        good(tool("info", "--path", NODE, "--mirror", keep, url))
    check(len(tool.seen()) == more, "asked again: %s", tool.seen()[more:])
    check(good(tool(*command, "--start-over", "--region", "0:1,0:1", url, "-")).out == ELEMENTS[:1], "--start-over")
    check(len(tool.seen()) > more, "--start-over asks for nothing")
    kept = os.path.join(keep, "http+127.0.0.1+%d" % tool.nginx.port)
    names = os.listdir(kept)
    check(len(names) == 1 and names[0].startswith("array.zarr+"), "%s", names)
    result = refused(tool("export", "--path", NODE, os.path.join(kept, names[0]), "-"), 2)
    check("--mirror" in result.err, "%s", result.describe())


def tool_looks_at_array(tool):
    keep, url = tool.local("keep"), tool.url("array.zarr")
    for requests in (1, 0):
        object_ = tool.json("info", "--path", NODE, "--mirror", keep, url)
        check(object_["shape"] == list(SHAPE) and object_["mirror"]["requests"] == requests and "files" not in object_, "%s", object_)
        check((object_["mirror"]["fetched_bytes"] > 0) == (requests > 0), "%s", object_)
    check(os.path.isdir(object_["mirror"]["place"]), "%s", object_)
    text = good(tool("info", "--mirror", keep, url)).out.decode()
    check("does not say what is below" in text and "1 request," in text, "%s", text)
    check([node["kind"] for node in tool.json("ls", "--path", NODE, "--mirror", keep, url)["nodes"]] == ["array"], "ls")
    check(good(tool("attrs", "--path", NODE, "--mirror", keep, url)).code == 0, "attrs")
    check(len(tool.seen()) == 2, "%s", tool.seen())
    check("archive" in refused(tool("verify", "--mirror", keep, url), 2).err, "verify")
    check("does not say" in refused(tool("attrs", url, "x", "--mirror", keep)).err, "attrs of all arrays")
    check("--make" in refused(tool("stats", "--path", NODE, "--mirror", keep, url)).err, "stats")


def tool_walks_consolidated(tool):
    files = os.path.join(tool.nginx.folder, "files")
    path = os.path.join(files, "consolidated-%s.zarr" % tool.word)
    shutil.copytree(os.path.join(files, "array.zarr"), path)
    good(tool("consolidate", "--quiet", path))
    url = tool.url(os.path.basename(path))
    theirs, ours = tool.json("ls", "--mirror", tool.local("keep"), url), tool.json("ls", path)
    check([(n["path"], n["kind"]) for n in theirs["nodes"]] == [(n["path"], n["kind"]) for n in ours["nodes"]], "%s", theirs)
    check(NODE in good(tool("info", "--mirror", tool.local("keep"), url)).out.decode() or
          NODE.split("/")[1] in good(tool("info", "--mirror", tool.local("keep"), url)).out.decode(), "info")
    check(len(tool.seen()) == 1, "%s", tool.seen())


def tool_reads_archive(tool):
    """Two requests open it."""
    keep, url = tool.local("keep"), tool.url("array.zip")
    size = os.path.getsize(os.path.join(tool.nginx.folder, "files", "array.zip"))
    for requests in (3, 0):                    # the third is for the group's zarr.json
        object_ = tool.json("info", "--mirror", keep, url)
        opening = [line[:4:3] for line in tool.seen()[:2]]
        check([line[0] for line in opening] == ["HEAD", "GET"] and opening[1][1].endswith("-%d" % (size - 1)), "%s", opening)
        check(object_["mirror"]["requests"] == requests, "%s", object_)
        check(object_["archive"]["entries"] > 0 and os.path.isfile(object_["mirror"]["place"]), "%s", object_)
    command = ["export", "--path", NODE, "--mirror", keep, url, "-"]
    check(good(tool(*command)).out == ELEMENTS, "other elements")
    good(tool("verify", "--mirror", keep, url))
    before = len(tool.seen())
    check(good(tool(*command)).out == ELEMENTS, "other elements")
    good(tool("verify", "--mirror", keep, url))
    ours = tool.json("ls", os.path.join(tool.nginx.folder, "files", "array.zip"))
    check(tool.json("ls", "--mirror", keep, url) == ours, "ls")
    check(len(tool.seen()) == before, "asked again: %s", tool.seen()[before:])


def tool_sees_changes(tool):
    """An archive that changes while half of it is mirrored is never mixed."""
    files, name = os.path.join(tool.nginx.folder, "files"), "changing-%s.zip" % tool.word
    shutil.copy(os.path.join(files, "array.zip"), os.path.join(files, name))
    keep, url = tool.local("keep"), tool.url(name)
    command = ["export", "--path", NODE, "--mirror", keep]
    check(good(tool(*command, "--region", "0:1,0:10", url, "-")).out == ELEMENTS[:10], "other elements")
    good(tool("attrs", "--path", NODE, "--quiet", os.path.join(files, name), "a=1"))
    result = refused(tool(*command, url, "-"))
    check("source has another" in result.err and name in result.err and "--start-over" in result.err, "%s", result.describe())
    check(good(tool(*command, "--start-over", url, "-")).out == ELEMENTS, "--start-over")
    check("a=1" in good(tool("attrs", "--path", NODE, "--mirror", keep, url)).out.decode(), "attributes")


def tool_mirrors_url(tool):
    url, path = tool.url("large.bin"), tool.local("file")
    check(good(tool("mirror", "read", "--range", "70000:70010", url, path)).out == BYTES[70000:70010], "read")
    check(good(tool("mirror", "read", "--check-later", "--range", "70010:70020", url, path)).out == BYTES[70010:70020], "read")
    check([line[0] for line in tool.seen()] == ["HEAD", "GET"], "%s", tool.seen())
    object_ = tool.json("mirror", "fill", url, path)
    check(object_["requests"] == 3 and object_["fetched_bytes"] == 200000 - CHUNK and object_["covered_bytes"] == 200000, "%s", object_)
    check(len(tool.seen()) == 5 and object_["tag"].startswith('"'), "%s", object_)
    with open(path, "rb") as file:
        check(file.read() == BYTES, "other bytes")
    check("unchanged" in good(tool("mirror", "info", path, url)).out.decode(), "info")
    check("another length" in refused(tool("mirror", "info", path, tool.url("small.json"))).err, "info of another")
    check("--start-over" in refused(tool("mirror", "fill", tool.url("small.json"), path)).err, "fill of another")


def tool_says_why(tool):
    """What the server says of its refusal is said."""
    keep = tool.local("keep")
    for path, text in (("missing.zarr", "no such object"), ("missing.zip", "no such object"), ("basic/array.zarr", "credentials"),
                       ("bearer/array.zip", "credentials"), ("loop/array.zarr", "redirect")):
        result = refused(tool("info", "--mirror", keep, tool.url(path)))
        check(text in result.err and tool.word not in result.err, "%s: %s", path, result.describe())
    check("no ranges" in refused(tool("mirror", "read", "--range", "70000:70010", tool.url("whole/large.bin"), tool.local("x"))).err, "no ranges")
    before = len(tool.seen())
    check("--start-over" in refused(tool("info", "--mirror", keep, tool.url("missing.zarr"))).err, "what was not there")
    check(len(tool.seen()) == before, "asked again")
    check("no such object" in refused(tool("info", "--start-over", "--mirror", keep, tool.url("missing.zarr"))).err, "--start-over")
    check(good(tool("export", "--path", NODE, "--mirror", keep, tool.url("moved/array.zarr"), "-")).out == ELEMENTS, "redirected")


def tool_interrupted(tool):
    """Ctrl-C keeps what was fetched."""
    server = Server()

    def answer(request):
        time.sleep(0.05)
        return served(request, LARGE)
    url, path = server.add(answer), tool.local("interrupted")
    process = subprocess.Popen([tool.program, "mirror", "fill", "--chunk", "1M", "--quiet", url, path], stderr=subprocess.PIPE)
    while len(server.seen(url)) < 2:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=30)[1]
    check(process.returncode in (0, 1) and b"Sanitizer" not in error, "%d %s", process.returncode, error)
    if process.returncode == 1:
        check(b"interrupted" in error and error.count(b"\n") == 1, "%s", error)
    if os.path.exists(path):
        covered = tool.json("mirror", "info", path)["covered_bytes"]
        check(tool.json("mirror", "fill", url, path)["fetched_bytes"] == len(LARGE) - covered, "fetched twice, or not all")
    with open(path, "rb") as file:
        check(file.read() == LARGE, "other bytes")
    server.close()


def tool_tests(counter, nginx):
    cases = (tool_exports_array, tool_looks_at_array, tool_walks_consolidated, tool_reads_archive, tool_sees_changes, tool_mirrors_url,
             tool_says_why, tool_interrupted)
    for program, word in ((TOOL, "plain"), (TOOL_SANITIZED, "sanitized")):
        for case in cases if os.path.exists(program) else ():
            counter.test("%s: %s" % (word, case.__name__), case, Tool(nginx, program, "%s-%s" % (word, case.__name__)))


# ---- all -----------------------------------------------------------------------------------------------------

def drivers():
    both = [(HTTP_DRIVER, ""), (HTTP_DRIVER_SANITIZED, "sanitized: ")]
    return [(driver, word) for driver, word in both if os.path.exists(driver)]


def odd_tests(counter):
    server, stranger = Server(), Server()
    driver, word = drivers()[-1]        # one of the two: most of the time is waiting
    tests = [(word + case.__name__.replace("_", " "), case(server)) for case in ODD]
    tests += [(word + "credentials", credentials(server, stranger)), (word + "flaky source", flaky_source(server, "flaky"))]
    counter.together(tests, [driver])
    counter.test("example mirror", example, server)
    server.close()
    stranger.close()


def tempt():
    """Credentials and a proxy in the environment, of which nothing may be used."""
    home = os.path.join(FOLDER, "home")
    os.makedirs(home)
    with open(os.path.join(home, ".netrc"), "w") as file:
        file.write("machine 127.0.0.1 login me password netrc\nmachine localhost login me password netrc\n")
    os.environ.update({"HOME": home, "http_proxy": "http://me:secret@127.0.0.1:9", "ALL_PROXY": "http://me:secret@127.0.0.1:9"})


def main():
    if not os.path.exists(HTTP_DRIVER):
        print("missing: http: libcurl is not there: make deps")
        print("0 passed, 0 failed")
        return 0
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    tempt()
    counter = common.Counter()
    odd_tests(counter)
    nginx_tests(counter)
    shutil.rmtree(FOLDER)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
