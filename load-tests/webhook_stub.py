#!/usr/bin/env python3
"""A receiver of webhooks that checks signatures and writes down what it got.

It speaks HTTP/1.1 with keep-alive on 127.0.0.1, verifies Standard Webhooks signatures and appends
one JSON line per request to --log before it answers, so that every answer a sender has seen is in
the log even if this process is killed. The judge (weir-judge --webhook-log) reads that log.

    webhook_stub.py --port 0 --secret whsec_c2VjcmV0 --log webhooks.jsonl --fail-rate 0.05

The first line on standard output is the port. A request with a good signature is answered 200, or
500 at random with --fail-rate; one with a bad signature 401. Only the standard library is used.
"""

import argparse
import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import os
import random
import signal
import sys
import time

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 411: "Length Required",
           413: "Content Too Large", 500: "Internal Server Error"}
HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 4 * 1024 * 1024


class Stub:
    """What all connections share: the key, the log and the misbehaviour asked for."""

    def __init__(self, args, log):
        self.key = key_of(args.secret)
        self.tolerance_s = args.tolerance_s
        self.fail_rate = args.fail_rate
        self.slow_s = args.slow_ms / 1000
        self.keep_bodies = args.bodies
        self.random = random.Random(args.seed)
        self.log = log

    def receive(self, headers, body):
        """Judges and logs one request; returns the status to answer."""
        valid = self.is_valid(headers, body)
        if not valid:
            status = 401
        elif self.random.random() < self.fail_rate:
            status = 500
        else:
            status = 200
        line = {
            "id": headers.get("webhook-id", ""),
            "status": status,
            "valid": valid,
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "at": time.time_ns() // 1_000_000,
        }
        if self.keep_bodies:
            line["body"] = body.decode("utf-8", "replace")
        self.log.write(json.dumps(line, separators=(",", ":")) + "\n")
        self.log.flush()
        return status

    def is_valid(self, headers, body):
        """Whether one of the signatures is v1 of "id.timestamp.body" and the time is near."""
        message_id = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        if not message_id or not (timestamp.isascii() and timestamp.isdigit()):
            return False
        if self.tolerance_s and abs(time.time() - int(timestamp)) > self.tolerance_s:
            return False
        signed = f"{message_id}.{timestamp}.".encode("latin-1") + body
        expected = base64.b64encode(hmac.digest(self.key, signed, "sha256"))
        return any(
            hmac.compare_digest(signature[3:].encode("latin-1"), expected)
            for signature in headers.get("webhook-signature", "").split(" ")
            if signature.startswith("v1,")
        )


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are answered in the order they came."""

    def __init__(self, stub):
        self.stub = stub
        self.buffer = bytearray()
        self.head = None
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while not self.transport.is_closing() and self.take_request():
            pass

    def take_request(self):
        """Takes one request out of the buffer; False when it is not all there yet."""
        if self.head is None and not self.take_head():
            return False
        method, headers, length = self.head
        if len(self.buffer) < length:
            return False
        body = bytes(self.buffer[:length])
        del self.buffer[:length]
        self.head = None
        # a probe is no delivery
        status = self.stub.receive(headers, body) if method == "POST" else 200
        self.answer(status, close=headers.get("connection", "").lower() == "close")
        return True

    def take_head(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > HEAD_BYTES_MAX:
                self.answer(400, close=True)
            return False
        request, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        del self.buffer[:end + 4]
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        parts = request.split(" ")
        length = headers.get("content-length", "0")
        if len(parts) != 3 or not (length.isascii() and length.isdigit()):
            return self.refuse(400)
        if "transfer-encoding" in headers:
            return self.refuse(411)
        if int(length) > BODY_BYTES_MAX:
            return self.refuse(413)
        if headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.head = (parts[0], headers, int(length))
        return True

    def refuse(self, status):
        self.buffer.clear()
        self.answer(status, close=True)
        return False

    def answer(self, status, close=False):
        if self.stub.slow_s:
            # equal delays keep their order
            asyncio.get_running_loop().call_later(self.stub.slow_s, self.write, status, close)
        else:
            self.write(status, close)

    def write(self, status, close):
        if self.transport.is_closing():
            return
        tail = b"connection: close\r\n\r\n" if close else b"\r\n"
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-length: 0\r\n".encode()
        self.transport.write(head + tail)
        if close:
            self.transport.close()


def key_of(secret):
    """The bytes behind whsec_<base64>."""
    if not secret.startswith("whsec_"):
        raise SystemExit("webhook_stub: the secret must begin with whsec_")
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SystemExit(f"webhook_stub: the secret is not base64: {error}") from error


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--secret", default=os.environ.get("WEIR_WEBHOOK_SECRET", ""),
                        help="whsec_<base64>; default: the variable WEIR_WEBHOOK_SECRET")
    parser.add_argument("--log", required=True, help="JSON Lines are appended to this file")
    parser.add_argument("--fail-rate", type=float, default=0.0,
                        help="share of good requests answered 500, 0 to 1")
    parser.add_argument("--seed", type=int, default=1, help="of the random failures")
    parser.add_argument("--slow-ms", type=float, default=0, help="wait before each answer")
    parser.add_argument("--tolerance-s", type=int, default=300,
                        help="how far webhook-timestamp may be off; 0: any time will do")
    parser.add_argument("--bodies", action="store_true", help="log the bodies as well")
    return parser.parse_args()


async def serve(args, log):
    loop = asyncio.get_running_loop()
    stub = Stub(args, log)
    server = await loop.create_server(
        lambda: Connection(stub), "127.0.0.1", args.port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    server.close()


def main():
    args = arguments()
    with open(args.log, "a", encoding="utf-8") as log:
        asyncio.run(serve(args, log))
    return 0


if __name__ == "__main__":
    sys.exit(main())
