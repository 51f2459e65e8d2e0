"""The Dockerfile: linted where hadolint is installed, read otherwise, and built where a daemon answers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTRUCTIONS = {"ARG", "FROM", "RUN", "ENV", "COPY", "VOLUME", "WORKDIR", "ENTRYPOINT", "CMD"}


def instructions() -> list[tuple[str, str]]:
    """Instruction and the rest of it, continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"))
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_hadolint_has_no_complaint() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_file_is_made_of_known_instructions_in_a_valid_order() -> None:
    found = instructions()
    names = [name for name, _ in found]
    assert set(names) <= INSTRUCTIONS
    assert names[:2] == ["ARG", "FROM"]  # the base is an argument
    assert names.count("FROM") == 1
    assert names[-2:] == ["ENTRYPOINT", "CMD"]
    for name, rest in found:
        if name in ("ENTRYPOINT", "CMD"):
            assert re.fullmatch(r'\["[^"]+"\]', rest)  # no shell in between that would swallow signals


def test_every_argument_that_the_file_mentions_is_declared() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    declared = {rest.partition("=")[0] for name, rest in instructions() if name == "ARG"}
    assert set(re.findall(r"--build-arg (\w+)=", text)) == declared
    assert set(re.findall(r"\$\{(\w+)\}", text)) == declared


@pytest.mark.slow
def test_the_image_shows_the_help() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False, timeout=60).returncode:
        pytest.skip("no Docker daemon answers")
    subprocess.run([docker, "build", "--quiet", "--tag", "uniref:test", str(ROOT)], check=True)
    done = subprocess.run([docker, "run", "--rm", "uniref:test"], capture_output=True, text=True, check=True)
    assert "predict" in done.stdout
