"""Write what the documentation takes from the code: ``python docs/generate.py`` (``make docs`` does it first).

The table of the zoo in README.md and docs/zoo.md, the facts of each network in docs/zoo.md, and docs/commands.md from
the command-line parsers. A test holds the files equal to what this makes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import scalenet.ray.__main__  # noqa: E402
import search.__main__  # noqa: E402
import training.__main__  # noqa: E402
from scalenet import cli  # noqa: E402
from scalenet.data.io import write_text  # noqa: E402
from scalenet.models import info  # noqa: E402

MARK = "<!-- made by {} -->"
COMMANDS_HEAD = """# Command line

<!-- made by python docs/generate.py: change the parsers, not this page -->

Every subcommand of `scalenet`, `python -m training` and `python -m search`, and `python -m scalenet.ray`. A NAME is a
registered name (`scalenet list`), `hf-hub:user/repo`, `local-dir:folder` or a `.safetensors` file of this project.

With `--json` a `scalenet` command prints one JSON object on stdout and nothing else; metrics are fractions 0..1. Errors
a user can fix are one line on stderr, with exit status 2.
"""


def argument(action: argparse.Action) -> str:
    """What is typed: ``-o, --out FILE``, ``IMAGE…``."""
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    value = action.metavar or choices or ("" if action.nargs == 0 else action.dest.upper())
    if not action.option_strings:
        return value + ("…" if action.nargs in ("*", "+") else "")
    return f"{', '.join(action.option_strings)} {value}".strip()


def explanation(action: argparse.Action, program: str) -> str:
    """Help, the default where the help does not say it, and whether it must be given."""
    text = (action.help or "") % {**vars(action), "prog": program}
    if action.default not in (None, False, "", argparse.SUPPRESS, []) and "default" not in text:
        default = ",".join(map(str, action.default)) if isinstance(action.default, tuple) else action.default
        text = f"{text} (default: {default})".strip()
    return f"{text} **needed**".strip() if action.required and action.option_strings else text


def option_rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A table row for each argument."""
    for action in parser._actions:
        if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
            cells = (f"`{argument(action)}`", explanation(action, parser.prog).replace("*_", r"\*_"))
            yield "| {} | {} |".format(*(cell.replace("|", r"\|") for cell in cells))


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """A parser's subcommands by name."""
    (action,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(action.choices)


def described(parser: argparse.ArgumentParser) -> dict[str, str]:
    """What each subcommand is for."""
    (action,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return {choice.dest: choice.help or "" for choice in action._choices_actions}


def commands_page() -> str:
    """docs/commands.md."""
    rooms = {"scalenet": {n: subparsers(cli.build_parser(n))[n] for n in cli.COMMANDS}}
    texts = {"scalenet": cli.COMMANDS}
    for name, module in (("training", training.__main__), ("search", search.__main__)):
        parser = module.build_parser()
        rooms[f"python -m {name}"], texts[f"python -m {name}"] = subparsers(parser), described(parser)
    lines = [COMMANDS_HEAD]
    for room, commands in rooms.items():
        lines.append(f"## {room}\n")
        for name, parser in commands.items():
            lines += [f"### {room} {name}\n", f"{texts[room][name][:1].upper()}{texts[room][name][1:]}.\n"]
            lines += ["| argument | what it is |", "|---|---|", *option_rows(parser), ""]
    parser = scalenet.ray.__main__.build_parser()
    lines += [f"## {parser.prog}\n", f"{parser.description}\n", "| argument | what it is |", "|---|---|"]
    return "\n".join([*lines, *option_rows(parser)]).rstrip() + "\n"


def zoo_table() -> str:
    """What ``scalenet list --markdown`` prints."""
    return info.markdown_table(f.summary() for f in sorted(info.registered_info(), key=lambda f: f.name))


def zoo_facts() -> str:
    """One row for each network: all metrics, and the terms of its weights."""
    lines = ["| network | architecture | reported | measured | terms |", "|---|---|---|---|---|"]
    for f in sorted(info.registered_info(), key=lambda f: f.name):
        known = f.metadata
        cells = [f"`{f.name}`", f"`{f.arch.digest}`", metrics(f.reported), metrics(known.measured()), known.terms]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def metrics(values: dict[str, object]) -> str:
    """Name and value of each; the command that measures them last."""
    return "; ".join(f"`{v}`" if k == "command" else f"{k} {v}" for k, v in values.items())


def fill(text: str, maker: str, made: str) -> str:
    """``text`` with the table below a marker made anew.

    Raises:
        ValueError: if the marker is not there just once.
    """
    mark = re.escape(MARK.format(maker))
    found, count = re.subn(rf"(?P<mark>{mark}\n)(\|[^\n]*\n)*", lambda m: f"{m['mark']}{made}\n", text)
    if count != 1:
        raise ValueError(f"the marker {MARK.format(maker)} is there {count} times")
    return found


def generated() -> dict[Path, str]:
    """What every file this writes should hold."""
    readme, zoo = ROOT / "README.md", ROOT / "docs" / "zoo.md"
    listed = "scalenet list --markdown"
    page = fill(zoo.read_text(encoding="utf-8"), listed, zoo_table())
    return {
        readme: fill(readme.read_text(encoding="utf-8"), listed, zoo_table()),
        zoo: fill(page, "python docs/generate.py", zoo_facts()),
        ROOT / "docs" / "commands.md": commands_page(),
    }


if __name__ == "__main__":
    for path, text in generated().items():
        write_text(path, text)
