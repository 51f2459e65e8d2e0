"""What is true of a scene: its objects as measured, and which one of them an expression refers to.

Conditions are judged with a margin: an object satisfies one (1), certainly does not (-1), or is open to doubt (0). An
expression is used only where exactly one object scores 1 and all others score -1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from uniref_scenes.language import Noun, NounPhrase, Query
from uniref_scenes.motion import SceneObject
from uniref_scenes.sprite import solid
from uniref_scenes.types import BoolArray, Float64Array, UInt8Array

_MIN_PIXELS, _MIN_SHARE = 40, 0.1  # visible pixels, and share of the object, from which it can be spoken of
_AREA_RATIO, _AREA_SHARE = 1.5, 0.8  # how much larger than the next one, in which share of the frames
_WHOLE = 0.7  # visible share from which sizes are compared
_GAP = 0.1  # between centres, of the image's width or height
_FAR, _STILL = 0.15, 0.02  # net displacement that is movement; that is none; of the image's shorter side
_WITHIN, _APART = 30.0, 60.0  # degrees from a direction up to which one moves there; from which one does not
_GROWTH, _STEADY = 1.45, 1.12  # factor of the size that is growth; up to which there is none
_TURN, _UPRIGHT = 90.0, 10.0  # degrees that are a rotation; up to which there is none
_NEAREST, _TOUCH = 1.5, 0.25  # times nearer than the next one; gap between boxes, of the shorter side
_COVER = 0.06  # share of the smaller box that an overlap covers
_HIDDEN = 0.95  # visible share below which something is hidden


@dataclass(frozen=True)
class MeasuredObject:
    """One object as measured over T frames; arrays are float64."""

    noun: Noun
    colour: str | None
    """The basic colour word that anyone would use, or None."""
    colours: frozenset[str]
    """Colour words that someone might use."""
    pattern: str
    """One of `drawings.appearance.PATTERNS`, or `unknown`."""
    area: Float64Array
    """Visible pixels, [T]."""
    visible_share: Float64Array
    """Visible share of the whole object, 0..1, [T]."""
    x: Float64Array
    """Centre of the visible part's box, pixels, [T]; NaN where nothing is visible."""
    y: Float64Array
    box: Float64Array
    """Box of the visible part, (x0, y0, x1, y1) pixels, [T, 4]; NaN where nothing is visible."""
    path: Float64Array
    """Centre of the whole object, visible or not, pixels, [T, 2]."""
    size: Float64Array
    """Longest side of the whole object, pixels, [T]."""
    angle: Float64Array
    """Degrees, clockwise, [T]."""

    @cached_property
    def always_visible(self) -> bool:
        """Whether it is visible in every frame."""
        return bool(self.visible.all())

    @cached_property
    def visible(self) -> BoolArray:
        """Frames in which enough of it can be seen to speak of it, [T]."""
        return (self.area >= _MIN_PIXELS) & (self.visible_share >= _MIN_SHARE)


def measure_objects(objects: Sequence[SceneObject], labels: Sequence[UInt8Array]) -> list[MeasuredObject]:
    """Measure every object of a scene.

    Args:
        objects: The objects; the labels of object k are k + 1.
        labels: Label maps of all frames, uint8 [H, W].
    """
    count = len(objects)
    area = np.stack([np.bincount(label.ravel(), minlength=count + 1)[1:] for label in labels], 1).astype(float)
    return [_measure_object(obj, number, area[number - 1], labels) for number, obj in enumerate(objects, start=1)]


def _measure_object(obj: SceneObject, number: int, area: Float64Array, labels: Sequence[UInt8Array]) -> MeasuredObject:
    trajectory, sprite = obj.trajectory, obj.sprite
    # pixels that it would have if nothing of it were hidden
    whole = solid(np.asarray(sprite.image.getchannel("A"))).sum() * (trajectory.size / max(sprite.image.size)) ** 2
    box = np.stack([_mask_box(label == number) if area[t] else np.full(4, np.nan) for t, label in enumerate(labels)])
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


