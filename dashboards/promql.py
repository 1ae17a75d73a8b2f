"""What the expressions of dashboards and rules may say: weir's metrics, read from their one vocabulary,
and the part of PromQL that we use, as a tree that knows which labels come out of it.

    vocabulary = read_vocabulary(Path("src/telemetry/metric.rs"))
    tree = parse("sum by (kind) (rate(weir_decisions_total[5m]))")
    labels_of(tree, vocabulary)        # {"kind"}; None where the result is a number

What is not understood is refused by an error with its place, never passed over. Standard library only.
"""

import re
from dataclasses import dataclass, field

# what Prometheus itself adds to each sample it takes from weir
TARGET_LABELS = frozenset({"job", "instance"})
# of a kind that weir does not tell: Prometheus' own of each target
UP = "up"
METRIC_LINE = re.compile(
    r'^\s*[A-Z][A-Z_]* = "(weir_[a-z0-9_]+)", (Counter|Gauge|Histogram), \[([^\]]*)\], "((?:[^"\\]|\\.)*)";', re.M)
# a line that looks like a metric and is not read would otherwise be missed in silence
METRIC_NAME = re.compile(r'= "(weir_[a-z0-9_]+)"')


class Wrong(Exception):
    """What is wrong, in words for the person who wrote it."""


@dataclass(frozen=True)
class Metric:
    """One name as it stands in an expression, with the labels its series have."""
    name: str
    # Counter (also the parts of a histogram), Gauge or Rule
    shape: str
    labels: frozenset
    # name in the vocabulary
    source: str
    help: str = ""


def read_vocabulary(path):
    """Every name that an expression may use, by name; those of a histogram are its parts.

    Raises Wrong where the file has no metrics in the expected form, or one that cannot be read.
    """
    text = path.read_text()
    metrics = {UP: Metric(UP, "Gauge", TARGET_LABELS, "")}
    for name, shape, labels, text_of in METRIC_LINE.findall(text):
        given = frozenset(re.findall(r'"([^"]+)"', labels)) | TARGET_LABELS
        text_of = re.sub(r"\\(.)", r"\1", text_of)
        if shape != "Histogram":
            metrics[name] = Metric(name, shape, given, name, text_of)
            continue
        metrics[name + "_bucket"] = Metric(name + "_bucket", "Counter", given | {"le"}, name, text_of)
        for part in ("_sum", "_count"):
            metrics[name + part] = Metric(name + part, "Counter", given, name, text_of)
    sources = {metric.source for metric in metrics.values()}
    missed = [name for name in METRIC_NAME.findall(text) if name not in sources]
    if len(sources) < 2 or missed:
        raise Wrong(f'{path}: {len(missed)} metrics cannot be read ({", ".join(missed[:5])}), expected lines '
                    'NAME = "weir_…", Counter|Gauge|Histogram, ["label", …], "help";')
    return metrics


# ---- the tree -------------------------------------------------------------------------------------


@dataclass
class Node:
    # where it stands in the text
    start: int = field(default=0, kw_only=True)
    end: int = field(default=0, kw_only=True)

    def children(self):
        return []


@dataclass
class Number(Node):
    text: str


@dataclass
class String(Node):
    text: str


@dataclass
class Selector(Node):
    name: str
    # (label, operator, value)
    matchers: list
    # the duration in brackets, or None
    window: str = None
    offset: str = None


@dataclass
class Subquery(Node):
    inner: Node
    window: str
    offset: str = None

    def children(self):
        return [self.inner]


@dataclass
class Call(Node):
    name: str
    arguments: list

    def children(self):
        return self.arguments


@dataclass
class Aggregate(Node):
    name: str
    # by, without or None
    mode: str
    labels: list
    arguments: list

    def children(self):
        return self.arguments


@dataclass
class Binary(Node):
    operator: str
    left: Node
    right: Node
    is_bool: bool = False
    # on, ignoring or None, with labels
    matching: str = None
    labels: list = field(default_factory=list)
    # left, right or None: the side that may have several, with the labels taken from the other
    group: str = None
    taken: list = field(default_factory=list)

    def children(self):
        return [self.left, self.right]


