"""Configuration of target assignment and losses; the defaults are the released ones."""

from __future__ import annotations

from pydantic import Field

from uniref.recipe.base import PluginConfig, Strict


class WeightsConfig(Strict):
    """Weights of the loss terms."""

    cls: float = Field(2.0, ge=0)
    """Focal loss of classes."""
    l1: float = Field(5.0, ge=0)
    """Boxes, as fractions of the image."""
    giou: float = Field(2.0, ge=0)
    """Boxes: 1 - GIoU."""
    mask: float = Field(2.0, ge=0)
    """Focal loss of mask pixels."""
    dice: float = Field(5.0, ge=0)
    """Dice loss of masks."""
    mask_class: float = Field(1.0, ge=0)
    """Auxiliary: cross entropy of the hardest mask pixels."""
    mask_iou: float = Field(1.0, ge=0)
    """Auxiliary: 1 - soft IoU."""
    projection: float = Field(1.0, ge=0)
    """BoxInst: projection of the mask onto both axes, against that of the box."""
    pairwise: float = Field(1.0, ge=0)
    """BoxInst: neighbouring pixels of similar colour have the same label."""


class FocalConfig(Strict):
    """Focal loss of classes (also in target assignment) and of mask pixels."""

    alpha: float = Field(0.25, ge=0, le=1)
    """Weight of positives in 0..1; negatives have 1 - alpha (Lin et al., 2017)."""
    gamma: float = Field(2.0, ge=0)
    """Exponent that lowers the loss of easy decisions; 0 = cross entropy."""


class SimOtaConfig(Strict):
    """Target assignment of a decoder layer: several queries per object."""

    giou: float = Field(3.0, ge=0)
    """Weight of -GIoU beside the focal class cost."""
    radius: float = Field(2.5 / 32, gt=0)
    """Half side of the square around a box's centre in which its queries should lie, as a fraction of the image."""
    outside_centre: float = Field(100.0, ge=0)
    """Added to the cost of a query that is not both in the object's box and in its square."""
    outside_all: float = Field(10000.0, ge=0)
    """Added to the cost of a query in no object's box and no object's square."""
    candidates: int = Field(10, ge=1)
    """An object's number of queries is the sum of its this many best IoUs."""


class HungarianConfig(Strict):
    """Target assignment of the encoder's proposals: one per object. Weights of the costs."""

    cls: float = Field(2.0, ge=0)
    """Weight of the focal class cost."""
    l1: float = Field(5.0, ge=0)
    """Weight of the L1 distance of boxes, as fractions of the image."""
    giou: float = Field(2.0, ge=0)
    """Weight of -GIoU."""


class BoxInstConfig(Strict):
    """BoxInst: masks learnt from boxes and colours, where targets have no masks."""

    similarity: float = Field(0.3, ge=0, le=1)
    """Neighbours whose colours are at least this similar count in the pairwise loss."""
    kernel: int = Field(3, ge=3)
    """Side of the neighbourhood, odd."""
    dilation: int = Field(2, ge=1)
    """Steps of the neighbourhood, in mask pixels (stride 4)."""
    warmup: int = Field(10000, ge=1)
    """The pairwise loss grows linearly over this many counts. As released, a step counts one for each decoder layer:
    six layers pass 10000 in 1667 steps."""
    bottom_rows: int = Field(10, ge=0)
    """Rows of input pixels at the bottom of an image that are ignored (they often show a border)."""
    max_masks: int = Field(64, ge=1)
    """Masks that are predicted per decoder layer; a random choice where more queries are matched."""


class SamLossConfig(Strict):
    """Weights of the losses of UniFusion in SAM (UniRef++)."""

    bce: float = Field(2.0, ge=0)
    """Binary cross entropy, mean over the pixels of the square."""
    dice: float = Field(0.5, ge=0)
    """Dice loss of the mask."""


class LossConfig(Strict):
    """What is optimised. A SAM model has the losses `sam` and no others."""

    weights: WeightsConfig = Field(default_factory=WeightsConfig)
    """Factor of each loss term."""
    focal: FocalConfig = Field(default_factory=FocalConfig)
    """Parameters of the focal losses."""
    auxiliary_masks: bool = False
    """Also the losses `mask_class` and `mask_iou`: the released system uses them in its video stage."""
    proposals: bool = True
    """Losses of the encoder's proposals, which are not trained otherwise."""
    sim_ota: SimOtaConfig = Field(default_factory=SimOtaConfig)
    """Target assignment of the decoder layers (SimOTA; YOLOX, Ge et al., 2021)."""
    hungarian: HungarianConfig = Field(default_factory=HungarianConfig)
    """Target assignment of the encoder's proposals (Hungarian; DETR, Carion et al., 2020)."""
    box_inst: BoxInstConfig = Field(default_factory=BoxInstConfig)
    """Losses for targets without masks (BoxInst, Tian et al., 2021)."""
    plugins: tuple[PluginConfig, ...] = ()
    """Further losses of other packages: entry points of the group `uniref.losses`."""
    sam: SamLossConfig = Field(default_factory=SamLossConfig)
    """Losses of a SAM model."""