def _mask_box(mask: BoolArray) -> Float64Array:
    """Box (x0, y0, x1, y1) of a mask that is not empty, pixels; x1 and y1 are exclusive."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([cols[0], rows[0], cols[-1] + 1, rows[-1] + 1], float)


@dataclass(frozen=True)
class MeasuredScene:
    """A scene as measured: what expressions are resolved in."""

    objects: Sequence[MeasuredObject]
    height: int
    width: int
    words: tuple[str | None, ...] = ()
    """Words that could mean a part of the background; None: so could an expression without a noun."""
    _side_scores: dict[tuple[str, int, int], int] = field(default_factory=dict, init=False, repr=False)
    """Scores of pairs of objects, kept because many queries ask for the same."""

    @property
    def unit(self) -> int:
        """Shorter side, pixels."""
        return min(self.height, self.width)

    @property
    def num_frames(self) -> int:
        """Frames, 1 for an image."""
        return len(self.objects[0].area)


def fits(name: NounPhrase, obj: MeasuredObject) -> int:
    """Whether an object can be called so: 1 anyone would, 0 some would, -1 nobody would."""
    score = obj.noun.fits(name.noun)
    if name.colour is not None:
        score = min(score, 1 if obj.colour == name.colour else 0 if name.colour in obj.colours else -1)
    if name.pattern is not None:
        unsure = "speckled" in (obj.pattern, name.pattern) or obj.pattern == "unknown"
        score = min(score, 1 if obj.pattern == name.pattern else 0 if unsure and obj.pattern != "plain" else -1)
    return score


def resolve(query: Query, scene: MeasuredScene) -> int | None:
    """Position of the one object that a query refers to; None where that is none, several, or open to doubt."""
    # something of the background might be meant
    if query.name.noun in scene.words or (query.anchor is not None and query.anchor.noun in scene.words):
        return None
    return _RESOLVERS[query.kind](query, scene)


def refers_to_nothing(name: NounPhrase, scene: MeasuredScene) -> bool:
    """Whether certainly no object can be called so."""
    return name.noun not in scene.words and all(fits(name, obj) < 0 for obj in scene.objects)


def _scores(name: NounPhrase, scene: MeasuredScene) -> list[int]:
    return [fits(name, obj) for obj in scene.objects]


def _sole(scores: Sequence[int]) -> int | None:
    """The position of the only score of 1 where all others are -1, else None."""
    return scores.index(1) if sum(score >= 0 for score in scores) == 1 and 1 in scores else None


def _candidates(query: Query, scene: MeasuredScene, least: int) -> list[int] | None:
    """Objects that can be called so, where there are at least so many of them and no doubtful ones."""
    scores = _scores(query.name, scene)
    candidates = [k for k, score in enumerate(scores) if score == 1]
    return candidates if len(candidates) >= least and 0 not in scores else None


def _resolve_name(query: Query, scene: MeasuredScene) -> int | None:
    return _sole(_scores(query.name, scene))


def _resolve_size(query: Query, scene: MeasuredScene) -> int | None:
    """The largest or smallest: clearly so in most of the frames."""
    candidates = _candidates(query, scene, 2)
    if candidates is None:
        return None
    # areas in the frames in which all candidates are nearly whole
    sign = 1 if query.condition == "largest" else -1
    objects = [scene.objects[k] for k in candidates]
    areas = np.stack([np.where(obj.visible_share >= _WHOLE, obj.area, np.nan) for obj in objects])
    comparable = np.isfinite(areas).all(0)
    if comparable.mean() < _AREA_SHARE:
        return None
    # the best one's lead over the second, as a ratio of areas
    log_areas = np.log(areas[:, comparable]) * sign
    best = int(log_areas.mean(1).argmax())
    lead = log_areas[best] - np.delete(log_areas, best, 0).max(0)
    return candidates[best] if (lead >= np.log(_AREA_RATIO)).sum() >= _AREA_SHARE * scene.num_frames else None


def _resolve_position(query: Query, scene: MeasuredScene) -> int | None:
    """Left, right, top, bottom, middle, second: by the order of the centres, with gaps between them in every frame."""
    # all candidates have to be visible throughout: what is hidden has no position
    candidates = _candidates(query, scene, _LEAST_FOR_POSITION.get(query.condition, 2))
    if candidates is None or not all(scene.objects[k].always_visible for k in candidates):
        return None
    # centres along the axis, [objects, T], counted from the side that is named
    vertical = query.condition in ("top", "bottom")
    centres = np.stack([(scene.objects[k].y if vertical else scene.objects[k].x) for k in candidates])
    if query.condition in ("right", "bottom", "second from the right"):
        centres = -centres
    order = centres[:, 0].argsort()
    # which rank is meant, and how many gaps behind the first rank have to be clear
    if query.condition == "middle":
        if len(candidates) != 3:
            return None
        rank, gaps = 1, 2
    else:
        rank = 1 if query.condition.startswith("second") else 0
        gaps = rank + 1
    steps = np.diff(centres[order], axis=0)[:gaps]
    least = _GAP * (scene.height if vertical else scene.width)
    return candidates[int(order[rank])] if (steps >= least).all() else None


_LEAST_FOR_POSITION = {"middle": 3, "second from the left": 3, "second from the right": 3}


def _displacement(obj: MeasuredObject, scene: MeasuredScene) -> Float64Array:
    """Net movement (x, y) over the frames in which it is visible, in shorter sides of the image."""
    frames = np.flatnonzero(obj.visible)
    if len(frames) < 2:
        return np.zeros(2)
    return (obj.path[frames[-1]] - obj.path[frames[0]]) / scene.unit


def _largest_distance(obj: MeasuredObject, scene: MeasuredScene) -> float:
    """Largest distance from where it starts, in shorter sides of the image."""
    return float(np.linalg.norm(obj.path - obj.path[0], axis=1).max()) / scene.unit


def _direction(obj: MeasuredObject, scene: MeasuredScene, toward: Float64Array) -> int:
    """Whether an object moves in a direction (a unit vector): 1, 0 or -1."""
    move = _displacement(obj, scene)
    length = float(np.linalg.norm(move))
    if length < _STILL:
        return -1 if _largest_distance(obj, scene) < 2 * _STILL else 0
    angle = np.degrees(np.arccos(np.clip(move @ toward / length, -1, 1)))
    if angle <= _WITHIN and length >= _FAR:
        return 1
    return -1 if angle >= _APART else 0


_TOWARD = {
    "moves left": np.array([-1.0, 0.0]),
    "moves right": np.array([1.0, 0.0]),
    "moves up": np.array([0.0, -1.0]),
    "moves down": np.array([0.0, 1.0]),
}


def _growth(obj: MeasuredObject) -> float:
    """Factor of the size over the frames in which it is visible."""
    frames = np.flatnonzero(obj.visible)
    return float(obj.size[frames[-1]] / obj.size[frames[0]]) if len(frames) else 1.0


def _moves(query: Query, obj: MeasuredObject, scene: MeasuredScene) -> int:
    """Whether an object moves as the query says: 1, 0 or -1."""
    if not obj.visible.any():
        return 0
    if query.condition in _TOWARD:
        return _direction(obj, scene, _TOWARD[query.condition])
    if query.condition == "still":
        return _still(obj, scene)
    if query.condition in ("grows", "shrinks"):
        factor = _growth(obj) if query.condition == "grows" else 1 / _growth(obj)
        return 1 if factor >= _GROWTH else -1 if factor <= _STEADY else 0
    return _turns(obj)


def _still(obj: MeasuredObject, scene: MeasuredScene) -> int:
    """Whether an object neither moves nor grows nor turns: 1, 0 or -1."""
    unchanged = 1 / _STEADY < _growth(obj) < _STEADY and abs(obj.angle[-1] - obj.angle[0]) < _UPRIGHT
    if _largest_distance(obj, scene) < _STILL:
        return 1 if unchanged else 0
    return -1 if float(np.linalg.norm(_displacement(obj, scene))) >= 0.7 * _FAR else 0


def _turns(obj: MeasuredObject) -> int:
    """Whether an object rotates: 1, 0 or -1."""
    turned = abs(obj.angle[-1] - obj.angle[0])
    if not obj.noun.turns:
        return -1 if turned < _UPRIGHT else 0
    return 1 if turned >= _TURN else -1 if turned < _UPRIGHT else 0


def _resolve_motion(query: Query, scene: MeasuredScene) -> int | None:
    if scene.num_frames < 2:
        return None
    named = _scores(query.name, scene)
    return _sole([min(name, _moves(query, obj, scene)) for name, obj in zip(named, scene.objects, strict=True)])


def _resolve_order(query: Query, scene: MeasuredScene) -> int | None:
    """The one that leaves: visible in the first frame and not in the last two; or that enters, the other way round."""
    if scene.num_frames < 4:
        return None
    scores = []
    for name, obj in zip(_scores(query.name, scene), scene.objects, strict=True):
        seen = obj.area > 0 if query.condition == "leaves" else obj.area[::-1] > 0
        clear = bool(obj.visible[0 if query.condition == "leaves" else -1]) and not seen[-2:].any()
        scores.append(min(name, 1 if clear else -1 if seen.all() and obj.always_visible else 0))
    return _sole(scores)


def _box_gap(a: MeasuredObject, b: MeasuredObject) -> Float64Array:
    """Distance between the boxes, pixels, [T]; 0 where they overlap."""
    p, q = a.box, b.box
    apart = np.maximum(np.maximum(p[:, :2] - q[:, 2:], q[:, :2] - p[:, 2:]), 0)
    return np.hypot(apart[:, 0], apart[:, 1])


def _distance(a: MeasuredObject, b: MeasuredObject) -> Float64Array:
    """Distance between the centres, pixels, [T]."""
    return np.hypot(a.x - b.x, a.y - b.y)


def _box_overlap(a: MeasuredObject, b: MeasuredObject) -> Float64Array:
    """Overlap of the boxes as a share of the smaller one, [T]."""
    p, q = a.box, b.box
    overlap = np.maximum(np.minimum(p[:, 2:], q[:, 2:]) - np.maximum(p[:, :2], q[:, :2]), 0)
    areas = [(r[:, 2] - r[:, 0]) * (r[:, 3] - r[:, 1]) for r in (p, q)]
    return overlap.prod(1) / np.maximum(np.minimum(*areas), 1)


def _resolve_relation(query: Query, scene: MeasuredScene) -> int | None:
    """The one that stands in a relation to the anchor, which has to be a single object as well."""
    assert query.anchor is not None
    anchor = _sole(_scores(query.anchor, scene))
    if anchor is None or not scene.objects[anchor].always_visible:
        return None
    named = _scores(query.name, scene)
    named[anchor] = -1
    rivals = [k for k, score in enumerate(named) if score >= 0]
    if not all(scene.objects[k].always_visible for k in rivals):
        return None
    if query.condition == "next to":
        return _next_to(scene, anchor, named, rivals)
    return _sole([min(score, _side(query.condition, scene, k, anchor)) for k, score in enumerate(named)])


def _side(condition: str, scene: MeasuredScene, k: int, anchor: int) -> int:
    """Whether object k stands in a relation to the anchor: 1, 0 or -1."""
    scores, key = scene._side_scores, (condition, k, anchor)
    if key not in scores:
        test = _depth if condition in ("in front of", "behind") else _beside
        scores[key] = test(condition, scene, k, anchor)
    return scores[key]


def _next_to(scene: MeasuredScene, anchor: int, named: Sequence[int], rivals: Sequence[int]) -> int | None:
    """The nearest one, where it touches the anchor or nearly so, and the next one is clearly further away."""
    sure = [k for k in rivals if named[k] == 1]
    if not sure:
        return None
    near = {k: _distance(scene.objects[k], scene.objects[anchor]) for k in rivals}
    best = min(sure, key=lambda k: near[k].mean())
    if (_box_gap(scene.objects[best], scene.objects[anchor]) > _TOUCH * scene.unit).any():
        return None
    return best if all((near[k] >= _NEAREST * near[best]).all() for k in rivals if k != best) else None


def _beside(condition: str, scene: MeasuredScene, k: int, anchor: int) -> int:
    """Left, right, above, below: clearly to that side, and more so than in the other direction."""
    a, b = scene.objects[k], scene.objects[anchor]
    across, along = (a.x - b.x) / scene.width, (a.y - b.y) / scene.height
    if condition in ("above", "below"):
        across, along = along, across
    if condition in ("left of", "above"):
        across = -across
    if ((across >= _GAP) & (np.abs(along) < across)).all():
        return 1
    return -1 if (across <= 0).all() else 0


def _depth(condition: str, scene: MeasuredScene, k: int, anchor: int) -> int:
    """In front of, behind: they overlap, and the nearer one hides a part of the other."""
    if k == anchor:
        return -1
    a, b = scene.objects[k], scene.objects[anchor]
    cover = _box_overlap(a, b)
    if (cover <= 0).all():
        return -1
    if not (cover >= _COVER).all():
        return 0
    nearer, further = (k, anchor) if k > anchor else (anchor, k)
    if not (scene.objects[further].visible_share < _HIDDEN).all():
        return 0  # boxes overlap, but nothing is hidden
    return 1 if k == (nearer if condition == "in front of" else further) else -1


_RESOLVERS: Mapping[str, Callable[[Query, MeasuredScene], int | None]] = {
    "name": _resolve_name,
    "size": _resolve_size,
    "place": _resolve_position,
    "motion": _resolve_motion,
    "order": _resolve_order,
    "relation": _resolve_relation,
}
