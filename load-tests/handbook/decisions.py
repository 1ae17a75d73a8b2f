"""Decisions out of a data folder, by docs/contracts.md and the schemas alone.

A decision is found by its contract's fingerprint, so that a weir with another contract is refused
instead of misread.
"""

import json
import sqlite3
import struct

# of a stored record: timestamp, key length, payload length, number of headers
FIXED = struct.Struct("<qiIH")
DOUBLE = struct.Struct("<d")
FLOAT = struct.Struct("<f")
PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}


class Damaged(Exception):
    """Bytes that are not what their contract says."""


def read_long(data, at):
    byte = data[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def read_bytes(data, at):
    length, at = read_long(data, at)
    if length < 0 or at + length > len(data):
        raise Damaged(f"a length of {length} with {len(data) - at} bytes left")
    return data[at:at + length], at + length


def read_text(data, at):
    value, at = read_bytes(data, at)
    return str(value, "utf-8"), at


READ = {
    "null": lambda data, at: (None, at),
    "boolean": lambda data, at: (data[at] != 0, at + 1),
    "int": read_long,
    "long": read_long,
    "float": lambda data, at: (FLOAT.unpack_from(data, at)[0], at + 4),
    "double": lambda data, at: (DOUBLE.unpack_from(data, at)[0], at + 8),
    "bytes": read_bytes,
    "string": read_text,
}


def full_name(schema, namespace):
    name = schema["name"]
    return name if "." in name else f'{schema.get("namespace", namespace)}.{name}'


def reader(schema, namespace, named):
    """A function (bytes, place) -> (value, next place) for the schema; `named` collects its named types."""
    if isinstance(schema, list):
        branches = [reader(branch, namespace, named) for branch in schema]

        def read_union(data, at):
            branch, at = read_long(data, at)
            if not 0 <= branch < len(branches):
                raise Damaged(f"branch {branch} of a union of {len(branches)}")
            return branches[branch](data, at)
        return read_union
    if isinstance(schema, str):
        return READ.get(schema) or named[schema if "." in schema else f"{namespace}.{schema}"]
    kind = schema["type"]
    if kind in ("array", "map"):
        return repeated(reader(schema["items" if kind == "array" else "values"], namespace, named), kind == "map")
    if kind == "enum":
        symbols = schema["symbols"]

        def read_enum(data, at):
            number, at = read_long(data, at)
            if not 0 <= number < len(symbols):
                raise Damaged(f"symbol {number} of an enumeration of {len(symbols)}")
            return symbols[number], at
        named[full_name(schema, namespace)] = read_enum
        return read_enum
    if kind == "record":
        fields = fields_of(schema, namespace, named)

        def read_record(data, at):
            value = {}
            for name, read in fields:
                value[name], at = read(data, at)
            return value, at
        named[full_name(schema, namespace)] = read_record
        return read_record
    return reader(kind, namespace, named)


def fields_of(schema, namespace, named):
    namespace = schema.get("namespace", namespace)
    return [(field["name"], reader(field["type"], namespace, named)) for field in schema["fields"]]


def repeated(read, keyed):
    def read_blocks(data, at):
        items = []
        while True:
            count, at = read_long(data, at)
            if count == 0:
                return (dict(items) if keyed else items), at
            if count < 0:
                # a negative count is followed by the block's size in bytes
                count, (_, at) = -count, read_long(data, at)
            if count > len(data):
                raise Damaged(f"a block of {count} in {len(data)} bytes")
            for _ in range(count):
                if keyed:
                    key, at = read_text(data, at)
                item, at = read(data, at)
                items.append((key, item) if keyed else item)
    return read_blocks


def canonical(schema, namespace=""):
    """Avro's parsing canonical form."""
    if isinstance(schema, list):
        return "[" + ",".join(canonical(branch, namespace) for branch in schema) + "]"
    if isinstance(schema, str):
        return json.dumps(schema if schema in PRIMITIVES or "." in schema else f"{namespace}.{schema}")
    kind = schema["type"]
    if kind == "array":
        return f'{{"type":"array","items":{canonical(schema["items"], namespace)}}}'
    if kind == "map":
        return f'{{"type":"map","values":{canonical(schema["values"], namespace)}}}'
    if kind not in ("enum", "record"):
        return canonical(kind, namespace)
    head = f'{{"name":{json.dumps(full_name(schema, namespace))},"type":"{kind}"'
    if kind == "enum":
        return f'{head},"symbols":[{",".join(map(json.dumps, schema["symbols"]))}]}}'
    namespace = schema.get("namespace", namespace)
    fields = (f'{{"name":{json.dumps(field["name"])},"type":{canonical(field["type"], namespace)}}}'
              for field in schema["fields"])
    return f'{head},"fields":[{",".join(fields)}]}}'


def fingerprint(schema):
    """CRC-64-AVRO of the canonical form, as it stands in a frame."""
    empty = 0xC15D213AA4D7A795
    crc = empty
    for byte in canonical(schema).encode():
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (empty & -(crc & 1))
    return crc.to_bytes(8, "little")


class Contract:
    """A record's contract: reads it in parts, from its first field on."""

    def __init__(self, schema):
        self.fields = fields_of(schema, "", {})
        self.names = [name for name, _ in self.fields]
        self.frame = b"\xc3\x01" + fingerprint(schema)

    def begin(self, payload):
        """Where the body begins."""
        if payload[:len(self.frame)] != self.frame:
            raise Damaged(f"a record begins with {payload[:10].hex()}, expected {self.frame.hex()}: "
                          "it is of a weir with another contract")
        return len(self.frame)

    def after(self, name):
        """The field after that one."""
        return self.names[self.names.index(name) + 1]

    def read(self, payload, at, into, first, last):
        """Reads the fields from `first` up to and with `last` into `into`; the next place."""
        try:
            for name, read in self.fields[self.names.index(first):self.names.index(last) + 1]:
                into[name], at = read(payload, at)
        except (IndexError, struct.error, UnicodeDecodeError) as error:
            raise Damaged(f"{name} cannot be read: {error}") from error
        return at


class Folder:
    """A data folder, which weir may be writing meanwhile."""

    def __init__(self, path):
        self.db = sqlite3.connect(f"{(path / 'weir.db').resolve().as_uri()}?mode=ro", uri=True, timeout=10)
        self.topics = {name: (number, partitions)
                       for number, name, partitions in self.db.execute("SELECT id, name, partitions FROM topic")}

    def close(self):
        self.db.close()

    def ranges(self, topic):
        number, partitions = self.topics[topic]
        for partition in range(partitions):
            low = number << 55 | partition << 43
            yield low, low + (1 << 43)

    def count(self, topic):
        """Records of the topic, by where its partitions end."""
        total = 0
        for low, high in self.ranges(topic):
            last = self.db.execute("SELECT id, count FROM batch WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1",
                                   (low, high)).fetchone()
            total += last[0] - low + last[1] if last else 0
        return total

    def counts(self):
        """Records of the topics that tell whether all was taken."""
        return {topic: self.count(topic) for topic in ("transactions", "disputes", "decisions", "dead-letters")}

    def payloads(self, topic):
        """Partition by partition, in the order of the log."""
        for low, high in self.ranges(topic):
            rows = self.db.execute("SELECT count, body FROM batch WHERE id >= ? AND id < ? ORDER BY id", (low, high))
            for count, body in rows:
                yield from records(body, count)


def counted(opened, count):
    """What `count` says of the tables that `opened` gives; 0 before they are there."""
    try:
        tables = opened()
    except sqlite3.Error:
        return 0
    try:
        return count(tables)
    except (sqlite3.Error, KeyError):
        return 0
    finally:
        tables.close()


def records(body, count):
    """The payloads of a stored batch."""
    at = 0
    for number in range(count):
        if at + FIXED.size > len(body):
            raise Damaged(f"a batch of {len(body)} bytes ends in record {number} of {count}")
        _, key_len, payload_len, headers = FIXED.unpack_from(body, at)
        at += FIXED.size + max(key_len, 0)
        yield body[at:at + payload_len]
        at += payload_len
        for _ in range(headers):
            at += 2 + int.from_bytes(body[at:at + 2], "little")
            at += 4 + int.from_bytes(body[at:at + 4], "little")
    if at != len(body):
        raise Damaged(f"a batch of {len(body)} bytes has {count} records in {at}")
