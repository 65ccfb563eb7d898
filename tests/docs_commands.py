"""Command lines of the documentation: each is read by the parser it is for, and run where that is quick."""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import io
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.utils._auth
import torch.hub

import scalenet
import scalenet.ray.__main__
import search.__main__
import training.__main__
from scalenet import cli
from scalenet.data.labels import DATASETS
from search.recipes import get_recipe as get_search_recipe
from training.overrides import override
from training.recipes import RECIPES, get_recipe

from .docs_pages import ROOT, SMALL, Block, StaleError, compare

ABSENT = ("convert", "demo")  # need files of the authors'; never end
QUICK = {"bench": ["--seconds", "0.01", "--size", "64x64", "--threads", "1"]}  # added so that a run costs little
READERS = (huggingface_hub.constants, huggingface_hub.utils._auth, torch.hub)  # of environment variables
VARIABLES = [Path(m.__file__).read_text(encoding="utf-8") for m in READERS]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SHELL = ("cd", "cp", "scp", "mkdir")  # harmless words that are not looked into

Words = list[str]


def run_commands(block: Block, online: bool = False) -> int:
    """Check all commands of a block and run the quick ones in the working directory; returns how many ran.

    Raises:
        StaleError: naming the command that a parser refuses, that fails, or that puts out something else.
    """
    count = 0
    for line, output in command_lines(block):
        try:
            for words in parts(line):
                run = check(words, online)
                if run is not None and not block.reason:
                    compare("it", output, call(run))
                    count += 1
        except StaleError as e:
            raise StaleError(f"{block.where}: {line}\n{e}") from None
    return count


def command_lines(block: Block) -> Iterator[tuple[str, str]]:
    """Commands and what the page shows below each."""
    text = block.text.replace("\\\n", " ")
    if block.language == "bash":
        yield from ((line, "") for line in text.splitlines() if line.strip() and not line.startswith("#"))
        return
    head, *rest = re.split(r"^\$ ", text, flags=re.M)
    if head.strip() or not rest:
        raise StaleError(f"{block.where}: a console block begins with a line of $")
    for part in rest:
        line, _, output = part.partition("\n")
        yield line, output


def parts(line: str) -> Iterator[Words]:
    """The words of each command between ``&&``, variables before it checked and taken off, wildcards filled in."""
    words = shlex.split(line, comments=True)
    while words:
        end = words.index("&&") if "&&" in words else len(words)
        command, words = words[:end], words[end + 1 :]
        while command and re.match(r"[A-Z_]+=", command[0]):
            check_variable(command.pop(0))
        if command:
            yield [w for word in command for w in (sorted(glob.glob(word)) if "*" in word else [word])]


def check_variable(text: str) -> None:
    name = text.partition("=")[0]
    known = name.startswith(("PIP_", "OMP_", "CUDA_")) or any(f'"{name}"' in source for source in VARIABLES)
    if not known:
        raise StaleError(f"neither huggingface_hub nor torch.hub knows {name}")


def check(words: Words, online: bool) -> Callable[[], object] | None:
    """Parse a command; returns what runs it, or None where it is only parsed.

    Raises:
        StaleError: if it is wrong.
    """
    known = {n.partition(".")[0] for n in scalenet.list_models()}
    for word in words:
        if re.fullmatch(r"scalenet_[ps]\d(_bottomup)?(\.\w+)?", word) and word.partition(".")[0] not in known:
            raise StaleError(f"no network {word}")
    program, arguments = words[0], words[1:]
    if program == "torchrun":
        check(["python", "-m", *torchrun_arguments(arguments)], online)
        return None
    if program == "python" and arguments[:1] == ["-m"]:
        return check_module(arguments[1], arguments[2:])
    if program not in CHECKS and program not in SHELL:
        raise StaleError(f"{program}: no check for such a command")
    return CHECKS[program](arguments, online) if program in CHECKS else None


def parsed(parse: Callable[[Words], object], arguments: Words) -> object:
    """What a parser makes of arguments; its refusal as StaleError, None where it only prints help."""
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        try:
            return parse(arguments)
        except SystemExit as e:
            if e.code:
                raise StaleError(err.getvalue()) from None
            return None


def torchrun_arguments(arguments: Words) -> Words:
    from torch.distributed.run import get_args_parser

    args = parsed(get_args_parser().parse_args, arguments)
    if not args.module:
        raise StaleError("torchrun needs -m")
    return [args.training_script, *args.training_script_args]


