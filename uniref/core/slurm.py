"""SLURM's variables as those of torchrun: `srun uniref train` needs no launcher of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uniref.core.errors import UsageError

_FIRST_PORT, _PORTS = 15_000, 10_000


def torch_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT of one of srun's tasks; empty where there are not
    several, or another launcher has set RANK.

    A batch script has the variables of its allocation too: only a step of srun, or MASTER_ADDR, makes it a task.

    Args:
        environment: Variables of the process.

    Raises:
        UsageError: The variables are not numbers, or no node can be found in them.
    """
    is_task = "SLURM_STEP_ID" in environment or "MASTER_ADDR" in environment
    if "RANK" in environment or "SLURM_PROCID" not in environment or not is_task:
        return {}
    tasks = _number(environment, "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS", 1)
    if tasks == 1:
        return {}
    # the port is the same for all tasks of a job, and another one for most other jobs on the same node
    job = environment.get("SLURM_JOB_ID", "0")
    port = _FIRST_PORT + int(job) % _PORTS if job.isdecimal() else _FIRST_PORT
    return {
        "RANK": str(_number(environment, "SLURM_PROCID", 0)),
        "WORLD_SIZE": str(tasks),
        "LOCAL_RANK": str(_number(environment, "SLURM_LOCALID", 0)),
        "MASTER_ADDR": environment.get("MASTER_ADDR") or first_node(environment),
        "MASTER_PORT": environment.get("MASTER_PORT", str(port)),
    }


def first_node(environment: Mapping[str, str]) -> str:
    """The first node of SLURM's list: `gpu03` of `gpu[03-05,9],login1`. Raises UsageError."""
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    # commas separate nodes, but not inside brackets; of every bracket, the first number counts
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])+", nodes)
    if first is None:
        raise UsageError("SLURM_PROCID is set, but SLURM_JOB_NODELIST names no node; set MASTER_ADDR to the first one")
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", first[0])


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, str(default))
    if not value.isdecimal():
        raise UsageError(f"{name}={value}: is not a number; start with srun or torchrun")
    return int(value)
