"""What an expression says, as a condition that singles out one object of a scene with a margin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from uniref_scenes.facts import Facts

AREA_RATIO, AREA_SHARE = 1.5, 0.8  # how much larger, in how many of the frames
GAP = 0.1  # between centres, of the picture's side
FAR, STILL = 0.15, 0.02  # net movement, of the picture's shorter side
WITHIN, APART = 30.0, 60.0  # degrees to a direction; degrees to a rival's direction
GROWTH, STEADY = 1.45, 1.12  # factors of the size
TURN, UPRIGHT = 90.0, 10.0  # degrees
NEAREST, TOUCH = 1.5, 0.25  # times nearer than the next; gap between boxes, of the shorter side
COVER = 0.06  # part of the smaller box that an overlap covers


@dataclass(frozen=True)
class Name:
    """A noun, a colour, a pattern, or several of them; all None means any object."""

    noun: str | None = None
    colour: str | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Query:
    """One condition."""

    kind: str
    """`name`, `size`, `place`, `motion`, `relation` or `order`."""
    name: Name = Name()
    what: str = ""
    """Which one of the kind: `largest`, `left`, `moves left`, `next to`, `leaves`, ..."""
    anchor: Name | None = None
    """What a relation is to."""


@dataclass(frozen=True)
class View:
    """A scene as measured."""

    things: Sequence[Facts]
    height: int
    width: int
    words: tuple[str | None, ...] = ()
    """Words that could mean a part of the background; None: so could an expression without a noun."""
    relations: dict[tuple[str, int, int], int] = field(default_factory=dict, repr=False)
    """What is known of pairs of objects."""

    @property
    def unit(self) -> int:
        """Shorter side, pixels."""
        return min(self.height, self.width)

    @property
    def length(self) -> int:
        """Frames."""
        return len(self.things[0].area)


def fits(name: Name, thing: Facts) -> int:
    """1: anyone would say so. 0: some would. -1: nobody would."""
    score = thing.noun.fits(name.noun)
    if name.colour is not None:
        score = min(score, 1 if thing.colour == name.colour else 0 if name.colour in thing.colours else -1)
    if name.pattern is not None:
        unsure = "speckled" in (thing.pattern, name.pattern) or thing.pattern == "unknown"
        score = min(score, 1 if thing.pattern == name.pattern else 0 if unsure and thing.pattern != "plain" else -1)
    return score


def resolve(query: Query, view: View) -> int | None:
    """The one object that a query means, or None where that is nobody, several, or open to doubt."""
    if query.name.noun in view.words or (query.anchor is not None and query.anchor.noun in view.words):
        return None
    return _KINDS[query.kind](query, view)


def matches_nothing(name: Name, view: View) -> bool:
    """Whether certainly no object is called so."""
    return name.noun not in view.words and all(fits(name, thing) < 0 for thing in view.things)


def _scores(name: Name, view: View) -> list[int]:
    return [fits(name, thing) for thing in view.things]


def _sole(scores: Sequence[int]) -> int | None:
    """The position of a 1 among -1."""
    return scores.index(1) if sum(score >= 0 for score in scores) == 1 and 1 in scores else None


def _pool(query: Query, view: View, least: int) -> list[int] | None:
    """Objects that the name surely fits, if there are enough of them and no doubtful ones."""
    scores = _scores(query.name, view)
    pool = [k for k, score in enumerate(scores) if score == 1]
    return pool if len(pool) >= least and 0 not in scores else None


def _name(query: Query, view: View) -> int | None:
    return _sole(_scores(query.name, view))


def _size(query: Query, view: View) -> int | None:
    pool = _pool(query, view, 2)
    if pool is None:
        return None
    sign = 1 if query.what == "largest" else -1
    areas = np.stack([np.where(view.things[k].shown >= 0.7, view.things[k].area, np.nan) for k in pool])
    both = np.isfinite(areas).all(0)
    if both.mean() < AREA_SHARE:
        return None
    order = np.log(areas[:, both]) * sign
    best = int(order.mean(1).argmax())
    lead = order[best] - np.delete(order, best, 0).max(0)
    return pool[best] if (lead >= np.log(AREA_RATIO)).sum() >= AREA_SHARE * view.length else None


def _place(query: Query, view: View) -> int | None:
    pool = _pool(query, view, {"middle": 3, "second from the left": 3, "second from the right": 3}.get(query.what, 2))
    if pool is None:
        return None
    upright = query.what in ("top", "bottom")
    centres = np.stack([(view.things[k].y if upright else view.things[k].x) for k in pool])
    if not all(view.things[k].always for k in pool):
        return None  # who is hidden has no place
    if query.what in ("right", "bottom", "second from the right"):
        centres = -centres
    order = centres[:, 0].argsort()
    ranked = centres[order]
    gap = GAP * (view.height if upright else view.width)
    if query.what == "middle":
        if len(pool) != 3:
            return None
        rank, needed = 1, 2
    else:
        rank = 1 if query.what.startswith("second") else 0
        needed = rank + 1
    steps = np.diff(ranked, axis=0)[:needed]
    return pool[int(order[rank])] if (steps >= gap).all() else None


def _displacement(thing: Facts, view: View) -> npt.NDArray[np.float64]:
    """Net movement over the frames in which it is seen, in shorter sides."""
    seen = np.flatnonzero(thing.visible)
    if len(seen) < 2:
        return np.zeros(2)
    return (thing.path[seen[-1]] - thing.path[seen[0]]) / view.unit


def _wander(thing: Facts, view: View) -> float:
    """Largest distance from where it starts."""
    return float(np.linalg.norm(thing.path - thing.path[0], axis=1).max()) / view.unit


def _direction(thing: Facts, view: View, toward: npt.NDArray[np.float64]) -> int:
    move = _displacement(thing, view)
    length = float(np.linalg.norm(move))
    if length < STILL:
        return -1 if _wander(thing, view) < 2 * STILL else 0
    angle = np.degrees(np.arccos(np.clip(move @ toward / length, -1, 1)))
    if angle <= WITHIN and length >= FAR:
        return 1
    return -1 if angle >= APART else 0


_TOWARD = {
    "moves left": np.array([-1.0, 0.0]),
    "moves right": np.array([1.0, 0.0]),
    "moves up": np.array([0.0, -1.0]),
    "moves down": np.array([0.0, 1.0]),
}


def _growth(thing: Facts) -> float:
    seen = np.flatnonzero(thing.visible)
    return float(thing.size[seen[-1]] / thing.size[seen[0]]) if len(seen) else 1.0


def _moves(query: Query, thing: Facts, view: View) -> int:
    """Whether an object moves so: 1, 0 or -1."""
    if not thing.visible.any():
        return 0
    if query.what in _TOWARD:
        return _direction(thing, view, _TOWARD[query.what])
    if query.what == "still":
        return _still(thing, view)
    if query.what in ("grows", "shrinks"):
        factor = _growth(thing) if query.what == "grows" else 1 / _growth(thing)
        return 1 if factor >= GROWTH else -1 if factor <= STEADY else 0
    return _turns(thing)


def _still(thing: Facts, view: View) -> int:
    quiet = 1 / STEADY < _growth(thing) < STEADY and abs(thing.angle[-1] - thing.angle[0]) < UPRIGHT
    if _wander(thing, view) < STILL:
        return 1 if quiet else 0
    return -1 if float(np.linalg.norm(_displacement(thing, view))) >= 0.7 * FAR else 0


def _turns(thing: Facts) -> int:
    turned = abs(thing.angle[-1] - thing.angle[0])
    if not thing.noun.turns:
        return -1 if turned < UPRIGHT else 0
    return 1 if turned >= TURN else -1 if turned < UPRIGHT else 0


def _motion(query: Query, view: View) -> int | None:
    if view.length < 2:
        return None
    named = _scores(query.name, view)
    return _sole([min(name, _moves(query, thing, view)) for name, thing in zip(named, view.things, strict=True)])


def _order(query: Query, view: View) -> int | None:
    """Who enters or leaves: seen in the first frame and out of the last ones, or the other way round."""
    if view.length < 4:
        return None
    scores = []
    for name, thing in zip(_scores(query.name, view), view.things, strict=True):
        seen = thing.area > 0 if query.what == "leaves" else thing.area[::-1] > 0
        clear = bool(thing.visible[0 if query.what == "leaves" else -1]) and not seen[-2:].any()
        scores.append(min(name, 1 if clear else -1 if seen.all() and thing.always else 0))
    return _sole(scores)


def _gap(a: Facts, b: Facts) -> npt.NDArray[np.float64]:
    """Distance between the boxes, pixels, [T]; 0 where they overlap."""
    p, q = a.box, b.box
    apart = np.maximum(np.maximum(p[:, :2] - q[:, 2:], q[:, :2] - p[:, 2:]), 0)
    return np.hypot(apart[:, 0], apart[:, 1])


def _distance(a: Facts, b: Facts) -> npt.NDArray[np.float64]:
    return np.hypot(a.x - b.x, a.y - b.y)


def _covering(a: Facts, b: Facts) -> npt.NDArray[np.float64]:
    """Overlap of the boxes, as part of the smaller one, [T]."""
    p, q = a.box, b.box
    sides = np.maximum(np.minimum(p[:, 2:], q[:, 2:]) - np.maximum(p[:, :2], q[:, :2]), 0)
    areas = [(r[:, 2] - r[:, 0]) * (r[:, 3] - r[:, 1]) for r in (p, q)]
    return sides.prod(1) / np.maximum(np.minimum(*areas), 1)


def _relation(query: Query, view: View) -> int | None:
    assert query.anchor is not None
    anchor = _sole(_scores(query.anchor, view))
    if anchor is None or not view.things[anchor].always:
        return None
    named = _scores(query.name, view)
    named[anchor] = -1
    rivals = [k for k, score in enumerate(named) if score >= 0]
    if not all(view.things[k].always for k in rivals):
        return None
    if query.what == "next to":
        return _next_to(view, anchor, named, rivals)
    return _sole([min(score, _side(query.what, view, k, anchor)) for k, score in enumerate(named)])


def _side(what: str, view: View, k: int, anchor: int) -> int:
    """Whether object k is so to the anchor: 1, 0 or -1. Remembered, for many queries ask the same."""
    known = view.relations.get((what, k, anchor))
    if known is None:
        test = _depth if what in ("in front of", "behind") else _beside
        known = view.relations[what, k, anchor] = test(what, view, k, anchor)
    return known


def _next_to(view: View, anchor: int, named: Sequence[int], rivals: Sequence[int]) -> int | None:
    sure = [k for k in rivals if named[k] == 1]
    if not sure:
        return None
    near = {k: _distance(view.things[k], view.things[anchor]) for k in rivals}
    best = min(sure, key=lambda k: near[k].mean())
    if (_gap(view.things[best], view.things[anchor]) > TOUCH * view.unit).any():
        return None
    return best if all((near[k] >= NEAREST * near[best]).all() for k in rivals if k != best) else None


def _beside(what: str, view: View, k: int, anchor: int) -> int:
    """Left, right, above, below: clearly to that side, and more so than in the other direction."""
    a, b = view.things[k], view.things[anchor]
    across, along = (a.x - b.x) / view.width, (a.y - b.y) / view.height
    if what in ("above", "below"):
        across, along = along, across
    if what in ("left of", "above"):
        across = -across
    if ((across >= GAP) & (np.abs(along) < across)).all():
        return 1
    return -1 if (across <= 0).all() else 0


def _depth(what: str, view: View, k: int, anchor: int) -> int:
    """In front of, behind: they overlap, and the nearer one hides a part of the other."""
    if k == anchor:
        return -1
    a, b = view.things[k], view.things[anchor]
    cover = _covering(a, b)
    if (cover <= 0).all():
        return -1
    if not (cover >= COVER).all():
        return 0
    nearer, further = (k, anchor) if k > anchor else (anchor, k)
    if not (view.things[further].shown < 0.95).all():
        return 0  # boxes overlap, but nothing is hidden
    wanted = nearer if what == "in front of" else further
    return 1 if wanted == k else -1


_KINDS: Mapping[str, Callable[[Query, View], int | None]] = {
    "name": _name,
    "size": _size,
    "place": _place,
    "motion": _motion,
    "order": _order,
    "relation": _relation,
}
