#!/usr/bin/env python3
"""Converts a model of Karpathy's llama2.c (.bin, version 0, float32) to a Hugging Face folder.

usage: convert_llama2c.py MODEL.bin TOKENIZER.bin FOLDER

Writes config.json, generation_config.json, model.safetensors (float32), tokenizer.json and tokenizer_config.json.
Needs the standard library only.

Rotary layout: llama2.c rotates neighbouring elements (2j, 2j + 1) of a head, Hugging Face's Llama elements that are
half a head apart (j, j + d/2). The rows of wq and wk are therefore reordered; the function stays the same.

Tokenizer: the file holds SentencePiece pieces with scores. A BPE needs merges instead: every way of splitting a piece
into two pieces is a merge, ranked by the piece's score.
"""

import json
import math
import pathlib
import struct
import sys


def read_model(path):
    """The configuration, and by name each tensor's shape and bytes (float32, as stored)."""
    data = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocabulary, positions = struct.unpack_from("<7i", data)
    shared = vocabulary > 0
    vocabulary = abs(vocabulary)
    head = dim // heads
    offset = 28

    def take(*shape):
        nonlocal offset
        end = offset + 4 * math.prod(shape)
        if end > len(data):
            sys.exit(f"{path}: found {len(data)} bytes; expected at least {end}. The file is truncated.")
        part = data[offset:end]
        offset = end
        return part

    tensors = {"model.embed_tokens.weight": ([vocabulary, dim], take(vocabulary, dim))}

    def per_layer(name, *shape):
        for layer in range(layers):
            tensors[f"model.layers.{layer}.{name}.weight"] = (list(shape), take(*shape))

    per_layer("input_layernorm", dim)
    per_layer("self_attn.q_proj", heads * head, dim)
    per_layer("self_attn.k_proj", kv_heads * head, dim)
    per_layer("self_attn.v_proj", kv_heads * head, dim)
    per_layer("self_attn.o_proj", dim, heads * head)
    per_layer("post_attention_layernorm", dim)
    per_layer("mlp.gate_proj", hidden, dim)
    per_layer("mlp.down_proj", dim, hidden)
    per_layer("mlp.up_proj", hidden, dim)
    tensors["model.norm.weight"] = ([dim], take(dim))
    take(2, positions, head // 2)  # cosines and sines, which follow from the configuration
    if not shared:
        tensors["lm_head.weight"] = ([vocabulary, dim], take(vocabulary, dim))

    for name, (shape, part) in tensors.items():
        if "q_proj" in name or "k_proj" in name:
            row = 4 * dim
            order = [
                first + 2 * pair + element
                for first in range(0, shape[0], head)
                for element in range(2)
                for pair in range(head // 2)
            ]
            tensors[name] = (shape, b"".join(part[index * row : (index + 1) * row] for index in order))

    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": dim,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": positions,
        "tie_word_embeddings": shared,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }
    return config, tensors


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, part) in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(part)]}
        offset += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    parts = [part for _, (_, part) in sorted(tensors.items())]
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def read_pieces(path, count):
    """The pieces in SentencePiece's spelling, with their scores."""
    data = path.read_bytes()
    pieces, scores = [], []
    offset = 4
    for index in range(count):
        score, length = struct.unpack_from("<fi", data, offset)
        text = data[offset + 8 : offset + 8 + length].decode("utf-8")
        offset += 8 + length
        special = {0: "<unk>", 1: "<s>", 2: "</s>"}.get(index)
        pieces.append(special or text.replace(" ", "\u2581"))
        scores.append(score)
    return pieces, scores


def merges_of(pieces, scores):
    ids = {piece: index for index, piece in enumerate(pieces)}
    ranked = []
    for index, piece in enumerate(pieces):
        if index < 3 or (piece.startswith("<0x") and piece.endswith(">")):
            continue
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in ids and right in ids:
                ranked.append((-scores[index], index, ids[left], ids[right], [left, right]))
    return [merge for *_, merge in sorted(ranked, key=lambda entry: entry[:4])]


def tokenizer_document(pieces, scores):
    special = [
        {
            "id": index,
            "content": piece,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, piece in enumerate(pieces[:3])
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "\u2581"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "<s>", "type_id": 1}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: index for index, piece in enumerate(pieces)},
            "merges": merges_of(pieces, scores),
        },
    }


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    model, tokenizer, folder = map(pathlib.Path, sys.argv[1:])
    config, tensors = read_model(model)
    pieces, scores = read_pieces(tokenizer, config["vocab_size"])
    if len(set(pieces)) != len(pieces):
        sys.exit(f"{tokenizer}: found a piece twice; expected {len(pieces)} different ones.")
    folder.mkdir(parents=True, exist_ok=True)

    def write(name, document):
        text = json.dumps(document, indent=2, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")

    write("config.json", config)
    write("generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    write("tokenizer.json", tokenizer_document(pieces, scores))
    write(
        "tokenizer_config.json",
        {
            "tokenizer_class": "LlamaTokenizerFast",
            "add_bos_token": True,
            "add_eos_token": False,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "legacy": True,
            "clean_up_tokenization_spaces": False,
            "model_max_length": config["max_position_embeddings"],
        },
    )
    write_safetensors(folder / "model.safetensors", tensors)


if __name__ == "__main__":
    main()
