"""Language extension: lets a short training on few texts learn what words mean. Not part of UniRef++, off by default.

`recipes/small.yaml` uses all of it; its recipe sections are in `uniref.recipe.language`:

- alignment loss (`align`, `align_only`): sentences and the image features of their objects become similar before they
  are fused, with further expressions of each image (`phrases`) where a source gives them
- dense proposals: every token on an object learns it
- initial values of UniFusion (`fusion_gate`, `shared_projections`)
- sampling by kinds of expressions (`kinds`), and of expressions that refer to nothing (`absent`)

Axes: B images, N objects, P sentences, C width, T tokens of all levels, h x w a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uniref.core.batch import Batch, TextTokens
from uniref.core.errors import UsageError
from uniref.core.tasks import Task
from uniref.core.text import clean_text
from uniref.core.types import BoolMask
from uniref.data.frames import union_mask
from uniref.data.index import Expression, Index, Sample
from uniref.data.train.augment import Transform, has_ordinal, swap_sides
from uniref.data.train.sources import Reals, SourceHooks, Tokenise, TrainSource, rows_by
from uniref.losses.criterion import LossHooks, Terms
from uniref.losses.matching import NONE, Matches
from uniref.model.referring import ReferringModel
from uniref.model.structures import Features, ProjectedReference
from uniref.ops.images import pad_mask
from uniref.recipe.language import LanguageConfig, LanguageSourceConfig

_SHARPNESS = 12.0  # of the softmax over cosines


# --- sampling --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phrases:
    """P further expressions of the images of a batch, any number of each (`Batch.extra`)."""

    text: TextTokens
    """[P, K]."""
    masks: Tensor
    """Bool [P, H, W] at network input size: the object of each."""
    images: Tensor
    """Int64 [P]: the image, 0..B - 1."""


class LanguageSource(SourceHooks):
    """Expressions of some kinds only, those that refer to nothing, and further expressions of each image.

    Args:
        config: Which.
        index: The source's samples.
        task: What it is used for.

    Raises:
        UsageError: Further or absent expressions are asked for, but the task is not `ris`, or the index has none that
            refer to nothing.
    """

    def __init__(self, config: LanguageSourceConfig, index: Index, task: Task) -> None:
        name = index.manifest.name
        for key in ("phrases", "absent"):
            if getattr(config, key) and task is not Task.RIS:
                raise UsageError(f"{name}: `{key}` is for images with expressions (ris), not for {task.value}")
        if config.absent and not index.sample_column("no_target").any():
            raise UsageError(
                f"{name}: `absent` needs expressions that refer to nothing, and its index has none; leave it out, or "
                "prepare synthetic data of an earlier version again with --overwrite"
            )
        self.config, self.index = config, index
        self._rows_of_media = rows_by(index, "media") if config.phrases or config.absent else {}

    def sample_weights(self) -> Reals | None:
        """1 for samples with an expression of the wanted kinds, else 0.

        Raises:
            UsageError: There are none.
        """
        if not self.config.kinds:
            return None
        index = self.index
        weights = np.array(
            [
                any(self.accepts(index.expression(row)) for row in index.sample(number).expressions)
                for number in range(len(index))
            ],
            np.float64,
        )
        if not weights.any():
            raise UsageError(f"{index.manifest.name}: has no expressions of the kinds {', '.join(self.config.kinds)}")
        return weights

    def accepts(self, expression: Expression) -> bool:
        """Whether an expression is of one of the `kinds`: synthetic data names it at the end of its id."""
        kinds = self.config.kinds
        return not kinds or expression.source_id.endswith(tuple(f":{kind}" for kind in kinds))

    def draw_absent(self, sample: Sample, rng: np.random.Generator) -> str | None:
        """With the probability `absent`, one of the expressions of a sample's image that refer to nothing."""
        if not self.config.absent or rng.random() >= self.config.absent:
            return None
        samples = [self.index.sample(int(row)) for row in self._rows_of_media[sample.media]]
        expressions = [self.index.expression(row) for each in samples if each.no_target for row in each.expressions]
        texts = [text for each in expressions if (text := clean_text(each.text)).strip()]
        return texts[int(rng.integers(len(texts)))] if texts else None

    def draw_extra(
        self, source: TrainSource, sample: Sample, transform: Transform, rng: np.random.Generator
    ) -> tuple[tuple[str, BoolMask], ...]:
        """Some expressions of a sample's image, its own among them, that are true after `transform`, each with the mask
        of its object, [h, w]."""
        if not self.config.phrases:
            return ()
        index, released = self.index, source.augment.released_words
        samples = [index.sample(int(row)) for row in self._rows_of_media[sample.media]]
        candidates = [(each, row) for each in samples if not each.no_target for row in each.expressions]
        masks: dict[int, BoolMask | None] = {}
        phrases: list[tuple[str, BoolMask]] = []
        for chosen in rng.permutation(len(candidates)):
            each, row = candidates[chosen]
            # an expression that may be used, and stays true
            expression = index.expression(row)
            text = clean_text(expression.text)
            if not text.strip() or not self.accepts(expression):
                continue
            if transform.cropped and has_ordinal(text, released):
                continue
            # whose object is still in the image
            if each.row not in masks:
                mask = union_mask([index.annotations(one) for one in each.objects], 0)
                masks[each.row] = None if mask is None else transform.visible_mask(mask)
            mask = masks[each.row]
            if mask is not None:
                phrases.append((swap_sides(text, released) if transform.flipped else text, mask))
            if len(phrases) == self.config.phrases:
                break
        return tuple(phrases)

    def collate_extra(
        self, extras: Sequence[tuple[tuple[str, BoolMask], ...]], size: Sequence[int], tokenizer: Tokenise | None
    ) -> Phrases | None:
        """The further expressions of all samples of a batch, one after the other."""
        if not any(extras):
            return None
        assert tokenizer is not None
        return Phrases(
            text=TextTokens(*tokenizer([text for phrases in extras for text, _ in phrases])),
            masks=torch.cat(
                [
                    pad_mask(torch.from_numpy(np.ascontiguousarray(mask))[None], size)
                    for phrases in extras
                    for _, mask in phrases
                ]
            ),
            images=torch.tensor([image for image, phrases in enumerate(extras) for _ in phrases]),
        )


