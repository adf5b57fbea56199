"""What scripts/demo, scripts/accuracy and scripts/benchmark share: running dyad, and printing tables."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The program of `make build`, or another build of it.
DYAD = Path(os.environ.get("DYAD", ROOT / ".build/release/dyad"))
MODEL = ROOT / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"
OUT = ROOT / "out"
SHARED = Path(os.environ.get("DYAD_SHARED", ROOT / "../shared"))


def dyad(*arguments):
    """Runs one command with --json and returns its document; progress goes to this terminal."""
    command = [str(DYAD), *map(str, arguments), "--json"]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {finished.returncode}")
    return json.loads(finished.stdout)


def require(*paths):
    """Ends the script if a file that it needs is missing."""
    for path, remedy in paths:
        if not path.exists():
            sys.exit(f"{path} is missing: {remedy}")


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def table_lines(header, rows):
    """A Markdown table; the first column is text, the others are numbers."""
    cells = [header, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for index, row in enumerate(cells):
        padded = [cell.ljust(width) if column == 0 else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(padded) + " |")
        if index == 0:
            lines.append("|" + "|".join("-" * (width + 1) + ("-" if column == 0 else ":")
                                        for column, width in enumerate(widths)) + "|")
    return lines


def print_table(header, rows):
    """Prints a Markdown table."""
    print("\n".join(table_lines(header, rows)), flush=True)
