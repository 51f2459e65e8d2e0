"""Recipe sections of the language extension (`uniref.extensions.language`), and the keys that they replace."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from uniref.recipe.base import Strict


class LanguageConfig(Strict):
    """Extension, not part of UniRef++: lets a short training on few texts learn what words mean. Every key is off by
    default; docs/small-model.md says what each is good for."""

    align: float = Field(0.0, ge=0)
    """Weight of the alignment loss: before fusion, a sentence should be similar to the features of its object and to
    nothing else in the image. Needs masks."""
    align_only: bool = False
    """Only the alignment loss: nothing behind the fusion is run or trained, and a step costs a third."""
    dense_proposals: bool = False
    """Every encoder proposal whose token lies on an object learns that object, instead of the best match alone. Needs
    masks."""
    fusion_gate: float = Field(0.0, ge=-10, le=10)
    """Initial value of the fusion's gate; 0 = closed, so that the fusion starts as the identity, as in UniRef++."""
    shared_projections: bool = False
    """The fusion's key projection starts as a copy of its query projection, so that features attend to similar tokens
    before anything is learnt."""

    @model_validator(mode="after")
    def _check(self) -> LanguageConfig:
        if self.align_only and not self.align:
            raise ValueError("align_only: true leaves nothing to learn; set align")
        return self


class LanguageSourceConfig(Strict):
    """Extension, not part of UniRef++: which expressions of a source are used, and how many per image."""

    kinds: tuple[str, ...] = ()
    """Only expressions of these kinds, for synthetic data, which knows them ("noun", "colour", "colour noun",
    "synonym", "hypernym", "pattern", "place", "size", "relation", "motion"); () = all."""
    phrases: int = Field(0, ge=0)
    """Images with expressions: at most this many further expressions of the same image come with each sample, for the
    alignment loss alone."""
    absent: float = Field(0.0, ge=0, le=1)
    """Images with expressions: share of the samples that come with an expression of the same image that refers to
    nothing instead. No query then learns an object, and all learn that there is none. The index has to have such
    expressions: synthetic data and gRefCOCO do."""


# --- keys of earlier versions ----------------------------------------------------------------------------------------

_MOVED: dict[tuple[str, ...], str] = {
    ("loss", "weights", "align"): "language.align",
    ("loss", "detection"): "language.align_only (detection: false is align_only: true)",
    ("loss", "proposal_targets"): "language.dense_proposals (proposal_targets: inside is dense_proposals: true)",
    ("model", "fusion", "gate"): "language.fusion_gate",
    ("model", "fusion", "same_projections"): "language.shared_projections",
    ("data", "sources", "kinds"): "data.sources.N.language.kinds",
    ("data", "sources", "phrases"): "data.sources.N.language.phrases",
}


def moved_key(path: Sequence[str | int]) -> str | None:
    """The key that replaces one of an earlier version.

    Args:
        path: Below the recipe: `stages, NAME, loss, detection`.
    """
    names = tuple(part for part in path[2:] if isinstance(part, str) and not part.isdecimal())
    return _MOVED.get(names)


def upgrade_model(model: Any) -> Any:
    """A model's configuration without the keys of earlier versions, which a trained model does not depend on."""
    if not isinstance(model, dict) or not isinstance(model.get("fusion"), dict):
        return model
    fusion = {key: value for key, value in model["fusion"].items() if key not in ("gate", "same_projections")}
    return {**model, "fusion": fusion}


def upgrade_stage(stage: Any) -> Any:
    """A stage's plain values as this version writes them; what is not a stage comes back as it is."""
    if not isinstance(stage, dict):
        return stage
    upgraded = copy.deepcopy(stage)
    try:
        if "language" in stage:
            for source in upgraded["data"]["sources"]:
                if source["language"] is not None:
                    source["language"].setdefault("absent", 0.0)
            return upgraded
        # keys of the stage
        loss, fusion = upgraded["loss"], upgraded["model"]["fusion"] or {}
        language = {
            "align": loss["weights"].pop("align"),
            "align_only": not loss.pop("detection"),
            "dense_proposals": loss.pop("proposal_targets") == "inside",
            "fusion_gate": fusion.pop("gate", 0.0),
            "shared_projections": fusion.pop("same_projections", False),
        }
        upgraded["language"] = None if language == LanguageConfig().model_dump(mode="json") else language
        # keys of each source
        for source in upgraded["data"]["sources"]:
            own = {"kinds": source.pop("kinds"), "phrases": source.pop("phrases"), "absent": 0.0}
            source["language"] = None if own == LanguageSourceConfig().model_dump(mode="json") else own
    except (KeyError, TypeError, AttributeError):
        return stage
    return upgraded
