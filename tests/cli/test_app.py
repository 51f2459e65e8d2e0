import os
import subprocess
import sys
from pathlib import Path

import pytest

from uniref.core.files import reading
from uniref.version import __version__
from uniref_cli.app import run


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("predict", "convert", "prepare-data", "train", "eval"):
        assert command in shown


def test_help_of_predict_is_grouped(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "--help"]) == 0
    panels = [line.strip("╭╮─ \n") for line in capsys.readouterr().out.splitlines() if line.startswith("╭")]
    assert panels == ["Arguments", "Inputs", "Prompts", "Inference", "Output", "Machine"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"uniref {__version__}\n"


STREET = str(Path(__file__).parents[2] / "examples" / "street.mp4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["predict", "--nonsense"], "No such option"),
        (["convert"], "name what to convert"),
        (["convert", "a", "b", "--dtype", "int3"], "int3"),
        (["predict", STREET, "--score-threshold", "7"], "score-threshold"),
        (["predict"], "no input given"),
        (["predict", STREET, "--text", "dog", "--checkpoint", "c", "--save", "film"], "--save 'film'"),
        (["predict", STREET, "--text", "dog", "--checkpoint", "c", "--shard", "0/2"], "--shard"),
        (["predict", STREET, "--text", "dog", "--checkpoint", "c", "--start", "soon"], "--start"),
        (["predict", STREET, "--checkpoint", "c"], "no prompt given"),
        (["predict", "no/*.mp4", "--text", "dog", "--checkpoint", "c"], "matches no file"),
    ],
)
def test_usage_errors_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("uniref: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize(("rank", "cleaned"), [({"RANK": "0"}, False), ({}, True)])
@pytest.mark.parametrize(("argument", "code"), [("--version", 0), ("--nonsense", 2)])
def test_processes_of_torchrun_end_without_clean_up(
    rank: dict[str, str], cleaned: bool, argument: str, code: int
) -> None:
    script = (
        "import atexit, sys; from uniref_cli.app import main; atexit.register(lambda: print('cleaned')); "
        f"sys.argv = ['uniref', '{argument}']; main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "RANK"} | rank
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == code
    assert ("cleaned" in done.stdout) is cleaned
    assert (f"uniref {__version__}" in done.stdout) is (code == 0)
    assert ("nonsense" in done.stderr) is (code == 2)


def test_shell_completion_offers_the_commands() -> None:
    environment = os.environ | {"_UNIREF_COMPLETE": "complete_bash", "COMP_WORDS": "uniref pre", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "uniref_cli.app"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.split() == ["predict", "prepare-data"]


def test_unexpected_errors_have_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("uniref_cli.predict_inputs.expand", lambda arguments: 1 / 0)
    assert run(["predict", "x", "--text", "y"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "ZeroDivisionError" in captured.err


def test_a_fault_of_ours_can_be_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(path: Path) -> object:
        with reading(path):
            return {}["a key that we forgot"]

    (tmp_path / "p.json").write_text("[]")
    monkeypatch.setattr("uniref_cli.predict_inputs.read_prompts", faulty)
    request = ["predict", "--prompts", str(tmp_path / "p.json")]
    assert run(request) == 1
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("UNIREF_DEBUG", "1")
    assert run(request) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "a key that we forgot" in told.partition("direct cause")[0]
