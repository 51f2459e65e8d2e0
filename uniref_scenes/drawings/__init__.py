"""How each noun is drawn: functions of a pen, whose random numbers decide the proportions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from uniref_scenes.drawings import animals, food, geometric, nature, objects, vehicles
from uniref_scenes.drawings.pen import Pen

DRAWINGS: Mapping[str, Callable[[Pen], None]] = {
    **vehicles.DRAWINGS,
    **nature.DRAWINGS,
    **animals.DRAWINGS,
    **objects.DRAWINGS,
    **food.DRAWINGS,
    **geometric.DRAWINGS,
}
