#!/usr/bin/env python3
"""Writes a random Llama of some ten thousand weights, as a folder in Hugging Face layout or as a GGUF file.

    scripts/tiny_checkpoint.py FOLDER
    scripts/tiny_checkpoint.py NAME.gguf

It says nothing sensible, but every command takes it, and in seconds. Both forms are the same model. Needs the standard library only.
"""

import array
import json
import pathlib
import struct
import sys
import tempfile

import random_decoders

# Long enough for every command's default.
POSITIONS = 2048
GGUF_NAMES = {"embed_tokens": "token_embd", "input_layernorm": "attn_norm", "q_proj": "attn_q", "k_proj": "attn_k",
              "v_proj": "attn_v", "o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "gate_proj": "ffn_gate",
              "up_proj": "ffn_up", "down_proj": "ffn_down", "norm": "output_norm", "lm_head": "output"}


def write(folder):
    """Writes the model as a folder."""
    folder = random_decoders.write(pathlib.Path(folder), "gqa", 32)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": POSITIONS}))


def read_tensors(path):
    """Name, shape and float32 values of each tensor of a safetensors file."""
    data = path.read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    for name, entry in json.loads(data[8:8 + size]).items():
        start, end = entry["data_offsets"]
        yield name, entry["shape"], array.array("f", data[8 + size + start:8 + size + end])


def gguf_tensor(name, shape, numbers, head):
    """The tensor under GGUF's name. GGUF's Llama rotates neighbouring channels of a head, Hugging Face's channels that are half a
    head apart, so the rows of q and k change places."""
    parts = name.split(".")
    stem = GGUF_NAMES[parts[-2]]
    found = f"blk.{parts[2]}.{stem}.{parts[-1]}" if parts[1] == "layers" else f"{stem}.{parts[-1]}"
    if parts[-2] in ("q_proj", "k_proj"):
        columns, half = shape[1], head // 2
        rows = [start + offset + part for start in range(0, shape[0], head) for offset in range(half) for part in (0, half)]
        numbers = [number for row in rows for number in numbers[row * columns:(row + 1) * columns]]
    return found, shape, numbers


def gguf_value(value):
    """A value of GGUF's metadata with its type: text, truth, 32-bit number, or a list of texts or numbers."""
    if isinstance(value, list):
        parts = [gguf_value(element) for element in value]
        return 9, struct.pack("<IQ", parts[0][0], len(parts)) + b"".join(part for _, part in parts)
    if isinstance(value, str):
        return 8, struct.pack("<Q", len(value.encode())) + value.encode()
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    return (4, struct.pack("<I", value)) if isinstance(value, int) else (6, struct.pack("<f", value))


def gguf_metadata(folder):
    """What the folder's configuration and tokenizer are in GGUF's keys."""
    field = json.loads((folder / "config.json").read_text()).get
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    special = [token["content"] for token in tokenizer["added_tokens"]]
    vocabulary = list(tokenizer["model"]["vocab"])
    return {
        "general.architecture": "llama", "llama.block_count": field("num_hidden_layers"),
        "llama.context_length": field("max_position_embeddings"), "llama.embedding_length": field("hidden_size"),
        "llama.feed_forward_length": field("intermediate_size"), "llama.attention.head_count": field("num_attention_heads"),
        "llama.attention.head_count_kv": field("num_key_value_heads"), "llama.rope.freq_base": field("rope_theta"),
        "llama.attention.layer_norm_rms_epsilon": field("rms_norm_eps"), "llama.vocab_size": field("vocab_size"),
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.merges": tokenizer["model"]["merges"],
        "tokenizer.ggml.tokens": vocabulary + special,
        "tokenizer.ggml.token_type": [1] * len(vocabulary) + [3] * len(special),
        "tokenizer.ggml.bos_token_id": field("bos_token_id"), "tokenizer.ggml.eos_token_id": field("eos_token_id"),
        "tokenizer.chat_template": json.loads((folder / "tokenizer_config.json").read_text())["chat_template"],
    }, field("head_dim")


def write_gguf(path):
    """Writes the model as a GGUF file (version 3, float32)."""
    with tempfile.TemporaryDirectory() as scratch:
        write(scratch)
        metadata, head = gguf_metadata(pathlib.Path(scratch))
        tensors = [gguf_tensor(*tensor, head) for tensor in read_tensors(pathlib.Path(scratch) / "model.safetensors")]
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        kind, part = gguf_value(value)
        header += gguf_value(key)[1] + struct.pack("<I", kind) + part
    data = b""
    for name, shape, numbers in tensors:
        header += gguf_value(name)[1] + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), 0, len(data))
        data += struct.pack(f"<{len(numbers)}f", *numbers)
        data += bytes(-len(data) % 32)
    pathlib.Path(path).write_bytes(header + bytes(-len(header) % 32) + data)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    (write_gguf if sys.argv[1].endswith(".gguf") else write)(sys.argv[1])
