"""What was found, and YAML that knows its lines."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PYYAML = "6.0.3"
FETCH_S = 120


class Refused(Exception):
    """Why nothing could be checked."""


def pyyaml():
    """The yaml module, fetched once where Python has none."""
    try:
        import yaml
        return yaml
    except ImportError:
        pass
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weir-check-deploy"
    folder = cache / f"pyyaml-{PYYAML}"
    if not folder.is_dir():
        print(f"check-deploy: fetching PyYAML {PYYAML}, once, into {cache} …", file=sys.stderr, flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=cache, prefix="part."))
        fetch = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check",
                 "--target", part, f"PyYAML=={PYYAML}"]
        try:
            done = subprocess.run(fetch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=FETCH_S)
            if done.returncode:
                said = done.stdout.strip()[-1500:]
                raise Refused(f"no PyYAML: install python3-yaml, or let pip reach its index:\n{said}")
            try:
                part.rename(folder)
            except OSError:
                pass  # another run was faster
        except subprocess.TimeoutExpired:
            raise Refused(f"no PyYAML: pip took longer than {FETCH_S} s; install python3-yaml") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
    sys.path.insert(0, str(folder))
    import yaml
    return yaml


class Map(dict):
    """A mapping that knows the line of each of its keys."""
    line, lines = 0, {}

    def at(self, key):
        return self.lines.get(key, self.line)

    def map(self, key):
        """The mapping there, an empty one if there is none."""
        return self[key] if isinstance(self.get(key), Map) else Map()

    def list(self, key):
        """The sequence there, an empty one if there is none."""
        return self[key] if isinstance(self.get(key), list) else List()


class List(list):
    """A sequence that knows the line of each of its items."""
    line, lines = 0, []


def words_of(value):
    """A command as a list of words, whichever way it was written."""
    return [str(word) for word in value] if isinstance(value, list) else shlex.split(str(value or ""))


def texts(value, line):
    """Every text within a value, with its line."""
    if isinstance(value, Map):
        for key in value:
            yield from texts(value[key], value.at(key))
    elif isinstance(value, List):
        for item, item_line in numbered(value):
            yield from texts(item, item_line)
    elif isinstance(value, str):
        yield value, line


def numbered(items):
    """A list's items with their lines; of what is no list, none."""
    return zip(items, items.lines) if isinstance(items, List) else ()


def one_of(names):
    return "one of " + ", ".join(sorted(map(str, names)))


class Report:
    """What was found, and the files it was found in."""

    def __init__(self, root):
        self.root, self.findings, self.read, self.skipped = root, [], 0, []
        self.yaml = pyyaml()

    def add(self, path, line, value, expected):
        finding = f"{path}:{line}: {value}, expected {expected}"
        if finding not in self.findings:
            self.findings.append(finding)

    def text(self, path):
        """A file's text; an absent one is a finding, and empty."""
        try:
            return (self.root / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self.add(path, 1, f"cannot be read ({error.__class__.__name__})", "a text file")
            return ""

    def documents(self, path):
        """The YAML documents of a file that are mappings."""
        self.read += 1
        loader = getattr(self.yaml, "CSafeLoader", self.yaml.SafeLoader)(self.text(path))
        documents = []
        try:
            while loader.check_node():
                node = loader.get_node()
                document = self.convert(loader, node, path)
                if isinstance(document, Map):
                    documents.append(document)
                else:
                    self.add(path, node.start_mark.line + 1, "a document that is no mapping", "keys and values")
        except self.yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", error)
            self.add(path, mark.line + 1 if mark else 1, f"does not parse: {problem}", "YAML")
        finally:
            loader.dispose()
        return documents

    def convert(self, loader, node, path):
        line = node.start_mark.line + 1
        if isinstance(node, self.yaml.MappingNode):
            self.no_key_twice(node, path)
            loader.flatten_mapping(node)
            found = Map()
            found.line, found.lines = line, {}
            for key, value in node.value:
                name = loader.construct_object(key, deep=True)
                found[name] = self.convert(loader, value, path)
                found.lines[name] = key.start_mark.line + 1
            return found
        if isinstance(node, self.yaml.SequenceNode):
            found = List(self.convert(loader, item, path) for item in node.value)
            found.line, found.lines = line, [item.start_mark.line + 1 for item in node.value]
            return found
        return loader.construct_object(node, deep=True)

    def no_key_twice(self, node, path):
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.value != "<<":
                self.add(path, key.start_mark.line + 1, f"key {key.value!r} is there twice", "it once")
            seen.add(key.value)
