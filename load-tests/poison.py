#!/usr/bin/env python3
"""Puts bad records on the topics of a data folder, by the layout of docs/contracts.md alone.

    load-tests/poison.py scatter --data DIR --count 1000 --seed 1 --expect FILE
        among the records that are there, at random places; FILE gets a line "position stage code" each
    load-tests/poison.py run --data DIR --count 600 --schema FILE.avsc
        in a row at the end of one partition of chats: good messages of a producer that is one version
        ahead; its schema goes to FILE.avsc, where weir does not know it yet

weir must not be running on the folder.
"""

import argparse
import random
import sqlite3
import struct
import time

FIXED = struct.Struct("<qiIH")
BATCH_MAX = 500

LATER = {
    "type": "record", "name": "Chat", "namespace": "weir", "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "event_time", "type": "long"},
        {"name": "account_id", "type": "string"},
        {"name": "conversation_id", "type": "string"},
        {"name": "message_id", "type": "string"},
        {"name": "author", "type": {"type": "enum", "name": "Author", "symbols": ["CUSTOMER", "BOT", "AGENT"]}},
        {"name": "text", "type": "string"},
        {"name": "mood", "type": "string"},
    ],
}


def crc64_avro(data):
    empty = 0xC15D213AA4D7A795
    table = []
    for i in range(256):
        value = i
        for _ in range(8):
            value = (value >> 1) ^ (empty & -(value & 1) & 0xFFFFFFFFFFFFFFFF)
        table.append(value)
    crc = empty
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


def canonical(schema, namespace=""):
    """Parsing canonical form of what LATER uses."""
    if isinstance(schema, str):
        return f'"{schema}"'
    namespace = schema.get("namespace", namespace)
    name = f'{namespace}.{schema["name"]}'
    if schema["type"] == "enum":
        symbols = ",".join(f'"{symbol}"' for symbol in schema["symbols"])
        return f'{{"name":"{name}","type":"enum","symbols":[{symbols}]}}'
    fields = ",".join(
        f'{{"name":"{field["name"]}","type":{canonical(field["type"], namespace)}}}' for field in schema["fields"])
    return f'{{"name":"{name}","type":"record","fields":[{fields}]}}'


def long(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value):
    data = value.encode()
    return long(len(data)) + data


def later_chat(number, now):
    body = (text(f"later-{number}") + long(now) + text("later") + text(f"conv-{number // 20}")
            + text(f"later-{number}") + long(0) + text("hello, how are you") + text("calm"))
    fingerprint = crc64_avro(canonical(LATER).encode())
    return b"\xc3\x01" + struct.pack("<Q", fingerprint) + body


def read_body(body):
    """Records of a batch: (timestamp, key or None, payload, headers as they are)."""
    at = 0
    while at < len(body):
        timestamp, key_len, payload_len, headers = FIXED.unpack_from(body, at)
        at += FIXED.size
        key = None
        if key_len >= 0:
            key, at = body[at:at + key_len], at + key_len
        payload, at = body[at:at + payload_len], at + payload_len
        assert headers == 0, "these records have no headers"
        yield timestamp, key, payload


def write_body(records):
    out = bytearray()
    for timestamp, key, payload in records:
        out += FIXED.pack(timestamp, -1 if key is None else len(key), len(payload), 0)
        out += (key or b"") + payload
    return bytes(out)


def topics(db):
    return {name: (number, partitions) for number, name, partitions in db.execute("SELECT id, name, partitions FROM topic")}


def partition_rows(db, topic, partition):
    low = topic << 55 | partition << 43
    return db.execute("SELECT id, count, body FROM batch WHERE id >= ? AND id < ? ORDER BY id", (low, low + (1 << 43)))


def put(db, topic, partition, offset, records):
    for at in range(0, len(records), BATCH_MAX):
        chunk = records[at:at + BATCH_MAX]
        db.execute("INSERT INTO batch (id, count, body) VALUES (?, ?, ?)",
                   (topic << 55 | partition << 43 | (offset + at), len(chunk), write_body(chunk)))


