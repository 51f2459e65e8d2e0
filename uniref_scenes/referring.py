"""The expressions of a scene: every query that means exactly one of its objects, and a choice among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from uniref_scenes.bank import Bank
from uniref_scenes.facts import Facts
from uniref_scenes.queries import Name, Query, View, fits, matches_nothing, resolve
from uniref_scenes.sets import SceneSet
from uniref_scenes.wording import phrase

Rng = np.random.Generator

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
class Expression:
    """A phrase and what it means."""

    text: str
    kind: str
    query: Query
    target: int | None
    """Position of the object it means; None: nothing in the scene is called so."""


def queries(view: View, scenes: SceneSet, bank: Bank) -> Iterator[tuple[str, Query, int]]:
    """Kind, query and target of everything that can be said about one object of a scene."""
    names = _names(view, scenes)
    for kind, name in names:
        yield from _meant(kind, Query("name", name), view)
    sorts = [Name(), *(name for kind, name in names if kind in ("noun", "hypernym", "colour noun"))]
    sorts.sort(key=lambda name: (name.noun or "", name.colour or ""))
    for name in sorts:
        for what in ("largest", "smallest"):
            yield from _meant("size", Query("size", name, what), view)
        for what in _PLACES:
            yield from _meant("place", Query("place", name, what), view)
        if view.length > 1:
            for what in _MOTIONS:
                yield from _meant("motion", Query("motion", name, what), view)
            for what in ("leaves", "enters"):
                yield from _meant("order", Query("order", name, what), view)
    plain = {name for kind, name in names if kind in ("noun", "colour noun") and name.noun in bank.nouns}
    anchors = [name for name in sorts if name in plain and _single(name, view)]
    for name in sorts:
        if name.colour is None or not _single(name, view):
            for anchor in anchors:
                for what in _RELATIONS:
                    yield from _meant("relation", Query("relation", name, what, anchor), view)


def _meant(kind: str, query: Query, view: View) -> Iterator[tuple[str, Query, int]]:
    target = resolve(query, view)
    if target is not None and view.things[target].visible.any() and view.things[target].shown.max() >= 0.3:
        yield kind, query, target


def _single(name: Name, view: View) -> bool:
    return sum(fits(name, thing) >= 0 for thing in view.things) == 1


def _names(view: View, scenes: SceneSet) -> list[tuple[str, Name]]:
    """Nouns, hypernyms, colours, patterns and their combinations that occur in a scene, without repetition."""
    found: dict[Name, str] = {}
    for thing in view.things:
        noun, colour = thing.noun.name, thing.colour
        found.setdefault(Name(noun), "noun")
        for word in _synonyms(thing, scenes):
            found.setdefault(Name(word), "synonym")
        for word in thing.noun.hypernyms:
            found.setdefault(Name(word), "hypernym")
        if colour is not None:
            found.setdefault(Name(colour=colour), "colour")
            for word in (noun, *_synonyms(thing, scenes)[:1], *thing.noun.hypernyms[:1]):
                found.setdefault(Name(word, colour), "colour noun")
        if thing.pattern in ("striped", "dotted", "checked"):
            found.setdefault(Name(noun, None, thing.pattern), "pattern")
            found.setdefault(Name(None, None, thing.pattern), "pattern")
    return [(kind, name) for name, kind in found.items()]


def _synonyms(thing: Facts, scenes: SceneSet) -> tuple[str, ...]:
    """Of several synonyms the last one is kept for testing the wording."""
    words = thing.noun.synonyms
    if scenes.wording == "test":
        return words[-1:]
    return words[:-1] if len(words) > 1 else words


def express(
    rng: Rng, view: View, scenes: SceneSet, bank: Bank, per_object: int, nothing: float = 0.0
) -> list[Expression]:
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
    for kind, query, target in queries(view, scenes, bank):
        if asked(scenes, bank, view.things[target], query):
            possible.setdefault(target, {}).setdefault(kind, []).append(query)
    chosen = []
    for target in sorted(possible):
        kinds = list(possible[target])
        weights = np.array([SHARES[kind] for kind in kinds])
        count = min(per_object, len(kinds))
        for k in rng.choice(len(kinds), count, replace=False, p=weights / weights.sum()):
            options = possible[target][kinds[k]]
            query = options[int(rng.integers(len(options)))]
            chosen.append(Expression(phrase(rng, query, scenes.wording), kinds[k], query, target))
    if nothing and rng.random() < nothing and (extra := _nothing(rng, view, scenes, bank)) is not None:
        chosen.append(extra)
    return chosen


def asked(scenes: SceneSet, bank: Bank, thing: Facts, query: Query) -> bool:
    """Whether a set has expressions of this kind about this object."""
    if scenes.asks == "novel":
        return thing.noun.name in bank.held_out and query.name.noun is not None
    if scenes.asks == "pairs":
        return (
            query.name.colour is not None
            and query.name.noun == thing.noun.name
            and bank.held_out_pair(query.name.noun, query.name.colour)
        )
    return True


def _nothing(rng: Rng, view: View, scenes: SceneSet, bank: Bank) -> Expression | None:
    """A noun, or a noun in another colour, that no object of the scene is called by."""
    shown = [thing.noun.name for thing in view.things]
    words = shown if rng.random() < 0.5 else bank.shown(scenes)
    noun = words[int(rng.integers(len(words)))]
    colours = [None] if noun not in shown else ["red", "blue", "green", "yellow", "purple", "orange", "black", "white"]
    name = Name(noun, colours[int(rng.integers(len(colours)))])
    if not matches_nothing(name, view):
        return None
    query = Query("name", name)
    return Expression(phrase(rng, query, scenes.wording), "nothing", query, None)
