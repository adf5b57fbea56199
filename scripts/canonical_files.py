"""Reads programs and exported folders as trees of numbers in which names do not count, for scripts/same_programs.

Tensors, constants and caches get numbers in the order in which they are first used, JSON keys lose their spelling, constants that
lie in a file beside a graph are replaced by what they hold. Two trees are equal if one file is the other under other names.
Needs only Python's standard library."""

import hashlib
import json
import re
import struct
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "Sources/DyadExport"
# Fields of an operation that refer to a tensor by its position.
TENSOR_FIELDS = {"input", "inputs", "output", "left", "right", "exponentials", "prefixweights"}


def spelling(word):
    """A key or the name of a kind without case, dashes and underscores; what is no word (a row of signs) as it is."""
    return re.sub("[_-]", "", word.lower()) if re.fullmatch(r"[A-Za-z][\w-]*", word) else word


def digest(data):
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()[:16]}"


def differences(a, b, path=""):
    """Where two trees differ: (path, what the first holds, what the second holds)."""
    if type(a) is not type(b):
        yield path, a, b
    elif isinstance(a, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from differences(a.get(key), b.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(a, list):
        if len(a) != len(b):
            yield f"{path}.count".lstrip("."), len(a), len(b)
        for index, (left, right) in enumerate(zip(a, b)):
            yield from differences(left, right, f"{path}.{index}".lstrip("."))
    elif a != b:
        yield path, a, b


class Names:
    """Numbers for names, in the order in which they are asked for."""

    def __init__(self, kind=""):
        self.kind, self.numbers = kind, {}

    def __call__(self, name):
        return self.numbers.setdefault(name, f"{self.kind}#{len(self.numbers)}")


# --- .dyad

class Program:
    """A .dyad file."""

    def __init__(self, path):
        self.content = path.read_bytes()
        length = struct.unpack("<Q", self.content[:8])[0]
        self.header = json.loads(self.content[8:8 + length])
        self.start = 8 + length
        self.metadata = self.header.pop("__metadata__")
        self.graph = json.loads(self.metadata["dyad.graph"])

    def range(self, constant):
        """Where the bytes of a constant stand in the file."""
        begin, end = self.header[constant]["data_offsets"]
        return self.start + begin, self.start + end

    def trees(self):
        """The constants in the order of their use, everything else, and what the constants are called here."""
        graph = {spelling(key): value for key, value in self.graph.items()}
        tensors, caches, constants = Names("tensor"), Names("cache"), Names("constant")
        positions = {tensor["name"]: index for index, tensor in enumerate(graph["tensors"])}

        def cache(index):
            prefix = graph["caches"][index].get("prefix")
            if prefix is not None:
                constants(prefix)
            return caches(index)

        def operand(key, value):
            if isinstance(value, list):
                return [operand(key, element) for element in value]
            if isinstance(value, str):
                return constants(value) if value in self.header else tensors(positions[value]) if value in positions else spelling(value)
            if key in TENSOR_FIELDS and value is not None:
                return tensors(value)
            return cache(value) if key == "cache" else value

        operations = []
        for operation in graph["operations"]:
            fields = {spelling(key): value for key, value in operation.items() if key != "name"}
            operations.append({key: operand(key, fields[key]) for key in sorted(fields)})

        def listed(items, names, key):
            """In the order of first use; what is not used comes behind, in its own order."""
            for index, item in enumerate(items):
                names(key(index, item))
            places = {names(key(index, item)): item for index, item in enumerate(items)}
            return [{spelling(field): constants(value) if field == "prefix" and value else value
                     for field, value in places[place].items() if field != "name"} for place in names.numbers.values()]

        described = {
            "operations": operations, "tensors": listed(graph["tensors"], tensors, lambda index, _: index),
            "caches": listed(graph["caches"], caches, lambda index, _: index),
            "constants": listed(graph["constants"], constants, lambda _, item: item["name"]),
            "version": self.metadata["dyad.version"],
            **{key: value for key, value in graph.items() if key not in ("operations", "tensors", "caches", "constants")},
            **{name: json.loads(self.metadata[f"dyad.{name}"]) for name in ("tokenizer", "configuration", "provenance")}}
        for document in ("configuration", "provenance"):
            described[document] = {spelling(key): value for key, value in described[document].items()}
        held = [{"type": self.header[name]["dtype"], "shape": self.header[name]["shape"],
                 "bytes": digest(memoryview(self.content)[slice(*self.range(name))])} for name in constants.numbers]
        return held, described, list(constants.numbers)


# --- Protocol buffers, by the .proto files that the writers are made from

def schema(path):
    """Message -> field number -> (name, type, is it repeated, are they entries of a map). Nested messages have dotted names."""
    text = re.sub(r"//[^\n]*|reserved[^;]*;|option [^;]*;", "", path.read_text())
    messages, scope = {}, []
    token = re.compile(r"(message|enum|oneof)\s+(\w+)\s*\{|(\})|map<\s*(\w+)\s*,\s*([\w.]+)\s*>\s*(\w+)\s*=\s*(\d+)|"
                       r"(?:(optional|repeated)\s+)?([\w.]+)\s+(\w+)\s*=\s*(\d+)")
    for match in token.finditer(text):
        opened, name, closed, key, value, map_name, map_number, label, kind, field, number = match.groups()
        inside = ".".join(name for word, name in scope if word == "message")
        if opened:
            scope.append((opened, name))
            if opened == "message":
                messages[f"{inside}.{name}".lstrip(".")] = {}
        elif closed:
            scope.pop()
        elif map_name:
            entry = f"{inside}.{map_name}".lstrip(".")
            messages[entry] = {1: ("key", key, False, False), 2: ("value", value, False, False)}
            messages[inside][int(map_number)] = (map_name, entry, True, True)
        elif scope and scope[-1][0] != "enum" and kind:
            messages[inside][int(number)] = (field, kind, label == "repeated", False)
    return messages


def resolve(messages, scope, kind):
    """The full name of a message that is named within another; None for what is no message."""
    while True:
        full = f"{scope}.{kind}".lstrip(".")
        if full in messages:
            return full
        if not scope:
            return None
        scope = scope.rpartition(".")[0]


def varint(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def message(messages, kind, data):
    """A message as a dictionary; entries of maps by their keys, unknown fields by their numbers."""
    result, place = {}, 0
    while place < len(data):
        tag, place = varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = varint(data, place)
        else:
            size = {1: 8, 5: 4}.get(wire)
            if size is None:
                size, place = varint(data, place)
            value, place = data[place:place + size], place + size
        name, field, repeated, is_map = messages[kind].get(number, (f"field {number}", "bytes", True, False))
        if wire == 2:
            inner = resolve(messages, kind, field)
            if inner:
                value = message(messages, inner, value)
            elif field == "string":
                value = value.decode()
            elif field != "bytes":  # Packed numbers.
                packed, at = [], 0
                while at < len(value):
                    number, at = varint(value, at)
                    packed.append(number)
                result.setdefault(name, []).extend(packed)
                continue
        if is_map:
            result.setdefault(name, {})[value.get("key")] = value.get("value")
        elif repeated:
            result.setdefault(name, []).append(value)
        else:
            result[name] = value
    return result


# --- FlatBuffers, by the part of LiteRT's schema (version 3) that Dyad writes

# Table -> slot -> (name, what stands there): a struct code, "string", "numbers CODE", or a table; [ ] for vectors of tables.
LITERT = {
    "Model": {0: ("version", "I"), 1: ("operator_codes", "[OperatorCode]"), 2: ("subgraphs", "[SubGraph]"), 3: ("description", "string"),
              4: ("buffers", "[Buffer]"), 6: ("metadata", "[Metadata]"), 7: ("signatures", "[Signature]")},
    "OperatorCode": {0: ("deprecated", "b"), 2: ("version", "i"), 3: ("code", "i")},
    "SubGraph": {0: ("tensors", "[Tensor]"), 1: ("inputs", "numbers i"), 2: ("outputs", "numbers i"), 3: ("operators", "[Operator]"),
                 4: ("name", "string")},
    "Tensor": {0: ("shape", "numbers i"), 1: ("type", "b"), 2: ("buffer", "I"), 3: ("name", "string"), 4: ("quantization", "Quantization"),
               8: ("has_rank", "b")},
    "Quantization": {2: ("scale", "numbers I"), 3: ("zero_point", "numbers q"), 6: ("axis", "i")},
    "Operator": {0: ("code", "I"), 1: ("inputs", "numbers i"), 2: ("outputs", "numbers i"), 3: ("options_type", "B"), 4: ("options", "Options")},
    "Buffer": {0: ("data", "numbers B")},
    "Metadata": {0: ("name", "string"), 1: ("buffer", "I")},
    "Signature": {0: ("inputs", "[Port]"), 1: ("outputs", "[Port]"), 2: ("key", "string"), 4: ("subgraph", "I")},
    "Port": {0: ("name", "string"), 1: ("tensor", "I")},
}
RESHAPE = 17


def table(data, place, kind):
    """A table of a FlatBuffers file as a dictionary."""
    def follow(at):
        return at + struct.unpack_from("<I", data, at)[0]

    def value(at, what):
        if len(what) == 1:
            return struct.unpack_from("<" + what, data, at)[0]
        at = follow(at)
        count = struct.unpack_from("<I", data, at)[0]
        if what == "string":
            return data[at + 4:at + 4 + count].decode()
        if what == "numbers B":
            return data[at + 4:at + 4 + count]
        if what.startswith("numbers"):
            return list(struct.unpack_from(f"<{count}{what[-1]}", data, at + 4))
        if what.startswith("["):
            return [table(data, follow(at + 4 + 4 * index), what[1:-1]) for index in range(count)]
        return table(data, at, what)

    slots, size, offsets = vtable(data, place)
    if kind == "Options":
        # Numbers only, whose widths end where the next field begins; of a reshape the shape, which its operand says as well.
        ends = sorted({*offsets, size} - {0})
        return {slot: int.from_bytes(data[place + offset:place + ends[ends.index(offset) + 1]], "little")
                for slot, offset in enumerate(offsets) if offset}
    known = LITERT[kind]
    result = {}
    for slot, offset in enumerate(offsets):
        if offset and slot in known:
            name, what = known[slot]
            result[name] = value(place + offset, what)
        elif offset:
            result[f"slot {slot}"] = True
    if result.get("options_type") == RESHAPE:
        result.pop("options", None)
    return result


def vtable(data, place):
    start = place - struct.unpack_from("<i", data, place)[0]
    length, size = struct.unpack_from("<HH", data, start)
    slots = (length - 4) // 2
    return slots, size, struct.unpack_from(f"<{slots}H", data, start + 4)


def litert(data):
    """A model with buffers and operators' codes where they are referred to."""
    model = table(data, struct.unpack_from("<I", data, 0)[0], "Model")
    codes, buffers = model.pop("operator_codes"), [buffer.get("data", b"") for buffer in model.pop("buffers")]
    for graph in model["subgraphs"]:
        for tensor in graph["tensors"]:
            tensor["buffer"] = buffers[tensor.get("buffer", 0)]
        for operator in graph["operators"]:
            operator["code"] = codes[operator.get("code", 0)]
    for entry in model["metadata"]:
        entry["buffer"] = buffers[entry["buffer"]].decode()
    return model


# --- Exported folders

def onnx(path):
    """A model with its outside data in its tensors."""
    model = message(schema(SOURCES / "ONNX/onnx.proto"), "Model", path.read_bytes())
    files = {}
    for tensor in model["graph"].get("initializer", []):
        if "external_data" in tensor:
            place = {entry["key"]: entry["value"] for entry in tensor.pop("external_data")}
            data = files.setdefault(place["location"], (path.parent / place["location"]).read_bytes())
            begin = int(place.get("offset", 0))
            tensor["raw_data"] = data[begin:begin + int(place["length"])]
            tensor.pop("data_location", None)
    return model


def core_ml(path):
    """A model with the data of its weights file where it is referred to."""
    weights = (path.parent / "weights/weight.bin").read_bytes()

    def held(tree):
        if isinstance(tree, dict):
            if "blobFileValue" in tree:
                # A record begins with a mark, the type, the length and the place of the data.
                _, kind, size, begin = struct.unpack_from("<IIQQ", weights, tree.pop("blobFileValue")["offset"])
                return tree | {"blob": weights[begin:begin + size], "blob_type": kind}
            return {key: held(value) for key, value in tree.items()}
        return [held(value) for value in tree] if isinstance(tree, list) else tree

    return held(message(schema(SOURCES / "CoreML/coreml.proto"), "Model", path.read_bytes()))


READERS = {".onnx": onnx, ".tflite": lambda path: litert(path.read_bytes()), ".mlmodel": core_ml, ".json": lambda path: json.loads(path.read_text())}
# What the readers above have put where it is used.
DATA = {"weights.bin", "weight.bin"}
# Where names stand: fields, in whatever message. Keys of maps are words of the formats.
NAME_FIELDS = {"name", "input", "output", "inputs", "outputs"}
# Fields whose names are words of the formats, too.
WORDS = {"attribute", "metadata", "metadata_props"}


def names_in(tree, field=None):
    """Every text that names a tensor, a node or a port, in the order of the tree."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key not in WORDS:
                yield from names_in(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from names_in(value, field)
    elif isinstance(tree, str) and field in NAME_FIELDS and tree:
        yield tree


def renamed(tree, names):
    if isinstance(tree, dict):
        return {names.numbers.get(key, key): renamed(value, names) for key, value in tree.items()}
    if isinstance(tree, list):
        return [renamed(value, names) for value in tree]
    if isinstance(tree, (bytes, memoryview)):
        return digest(tree)
    return names.numbers.get(tree, tree) if isinstance(tree, str) else tree


def folder_tree(folder, program):
    """Every file of an exported folder; the program's own hash, which its names are part of, is left out."""
    sha256 = hashlib.sha256(program.read_bytes()).hexdigest()
    names, trees = Names("name"), {}
    for path in sorted(path for path in folder.glob("**/*") if path.is_file()):
        if path.name in DATA:
            continue
        reader = READERS.get(path.suffix, lambda path: path.read_bytes())
        trees[str(path.relative_to(folder)).replace(".", "_")] = reader(path)
    for tree in trees.values():
        for name in names_in(tree):
            names(name)
    names.numbers[sha256] = "the program"
    return renamed(trees, names)


def same_bytes(a, b):
    """Whether two folders hold the same files."""
    def files(folder):
        return {path.relative_to(folder): path for path in folder.glob("**/*") if path.is_file()}
    left, right = files(a), files(b)
    return left.keys() == right.keys() and all(left[name].read_bytes() == right[name].read_bytes() for name in left)
