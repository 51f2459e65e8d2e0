"""What is true of a scene: objects as measured, and which one of them an expression means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from uniref_scenes.language import Noun, NounPhrase, Query
from uniref_scenes.motion import SceneObject, SceneShape
from uniref_scenes.types import BoolArray, Float64Array, UInt8Array

AREA_RATIO, AREA_SHARE = 1.5, 0.8  # how much larger, in how many of the frames
GAP = 0.1  # between centres, of the image's side
FAR, STILL = 0.15, 0.02  # net movement, of the image's shorter side
WITHIN, APART = 30.0, 60.0  # degrees to a direction; degrees to a rival's direction
GROWTH, STEADY = 1.45, 1.12  # factors of the size
TURN, UPRIGHT = 90.0, 10.0  # degrees
NEAREST, TOUCH = 1.5, 0.25  # times nearer than the next; gap between boxes, of the shorter side
COVER = 0.06  # part of the smaller box that an overlap covers


@dataclass(frozen=True)
class MeasuredObject:
    """One object, over T frames."""

    noun: Noun
    colour: str | None
    """The basic colour word that is said of it."""
    colours: frozenset[str]
    """Words that someone might say."""
    pattern: str
    """One of `sprite.PATTERNS`, or `unknown`."""
    area: Float64Array
    """Visible pixels, [T]."""
    visible_share: Float64Array
    """Visible part of the whole object, 0..1, [T]."""
    x: Float64Array
    """Centre of the visible part's box, pixels, [T]; NaN where nothing is visible."""
    y: Float64Array
    box: Float64Array
    """Of the visible part, x0 y0 x1 y1, [T, 4]; NaN."""
    path: Float64Array
    """Centre of the whole object, seen or not, [T, 2]."""
    size: Float64Array
    """Of the whole object, pixels, [T]."""
    angle: Float64Array
    """Degrees, [T]."""

    @cached_property
    def always(self) -> bool:
        """Whether it is visible in every frame."""
        return bool(self.visible.all())

    @cached_property
    def visible(self) -> BoolArray:
        """Frames in which enough of it can be seen to speak of it."""
        return (self.area >= 40) & (self.visible_share >= 0.1)


def measure_scene(
    shape: SceneShape, objects: Sequence[SceneObject], labels: Sequence[UInt8Array]
) -> list[MeasuredObject]:
    """Facts of every object, from the label maps and tracks."""
    count = len(objects)
    area = np.stack([np.bincount(label.ravel(), minlength=count + 1)[1 : count + 1] for label in labels], 1).astype(
        float
    )
    return [_facts(shape, obj, number, area[number], labels) for number, obj in enumerate(objects)]


def _facts(
    shape: SceneShape, obj: SceneObject, number: int, area: Float64Array, labels: Sequence[UInt8Array]
) -> MeasuredObject:
    trajectory, sprite = obj.trajectory, obj.sprite
    solid_pixels = int((np.asarray(sprite.image.getchannel("A")) >= 128).sum())
    whole = solid_pixels * (trajectory.size / max(sprite.image.size)) ** 2
    box = np.stack([_box(label == number + 1) if area[t] else np.full(4, np.nan) for t, label in enumerate(labels)])
    return MeasuredObject(
        noun=obj.noun,
        colour=sprite.colour,
        colours=frozenset(word for word in sprite.body.possible if sprite.could_be(word)),
        pattern=obj.pattern,
        area=area,
        visible_share=np.minimum(area / np.maximum(whole, 1), 1),
        x=(box[:, 0] + box[:, 2]) / 2,
        y=(box[:, 1] + box[:, 3]) / 2,
        box=box,
        path=np.stack([trajectory.x, trajectory.y], -1),
        size=trajectory.size,
        angle=trajectory.angle,
    )


def _box(mask: BoolArray) -> Float64Array:
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([cols[0], rows[0], cols[-1] + 1, rows[-1] + 1], float)


@dataclass(frozen=True)
class MeasuredScene:
    """A scene as measured."""

    objects: Sequence[MeasuredObject]
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
    def num_frames(self) -> int:
        """Frames."""
        return len(self.objects[0].area)


def fits(name: NounPhrase, obj: MeasuredObject) -> int:
    """1: anyone would say so. 0: some would. -1: nobody would."""
    score = obj.noun.fits(name.noun)
    if name.colour is not None:
        score = min(score, 1 if obj.colour == name.colour else 0 if name.colour in obj.colours else -1)
    if name.pattern is not None:
        unsure = "speckled" in (obj.pattern, name.pattern) or obj.pattern == "unknown"
        score = min(score, 1 if obj.pattern == name.pattern else 0 if unsure and obj.pattern != "plain" else -1)
    return score


def resolve(query: Query, scene: MeasuredScene) -> int | None:
    """The one object that a query means, or None where that is nobody, several, or open to doubt."""
    if query.name.noun in scene.words or (query.anchor is not None and query.anchor.noun in scene.words):
        return None
    return _KINDS[query.kind](query, scene)