# --- initial values and losses ---------------------------------------------------------------------------------------


class LanguageLosses(LossHooks):
    """Alignment loss before fusion, dense proposals, and initial values of the fusion.

    Args:
        config: What is switched on.
    """

    def __init__(self, config: LanguageConfig) -> None:
        self.config = config
        self.ends_before_fusion = config.align_only

    @torch.no_grad()
    def initialise(self, model: ReferringModel) -> None:
        """Open the fusion's gate, and let its key projection start as a copy of its query projection."""
        if model.fusion is None:
            return
        if self.config.shared_projections:
            model.fusion.key.load_state_dict(model.fusion.query.state_dict())
        gate = model.fusion.modulation.bias.chunk(3)[2]  # after shift and scale
        gate.fill_(self.config.fusion_gate)

    def losses_before_fusion(
        self, model: ReferringModel, batch: Batch, features: Features, references: Sequence[ProjectedReference]
    ) -> Terms:
        """The alignment loss of a batch with texts.

        Raises:
            UsageError: The batch has no masks, or with `align_only` no texts.
        """
        if not self.config.align or batch.text is None:
            if self.config.align_only:
                raise UsageError(
                    f"language.align_only trains on texts alone, and this is a batch of {batch.task.value}"
                )
            return {}
        # a sentence per image, and its object
        objects = [target.masks.any(0) for target in batch.targets if target.masks is not None]
        if len(objects) < len(batch):
            raise UsageError("language.align needs masks, which this batch lacks; set it to 0")
        sentences, masks, images = references[0][0].embedding, torch.stack(objects), None
        # further expressions of the images
        if isinstance(batch.extra, Phrases):
            phrases = batch.extra
            further = model.encode_text(phrases.text.ids, phrases.text.valid)
            sentences = torch.cat([sentences, further[0].embedding])
            masks = torch.cat([masks, phrases.masks])
            images = torch.cat([torch.arange(len(batch), device=masks.device), phrases.images])
        with torch.autocast(batch.images.device.type, enabled=False):
            loss = alignment_loss(features.levels, features.paddings, sentences, masks, images)
        return {"loss_align": self.config.align * loss}

    def match_proposals(self, batch: Batch, level_sizes: Sequence[tuple[int, int]]) -> Matches | None:
        """With `dense_proposals`, the tokens on objects instead of one-to-one matches. Raises UsageError."""
        return match_covered_tokens(batch, level_sizes) if self.config.dense_proposals else None