AGGREGATES = {"sum", "min", "max", "avg", "count", "group", "stddev", "topk", "bottomk", "quantile", "count_values"}
# with a parameter before the vector
PARAMETERS = {"topk", "bottomk", "quantile", "count_values"}
RATES = {"rate", "irate", "increase", "resets"}
OVER_TIME = {name + "_over_time" for name in
             ("avg", "min", "max", "sum", "count", "last", "present", "quantile", "stddev")}
RANGES = RATES | OVER_TIME | {"changes", "delta", "deriv", "idelta", "predict_linear", "absent_over_time"}
PLAIN = {"abs", "absent", "ceil", "clamp_max", "clamp_min", "floor", "ln", "round", "sort", "sort_desc", "sqrt",
         "timestamp"}
FUNCTIONS = RANGES | PLAIN | {"histogram_quantile", "scalar", "time", "vector"}
COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
SETS = {"and", "or", "unless"}
LEVELS = [{"or"}, {"and", "unless"}, COMPARISONS, {"+", "-"}, {"*", "/", "%"}]
WORDS = AGGREGATES | SETS | {"by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"}

TOKEN = re.compile(r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<duration>\$__(?:rate_interval|interval|range)\b|(?:\d+(?:ms|[smhdwy]))+(?!\w))
  | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\w))
  | (?P<word>[A-Za-z_][\w:]*)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<sign>==|!=|<=|>=|=~|!~|[-+*/%^()\[\]{},=<>:])
