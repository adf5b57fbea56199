"""What scripts/same_programs does with one row of its table: lets two programs make the same things, and says where these differ."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import random_decoders
from canonical_files import Program, differences, folder_tree, same_bytes
from program_runs import MODEL, ROOT

SCRATCH = ROOT / ".build-same"
COLUMNS = ["constants", "graph", "scores", "logits", "exports"]
FORMATS = ["onnx", "litert", "coreml"]
# Of every quantisation report.
NOT_SCORES = {"output", "seconds", "peak_resident_bytes", "bytes"}
SMOLLM2 = "smollm2"
# One thread a side: sums in libtorch depend on their number, and the two sides share two cores.
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1")


class Side:
    """One of the two programs, and its copies of everything that is made."""

    def __init__(self, name, program):
        self.name, self.program = name, program

    def run(self, folder, *arguments):
        """Exit code, document, and the last line of what was said."""
        command = [self.program, *map(str, arguments), "--json"]
        done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        said = (done.stderr.strip().splitlines() or [""])[-1]
        return done.returncode, json.loads(done.stdout) if done.returncode == 0 else None, said

    def document(self, folder, *arguments):
        code, document, said = self.run(folder, *arguments)
        if code:
            raise RuntimeError(f"{self.name}: dyad {' '.join(map(str, arguments))}: exit code {code}: {said}")
        return document

    def recipes(self):
        """Name -> file of the built-in recipes."""
        files = [path for folder in self.program.parent.glob("*DyadQuantization.*") for path in folder.glob("**/Recipes/*.yaml")]
        return {path.stem: path for path in files}


class Row:
    def __init__(self, model, recipe, label=None, extra=(), writes_itself=False):
        self.model, self.recipe, self.label = model, recipe, label or recipe
        self.extra, self.writes_itself = extra, writes_itself

    def arguments(self, side, folder):
        """Of `dyad quantize`."""
        recipe = self.recipe
        if recipe.endswith("*"):
            text = side.recipes()[recipe.rstrip("*")].read_text()
            if "residual: true" not in text:
                raise RuntimeError(f"{side.name}: {recipe} has no rotation of the residual stream to leave out")
            recipe = folder / f"{recipe.rstrip('*')}.yaml"
            recipe.write_text(text.replace("residual: true", "residual: false"))
        text = [] if self.writes_itself else ["--calibration", SCRATCH / "calibration.txt"]
        if self.model == SMOLLM2:
            sizes = ["--samples", 2, "--sequence-length", 128, "--context", 96]
        else:
            sizes = ["--samples", 6, "--sequence-length", 64, "--context", 96]
        return [source(self.model), "--output", "program.dyad", "--recipe", recipe, *text, *sizes, "--threads", 1, *self.extra]


def source(model):
    return MODEL if model == SMOLLM2 else SCRATCH / "models" / model


def make(row, side, folder):
    """Everything that one program makes of a row: the scores, the logits' figures, and which exports were refused."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    report = side.document(folder, "quantize", *row.arguments(side, folder))
    scores = {key: value for key, value in report.items() if key not in NOT_SCORES}
    refusals = {}
    for name in FORMATS:
        code, _, said = side.run(folder, "export", "program.dyad", "--format", name, "--output", name, "--context", 64, "--chunk", 16)
        if code:
            refusals[name] = said
    return scores, logits(row.model, side, folder / "program.dyad"), refusals


def logits(model, side, program):
    figures = side.document(program.parent, "evaluate", program.name, "--perplexity", SCRATCH / "evaluation.txt", "--reference", source(model),
                            "--context", 64, "--max-tokens", 64, "--threads", 1)
    chosen = side.document(program.parent, "generate", program.name, "--prompt", "The river", "--max-tokens", 32, "--threads", 1)
    return {"evaluated": figures, "chosen": chosen["token_ids"]}


def compare(row, old, new, folder):
    """Differences as (column, path, old, new)."""
    with ThreadPoolExecutor(2) as pool:
        sides = [(side, folder / side.name) for side in (old, new)]
        made = list(pool.map(lambda pair: make(row, *pair), sides))
    (old_scores, old_logits, old_refusals), (new_scores, new_logits, new_refusals) = made
    found = compare_programs(*(path / "program.dyad" for _, path in sides))
    found += [("scores", *difference) for difference in differences(old_scores, new_scores)]
    found += [("logits", *difference) for difference in differences(old_logits, new_logits)]
    found += [("exports", *difference) for difference in differences(old_refusals, new_refusals)]
    files = [path / "program.dyad" for _, path in sides]
    if files[0].read_bytes() != files[1].read_bytes():
        again = logits(row.model, new, files[0])
        found += [("logits", f"oldfile.{path}", a, b) for path, a, b in differences(old_logits, again)]
    code, _, said = new.run(files[1].parent, "verify", files[1].name)
    if code:
        found.append(("logits", "reference", "equal integers", said))
    for name in FORMATS:
        if name not in old_refusals and name not in new_refusals:
            found += compare_exports(*((path / name, path / "program.dyad") for _, path in sides))
    return found, [name for name in FORMATS if name in old_refusals and name in new_refusals]


def compare_programs(old, new):
    """Constants go by their names in the old file."""
    (old_constants, old_graph, names), (new_constants, new_graph, _) = Program(old).trees(), Program(new).trees()
    found = []
    for path, a, b in differences(old_constants, new_constants):
        place, _, rest = path.partition(".")
        found.append(("constants", f"{names[int(place)]}.{rest}" if place.isdigit() else path, a, b))
    return found + [("graph", *difference) for difference in differences(old_graph, new_graph)]


def compare_exports(old, new):
    """Folders with the programs that they are exports of."""
    if same_bytes(old[0], new[0]):
        return []
    return [("exports", f"{old[0].name}/{path}", a, b) for path, a, b in differences(folder_tree(*old), folder_tree(*new))]


def write_inputs():
    for switch in random_decoders.SWITCHES:
        random_decoders.write(SCRATCH / "models" / switch, switch)
    (SCRATCH / "calibration.txt").write_text(random_decoders.text(200))
    (SCRATCH / "evaluation.txt").write_text(random_decoders.text(8, seed=3))
