#!/usr/bin/env python3
"""Writes docs/Dyad.docc/Commands.md from what dyad itself says about its commands (--experimental-dump-help).

    scripts/command_page.py            writes the page
    scripts/command_page.py --check    says whether it is up to date

DYAD names another dyad than that of `make build`.
"""

import json
import subprocess
import sys
import textwrap

from program_runs import DYAD, ROOT, require

PAGE = ROOT / "docs/Dyad.docc/Commands.md"
WIDTH = 120
HEAD = """# Commands

Every command of `dyad` with its arguments and options.

## Overview

This page is written by `scripts/command_page.py` from the program's own parser. `dyad COMMAND --help` says the same.
With `--json` standard output holds exactly one JSON document (<doc:JSONDocuments>); progress and notes go to standard error.

An error is one line: the file or option, what was found, what was expected, what to do. Its exit code is

| code | reason |
|--:|---|
| 1 | what was asked failed: `dyad verify` found integers that differ, a vendor's library refused, … |
| 64 | wrong usage of an option |
| 65 | an input that is malformed, that is not supported, or that does not fit another one |
| 66 | an input that is missing |
| 73 | an output that cannot be written |
"""


def spelling(argument):
    """As it is typed: `<model>`, `--output, -o`."""
    if argument["kind"] == "positional":
        return f"<{argument['valueName']}>"
    names = sorted((("-" if name["kind"] == "short" else "--") + name["name"] for name in argument["names"]), key=len, reverse=True)
    return ", ".join(names) + (f" <{argument['valueName']}>" if argument["kind"] == "option" else "")


def row(argument):
    said = argument.get("abstract", "").replace("|", "\\|")
    values, default = argument.get("allValues"), argument.get("defaultValue")
    named = values and all(value in said for value in values)
    notes = ([f"One of `{'`, `'.join(values)}`."] if values and not named else []) + ([f"Default: `{default.strip()}`."] if default else [])
    if not argument["isOptional"]:
        notes.append("Required.")
    return f"| `{spelling(argument)}` | {' '.join([said, *notes]).strip()} |"


def section(command):
    lines = ["", f"### dyad {command['commandName']}", "", *textwrap.wrap(command["abstract"], WIDTH)]
    for paragraph in command.get("discussion", "").split("\n"):
        lines += ["", *textwrap.wrap(paragraph, WIDTH, break_on_hyphens=False)] if paragraph else []
    shown = [argument for argument in command["arguments"]
             if argument.get("shouldDisplay", True) and not {"help", "version"} & {name["name"] for name in argument.get("names", [])}]
    return lines + ["", "| argument or option | meaning |", "|---|---|", *map(row, shown)]


def text():
    dumped = subprocess.run([str(DYAD), "--experimental-dump-help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    commands = [command for command in json.loads(dumped)["command"]["subcommands"] if command["commandName"] != "help"]
    return HEAD + "\n".join(line for command in commands for line in section(command)) + "\n"


def faults():
    """What is wrong with the page, as lines to print."""
    if PAGE.exists() and PAGE.read_text() == text():
        return []
    print(f"{PAGE.relative_to(ROOT)}: not what dyad says; run scripts/command_page.py", file=sys.stderr)
    return ["commands"]


if __name__ == "__main__":
    require((DYAD, "run 'make build', or set DYAD"))
    if sys.argv[1:] == ["--check"]:
        sys.exit(bool(faults()))
    PAGE.write_text(text())
