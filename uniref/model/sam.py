"""UniFusion in SAM (Kirillov et al., "Segment Anything", 2023): references are fused into the image embedding and
prompt the mask decoder.

Axes: B images, N objects, C width, S the side of the square input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import SamConfig, SamModel

from uniref.core.errors import UsageError
from uniref.model.mask_encoder import MaskEncoder
from uniref.model.referring import ReferringModel, unpadded_sizes
from uniref.model.structures import Features, ProjectedReference, Segments
from uniref.model.text import TextEncoder
from uniref.model.unifusion import UniFusion
from uniref.recipe.model import SamModelConfig

PATCH = 16  # pixels; of every SAM


class UniRefSam(ReferringModel):
    """transformers' SAM with UniFusion between image encoder and mask decoder. One level, at stride 16.

    Trained are UniFusion, the mask encoder, the text projection and SAM's mask decoder; everything else has
    `requires_grad` off. Unlike in UniRef++, padded positions of a reference's frame are attended to and averaged like
    all others, as the released system does.

    Args:
        config: All sizes, and which of the optional parts exist.
    """

    classes = 1
    levels = 1
    finds_regions = True
    mask_threshold_logit = 0.5  # as in the released system

    def __init__(self, config: SamModelConfig) -> None:
        super().__init__()
        self.config: SamModelConfig = config
        self.input_size = config.image_encoder.image_size
        dim = config.hidden_dim
        self.sam = SamModel(sam_config(config))
        # one module, so that loading weights does not separate its two uses
        self.sam.prompt_encoder.shared_embedding = self.sam.shared_image_embedding
        self.text_encoder = TextEncoder(config.text, dim) if config.text else None
        self.mask_encoder = MaskEncoder(config.mask_encoder, dim, [PATCH], 1) if config.mask_encoder else None
        self.fusion = UniFusion(dim, **config.fusion.model_dump())
        self.freeze()

    def freeze(self) -> None:
        """As `ReferringModel.freeze`; true of a new model already."""
        for _, module in self.frozen_parts():
            module.requires_grad_(False)

    def frozen_parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The frozen modules with their names."""
        yield from ((f"sam.{name}", part) for name, part in self.sam.named_children() if name != "mask_decoder")
        if self.text_encoder is not None:
            yield "text_encoder.body", self.text_encoder.body

    def frozen_names(self) -> set[str]:
        """Names of the frozen parts' parameters and buffers."""
        return {f"{prefix}.{name}" for prefix, part in self.frozen_parts() for name in part.state_dict()}

    def encode_image(self, images: Tensor, padding: Tensor) -> Features:
        """SAM's image embedding, without gradients.

        Args:
            images: Normalised, padded right and bottom with 0 to the square, float [B, 3, S, S].
            padding: Bool [B, S, S], True = padded.
        """
        with torch.no_grad():
            embedding = self.sam.vision_encoder(images)[0]
        return self.features(embedding, padding)

    def features(self, embedding: Tensor, padding: Tensor) -> Features:
        """Features of images whose embedding, float [B, C, S / 16, S / 16], has been computed; `padding` as above."""
        return Features((embedding,), (), unpadded_sizes(padding))

    def fuse(self, features: Features, references: Sequence[ProjectedReference]) -> Features:
        """As `ReferringModel.fuse`; the first reference's embedding prompts the mask decoder.

        With text and masks both, give the text first: it alone is the prompt.
        """
        fused = super().fuse(features, references)
        if not references:
            return fused
        return replace(fused, prompt=references[0][0].embedding.expand(len(fused.levels[0]), -1))

    def segment(self, features: Features) -> Segments:
        """SAM's mask decoder, prompted by the reference that was fused.

        Args:
            features: As returned by `fuse`, with N rows.

        Raises:
            UsageError: No reference was fused: SAM needs one.
        """
        if features.prompt is None:
            raise UsageError("a SAM model finds objects by a reference only: give a text, a mask or support images")
        (embedding,) = features.levels
        position = self.sam.get_image_wide_positional_embeddings()
        masks, iou = self.sam.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=position.expand(len(embedding), -1, -1, -1),
            sparse_prompt_embeddings=features.prompt[:, None, None],
            dense_prompt_embeddings=self.sam.prompt_encoder.no_mask_embed.weight[:, :, None, None],
            multimask_output=False,
        )
        return Segments(masks[:, 0, 0].float(), iou[:, 0, 0].float().clamp(0, 1))

    def segment_region(self, features: Features, points: Tensor, labels: Tensor, box: Tensor | None) -> Segments:
        """As SAM itself does it (Sec. 3, "Prompt encoder" and "Resolving ambiguity")."""
        corners = None if box is None else box[None, None]
        shown = (points[None, None], labels[None, None]) if len(points) else (None, None)
        sparse, dense = self.sam.prompt_encoder(*shown, corners, None)
        # one point may mean a part or the whole: the best of three masks
        several = len(points) == 1 and box is None
        masks, iou = self.sam.mask_decoder(
            image_embeddings=features.levels[0],
            image_positional_embeddings=self.sam.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
        )
        best = int(iou[0, 0].argmax())
        return Segments(masks[0, 0, best : best + 1].float(), iou[0, 0, best : best + 1].float().clamp(0, 1))


def sam_config(config: SamModelConfig) -> SamConfig:
    """The same sizes as transformers' configuration."""
    image, decoder, dim = config.image_encoder, config.mask_decoder, config.hidden_dim
    return SamConfig(
        vision_config={
            "hidden_size": image.width,
            "output_channels": dim,
            "num_hidden_layers": image.depth,
            "num_attention_heads": image.heads,
            "image_size": image.image_size,
            "patch_size": PATCH,
            "window_size": image.window,
            "global_attn_indexes": image.global_layers,
            "num_pos_feats": dim // 2,  # of each axis
            "mlp_dim": image.mlp_dim,
        },
        prompt_encoder_config={"hidden_size": dim, "image_size": image.image_size, "patch_size": PATCH},
        mask_decoder_config={
            "hidden_size": dim,
            "mlp_dim": decoder.mlp_dim,
            "num_hidden_layers": decoder.layers,
            "num_attention_heads": decoder.heads,
            "iou_head_hidden_dim": decoder.iou_dim,
            "layer_norm_eps": decoder.norm_eps,
        },
    )
