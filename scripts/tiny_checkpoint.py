#!/usr/bin/env python3
"""Writes a random model of a few thousand weights, in Hugging Face layout or as a GGUF file.

    scripts/tiny_checkpoint.py FOLDER
    scripts/tiny_checkpoint.py NAME.gguf

It says nothing sensible, but every command takes it, and in seconds. Its tokens are the 256 bytes and four special ones, and it
has a chat template. `write` is for other scripts: it takes fields of config.json that differ, and a seed.
Needs the standard library only.
"""

import json
import math
import pathlib
import random
import struct
import sys

CONFIGURATION = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "hidden_act": "silu",
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 2048, "tie_word_embeddings": True,
    "attention_bias": False, "mlp_bias": False, "vocab_size": 260, "bos_token_id": 257, "eos_token_id": 258,
    "pad_token_id": 259, "torch_dtype": "float32",
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
CHAT = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def shapes(configuration):
    """The shape of every tensor of a Llama with these fields, by name, in the order of the forward pass."""
    field = configuration.get
    hidden, inner, head = field("hidden_size"), field("intermediate_size"), field("head_dim")
    queries, keys = field("num_attention_heads") * head, field("num_key_value_heads") * head
    found = {"model.embed_tokens.weight": [field("vocab_size"), hidden]}

    def linear(name, rows, columns, bias):
        found[name + ".weight"] = [rows, columns]
        if bias:
            found[name + ".bias"] = [rows]

    for layer in range(field("num_hidden_layers")):
        place = f"model.layers.{layer}."
        found[place + "input_layernorm.weight"] = [hidden]
        linear(place + "self_attn.q_proj", queries, hidden, field("attention_bias"))
        linear(place + "self_attn.k_proj", keys, hidden, field("attention_bias"))
        linear(place + "self_attn.v_proj", keys, hidden, field("attention_bias"))
        linear(place + "self_attn.o_proj", hidden, queries, field("attention_bias"))
        found[place + "post_attention_layernorm.weight"] = [hidden]
        linear(place + "mlp.gate_proj", inner, hidden, field("mlp_bias"))
        linear(place + "mlp.up_proj", inner, hidden, field("mlp_bias"))
        linear(place + "mlp.down_proj", hidden, inner, field("mlp_bias"))
    found["model.norm.weight"] = [hidden]
    if not field("tie_word_embeddings"):
        found["lm_head.weight"] = [field("vocab_size"), hidden]
    return found


def values(name, shape, source):
    """Gains about 1, small biases, and weights that keep the size of what they read. The embedding is large enough for a head
    that is tied to it to have preferences."""
    count = math.prod(shape)
    if len(shape) == 1:
        centre = 0.0 if name.endswith("bias") else 1.0
        return [source.gauss(centre, 0.1) for _ in range(count)]
    spread = 0.5 if "embed" in name else 1 / math.sqrt(shape[1])
    return [source.gauss(0, spread) for _ in range(count)]


def write_safetensors(path, tensors):
    """`tensors` by name: shape and float32 values."""
    header, parts, offset = {}, [], 0
    for name, (shape, numbers) in tensors.items():
        part = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(part)]}
        parts.append(part)
        offset += len(part)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def byte_characters():
    """How byte-level BPE (GPT-2) writes each byte: printable ones as themselves, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    return {**{byte: chr(byte) for byte in printable}, **{byte: chr(0x100 + n) for n, byte in enumerate(others)}}


def tokenizer():
    """A tokenizer.json without merges: a token a byte."""
    characters = byte_characters()
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [{"id": 256 + index, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for index, token in enumerate(SPECIAL)]
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
             "vocab": {characters[byte]: byte for byte in range(256)}, "merges": []}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": level, "post_processor": None, "decoder": level, "model": model}


def model(changes=None, seed=0):
    """The configuration with `changes`, and by name each tensor's shape and values."""
    configuration = {**CONFIGURATION, **(changes or {})}
    source = random.Random(seed)
    return configuration, {name: (shape, values(name, shape, source)) for name, shape in shapes(configuration).items()}


def write(folder, changes=None, seed=0):
    """Writes the model as a folder. Equal arguments give equal bytes."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    configuration, tensors = model(changes, seed)
    write_safetensors(folder / "model.safetensors", tensors)
    beside = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[1], "eos_token": SPECIAL[2],
              "pad_token": SPECIAL[3], "chat_template": CHAT, "model_max_length": configuration["max_position_embeddings"]}
    for name, document in [("config.json", configuration), ("tokenizer.json", tokenizer()), ("tokenizer_config.json", beside)]:
        (folder / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


GGUF_NAMES = {"embed_tokens": "token_embd", "input_layernorm": "attn_norm", "q_proj": "attn_q", "k_proj": "attn_k",
              "v_proj": "attn_v", "o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "gate_proj": "ffn_gate",
              "up_proj": "ffn_up", "down_proj": "ffn_down", "norm": "output_norm"}


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
        return 9, struct.pack("<IQ", parts[0][0] if parts else 8, len(parts)) + b"".join(part for _, part in parts)
    if isinstance(value, str):
        return 8, struct.pack("<Q", len(value.encode())) + value.encode()
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    return (4, struct.pack("<I", value)) if isinstance(value, int) else (6, struct.pack("<f", value))


def write_gguf(path):
    """Writes the model without changes as a GGUF file (version 3, float32)."""
    configuration, tensors = model()
    field, characters = configuration.get, byte_characters()
    metadata = {
        "general.architecture": "llama", "llama.block_count": field("num_hidden_layers"),
        "llama.context_length": field("max_position_embeddings"), "llama.embedding_length": field("hidden_size"),
        "llama.feed_forward_length": field("intermediate_size"), "llama.attention.head_count": field("num_attention_heads"),
        "llama.attention.head_count_kv": field("num_key_value_heads"), "llama.rope.freq_base": field("rope_theta"),
        "llama.attention.layer_norm_rms_epsilon": field("rms_norm_eps"), "llama.vocab_size": field("vocab_size"),
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.merges": [],
        "tokenizer.ggml.tokens": [characters[byte] for byte in range(256)] + SPECIAL,
        "tokenizer.ggml.token_type": [1] * 256 + [3] * len(SPECIAL), "tokenizer.ggml.bos_token_id": field("bos_token_id"),
        "tokenizer.ggml.eos_token_id": field("eos_token_id"), "tokenizer.chat_template": CHAT,
    }
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        kind, part = gguf_value(value)
        header += gguf_value(key)[1] + struct.pack("<I", kind) + part
    data = b""
    for name, (shape, numbers) in tensors.items():
        name, shape, numbers = gguf_tensor(name, shape, numbers, field("head_dim"))
        header += gguf_value(name)[1] + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), 0, len(data))
        data += struct.pack(f"<{len(numbers)}f", *numbers)
        data += bytes(-len(data) % 32)
    pathlib.Path(path).write_bytes(header + bytes(-len(header) % 32) + data)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    (write_gguf if sys.argv[1].endswith(".gguf") else write)(sys.argv[1])
