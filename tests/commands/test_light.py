"""The command answers what needs no network without torch; options are spelled out; shells can complete them."""

import subprocess
import sys
from pathlib import Path

import pytest

from scalenet import cli

from ..conftest import status_of

ROOT = Path(__file__).parents[2]
CODE = (
    "import sys; sys.argv[0] = 'bin/scalenet'\n"
    "from scalenet.cli import main\n"
    "try: status = main()\n"
    "except SystemExit as e: status = e.code\n"
    "print('torch' in sys.modules, 'timm' in sys.modules, status)"
)


def last_line(*argv, code=CODE):
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.splitlines()[-1], done.stderr


@pytest.mark.parametrize(
    ("argv", "status"),
    [(["--help"], 0), (["--version"], 0), (["segment", "--help"], 0), (["pose", "--help"], 0), (["score", "--help"], 0),
     ([], 2), (["segmnt"], 2), (["segment", "a.png", "--windows", "3"], 2), (["evaluate", "scalenet_s0"], 2)],
    ids=str,
)  # fmt: skip
def test_help_and_wrong_options_come_without_torch(argv, status):
    line, err = last_line(*argv)
    assert line == f"False False {status}" and err.count("\n") == (status == 2)


HEAVY = {"torch", "torchvision", "timm", "numpy", "cv2", "PIL", "scipy", "huggingface_hub", "safetensors", "logging"}


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("module", ["scalenet", "scalenet.cli"])
def test_as_a_module_it_answers_without_a_package_that_takes_time(module, option):
    command = [sys.executable, "-X", "importtime", "-m", module, option]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "argparse" in imported and not imported & HEAVY
    assert "scalenet" in done.stdout and (option == "--version") == (done.stdout.count("\n") == 1)


def test_as_a_module_it_runs_subcommands():
    command = [sys.executable, "-m", "scalenet", "list", "scalenet_s0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "scalenet_s0" in done.stdout and not done.stderr


def test_a_subcommand_and_the_library_register_the_networks():
    assert last_line("list", "scalenet_s0")[0] == "True True 0"
    code = "import scalenet, timm; print(timm.is_model('scalenet_s0'), 'create_model' in vars(scalenet))"
    assert last_line(code=code)[0] == "True True"
    code = CODE.replace("from scalenet.cli import main", "import scalenet; main = lambda: scalenet.Arch.__name__")
    assert last_line(code=code)[0] == "False False Arch"


def test_options_are_not_guessed_from_a_part_of_them(capsys):
    assert status_of(cli.main, ["segment", "a.png", "--batch", "2"]) == 2
    assert "unrecognized arguments: --batch" in capsys.readouterr().err


def test_a_wildcard_that_matches_nothing_is_told_by_the_status(capsys):
    assert cli.main(["list", "scalenet_x*"]) == 1
    assert "no network matches 'scalenet_x*'" in capsys.readouterr().err
    assert cli.main(["list", "scalenet_s0", "--json"]) == 0


def test_completion_knows_every_option(capsys, monkeypatch):
    pytest.importorskip("shtab", reason="pip install shtab")
    for shell in ("bash", "zsh"):
        assert status_of(cli.main, ["--print-completion", shell]) == 0
        out = capsys.readouterr().out
        assert "--skip-existing" in out and "--detector" in out
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert status_of(cli.main, ["--print-completion", "bash"]) == 2
    assert "pip install shtab" in capsys.readouterr().err
