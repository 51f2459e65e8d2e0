"""One optimiser step: forward and backward of its batches, the check for finite numbers, AdamW, the average."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from uniref.core.batch import Batch
from uniref.core.device import autocast, best_precision
from uniref.engine.distributed import World, distribute, full, gradient_sync
from uniref.engine.loss_module import ground_truth_boxes
from uniref.engine.optim import Ema, global_norm, make_optimizer, set_rates
from uniref.engine.stage_model import build_loss_module, train_mode
from uniref.model.referring import ReferringModel
from uniref.recipe.recipe import StageConfig

_STREAM = 1_000_003  # keeps the random streams of different seeds apart


@dataclass
class StepResult:
    """What a step did."""

    applied: bool
    """False: the weights stayed as they were."""
    overflow: bool
    """The step was not applied because the scale of float16 gradients was too large; it has been halved."""
    loss: float
    """Mean over all batches and processes."""
    norm: float
    """Of the gradient, before clipping."""
    stop: bool
    """Whether any process was asked to stop."""
    terms: list[tuple[str, dict[str, Tensor]]] = field(default_factory=list)
    """Of this process: task and weighted loss terms of each batch."""
    seconds: float = 0.0


class TrainStep:
    """Model, optimiser and everything else that a step changes.

    Args:
        stage: Configuration.
        model: Weights at the start, on the CPU.
        world: The processes that share a step.
        seed: Of dropout and stochastic depth. Their random numbers are a function of the seed and the batch's number
            in the training, whichever process it falls to: nothing about them has to be saved.
    """

    def __init__(self, stage: StageConfig, model: ReferringModel, world: World, seed: int) -> None:
        self.stage, self.world, self.seed = stage, world, seed
        self.model = model.to(world.device)
        self.precision = best_precision(world.device) if stage.precision == "auto" else stage.precision
        self.network: nn.Module = distribute(build_loss_module(self.model, stage, self.precision), stage, world)
        self.optimizer = make_optimizer(self.model, stage.optim)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.ema = Ema(self.model, stage.ema) if stage.ema is not None else None
        scaled = self.precision == "float16" and world.device.type in ("cuda", "cpu")
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=scaled)

    def step(self, batches: Sequence[Batch], step: int, stop: bool = False) -> StepResult:
        """Train on the batches of this process.

        Args:
            batches: In the order of the sampler.
            step: Number of the step, from 0.
            stop: Whether this process was asked to stop.
        """
        began = time.perf_counter()
        train_mode(self.model)
        set_rates(self.optimizer, self.stage.optim.schedule, step)
        moved = [batch.to(self.world.device) for batch in batches]
        boxes = self._boxes_per_batch(moved)
        total = torch.zeros((), dtype=torch.float64, device=self.world.device)
        terms = []
        for place, batch in enumerate(moved):
            torch.manual_seed(
                self.seed * _STREAM
                + step * self.stage.micro_batches_per_step
                + place * self.world.size
                + self.world.rank
            )
            last = place == len(moved) - 1
            with gradient_sync(self.network, last):
                with autocast(self.world.device, self.precision):
                    losses: dict[str, Tensor] = self.network(batch, boxes, step)
                loss = torch.stack([term.float() for term in losses.values()]).sum()
                self.scaler.scale(loss / len(moved)).backward()
            total += loss.detach()
            terms.append((batch.task.value, {name: term.detach() for name, term in losses.items()}))
        shared = self.world.sum(torch.stack([total / self.stage.micro_batches_per_step, total.new_tensor(float(stop))]))
        loss, asked = shared.tolist()
        result = self._apply(loss, bool(asked))
        result.terms = terms
        result.seconds = time.perf_counter() - began
        return result

    def _apply(self, loss: float, stop: bool) -> StepResult:
        self.scaler.unscale_(self.optimizer)
        norm = full(global_norm(self.parameters))
        finite = bool(torch.isfinite(norm)) and math.isfinite(loss)
        if finite:
            if self.stage.optim.clip_norm is not None:
                torch.nn.utils.clip_grads_with_norm_(self.parameters, self.stage.optim.clip_norm, norm)
            self.scaler.step(self.optimizer)
            if self.ema is not None:
                self.ema.update(self.model)
        # a scale of 1 changes nothing: what is not finite then is the gradient itself
        overflow = not finite and self.scaler.is_enabled() and math.isfinite(loss) and self.scaler.get_scale() > 1
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return StepResult(finite, overflow, loss, float(norm), stop)

    def _boxes_per_batch(self, batches: Sequence[Batch]) -> float:
        """Ground-truth boxes of a batch, averaged over the whole step; at least 1."""
        count = torch.tensor(float(sum(map(ground_truth_boxes, batches))), device=self.world.device)
        return max(1.0, float(self.world.sum(count)) / self.stage.micro_batches_per_step)

    # --- state -------------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """The model's tensors as they are trained, complete, on the CPU; every process has to ask."""
        return {name: full(tensor).cpu() for name, tensor in self.model.state_dict().items()}

    def averaged(self) -> dict[str, Tensor]:
        """The tensors that are evaluated and exported: the moving average where the recipe asks for one."""
        tensors = self.weights()
        if self.ema is not None:
            tensors |= {name: full(tensor).cpu() for name, tensor in self.ema.average.items()}
        return tensors

    def state(self) -> dict[str, object]:
        """Everything besides the exported weights that the next step depends on; every process has to ask."""
        names = {id(p): name for name, p in self.model.named_parameters()}
        moments = {
            names[id(parameter)]: {key: full(value).cpu() for key, value in values.items()}
            for parameter, values in self.optimizer.state.items()
        }
        state: dict[str, object] = {"optimizer": moments, "scaler": self.scaler.state_dict()}
        if self.ema is not None:
            state["weights"] = self.weights()
        return state

    @torch.no_grad()
    def restore(self, exported: dict[str, Tensor], state: dict[str, object]) -> None:
        """Continue from what `averaged` and `state` gave.

        Raises:
            KeyError: A parameter that is trained now was not then.
        """
        weights = state.get("weights", exported)
        assert isinstance(weights, dict)
        for name, tensor in self.model.state_dict().items():
            _copy(tensor, weights[name])
        if self.ema is not None:
            for name, average in self.ema.average.items():
                _copy(average, exported[name])
        moments = state["optimizer"]
        assert isinstance(moments, dict)
        self.optimizer.state.clear()
        for name, parameter in self.model.named_parameters():
            if name in moments and parameter.requires_grad:
                self.optimizer.state[parameter] = {
                    key: _like(parameter, value) if value.dim() else value.clone()
                    for key, value in moments[name].items()
                }
        scaler = state["scaler"]
        assert isinstance(scaler, dict)
        self.scaler.load_state_dict(scaler)


def _copy(target: Tensor, source: Tensor) -> None:
    target.copy_(_like(target, source))


def _like(target: Tensor, source: Tensor) -> Tensor:
    """A complete tensor where `target` lies, and cut as it is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    moved = source.to(target.device)
    if isinstance(target, DTensor):
        return distribute_tensor(moved, target.device_mesh, target.placements)
    return moved.clone()
