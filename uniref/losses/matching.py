"""Target assignment: SimOTA for the queries of every decoder layer, Hungarian matching for the encoder's proposals.

Axes: L decoder layers, Q queries, K classes, N objects of an image, T encoder tokens, M matches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uniref.core.boxes import cxcywh_to_xyxy
from uniref.losses.terms import iou_and_giou
from uniref.recipe.loss import FocalConfig, HungarianConfig, SimOtaConfig

NONE = -1
"""A query without an object."""
_EPS = 1e-8  # inside logarithms
_WORST = 1e9  # cost of a pair that cannot be compared


@torch.no_grad()
def sim_ota(
    logits: Tensor,
    boxes: Tensor,
    target_boxes: Sequence[Tensor],
    classes: Sequence[Tensor],
    focal: FocalConfig,
    config: SimOtaConfig,
) -> Tensor:
    """SimOTA (Ge et al., YOLOX, 2021): dynamic-k assignment of queries to objects.

    The cost of a pair is the focal class cost, minus weighted GIoU, plus penalties for a centre outside the object.
    Each object takes its k cheapest queries, where k is the sum of its best IoUs; a query that is taken twice stays
    with its cheapest object. The host waits for the device once per batch.

    Args:
        logits: Float [L, B, Q, K]; images and layers are matched independently.
        boxes: Float [L, B, Q, 4], cxcywh as fractions of the image.
        target_boxes: Of each image, float [N, 4], same format.
        classes: Of each image, int64 [N], below K.
        focal, config: Parameters of the costs.

    Returns:
        Int64 [B, L, Q], the object of each query among its image's, or NONE. Every object has a query in every layer,
        unless there are fewer queries than objects.
    """
    parts = [
        _dynamic_k(logits[:, row], boxes[:, row], target_boxes[row], classes[row], focal, config)
        for row in range(len(target_boxes))
    ]
    # an object that has lost all its queries gets a free one; that is rare
    empty = [
        ~(matched[..., None] == torch.arange(cost.shape[-1], device=cost.device)).any(1) for matched, cost in parts
    ]  # [L, N] each
    for (matched, cost), lost, some in zip(parts, empty, torch.stack([e.any() for e in empty]).tolist(), strict=True):
        for layer in lost.any(-1).nonzero().flatten().tolist() if some else ():
            _fill(matched[layer], cost[layer], lost[layer])
    return torch.stack([matched for matched, _ in parts])


def _dynamic_k(
    logits: Tensor, boxes: Tensor, target_boxes: Tensor, classes: Tensor, focal: FocalConfig, config: SimOtaConfig
) -> tuple[Tensor, Tensor]:
    """Objects of one image's queries, int64 [L, Q], where an object may have lost all of its own; and the costs of all
    pairs, float [L, Q, N]. Logits [L, Q, K], boxes [L, Q, 4]."""
    if not len(target_boxes):
        return torch.full(logits.shape[:2], NONE, device=logits.device), boxes.new_zeros((*logits.shape[:2], 0))
    # costs of all pairs
    iou, giou = iou_and_giou(cxcywh_to_xyxy(boxes)[..., None, :], cxcywh_to_xyxy(target_boxes))
    in_both, in_any = _centres_in(boxes[..., :2], target_boxes, config.radius)
    cost = class_cost(logits, classes, focal) - config.giou * giou
    cost = cost + config.outside_centre * ~in_both + config.outside_all * ~in_any
    # each object takes its cheapest queries; one taken twice stays with its cheapest object
    candidates = min(config.candidates, iou.shape[1])
    taken = _cheapest(cost, iou.topk(candidates, dim=1).values.sum(1).long().clamp(min=1), candidates)
    takers = taken.sum(-1)
    matched = torch.where(takers > 1, cost.argmin(-1), taken.long().argmax(-1)).masked_fill(takers == 0, NONE)
    return matched, cost


def class_cost(logits: Tensor, classes: Tensor, focal: FocalConfig) -> Tensor:
    """Focal loss of taking an object's class minus that of not taking it: [..., K] and int64 [N] -> [..., N]."""
    p = logits[..., classes].sigmoid()
    positive = -focal.alpha * (1 - p) ** focal.gamma * (p + _EPS).log()
    negative = -(1 - focal.alpha) * p**focal.gamma * (1 - p + _EPS).log()
    return positive - negative


