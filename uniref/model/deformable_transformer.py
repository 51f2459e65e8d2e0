"""The transformer that detects objects in (fused) features: Deformable DETR (Zhu et al., ICLR 2021) with two stages and
iterative box refinement, and with mixed query selection and look forward twice of DINO (Zhang et al., ICLR 2023).

Axes: B batch, S tokens of all levels, C width, Q queries, L feature levels, D decoder layers, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from uniref.core.boxes import inverse_sigmoid
from uniref.core.device import without_autocast
from uniref.model.deformable_layers import MLP, DecoderLayer, EncoderLayer
from uniref.model.structures import Detections, Proposals
from uniref.ops.constants import constant
from uniref.ops.ms_deform_attn import Sizes
from uniref.recipe.model import TransformerConfig

TEMPERATURE = 10000.0  # of the sine position encodings
_PRIOR = 0.01  # class probability that a new class head predicts (focal loss)
_ANCHOR = 0.05  # side of a proposal box at stride 8, as a fraction of the image; doubled per level


class DeformableTransformer(nn.Module):
    """Encoder, proposals and decoder with box refinement.

    Args:
        config: Layers, heads, points, queries.
        dim: Width C.
        levels: Feature levels L.
        classes: Outputs K of the class heads.
    """

    def __init__(self, config: TransformerConfig, dim: int, levels: int, classes: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(EncoderLayer(config, dim, levels) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config, dim, levels) for _ in range(config.decoder_layers))
        self.level_embed = nn.Parameter(torch.randn(levels, dim))
        self.query_embed = nn.Embedding(config.queries, dim)
        self.proposal = nn.Linear(dim, dim)
        self.proposal_norm = nn.LayerNorm(dim)
        self.query_position = nn.Linear(2 * dim, 2 * dim)
        self.query_position_norm = nn.LayerNorm(2 * dim)
        # heads 0 .. D - 1 belong to the decoder layers, the last one to the proposals
        heads = config.decoder_layers + 1
        self.class_heads = nn.ModuleList(nn.Linear(dim, classes) for _ in range(heads))
        self.box_heads = nn.ModuleList(MLP(dim, dim, 4, 3) for _ in range(heads))
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for class_head in self.class_heads:
            assert isinstance(class_head, nn.Linear)
            nn.init.constant_(class_head.bias, -math.log((1 - _PRIOR) / _PRIOR))
        for index, box_head in enumerate(self.box_heads):
            assert isinstance(box_head, MLP)
            last = box_head.layers[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            if index == 0:
                # the first layer starts from a small box, as in Deformable DETR
                nn.init.constant_(last.bias[2:], -2.0)

    def forward(self, levels: Sequence[Tensor], paddings: Sequence[Tensor], with_proposals: bool = False) -> Detections:
        """Detect objects in a batch of (fused) features.

        Args:
            levels: Float [B, C, h, w] per level.
            paddings: Bool [B, h, w] per level, or [1, h, w] shared by the batch.
            with_proposals: Also return every token's class and box (training).

        Returns:
            Classes, boxes and states of every decoder layer, and the encoder's output.
        """
        # levels to one sequence of tokens with position and level encodings
        batch, dim = levels[0].shape[:2]
        sizes = [(x.shape[-2], x.shape[-1]) for x in levels]
        tokens = torch.cat([x.flatten(2).transpose(1, 2) for x in levels], dim=1)
        encodings = [pixel_positions(padding, dim).flatten(2).transpose(1, 2) for padding in paddings]
        positions = torch.cat([x + self.level_embed[index] for index, x in enumerate(encodings)], dim=1)
        ratios = torch.stack([valid_ratio(padding) for padding in paddings], dim=1)  # [B, L, 2]
        padding = torch.cat([p.flatten(1) for p in paddings], dim=1)
        ratios, positions, padding = (x.expand(batch, *x.shape[1:]) for x in (ratios, positions, padding))

        # encoder: every pixel samples around its own centre
        memory, centres = tokens, pixel_centres(sizes, ratios)
        for layer in self.encoder:
            memory = layer(memory, positions, centres, sizes, padding)

        # first stage: the boxes of the best tokens; second stage: the decoder refines them
        with without_autocast(memory):
            start, proposals = self._propose(memory.float(), sizes, paddings, padding, with_proposals)
        logits, boxes, reference_boxes, query_states = self._decode(memory, start, sizes, ratios, padding)

        split = memory.split([h * w for h, w in sizes], dim=1)
        maps = tuple(x.transpose(1, 2).unflatten(2, size).contiguous() for x, size in zip(split, sizes, strict=True))
        return Detections(logits, boxes, reference_boxes, query_states, maps, proposals)

    def _propose(
        self, memory: Tensor, sizes: Sizes, paddings: Sequence[Tensor], padding: Tensor, with_proposals: bool
    ) -> tuple[Tensor, Proposals | None]:
        """The best tokens' boxes as logits [B, Q, 4], detached, and every token's class and box if asked for."""
        # one anchor per token; padded tokens and those at the image's border propose nothing
        anchors = torch.cat(
            [level_anchors(p, size, level) for level, (p, size) in enumerate(zip(paddings, sizes, strict=True))], dim=1
        )
        anchors = anchors.expand(len(memory), -1, -1)
        usable = ((anchors > 0.01) & (anchors < 0.99)).all(-1) & ~padding
        anchors = torch.log(anchors / (1 - anchors)).masked_fill(~usable[..., None], math.inf)
        features = self.proposal_norm(self.proposal(memory.masked_fill(~usable[..., None], 0)))
        # the best by the first class
        class_head, box_head = self.class_heads[-1], self.box_heads[-1]
        logits = class_head(features)
        top = logits[..., 0].topk(min(self.query_embed.num_embeddings, logits.shape[1]), dim=1).indices[..., None]
        # boxes: of all tokens for their loss, else of the best alone
        if with_proposals:
            boxes = box_head(features) + anchors
            best = boxes.gather(1, top.expand(-1, -1, 4))
            return best.detach(), Proposals(logits, boxes.sigmoid())
        best = box_head(features.gather(1, top.expand(-1, -1, features.shape[-1])))
        return (best + anchors.gather(1, top.expand(-1, -1, 4))).detach(), None

    def _decode(
        self, memory: Tensor, start: Tensor, sizes: Sizes, ratios: Tensor, padding: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Class logits [D, B, Q, K], boxes and reference boxes [D, B, Q, 4], query states [D, B, Q, C] of every
        layer."""
        batch, queries, _ = start.shape
        dim = memory.shape[-1]
        # mixed query selection: positions come from the proposals' boxes, contents are learned
        reference = start.sigmoid()
        encoded = self.query_position_norm(self.query_position(box_positions(reference, dim // 2)))
        positions = encoded[..., :dim]
        states = self.query_embed.weight[:queries].expand(batch, -1, -1)
        scale = torch.cat([ratios, ratios], dim=-1)[:, None]  # [B, 1, L, 4]
        # look forward twice: a layer's box is an offset to the undetached box before it, while the layer itself samples
        # around the detached one
        undetached = reference
        logits, boxes, reference_boxes, query_states = [], [], [], []
        for layer, class_head, box_head in zip(self.decoder, self.class_heads, self.box_heads, strict=False):
            states = layer(states, positions, reference[:, :, None] * scale, memory, sizes, padding)
            # in half precision, scores tie and boxes jump by pixels
            with without_autocast(states):
                delta = box_head(states.float())
                logits.append(class_head(states.float()))
            boxes.append((delta + inverse_sigmoid(undetached)).sigmoid())
            reference_boxes.append(undetached)
            query_states.append(states)
            undetached = (delta + inverse_sigmoid(reference)).sigmoid()
            reference = undetached.detach()
        return torch.stack(logits), torch.stack(boxes), torch.stack(reference_boxes), torch.stack(query_states)


def valid_ratio(padding: Tensor) -> Tensor:
    """Unpadded share of a level's width and height: bool [B, h, w] -> float [B, 2] (x, y)."""
    height, width = padding.shape[1:]
    return torch.stack([(~padding[:, 0, :]).sum(1) / width, (~padding[:, :, 0]).sum(1) / height], dim=-1)


def _pixel_grid(size: tuple[int, int], device: torch.device) -> Tensor:
    """Pixel centres (x, y) of a level in its own pixels: float [1, h * w, 2]."""
    ys = torch.arange(size[0], dtype=torch.float32, device=device) + 0.5
    xs = torch.arange(size[1], dtype=torch.float32, device=device) + 0.5
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y], dim=-1).view(1, -1, 2)


def pixel_centres(sizes: Sizes, ratios: Tensor) -> Tensor:
    """Each token's own location in every level, as a fraction of that level's padded size.

    Args:
        sizes: (height, width) of each level.
        ratios: Float [B, L, 2], unpadded share (x, y) of each level.

    Returns:
        Float [B, S, L, 2].
    """
    centres = []
    for index, (h, w) in enumerate(sizes):
        unpadded = ratios[:, None, index] * constant((w, h), ratios)
        centres.append(_pixel_grid((h, w), ratios.device) / unpadded)
    return torch.cat(centres, dim=1)[:, :, None] * ratios[:, None]


def level_anchors(padding: Tensor, size: tuple[int, int], level: int) -> Tensor:
    """Proposal boxes of a level: centred on each pixel, side 0.05 * 2 ** level.

    Args:
        padding: Bool [B, h, w].
        size: (h, w).
        level: 0 for stride 8.

    Returns:
        Float [B, h * w, 4], cxcywh as fractions of the unpadded level.
    """
    unpadded = torch.stack([(~padding[:, 0, :]).sum(1), (~padding[:, :, 0]).sum(1)], dim=-1)
    centres = _pixel_grid(size, padding.device) / unpadded[:, None]
    return torch.cat([centres, torch.full_like(centres, _ANCHOR * 2.0**level)], dim=-1)


def pixel_positions(padding: Tensor, width: int) -> Tensor:
    """Sine position encoding of a feature map, normalised over its unpadded part.

    Args:
        padding: Bool [B, h, w], True = padded.
        width: Channels of the result, a multiple of 4: the first half encodes y, the second x.

    Returns:
        Float32 [B, width, h, w].
    """
    valid = ~padding
    ys = valid.cumsum(1, dtype=torch.float32)
    xs = valid.cumsum(2, dtype=torch.float32)
    ys = (ys - 0.5) / (ys[:, -1:, :] + 1e-6) * (2 * math.pi)
    xs = (xs - 0.5) / (xs[:, :, -1:] + 1e-6) * (2 * math.pi)
    return torch.cat([_interleaved_sine(ys, width // 2), _interleaved_sine(xs, width // 2)], dim=-1).permute(0, 3, 1, 2)


def box_positions(boxes: Tensor, features: int) -> Tensor:
    """Sine position encoding of boxes.

    Args:
        boxes: Float [B, Q, 4], cxcywh in 0..1.
        features: Channels per coordinate, even.

    Returns:
        Float32 [B, Q, 4 * features], in the order cx, cy, w, h.
    """
    return _interleaved_sine(boxes * (2 * math.pi), features).flatten(2)


def _interleaved_sine(x: Tensor, features: int) -> Tensor:
    """Positions [...] to [..., features]: sine and cosine in turn, geometric frequencies."""
    steps = torch.arange(features, dtype=torch.float32, device=x.device)
    frequencies = TEMPERATURE ** (2 * torch.div(steps, 2, rounding_mode="floor") / features)
    phase = x[..., None] / frequencies
    return torch.stack([phase[..., 0::2].sin(), phase[..., 1::2].cos()], dim=-1).flatten(-2)
