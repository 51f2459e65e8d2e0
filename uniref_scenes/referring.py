"""The expressions of a scene: every query that means exactly one of its objects, and a choice among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from uniref_scenes.bank import ObjectBank, SceneSet
from uniref_scenes.language import NounPhrase, Query, phrase
from uniref_scenes.relations import MeasuredObject, MeasuredScene, fits, matches_nothing, resolve
from uniref_scenes.types import Rng

SHARES: Mapping[str, float] = {
    "noun": 0.16,
    "synonym": 0.05,
    "hypernym": 0.09,
    "colour": 0.10,
    "colour noun": 0.17,
    "pattern": 0.05,
    "size": 0.10,
    "place": 0.12,
    "motion": 0.14,
    "relation": 0.10,
    "order": 0.04,
}
"""How often each kind of expression is chosen where all are possible."""

_PLACES = ("left", "right", "top", "bottom", "middle", "second from the left", "second from the right")
_MOTIONS = ("moves left", "moves right", "moves up", "moves down", "still", "grows", "shrinks", "turns")
_RELATIONS = ("next to", "left of", "right of", "above", "below", "in front of", "behind")


@dataclass(frozen=True)
class ReferringExpression:
    """A phrase and what it means."""

    text: str
    kind: str
    query: Query
    target: int | None
    """Position of the object it means; None: nothing in the scene is called so."""


def queries(scene: MeasuredScene, scene_set: SceneSet, bank: ObjectBank) -> Iterator[tuple[str, Query, int]]:
    """Kind, query and target of everything that can be said about one object of a scene."""
    names = _names(scene, scene_set)
    for kind, name in names:
        yield from _meant(kind, Query("name", name), scene)
    sorts = [NounPhrase(), *(name for kind, name in names if kind in ("noun", "hypernym", "colour noun"))]
    sorts.sort(key=lambda name: (name.noun or "", name.colour or ""))
    for name in sorts:
        for condition in ("largest", "smallest"):
            yield from _meant("size", Query("size", name, condition), scene)
        for condition in _PLACES:
            yield from _meant("place", Query("place", name, condition), scene)
        if scene.num_frames > 1:
            for condition in _MOTIONS:
                yield from _meant("motion", Query("motion", name, condition), scene)
            for condition in ("leaves", "enters"):
                yield from _meant("order", Query("order", name, condition), scene)
    plain = {name for kind, name in names if kind in ("noun", "colour noun") and name.noun in bank.nouns}
    anchors = [name for name in sorts if name in plain and _single(name, scene)]
    for name in sorts:
        if name.colour is None or not _single(name, scene):
            for anchor in anchors:
                for condition in _RELATIONS:
                    yield from _meant("relation", Query("relation", name, condition, anchor), scene)


def _meant(kind: str, query: Query, scene: MeasuredScene) -> Iterator[tuple[str, Query, int]]:
    target = resolve(query, scene)
    if target is not None and scene.objects[target].visible.any() and scene.objects[target].visible_share.max() >= 0.3:
        yield kind, query, target


def _single(name: NounPhrase, scene: MeasuredScene) -> bool:
    return sum(fits(name, obj) >= 0 for obj in scene.objects) == 1


def _names(scene: MeasuredScene, scene_set: SceneSet) -> list[tuple[str, NounPhrase]]:
    """Nouns, hypernyms, colours, patterns and their combinations that occur in a scene, without repetition."""
    found: dict[NounPhrase, str] = {}
    for obj in scene.objects:
        noun, colour = obj.noun.name, obj.colour
        found.setdefault(NounPhrase(noun), "noun")
        for word in _synonyms(obj, scene_set):
            found.setdefault(NounPhrase(word), "synonym")
        for word in obj.noun.hypernyms:
            found.setdefault(NounPhrase(word), "hypernym")
        if colour is not None:
            found.setdefault(NounPhrase(colour=colour), "colour")
            for word in (noun, *_synonyms(obj, scene_set)[:1], *obj.noun.hypernyms[:1]):
                found.setdefault(NounPhrase(word, colour), "colour noun")
        if obj.pattern in ("striped", "dotted", "checked"):
            found.setdefault(NounPhrase(noun, None, obj.pattern), "pattern")
            found.setdefault(NounPhrase(None, None, obj.pattern), "pattern")
    return [(kind, name) for name, kind in found.items()]


def _synonyms(obj: MeasuredObject, scene_set: SceneSet) -> tuple[str, ...]:
    """Of several synonyms the last one is kept for testing the wording."""
    words = obj.noun.synonyms
    if scene_set.wording == "test":
        return words[-1:]
    return words[:-1] if len(words) > 1 else words


def express(
    rng: Rng, scene: MeasuredScene, scene_set: SceneSet, bank: ObjectBank, per_object: int, nothing: float = 0.0
) -> list[ReferringExpression]:
    """Expressions of a scene: up to `per_object` of different kinds for each object that has any.

    Args:
        rng: Chooses.
        view: The scene.
        scenes: Which objects expressions are about, and which wording they use.
        bank: Its nouns.
        per_object: At most so many for one object.
        nothing: Probability of one expression more, which fits no object.
    """
    possible: dict[int, dict[str, list[Query]]] = {}
    for kind, query, target in queries(scene, scene_set, bank):
        if asked(scene_set, bank, scene.objects[target], query):
            possible.setdefault(target, {}).setdefault(kind, []).append(query)
    chosen = []
    for target in sorted(possible):
        kinds = list(possible[target])
        weights = np.array([SHARES[kind] for kind in kinds])
        count = min(per_object, len(kinds))
        for k in rng.choice(len(kinds), count, replace=False, p=weights / weights.sum()):
            options = possible[target][kinds[k]]
            query = options[int(rng.integers(len(options)))]
            chosen.append(ReferringExpression(phrase(rng, query, scene_set.wording), kinds[k], query, target))
    if nothing and rng.random() < nothing and (extra := _nothing(rng, scene, scene_set, bank)) is not None:
        chosen.append(extra)
    return chosen


def asked(scene_set: SceneSet, bank: ObjectBank, obj: MeasuredObject, query: Query) -> bool:
    """Whether a set has expressions of this kind about this object."""
    if scene_set.subject == "novel":
        return obj.noun.name in bank.held_out and query.name.noun is not None
    if scene_set.subject == "pairs":
        return (
            query.name.colour is not None
            and query.name.noun == obj.noun.name
            and bank.held_out_pair(query.name.noun, query.name.colour)
        )
    return True


def _nothing(rng: Rng, scene: MeasuredScene, scene_set: SceneSet, bank: ObjectBank) -> ReferringExpression | None:
    """A noun, or a noun in another colour, that no object of the scene is called by."""
    shown = [obj.noun.name for obj in scene.objects]
    words = shown if rng.random() < 0.5 else bank.shown_nouns(scene_set)
    noun = words[int(rng.integers(len(words)))]
    colours = [None] if noun not in shown else ["red", "blue", "green", "yellow", "purple", "orange", "black", "white"]
    name = NounPhrase(noun, colours[int(rng.integers(len(colours)))])
    if not matches_nothing(name, scene):
        return None
    query = Query("name", name)
    return ReferringExpression(phrase(rng, query, scene_set.wording), "nothing", query, None)
