"""Runs exported graphs in a vendor's library for `dyad verify` and `dyad export`: the launcher, nothing else.

Protocol: one JSON object a line on standard input, one a line back on the standard output that this process was started with.

    {"do": "load", "model": FILE, "library": "onnxruntime" | "qnn", "chip": N, "architecture": N}
        -> {"seconds": S, "versions": {PACKAGE: VERSION}}
    {"do": "run", "inputs": {NAME: FILE}, "outputs": {NAME: FILE}}      raw little-endian numbers, shapes and types as in the model
        -> {"seconds": S}
    {"do": "compile", "model": FILE, "binary": FILE, "chip": N, "architecture": N}
        -> {"seconds": S, "bytes": N, "chips": [TEXT, ...]}             what the binary itself says it is for

A failure is {"error": TEXT} or {"missing": PACKAGE}. Nothing falls back to the CPU: a graph that QNN cannot take whole fails.
"""

import json
import os
import re
import sys
import time

REPLIES = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # the libraries print on standard output

TYPES = {"tensor(uint8)": "uint8", "tensor(int8)": "int8", "tensor(uint16)": "uint16", "tensor(int16)": "int16",
         "tensor(int32)": "int32", "tensor(bool)": "bool", "tensor(float)": "float32"}


class Missing(Exception):
    pass


def package(name):
    try:
        return __import__(name.replace("-", "_"))
    except ImportError:
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


def versions(request):
    from importlib.metadata import version
    names = ["onnxruntime"] + (["onnxruntime-qnn"] if request["library"] == "qnn" else [])
    return {name: version(name) for name in names}


def main():
    loaded = None
    for line in sys.stdin:
        request = json.loads(line)
        begin = time.monotonic()
        try:
            numpy, runtime = package("numpy"), package("onnxruntime")
            if request["do"] == "load":
                loaded = None  # frees the memory of the one before
                loaded = session(runtime, request["model"], request, {})
                reply = {"versions": versions(request)}
            elif request["do"] == "run":
                inputs = {}
                for value in loaded.get_inputs():
                    numbers = numpy.fromfile(request["inputs"][value.name], dtype=TYPES[value.type])
                    inputs[value.name] = numbers.reshape(value.shape)
                names = list(request["outputs"])
                for name, value in zip(names, loaded.run(names, inputs)):
                    value.tofile(request["outputs"][name])
                reply = {}
            elif request["do"] == "compile":
                request["library"] = "qnn"
                session(runtime, request["model"], request, {
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