def matches_nothing(name: NounPhrase, scene: MeasuredScene) -> bool:
    """Whether certainly no object is called so."""
    return name.noun not in scene.words and all(fits(name, obj) < 0 for obj in scene.objects)


def _scores(name: NounPhrase, scene: MeasuredScene) -> list[int]:
    return [fits(name, obj) for obj in scene.objects]


def _sole(scores: Sequence[int]) -> int | None:
    """The position of a 1 among -1."""
    return scores.index(1) if sum(score >= 0 for score in scores) == 1 and 1 in scores else None


def _pool(query: Query, scene: MeasuredScene, least: int) -> list[int] | None:
    """Objects that the name surely fits, if there are enough of them and no doubtful ones."""
    scores = _scores(query.name, scene)
    pool = [k for k, score in enumerate(scores) if score == 1]
    return pool if len(pool) >= least and 0 not in scores else None


def _name(query: Query, scene: MeasuredScene) -> int | None:
    return _sole(_scores(query.name, scene))


def _size(query: Query, scene: MeasuredScene) -> int | None:
    pool = _pool(query, scene, 2)
    if pool is None:
        return None
    sign = 1 if query.condition == "largest" else -1
    areas = np.stack([np.where(scene.objects[k].visible_share >= 0.7, scene.objects[k].area, np.nan) for k in pool])
    both = np.isfinite(areas).all(0)
    if both.mean() < AREA_SHARE:
        return None
    order = np.log(areas[:, both]) * sign
    best = int(order.mean(1).argmax())
    lead = order[best] - np.delete(order, best, 0).max(0)
    return pool[best] if (lead >= np.log(AREA_RATIO)).sum() >= AREA_SHARE * scene.num_frames else None


def _place(query: Query, scene: MeasuredScene) -> int | None:
    pool = _pool(
        query, scene, {"middle": 3, "second from the left": 3, "second from the right": 3}.get(query.condition, 2)
    )
    if pool is None:
        return None
    upright = query.condition in ("top", "bottom")
    centres = np.stack([(scene.objects[k].y if upright else scene.objects[k].x) for k in pool])
    if not all(scene.objects[k].always for k in pool):
        return None  # who is hidden has no place
    if query.condition in ("right", "bottom", "second from the right"):
        centres = -centres
    order = centres[:, 0].argsort()
    ranked = centres[order]
    gap = GAP * (scene.height if upright else scene.width)
    if query.condition == "middle":
        if len(pool) != 3:
            return None
        rank, needed = 1, 2
    else:
        rank = 1 if query.condition.startswith("second") else 0
        needed = rank + 1
    steps = np.diff(ranked, axis=0)[:needed]
    return pool[int(order[rank])] if (steps >= gap).all() else None


def _displacement(obj: MeasuredObject, scene: MeasuredScene) -> Float64Array:
    """Net movement over the frames in which it is seen, in shorter sides."""
    seen = np.flatnonzero(obj.visible)
    if len(seen) < 2:
        return np.zeros(2)
    return (obj.path[seen[-1]] - obj.path[seen[0]]) / scene.unit


def _wander(obj: MeasuredObject, scene: MeasuredScene) -> float:
    """Largest distance from where it starts."""
    return float(np.linalg.norm(obj.path - obj.path[0], axis=1).max()) / scene.unit


def _direction(obj: MeasuredObject, scene: MeasuredScene, toward: Float64Array) -> int:
    move = _displacement(obj, scene)
    length = float(np.linalg.norm(move))
    if length < STILL:
        return -1 if _wander(obj, scene) < 2 * STILL else 0
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


def _growth(obj: MeasuredObject) -> float:
    seen = np.flatnonzero(obj.visible)
    return float(obj.size[seen[-1]] / obj.size[seen[0]]) if len(seen) else 1.0


def _moves(query: Query, obj: MeasuredObject, scene: MeasuredScene) -> int:
    """Whether an object moves so: 1, 0 or -1."""
    if not obj.visible.any():
        return 0
    if query.condition in _TOWARD:
        return _direction(obj, scene, _TOWARD[query.condition])
    if query.condition == "still":
        return _still(obj, scene)
    if query.condition in ("grows", "shrinks"):
        factor = _growth(obj) if query.condition == "grows" else 1 / _growth(obj)
        return 1 if factor >= GROWTH else -1 if factor <= STEADY else 0
    return _turns(obj)


def _still(obj: MeasuredObject, scene: MeasuredScene) -> int:
    quiet = 1 / STEADY < _growth(obj) < STEADY and abs(obj.angle[-1] - obj.angle[0]) < UPRIGHT
    if _wander(obj, scene) < STILL:
        return 1 if quiet else 0
    return -1 if float(np.linalg.norm(_displacement(obj, scene))) >= 0.7 * FAR else 0


def _turns(obj: MeasuredObject) -> int:
    turned = abs(obj.angle[-1] - obj.angle[0])
    if not obj.noun.turns:
        return -1 if turned < UPRIGHT else 0
    return 1 if turned >= TURN else -1 if turned < UPRIGHT else 0