def spoil(rng, record, others):
    """A bad record made of a good one, with stage and code of the dead letter it must become."""
    timestamp, key, payload = record
    kind = rng.randrange(8)
    if kind == 0:
        return (timestamp, key, payload[:rng.randrange(12, max(13, len(payload) - 1))]), "decode malformed"
    if kind == 1:
        return (timestamp, key, b"\xc3\x01" + rng.randbytes(8) + payload[10:]), "decode unknown_schema"
    if kind == 2:
        return (timestamp, key, others), "decode wrong_schema"
    if kind == 3:
        return (timestamp, None, payload), "validate key_missing"
    if kind == 4:
        return (timestamp, (key or b"") + b"x", payload), "validate key_mismatch"
    if kind == 5:
        return (timestamp, key, payload + b"\x00"), "decode malformed"
    if kind == 6:
        return (timestamp, key, b"{not avro}"), "decode unframed"
    return (timestamp, key, b"\xc3\x01" + bytes(1 << 20)), "decode too_large"


def scatter(db, args):
    rng = random.Random(args.seed)
    known = topics(db)
    parts = []
    for name in ("transactions", "disputes", "chats", "invoices", "labels"):
        topic, partitions = known[name]
        for partition in range(partitions):
            records = [record for _, _, body in partition_rows(db, topic, partition) for record in read_body(body)]
            if records:
                parts.append((name, topic, partition, records))
    total = sum(len(part[3]) for part in parts)
    share = {}
    for _ in range(args.count):
        at = rng.randrange(total)
        for index, part in enumerate(parts):
            if at < len(part[3]):
                share[index] = share.get(index, 0) + 1
                break
            at -= len(part[3])
    with open(args.expect, "w") as expect:
        for index, (name, topic, partition, records) in enumerate(parts):
            foreign = next(part[3][0][2] for part in parts if part[0] != name)
            places = sorted(rng.randrange(len(records)) for _ in range(share.get(index, 0)))
            mixed, done = [], 0
            for place in places:
                mixed += records[done:place]
                done = place
                bad, why = spoil(rng, records[place], foreign)
                expect.write(f"{name}/{partition}@{len(mixed)} {why}\n")
                mixed.append(bad)
            mixed += records[done:]
            low = topic << 55 | partition << 43
            db.execute("DELETE FROM batch WHERE id >= ? AND id < ?", (low, low + (1 << 43)))
            put(db, topic, partition, 0, mixed)
    db.commit()
    print(f"seed {args.seed}: {args.count} bad records among {total}")


def run(db, args):
    import json
    topic, partitions = topics(db)["chats"]
    partition = murmur2(b"default/later") % partitions
    rows = list(partition_rows(db, topic, partition))
    offset = (rows[-1][0] & ((1 << 43) - 1)) + rows[-1][1] if rows else 0
    now = int(time.time() * 1000)
    put(db, topic, partition, offset, [(now, b"default/later", later_chat(i, now)) for i in range(args.count)])
    db.commit()
    with open(args.schema, "w") as out:
        json.dump(LATER, out)
    print(f"{args.count} records of a later producer at chats/{partition}@{offset}")


def murmur2(data):
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    for at in range(0, len(data) - len(data) % 4, 4):
        k = int.from_bytes(data[at:at + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    rest = data[len(data) - len(data) % 4:]
    for i, byte in enumerate(rest):
        h ^= byte << (8 * i)
    if rest:
        h = h * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("scatter")
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--expect", required=True)
    one.add_argument("--count", type=int, default=1000)
    two = commands.add_parser("run")
    two.add_argument("--schema", required=True)
    two.add_argument("--count", type=int, default=600)
    for command in (one, two):
        command.add_argument("--data", required=True)
    args = parser.parse_args()
    db = sqlite3.connect(f"{args.data}/weir.db")
    {"scatter": scatter, "run": run}[args.command](db, args)


if __name__ == "__main__":
    main()