""", re.X)


class Parser:
    def __init__(self, text):
        self.text, self.tokens, self.at = text, [], 0
        place = 0
        while place < len(text):
            found = TOKEN.match(text, place)
            if not found:
                raise Wrong(f"{text[place:place + 20]!r} at character {place + 1} is no PromQL that is understood here")
            if found.lastgroup != "space":
                self.tokens.append((found.lastgroup, found.group(), found.start(), found.end()))
            place = found.end()
        self.tokens.append(("end", "", len(text), len(text)))

    def look(self):
        return self.tokens[self.at][1] if self.tokens[self.at][0] != "string" else None

    def kind(self):
        return self.tokens[self.at][0]

    def start(self):
        return self.tokens[self.at][2]

    def last_end(self):
        return self.tokens[self.at - 1][3]

    def take(self, kind=None):
        token = self.tokens[self.at]
        if kind and token[0] != kind:
            raise Wrong(f"{token[1] or 'the end'!r} at character {token[2] + 1}, expected a {kind}")
        self.at += 1
        return token[1]

    def expect(self, sign):
        if self.look() != sign:
            raise Wrong(f"{self.tokens[self.at][1] or 'the end'!r} at character {self.start() + 1}, expected {sign!r}")
        self.at += 1

    def whole(self):
        tree = self.binary(0)
        if self.kind() != "end":
            raise Wrong(f"{self.tokens[self.at][1]!r} at character {self.start() + 1}, expected the end")
        return tree

    def binary(self, level):
        if level == len(LEVELS):
            return self.unary()
        start = self.start()
        left = self.binary(level + 1)
        while self.look() in LEVELS[level] and self.kind() in ("sign", "word"):
            node = Binary(self.take(), left, None, start=start)
            if self.look() == "bool":
                node.is_bool = bool(self.take())
            if self.look() in ("on", "ignoring"):
                node.matching, node.labels = self.take(), self.names()
                if self.look() in ("group_left", "group_right"):
                    node.group = self.take().removeprefix("group_")
                    node.taken = self.names() if self.look() == "(" else []
            node.right = self.binary(level + 1)
            node.end = self.last_end()
            left = node
        return left

    def unary(self):
        start = self.start()
        if self.look() in ("-", "+"):
            sign = self.take()
            inner = self.unary()
            return Binary(sign, Number("0", start=start, end=start), inner, start=start, end=self.last_end())
        node = self.postfix()
        if self.look() == "^":
            self.take()
            return Binary("^", node, self.unary(), start=start, end=self.last_end())
        return node

    def postfix(self):
        start = self.start()
        node = self.primary()
        if self.look() == "[":
            self.take()
            window = self.take("duration")
            if self.look() == ":":
                self.take()
                if self.kind() == "duration":
                    self.take()
                node = Subquery(node, window, start=start)
            elif isinstance(node, Selector):
                node.window = window
            else:
                raise Wrong(f"a range at character {start + 1} of what is no selector, expected [{window}:]")
            self.expect("]")
        if self.look() == "offset":
            self.take()
            if not isinstance(node, (Selector, Subquery)):
                raise Wrong(f"an offset at character {start + 1} of what is no selector")
            node.offset = self.take("duration")
        node.start, node.end = start, self.last_end()
        return node

    def primary(self):
        if self.look() == "(":
            self.take()
            node = self.binary(0)
            self.expect(")")
            return node
        kind = self.kind()
        if kind == "number":
            return Number(self.take())
        if kind == "string":
            return String(self.take()[1:-1])
        word = self.take("word")
        if word in AGGREGATES:
            return self.aggregate(word)
        if self.look() == "(":
            if word not in FUNCTIONS:
                raise Wrong(f"function {word} is not known here, expected one of {', '.join(sorted(FUNCTIONS))}")
            return Call(word, self.arguments())
        if word in WORDS:
            raise Wrong(f"{word!r} at character {self.tokens[self.at - 1][2] + 1}, expected a metric")
        return Selector(word, self.matchers())

    def aggregate(self, word):
        mode, labels = None, []
        if self.look() in ("by", "without"):
            mode, labels = self.take(), self.names()
        arguments = self.arguments()
        if mode is None and self.look() in ("by", "without"):
            mode, labels = self.take(), self.names()
        return Aggregate(word, mode, labels, arguments)

    def arguments(self):
        self.expect("(")
        found = []
        while self.look() != ")":
            found.append(self.binary(0))
            if self.look() != ",":
                break
            self.take()
        self.expect(")")
        return found

    def names(self):
        self.expect("(")
        found = []
        while self.look() != ")":
            found.append(self.take("word"))
            if self.look() != ",":
                break
            self.take()
        self.expect(")")
        return found

    def matchers(self):
        found = []
        if self.look() != "{":
            return found
        self.take()
        while self.look() != "}":
            label = self.take("word")
            operator = self.take("sign")
            if operator not in ("=", "!=", "=~", "!~"):
                raise Wrong(f"{operator!r} after the label {label}, expected = != =~ or !~")
            found.append((label, operator, self.take("string")[1:-1]))
            if self.look() != ",":
                break
            self.take()
        self.expect("}")
        return found


def parse(text):
    """The tree of an expression. Raises Wrong where it is not understood."""
    return Parser(text).whole()


def walk(node, above=()):
    """Each node with those above it, the nearest last."""
    yield node, above
    for child in node.children():
        yield from walk(child, (*above, node))


def selectors(tree):
    return [node for node, _ in walk(tree) if isinstance(node, Selector)]


def text_of(node, text):
    return " ".join(text[node.start:node.end].split())


def leaves(node):
    """The operands of conditions: what must have data for a condition to mean anything."""
    if isinstance(node, Number) or (isinstance(node, Call) and node.name == "time"):
        return []
    if isinstance(node, Binary) and (node.operator in SETS or (node.operator in COMPARISONS and not node.is_bool)):
        return leaves(node.left) + leaves(node.right)
    return [node]


# ---- labels ---------------------------------------------------------------------------------------


def labels_of(node, metrics):
    """The labels of the series that come out, None for a number. Raises Wrong with the fault."""
    if isinstance(node, (Number, String)):
        return None
    if isinstance(node, Selector):
        return labels_of_selector(node, metrics)
    if isinstance(node, Subquery):
        return labels_of(node.inner, metrics)
    if isinstance(node, Call):
        return labels_of_call(node, metrics)
    if isinstance(node, Aggregate):
        return labels_of_aggregate(node, metrics)
    return labels_of_binary(node, metrics)


def unknown(asked, known, what):
    missing = sorted(set(asked) - known)
    if missing:
        raise Wrong(f"{what} {', '.join(missing)}, expected {', '.join(sorted(known)) or 'none'}")


def labels_of_selector(node, metrics):
    metric = metrics.get(node.name)
    if metric is None:
        raise Wrong(f"there is no metric {node.name}, expected one of the vocabulary or a recording rule")
    unknown([label for label, _, _ in node.matchers], metric.labels, f"{node.name} has no label")
    return metric.labels


def is_range(node):
    return isinstance(node, Subquery) or getattr(node, "window", None) is not None


def refuse_ranges(nodes, what):
    for node in nodes:
        if is_range(node):
            raise Wrong(f"{what} of a range, expected rate() or another function of ranges around it")


def labels_of_call(node, metrics):
    if node.name == "time":
        return None
    inner = [labels_of(argument, metrics) for argument in node.arguments]
    vectors = [labels for labels in inner if labels is not None]
    if node.name in ("scalar", "vector"):
        return None if node.name == "scalar" else frozenset()
    if len(vectors) != 1:
        raise Wrong(f"{node.name}() has {len(vectors)} vectors, expected one")
    if node.name in RANGES:
        if not any(map(is_range, node.arguments)):
            raise Wrong(f"{node.name}() of what is no range, expected {node.name}(…[5m])")
    else:
        refuse_ranges(node.arguments, f"{node.name}()")
    if node.name in ("absent", "absent_over_time"):
        matchers = getattr(node.arguments[0], "matchers", [])
        return frozenset(label for label, operator, _ in matchers if operator == "=")
    if node.name == "histogram_quantile":
        if "le" not in vectors[0]:
            raise Wrong("histogram_quantile() of series without le: keep le in the by (…) inside it")
        return vectors[0] - {"le"}
    return vectors[0]


def labels_of_aggregate(node, metrics):
    if len(node.arguments) != (2 if node.name in PARAMETERS else 1):
        raise Wrong(f"{node.name} has {len(node.arguments)} arguments, expected {2 if node.name in PARAMETERS else 1}")
    refuse_ranges(node.arguments, node.name)
    inner = labels_of(node.arguments[-1], metrics)
    if inner is None:
        raise Wrong(f"{node.name} of a number, expected series")
    unknown(node.labels, inner, f"{node.mode} (…) names labels that its series have not:")
    if node.name in ("topk", "bottomk"):
        return inner
    if node.mode == "without":
        return inner - set(node.labels)
    result = frozenset(node.labels)
    if node.name == "count_values":
        result |= {node.arguments[0].text}
    return result


def labels_of_binary(node, metrics):
    refuse_ranges([node.left, node.right], node.operator)
    left, right = labels_of(node.left, metrics), labels_of(node.right, metrics)
    if left is None or right is None:
        if node.operator in SETS:
            raise Wrong(f"{node.operator} with a number, expected series on both sides")
        return right if left is None else left
    if node.matching:
        known = left | right if node.matching == "ignoring" else left & right
        unknown(node.labels, known, f"{node.matching} (…) names labels that not both sides have:")
        common = frozenset(node.labels) if node.matching == "on" else None
    else:
        common = None
    if node.operator == "or":
        return left | right
    sides = [side - set(node.labels) for side in (left, right)] if node.matching == "ignoring" else [left, right]
    if common is None and sides[0] != sides[1]:
        left, right = (", ".join(sorted(side)) for side in sides)
        raise Wrong(f"the sides of {node.operator} have different labels ({left} and {right}): nothing would match, "
                    "expected on (…)")
    if node.operator in SETS:
        return left
    if node.group:
        many, one = (left, right) if node.group == "left" else (right, left)
        unknown(node.taken, one, f"group_{node.group} (…) takes labels that the other side has not:")
        return many | set(node.taken)
    if common is not None:
        # comparisons that filter keep the left side whole
        return left if node.operator in COMPARISONS and not node.is_bool else common
    return sides[0]
