"""Small random decoders in Hugging Face layout, and texts, for scripts/same_programs and the corpus of old programs.

Every number comes from a seed, so that two runs write the same bytes. Needs only Python's standard library."""

import array
import json
import random
import struct
import sys
from pathlib import Path

# What config.json says of each decoder, apart from sizes; every one differs from `plain` in as little as its family allows.
# Partial rotary, layer norm and the parallel residual exist only in StableLM. No family has norms behind each part yet.
SWITCHES = {
    "plain": {"model_type": "llama"},
    "tied": {"model_type": "llama", "tie_word_embeddings": True},
    "biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "gqa": {"model_type": "llama", "num_key_value_heads": 2},
    "qk-norms": {"model_type": "qwen3"},
    "layer-norm": {"model_type": "stablelm", "partial_rotary_factor": 1.0},
    "partial-rotary": {"model_type": "stablelm", "partial_rotary_factor": 0.5},
    "parallel": {"model_type": "stablelm", "partial_rotary_factor": 1.0, "use_parallel_residual": True},
    "gemma": {"model_type": "gemma", "hidden_act": "gelu_pytorch_tanh"},
}
# Families whose norms leave no rotation of the residual stream.
WITHOUT_ROTATION = {"layer-norm", "partial-rotary", "parallel"}
SPECIAL = ["<s>", "</s>", "<pad>", "<unk>"]


def alphabet():
    """GPT-2's characters for the 256 bytes."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def merges():
    """Sixty syllables."""
    return [(consonant, vowel) for consonant in "bcdfghlmnrst" for vowel in "aeiou"]


def tokenizer():
    tokens = alphabet() + [first + second for first, second in merges()]
    return {
        "added_tokens": [{"id": len(tokens) + index, "content": content, "special": True} for index, content in enumerate(SPECIAL)],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}, "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {token: index for index, token in enumerate(tokens)}, "merges": [" ".join(pair) for pair in merges()]},
    }


VOCABULARY = 256 + len(merges()) + len(SPECIAL)


def configuration(switch, hidden, layers):
    return {
        "hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": layers, "num_attention_heads": 4,
        "num_key_value_heads": 4, "head_dim": hidden // 4, "vocab_size": VOCABULARY, "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5, "layer_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False,
        "bos_token_id": VOCABULARY - 4, "eos_token_id": VOCABULARY - 3,
    } | SWITCHES[switch]


def shapes(config):
    """Names and shapes of a decoder's tensors."""
    hidden, intermediate, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, values = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    is_layer_norm = config["model_type"] == "stablelm"
    result = {"model.embed_tokens.weight": [VOCABULARY, hidden]}

    def norm(name, width=hidden, has_bias=is_layer_norm):
        result[name + ".weight"] = [width]
        if has_bias:
            result[name + ".bias"] = [width]

    def linear(name, rows, columns, has_bias):
        result[name + ".weight"] = [rows, columns]
        if has_bias:
            result[name + ".bias"] = [rows]

    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        norm(prefix + "input_layernorm")
        for name, rows, columns in (("q", queries, hidden), ("k", values, hidden), ("v", values, hidden), ("o", hidden, queries)):
            linear(f"{prefix}self_attn.{name}_proj", rows, columns, config.get("attention_bias", False))
        if config["model_type"] == "qwen3":
            norm(prefix + "self_attn.q_norm", head, False)
            norm(prefix + "self_attn.k_norm", head, False)
        if not config.get("use_parallel_residual", False):
            norm(prefix + "post_attention_layernorm")
        for name, rows, columns in (("gate", intermediate, hidden), ("up", intermediate, hidden), ("down", hidden, intermediate)):
            linear(f"{prefix}mlp.{name}_proj", rows, columns, config.get("mlp_bias", False))
    norm("model.norm")
    if not config["tie_word_embeddings"]:
        result["lm_head.weight"] = [VOCABULARY, hidden]
    return result


def numbers(name, shape, config, source):
    """Activations come near 1, norm gains are uneven, a few channels are large, as in models that were trained."""
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    if "norm" in name and name.endswith(".weight"):
        base = 0 if config["model_type"] == "gemma" else 1
        return [base + source.gauss(0, 0.25) for _ in range(count)]
    if len(shape) == 1:
        return [source.gauss(0, 0.2) for _ in range(count)]
    # With a tied head a token's own row is in the stream and would win every time were it larger.
    embedding = 0.15 if config["tie_word_embeddings"] else 0.5
    spread = embedding if name.startswith("model.embed") else 1 / shape[1] ** 0.5
    if "q_proj" in name or "k_proj" in name:
        spread *= 1.5
    large = {source.randrange(shape[0]) for _ in range(2)} if "v_proj" in name or "up_proj" in name else set()
    return [source.gauss(0, spread * (4 if index // shape[1] in large else 1)) for index in range(count)]


def write(folder, switch, hidden=64, layers=2, seed=1):
    """Writes the decoder of a switch into a folder."""
    config = configuration(switch, hidden, layers)
    source = random.Random(seed)
    header, data = {}, bytearray()
    for name, shape in shapes(config).items():
        values = array.array("f", numbers(name, shape, config, source))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
        data += struct.pack(f"<{len(values)}f", *values)
    text = json.dumps(header).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "bos_token": "<s>", "eos_token": "</s>",
        "chat_template": "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}<s>"}))
    return folder


def text(lines, seed=2):
    """Sentences of common words in random order."""
    source = random.Random(seed)
    words = ("the a river town hill sea road house fox sheep bird tree stone rain wind night day runs counts sees rises reaches "
             "holds under over behind before after small old green cold long and but while then there one two three").split()
    sentences = []
    for _ in range(lines):
        chosen = [source.choice(words) for _ in range(source.randrange(5, 12))]
        sentences.append(" ".join(chosen).capitalize() + source.choice([".", "!", "?", "; so it goes."]))
    return "\n".join(sentences) + "\n"


def main():
    """python3 scripts/random_decoders.py FOLDER SWITCH HIDDEN LAYERS: a decoder, and FOLDER/calibration.txt."""
    folder, switch, hidden, layers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    write(folder, switch, hidden, layers)
    (folder / "calibration.txt").write_text(text(200))


if __name__ == "__main__":
    main()
