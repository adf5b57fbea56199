"""Runs exported graphs in a vendor's library for `dyad verify` and `dyad export`: the launcher, nothing else.

Protocol: one JSON object a line on standard input, one a line back on the standard output that this process was started with.

    {"do": "load", "model": FILE, "library": "onnxruntime" | "qnn" | "litert", "chip": N, "architecture": N}
        -> {"seconds": S, "versions": {PACKAGE: VERSION}}
    {"do": "run", "inputs": {NAME: FILE}, "outputs": {NAME: FILE}}      raw little-endian numbers, shapes and types as in the model
        -> {"seconds": S}
    {"do": "compile", "model": FILE, "binary": FILE, "chip": N, "architecture": N}
        -> {"seconds": S, "bytes": N, "chips": [TEXT, ...]}             what the binary itself says it is for
    {"do": "vela", "model": FILE, "folder": FOLDER, "accelerator": NAME}
        -> {"seconds": S, "bytes": N, "cpu_operators": N, "npu_operators": N}

A failure is {"error": TEXT} or {"missing": PACKAGE}. Nothing falls back to the CPU: a graph that QNN cannot take whole fails.
"""

import json
import os
import re
import subprocess
import sys
import time

REPLIES = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # the libraries print on standard output

TYPES = {"tensor(uint8)": "uint8", "tensor(int8)": "int8", "tensor(uint16)": "uint16", "tensor(int16)": "int16",
         "tensor(int32)": "int32", "tensor(bool)": "bool", "tensor(float)": "float32"}


class Missing(Exception):
    pass


def package(name):
    module = name.replace("-", "_")
    try:
        return __import__(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise  # it is there, and lacks something itself
        raise Missing(name) from None


def session(runtime, model, request, settings):
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if request["library"] == "onnxruntime":
        # As written: fused integer kernels saturate 16-bit sums on processors without VNNI.
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    qnn = package("onnxruntime-qnn")
    try:
        runtime.register_execution_provider_library("QNNExecutionProvider", qnn.get_library_path())
    except Exception as error:  # a second registration in one process
        if "already" not in str(error):
            raise
    devices = [device for device in runtime.get_ep_devices() if device.ep_name == "QNNExecutionProvider"]
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    for key, value in settings.items():
        options.add_session_config_entry(key, value)
    options.add_provider_for_devices(devices[:1], {
        "backend_type": "htp", "offload_graph_io_quantization": "0",
        "soc_model": str(request["chip"]), "htp_arch": str(request["architecture"])})
    return runtime.InferenceSession(model, options)


class LiteRT:
    """LiteRT's interpreter with one model."""

    def __init__(self, model):
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("ai_edge_litert"):
                raise
            raise Missing("ai-edge-litert") from None
        # Without delegates: XNNPack computes some integer operations in another way.
        self.interpreter = Interpreter(model, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        self.runner = self.interpreter.get_signature_runner("serving_default")
        self.inputs = self.runner.get_input_details()

    def run(self, names, files):
        import numpy
        inputs = {name: numpy.fromfile(files[name], dtype=detail["dtype"]).reshape(detail["shape"])
                  for name, detail in self.inputs.items()}
        outputs = self.runner(**inputs)
        return [outputs[name] for name in names]


class ONNX:
    def __init__(self, session):
        self.session = session

    def run(self, names, files):
        import numpy
        inputs = {value.name: numpy.fromfile(files[value.name], dtype=TYPES[value.type]).reshape(value.shape)
                  for value in self.session.get_inputs()}
        return self.session.run(names, inputs)


def load(request):
    if request["library"] == "litert":
        return LiteRT(request["model"])
    return ONNX(session(package("onnxruntime"), request["model"], request, {}))


def vela(request):
    """Compiles for an Ethos-U. (vela 5.2.0 itself fails on --show-cpu-operations with some of our graphs.)"""
    tool = os.path.join(os.path.dirname(sys.executable), "vela")
    if not os.path.exists(tool):
        raise Missing("ethos-u-vela")
    done = subprocess.run(
        [tool, request["model"], "--accelerator-config", request["accelerator"], "--output-dir", request["folder"]],
        capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
        raise RuntimeError(f"vela ended with {done.returncode}: {' / '.join(lines[-3:])}")
    stem = os.path.basename(request["model"]).removesuffix(".tflite")
    counts = {unit: re.search(unit + r" operators = (\d+)", done.stdout) for unit in ("CPU", "NPU")}
    if not all(counts.values()):
        raise RuntimeError("vela printed no number of operators")
    return {"bytes": os.path.getsize(os.path.join(request["folder"], f"{stem}_vela.tflite")),
            "cpu_operators": int(counts["CPU"][1]), "npu_operators": int(counts["NPU"][1])}


def versions(request):
    from importlib.metadata import version
    names = {"qnn": ["onnxruntime", "onnxruntime-qnn"], "litert": ["ai-edge-litert"], "onnxruntime": ["onnxruntime"]}
    return {name: version(name) for name in names[request["library"]]}


def main():
    loaded = None
    for line in sys.stdin:
        request = json.loads(line)
        begin = time.monotonic()
        try:
            package("numpy")
            if request["do"] == "load":
                loaded = None  # frees the memory of the one before
                loaded = load(request)
                reply = {"versions": versions(request)}
            elif request["do"] == "run":
                names = list(request["outputs"])
                for name, value in zip(names, loaded.run(names, request["inputs"])):
                    value.tofile(request["outputs"][name])
                reply = {}
            elif request["do"] == "vela":
                reply = vela(request)
            elif request["do"] == "compile":
                request["library"] = "qnn"
                session(package("onnxruntime"), request["model"], request, {
                    "ep.context_enable": "1", "ep.context_file_path": request["binary"], "ep.context_embed_mode": "1"})
                with open(request["binary"], "rb") as file:
                    content = file.read()
                chips = sorted({found.decode() for found in re.findall(rb"soc_type=[A-Z0-9]+;arch=[0-9]+", content)})
                reply = {"bytes": len(content), "chips": chips}
            else:
                reply = {"error": f"unknown request {request['do']}"}
        except Missing as missing:
            reply = {"missing": str(missing)}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        reply["seconds"] = time.monotonic() - begin
        print(json.dumps(reply), file=REPLIES, flush=True)


main()
