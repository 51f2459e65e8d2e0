"""The expressions of a scene: every query that refers to exactly one of its objects, and a choice among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from uniref_scenes.bank import ObjectBank, SceneSet
from uniref_scenes.language import NounPhrase, Query, phrase
from uniref_scenes.relations import MeasuredObject, MeasuredScene, fits, refers_to_nothing, resolve
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
_MIN_VISIBLE_SHARE = 0.3  # of an object that is referred to, in its best frame
_PATTERNS = ("striped", "dotted", "checked")
_ABSENT_SHARES = {"name": 0.55, "size": 0.1, "place": 0.18, "relation": 0.17, "motion": 0.2}
_TRIES = 5  # per expression that refers to nothing


@dataclass(frozen=True)
class ReferringExpression:
    """A text and the object it refers to."""

    text: str
    kind: str
    """One of `SHARES`, or `nothing`."""
    query: Query
    target: int | None
    """Position of the object it refers to; None: nothing in the scene is called so."""


def possible_queries(scene: MeasuredScene, scene_set: SceneSet, bank: ObjectBank) -> Iterator[tuple[str, Query, int]]:
    """Kind, query and target of everything that refers to one object of a scene."""
    # names alone
    names = _noun_phrases(scene, scene_set)
    for kind, name in names:
        yield from _resolved(kind, Query("name", name), scene)
    # names with a condition
    subjects = [NounPhrase(), *(name for kind, name in names if kind in ("noun", "hypernym", "colour noun"))]
    subjects.sort(key=lambda name: (name.noun or "", name.colour or ""))
    for name in subjects:
        for condition in ("largest", "smallest"):
            yield from _resolved("size", Query("size", name, condition), scene)
        for condition in _PLACES:
            yield from _resolved("place", Query("place", name, condition), scene)
        if scene.num_frames > 1:
            for condition in _MOTIONS:
                yield from _resolved("motion", Query("motion", name, condition), scene)
            for condition in ("leaves", "enters"):
                yield from _resolved("order", Query("order", name, condition), scene)
    # relations to an object that is named by its noun; a colour is added only where it does not single out one already
    plain = {name for kind, name in names if kind in ("noun", "colour noun") and name.noun in bank.nouns}
    anchors = [name for name in subjects if name in plain and _fits_one(name, scene)]
    for name in subjects:
        if name.colour is None or not _fits_one(name, scene):
            for anchor in anchors:
                for condition in _RELATIONS:
                    yield from _resolved("relation", Query("relation", name, condition, anchor), scene)


def _resolved(kind: str, query: Query, scene: MeasuredScene) -> Iterator[tuple[str, Query, int]]:
    """The query with its target, where it refers to one object that can be seen well enough."""
    target = resolve(query, scene)
    if target is None:
        return
    obj = scene.objects[target]
    if obj.visible.any() and obj.visible_share.max() >= _MIN_VISIBLE_SHARE:
        yield kind, query, target


def _fits_one(name: NounPhrase, scene: MeasuredScene) -> bool:
    return sum(fits(name, obj) >= 0 for obj in scene.objects) == 1


def _noun_phrases(scene: MeasuredScene, scene_set: SceneSet) -> list[tuple[str, NounPhrase]]:
    """Nouns, hypernyms, colours, patterns and their combinations that occur in a scene, without repetition."""
    phrases: dict[NounPhrase, str] = {}
    for obj in scene.objects:
        noun, colour = obj.noun.name, obj.colour
        phrases.setdefault(NounPhrase(noun), "noun")
        for word in _synonyms(obj, scene_set):
            phrases.setdefault(NounPhrase(word), "synonym")
        for word in obj.noun.hypernyms:
            phrases.setdefault(NounPhrase(word), "hypernym")
        if colour is not None:
            phrases.setdefault(NounPhrase(colour=colour), "colour")
            for word in (noun, *_synonyms(obj, scene_set)[:1], *obj.noun.hypernyms[:1]):
                phrases.setdefault(NounPhrase(word, colour), "colour noun")
        if obj.pattern in _PATTERNS:
            phrases.setdefault(NounPhrase(noun, None, obj.pattern), "pattern")
            phrases.setdefault(NounPhrase(None, None, obj.pattern), "pattern")
    return [(kind, name) for name, kind in phrases.items()]


def _synonyms(obj: MeasuredObject, scene_set: SceneSet) -> tuple[str, ...]:
    """Synonyms of an object that a set uses."""
    return _set_synonyms(obj.noun.synonyms, scene_set)


def _set_synonyms(words: tuple[str, ...], scene_set: SceneSet) -> tuple[str, ...]:
    """Those of some synonyms that a set uses: of several, the last one is kept for tests of the wording."""
    if scene_set.wording == "test":
        return words[-1:]
    return words[:-1] if len(words) > 1 else words


def express(
    rng: Rng, scene: MeasuredScene, scene_set: SceneSet, bank: ObjectBank, per_object: int, nothing: int = 0
) -> list[ReferringExpression]:
    """Expressions of a scene: up to `per_object` of different kinds for each object that has any.

    Args:
        rng: Chooses.
        scene: The scene.
        scene_set: Which objects expressions are about, and which wording they use.
        bank: Its nouns.
        per_object: Maximum number per object.
        nothing: At most so many further expressions, all different, which refer to no object.
    """
    # queries by target and kind
    possible: dict[int, dict[str, list[Query]]] = {}
    for kind, query, target in possible_queries(scene, scene_set, bank):
        if is_subject(scene_set, bank, scene.objects[target], query):
            possible.setdefault(target, {}).setdefault(kind, []).append(query)
    # of each object some kinds by their shares, and one query per kind
    chosen = []
    for target in sorted(possible):
        kinds = list(possible[target])
        weights = np.array([SHARES[kind] for kind in kinds])
        count = min(per_object, len(kinds))
        for k in rng.choice(len(kinds), count, replace=False, p=weights / weights.sum()):
            options = possible[target][kinds[k]]
            query = options[int(rng.integers(len(options)))]
            chosen.append(ReferringExpression(phrase(rng, query, scene_set.wording), kinds[k], query, target))
    # those that refer to nothing: drawn last, so that they change no other
    absent: dict[str, ReferringExpression] = {}
    for _ in range(_TRIES * nothing):
        if len(absent) < nothing and (extra := _about_nothing(rng, scene, scene_set, bank)) is not None:
            absent.setdefault(extra.text, extra)
    return chosen + list(absent.values())


def is_subject(scene_set: SceneSet, bank: ObjectBank, obj: MeasuredObject, query: Query) -> bool:
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


def _about_nothing(rng: Rng, scene: MeasuredScene, scene_set: SceneSet, bank: ObjectBank) -> ReferringExpression | None:
    """An expression of any kind about something that certainly is not in the scene; None where the draw failed."""
    name = _other_name(rng, scene, scene_set, bank)
    if not refers_to_nothing(name, scene):
        return None
    # with a condition as often as expressions with a target have one; an anchor is one object that is there
    conditions = [("name", ""), ("size", ("largest", "smallest")), ("place", _PLACES), ("relation", _RELATIONS)]
    if scene.num_frames > 1:
        conditions.append(("motion", _MOTIONS))
    shares = np.array([_ABSENT_SHARES[kind] for kind, _ in conditions])
    kind, words = conditions[int(rng.choice(len(conditions), p=shares / shares.sum()))]
    condition = words[int(rng.integers(len(words)))] if words else ""
    anchor = None
    if kind == "relation":
        anchors = [NounPhrase(obj.noun.name) for obj in scene.objects]
        anchors = [each for each in anchors if each.noun not in scene.words and _fits_one(each, scene)]
        if not anchors:
            return None
        anchor = anchors[int(rng.integers(len(anchors)))]
    query = Query(kind, name, condition, anchor)
    return ReferringExpression(phrase(rng, query, scene_set.wording), "nothing", query, None)


def _other_name(rng: Rng, scene: MeasuredScene, scene_set: SceneSet, bank: ObjectBank) -> NounPhrase:
    """In one half of the draws another noun, perhaps with a colour; in the other a word for an object of the scene, or
    none, in some colour or pattern. It may fit an object all the same."""
    hard = rng.random() < 0.5
    shown = [obj.noun.name for obj in scene.objects] if hard else bank.shown_nouns(scene_set)
    noun = bank.nouns[shown[int(rng.integers(len(shown)))]]
    # a word for it
    synonyms = _set_synonyms(noun.synonyms, scene_set)
    draw = rng.random()
    word: str | None = noun.name
    if hard and draw < 0.15:
        word = None
    elif draw < 0.3 and noun.hypernyms:
        word = noun.hypernyms[int(rng.integers(len(noun.hypernyms)))]
    elif draw < 0.45 and synonyms:
        word = synonyms[int(rng.integers(len(synonyms)))]
    # its colour or pattern
    if hard and rng.random() < 0.1:
        return NounPhrase(word, None, _PATTERNS[int(rng.integers(len(_PATTERNS)))])
    colours = bank.allowed_colours(scene_set, noun.name)
    coloured = hard or rng.random() < 0.35
    return NounPhrase(word, colours[int(rng.integers(len(colours)))] if coloured else None)