def _motion(query: Query, scene: MeasuredScene) -> int | None:
    if scene.num_frames < 2:
        return None
    named = _scores(query.name, scene)
    return _sole([min(name, _moves(query, obj, scene)) for name, obj in zip(named, scene.objects, strict=True)])


def _order(query: Query, scene: MeasuredScene) -> int | None:
    """Who enters or leaves: seen in the first frame and out of the last ones, or the other way round."""
    if scene.num_frames < 4:
        return None
    scores = []
    for name, obj in zip(_scores(query.name, scene), scene.objects, strict=True):
        seen = obj.area > 0 if query.condition == "leaves" else obj.area[::-1] > 0
        clear = bool(obj.visible[0 if query.condition == "leaves" else -1]) and not seen[-2:].any()
        scores.append(min(name, 1 if clear else -1 if seen.all() and obj.always else 0))
    return _sole(scores)


def _gap(a: MeasuredObject, b: MeasuredObject) -> Float64Array:
    """Distance between the boxes, pixels, [T]; 0 where they overlap."""
    p, q = a.box, b.box
    apart = np.maximum(np.maximum(p[:, :2] - q[:, 2:], q[:, :2] - p[:, 2:]), 0)
    return np.hypot(apart[:, 0], apart[:, 1])


def _distance(a: MeasuredObject, b: MeasuredObject) -> Float64Array:
    return np.hypot(a.x - b.x, a.y - b.y)


def _covering(a: MeasuredObject, b: MeasuredObject) -> Float64Array:
    """Overlap of the boxes, as part of the smaller one, [T]."""
    p, q = a.box, b.box
    sides = np.maximum(np.minimum(p[:, 2:], q[:, 2:]) - np.maximum(p[:, :2], q[:, :2]), 0)
    areas = [(r[:, 2] - r[:, 0]) * (r[:, 3] - r[:, 1]) for r in (p, q)]
    return sides.prod(1) / np.maximum(np.minimum(*areas), 1)


def _relation(query: Query, scene: MeasuredScene) -> int | None:
    assert query.anchor is not None
    anchor = _sole(_scores(query.anchor, scene))
    if anchor is None or not scene.objects[anchor].always:
        return None
    named = _scores(query.name, scene)
    named[anchor] = -1
    rivals = [k for k, score in enumerate(named) if score >= 0]
    if not all(scene.objects[k].always for k in rivals):
        return None
    if query.condition == "next to":
        return _next_to(scene, anchor, named, rivals)
    return _sole([min(score, _side(query.condition, scene, k, anchor)) for k, score in enumerate(named)])


def _side(condition: str, scene: MeasuredScene, k: int, anchor: int) -> int:
    """Whether object k is so to the anchor: 1, 0 or -1. Remembered, for many queries ask the same."""
    known = scene.relations.get((condition, k, anchor))
    if known is None:
        test = _depth if condition in ("in front of", "behind") else _beside
        known = scene.relations[condition, k, anchor] = test(condition, scene, k, anchor)
    return known


def _next_to(scene: MeasuredScene, anchor: int, named: Sequence[int], rivals: Sequence[int]) -> int | None:
    sure = [k for k in rivals if named[k] == 1]
    if not sure:
        return None
    near = {k: _distance(scene.objects[k], scene.objects[anchor]) for k in rivals}
    best = min(sure, key=lambda k: near[k].mean())
    if (_gap(scene.objects[best], scene.objects[anchor]) > TOUCH * scene.unit).any():
        return None
    return best if all((near[k] >= NEAREST * near[best]).all() for k in rivals if k != best) else None


def _beside(condition: str, scene: MeasuredScene, k: int, anchor: int) -> int:
    """Left, right, above, below: clearly to that side, and more so than in the other direction."""
    a, b = scene.objects[k], scene.objects[anchor]
    across, along = (a.x - b.x) / scene.width, (a.y - b.y) / scene.height
    if condition in ("above", "below"):
        across, along = along, across
    if condition in ("left of", "above"):
        across = -across
    if ((across >= GAP) & (np.abs(along) < across)).all():
        return 1
    return -1 if (across <= 0).all() else 0


def _depth(condition: str, scene: MeasuredScene, k: int, anchor: int) -> int:
    """In front of, behind: they overlap, and the nearer one hides a part of the other."""
    if k == anchor:
        return -1
    a, b = scene.objects[k], scene.objects[anchor]
    cover = _covering(a, b)
    if (cover <= 0).all():
        return -1
    if not (cover >= COVER).all():
        return 0
    nearer, further = (k, anchor) if k > anchor else (anchor, k)
    if not (scene.objects[further].visible_share < 0.95).all():
        return 0  # boxes overlap, but nothing is hidden
    wanted = nearer if condition == "in front of" else further
    return 1 if wanted == k else -1


_KINDS: Mapping[str, Callable[[Query, MeasuredScene], int | None]] = {
    "name": _name,
    "size": _size,
    "place": _place,
    "motion": _motion,
    "order": _order,
    "relation": _relation,
}