def _centres_in(centres: Tensor, targets: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Whether queries' centres lie in both an object's box and its central square, bool [L, Q, N]; and in any box or
    square at all, bool [L, Q, 1]."""
    offset = (centres[..., None, :] - targets[:, :2]).abs()
    in_box = (offset < targets[:, 2:] / 2).all(-1)
    in_square = (offset < radius).all(-1)
    return in_box & in_square, (in_box | in_square).any(-1, keepdim=True)


def _cheapest(cost: Tensor, counts: Tensor, most: int) -> Tensor:
    """Each object's cheapest queries: cost [L, Q, N] and int64 [L, N], at most `most` -> bool [L, Q, N]."""
    chosen = cost.topk(most, dim=1, largest=False).indices
    within = torch.arange(most, device=cost.device)[:, None] < counts[:, None]
    return torch.zeros_like(cost, dtype=torch.bool).scatter(1, chosen, within)


def _fill(matched: Tensor, cost: Tensor, empty: Tensor) -> None:
    """Give empty objects a free query each, cheapest pair first; changes `matched` [Q]. Cost [Q, N], empty [N]."""
    free = matched == NONE
    pairs = cost.masked_fill(~(free[:, None] & empty), torch.inf)
    for _ in range(min(int(free.sum()), int(empty.sum()))):
        query, target = divmod(int(pairs.argmin()), pairs.shape[1])
        matched[query] = target
        pairs[query] = torch.inf
        pairs[:, target] = torch.inf


@torch.no_grad()
def hungarian(
    logits: Tensor,
    boxes: Tensor,
    target_boxes: Sequence[Tensor],
    classes: Sequence[Tensor],
    focal: FocalConfig,
    config: HungarianConfig,
) -> Tensor:
    """Hungarian matching (DETR, Carion et al., 2020): the cheapest one-to-one assignment of objects to proposals.

    The costs of a whole batch come to the host at once, where the assignments are solved.

    Args:
        logits: Float [B, T, K].
        boxes: Float [B, T, 4], cxcywh as fractions of the image.
        target_boxes, classes, focal: As for `sim_ota`.
        config: Weights of the costs.

    Returns:
        Int64 [B, T], the object of each proposal among its image's, or NONE.
    """
    from scipy.optimize import linear_sum_assignment

    # costs of all pairs
    costs = []
    for row, targets in enumerate(target_boxes):
        _, giou = iou_and_giou(cxcywh_to_xyxy(boxes[row])[:, None], cxcywh_to_xyxy(targets))
        distance = torch.cdist(boxes[row], targets, p=1)
        costs.append(
            config.cls * class_cost(logits[row], classes[row], focal) + config.l1 * distance - config.giou * giou
        )
    # NaN (the step will not be applied) would make the solver fail
    on_host = torch.cat(costs, dim=1).nan_to_num(nan=_WORST).double().cpu()  # [T, N of all images]
    # objects as rows: the solver's time grows with the square of the rows alone
    matched = torch.full(logits.shape[:2], NONE)
    for row, cost in enumerate(on_host.split([len(targets) for targets in target_boxes], dim=1)):
        targets, proposals = linear_sum_assignment(cost.T.numpy())
        matched[row, torch.as_tensor(proposals)] = torch.as_tensor(targets)
    return matched.to(logits.device, non_blocking=True)


@dataclass(frozen=True)
class Matches:
    """Pairs of query and object of all images and layers, ordered by image, then layer, then query; int64 [M] each."""

    layers: Tensor
    rows: Tensor
    """Index of the image in the batch."""
    queries: Tensor
    targets: Tensor
    """Index among the objects of all images, one image's after the other's."""

    @staticmethod
    def gather(matched: Tensor, counts: Sequence[int]) -> Matches:
        """From the object of each query among its image's, int64 [B, L, Q], and the number of objects of each image."""
        first = itertools.accumulate(counts, initial=0)
        objects = torch.stack([each + before for each, before in zip(matched, first)])  # noqa: B905 - one more sum
        rows, layers, queries = (matched != NONE).nonzero(as_tuple=True)
        return Matches(layers, rows, queries, objects[rows, layers, queries])

    def __getitem__(self, chosen: Tensor | slice) -> Matches:
        return Matches(self.layers[chosen], self.rows[chosen], self.queries[chosen], self.targets[chosen])

    def __len__(self) -> int:
        return len(self.layers)

    def per_layer(self, values: Tensor, layers: int) -> Tensor:
        """Sums over the matches of each layer: [M, ...] -> [L, ...]."""
        return values.new_zeros(layers, *values.shape[1:]).index_add(0, self.layers, values)

    def counts(self, layers: int) -> Tensor:
        """Matches of each layer, at least 1 (a divisor): float [L]."""
        return self.per_layer(torch.ones(len(self), device=self.layers.device), layers).clamp(min=1)

    def at_most(self, count: int, layers: int) -> Matches:
        """A random choice of at most `count` matches in each layer, in the same order."""
        order, sizes = self.layers.argsort(stable=True), self.layers.bincount(minlength=layers).tolist()
        kept = [indices[torch.randperm(len(indices), device=indices.device)[:count]] for indices in order.split(sizes)]
        return self[torch.cat(kept).sort().values]

    def parts(self, size: int) -> list[Matches]:
        """The matches in their order, `size` at a time; at least one part."""
        return [self[start : start + size] for start in range(0, max(1, len(self)), size)]
