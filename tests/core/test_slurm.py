"""SLURM's variables as torchrun's."""

from __future__ import annotations

import pytest

from uniref.core.errors import UsageError
from uniref.core.slurm import first_node, torch_variables

TASK = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0", "SLURM_JOB_ID": "123456"}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu7", "gpu7"),
        ("gpu[03-05,9],login1", "gpu03"),
        ("a1,a2", "a1"),
        ("rack[1-2]-node[07,09]", "rack1-node07"),
        ("n-1.example.org", "n-1.example.org"),
    ],
)
def test_the_first_node(nodes: str, first: str) -> None:
    assert first_node({"SLURM_JOB_NODELIST": nodes}) == first


def test_a_task_of_srun() -> None:
    assert torch_variables(TASK | {"SLURM_JOB_NODELIST": "gpu[03-05]"}) == {
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "gpu03",
        "MASTER_PORT": "18456",
    }
    given = torch_variables(TASK | {"MASTER_ADDR": "head", "MASTER_PORT": "1234"})
    assert (given["MASTER_ADDR"], given["MASTER_PORT"]) == ("head", "1234")


def test_other_launchers_batch_scripts_and_single_tasks_are_left_alone() -> None:
    nodes = {"SLURM_JOB_NODELIST": "gpu[03-05]"}
    assert torch_variables(TASK | nodes | {"RANK": "0"}) == {}
    assert torch_variables({key: value for key, value in (TASK | nodes).items() if key != "SLURM_STEP_ID"}) == {}
    assert torch_variables(TASK | nodes | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}) == {}
    assert torch_variables({}) == {}


def test_what_cannot_be_understood() -> None:
    with pytest.raises(UsageError, match="names no node"):
        torch_variables(TASK)
    with pytest.raises(UsageError, match="SLURM_NTASKS=many: is not a number"):
        torch_variables(TASK | {"SLURM_NTASKS": "many", "MASTER_ADDR": "head"})