def alignment_loss(
    levels: Sequence[Tensor],
    paddings: Sequence[Tensor],
    sentences: Tensor,
    masks: Tensor,
    images: Tensor | None = None,
) -> Tensor:
    """KL divergence between the softmax of sentence-pixel cosines and the uniform distribution on the object.

    0 where a sentence is equally similar to every token of its object and dissimilar to the rest of the image; mean
    over sentences and levels. A level on which no token is mostly the object does not count.

    Args:
        levels: Features before fusion, float [B, C, h, w] each.
        paddings: Bool [B, h, w] each, True = padded.
        sentences: Float [P, C].
        masks: The object of each sentence, bool [P, H, W].
        images: The image of each sentence, int64 [P]; None: one per image, in their order.

    Returns:
        Float32 scalar.
    """
    directions = F.normalize(sentences.float(), dim=1)
    terms = []
    rows = slice(None) if images is None else images
    for level, padding in zip(levels, paddings, strict=True):
        # softmax over the image of each sentence's cosines
        cosines = torch.einsum("pchw,pc->phw", F.normalize(level.float(), dim=1)[rows], directions)
        logits = (_SHARPNESS * cosines).masked_fill(padding[rows], -torch.inf).flatten(1)
        # against the uniform distribution on the object's tokens
        on_object = coverage(masks, [(level.shape[-2], level.shape[-1])]) > 0.5  # [P, h * w]
        count = on_object.sum(1)
        mean = logits.log_softmax(1).masked_fill(~on_object, 0).sum(1) / count.clamp(min=1)
        terms.append((-mean - count.clamp(min=1).log())[count > 0])
    divergences = torch.cat(terms)
    return divergences.sum() / max(1, len(divergences))


def match_covered_tokens(batch: Batch, sizes: Sequence[tuple[int, int]]) -> Matches:
    """Tokens of levels (h, w) of which an object covers more than half, and of each object the most covered one of the
    first level, as a single layer.

    Raises:
        UsageError: Targets have no masks.
    """
    matched = []
    for target in batch.targets:
        if target.masks is None:
            raise UsageError("language.dense_proposals needs masks, which this batch lacks; set it to false")
        shares = coverage(target.masks, sizes)
        if len(shares):
            # the object that covers most of each token, and a token for every object
            most, objects = shares.max(0)
            objects = objects.masked_fill(most <= 0.5, NONE)
            objects[shares[:, : sizes[0][0] * sizes[0][1]].argmax(1)] = torch.arange(len(shares), device=shares.device)
        else:
            objects = torch.full(shares.shape[1:], NONE, device=shares.device)
        matched.append(objects[None])
    return Matches.gather(torch.stack(matched), [len(target.boxes) for target in batch.targets])


def coverage(masks: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Share of every token's cell that a mask covers: bool [N, H, W] and (h, w) per level -> float [N, T]."""
    full = masks.float()[None]
    return torch.cat([F.adaptive_avg_pool2d(full, size)[0].flatten(1) for size in sizes], dim=1)