def check_scalenet(arguments: Words, online: bool) -> Callable[[], object] | None:
    chosen = arguments[0] if arguments and arguments[0] in cli.COMMANDS else None
    args = parsed(cli.build_parser(chosen).parse_args, arguments)
    if args is None or args.command in ABSENT or is_elsewhere(getattr(args, "detector", None) or ""):
        return None
    away = not online and any("hf-hub:" in a for a in arguments)
    missing = args.command == "evaluate" and not (Path(args.root).is_dir() and is_there(args.name))
    if away or missing:
        return None
    if args.command == "export":  # takes long, as ONNX longer still: the smallest network shows the same
        if args.out.endswith(".onnx"):
            return None
        arguments = [SMALL if a == args.name else a for a in arguments]
    return lambda: cli.main([*arguments, *QUICK.get(args.command, [])])


def is_there(name: str) -> bool:
    """Whether a network's name is no file, or one that is here."""
    return not name.endswith(".safetensors") or Path(name).is_file()


def is_elsewhere(detector: str) -> bool:
    """Whether a detector would be downloaded, or is a file that is not here."""
    return detector.startswith("torchvision:") or (detector.endswith(".onnx") and not Path(detector).is_file())


def check_module(module: str, arguments: Words) -> Callable[[], object] | None:
    if module in ("training", "search"):
        main = {"training": training.__main__, "search": search.__main__}[module]
        args = parsed(main.build_parser().parse_args, arguments)
        return None if args is None else {"training": check_training, "search": check_search}[module](args, arguments)
    if module == "scalenet.ray":
        parsed(scalenet.ray.__main__.build_parser().parse_args, arguments)
        return None
    if module.partition(".")[0] != "benchmarks" or not importlib.util.find_spec(module):
        raise StaleError(f"no module {module}")
    return None


def wrong_keys(change: Callable[..., object], *args: object) -> None:
    try:
        change(*args)
    except ValueError as e:
        raise StaleError(str(e)) from None


def check_training(args: object, arguments: Words) -> Callable[[], object] | None:
    if args.command == "run":
        wrong_keys(get_recipe, args.recipe, args.overrides)
    if args.command == "finetune":
        wrong_keys(override, RECIPES["s0_teacher"], args.overrides)
        if Path(args.data).is_dir() and not args.scratch:
            return lambda: training.__main__.main([*arguments, "steps=1", "batch=2"])
    if args.command == "prepare" and Path(args.root).is_dir():
        return lambda: training.__main__.main(arguments)
    return None


def check_search(args: object, arguments: Words) -> Callable[[], object] | None:
    if args.command in ("run", "score", "deploy", "front"):
        wrong_keys(get_search_recipe, args.recipe, args.overrides)
    if args.command == "rank":
        wrong_keys(get_search_recipe, args.recipe)
        wrong_keys(get_recipe, args.alone, args.overrides)
    if args.command == "deploy" and args.dataset not in DATASETS:
        raise StaleError(f"no data set {args.dataset}")
    return (lambda: search.__main__.main(arguments)) if args.command == "report" else None


def check_pip(arguments: Words, online: bool) -> None:
    for word in arguments:
        for extra in re.findall(r"\[([\w,]+)\]", word):
            unknown = set(extra.split(",")) - set(PROJECT["optional-dependencies"])
            if unknown:
                raise StaleError(f"no extra {', '.join(unknown)}")
    if arguments[:1] not in (["install"], ["wheel"], ["config"]):
        raise StaleError("pip install, wheel and config are known")


def check_make(arguments: Words, online: bool) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    if not arguments or not set(arguments) <= set(targets):
        raise StaleError(f"the Makefile has {', '.join(targets)}")


def check_git(arguments: Words, online: bool) -> None:
    if arguments[0] != "clone":
        raise StaleError("git clone is known")


def check_ray(arguments: Words, online: bool) -> None:
    if arguments[:1] != ["start"] or not {"--head", "--address"} & set(arguments):
        raise StaleError("ray start with --head or --address is known")


def check_export(arguments: Words, online: bool) -> None:
    for text in arguments:
        check_variable(text)


CHECKS: dict[str, Callable[[Words, bool], object]] = {
    "scalenet": check_scalenet, "pip": check_pip, "make": check_make, "git": check_git, "export": check_export,
    "ray": check_ray,
}  # fmt: skip


def call(run: Callable[[], object]) -> str:
    """What a command prints.

    Raises:
        StaleError: if it ends with an error.
    """
    variables, threads = dict(os.environ), torch.get_num_threads()
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = run()
    for name in {*variables, *os.environ}:  # those alone that changed: threads of C code read the others meanwhile
        if name not in variables:
            del os.environ[name]
        elif os.environ.get(name) != variables[name]:
            os.environ[name] = variables[name]
    torch.set_num_threads(threads)
    if status:
        raise StaleError(f"exit status {status}: {err.getvalue()}")
    return out.getvalue()
