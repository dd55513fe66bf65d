"""A notebook cell that begins with the future import: all its hints are strings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

import easymlnb.types as ml


@dataclass
class Point:
    x: float
    y: float = 0.0


def move(
    at: Point, by: Annotated[int, ml.Slider(1, 5)] = 2, path: list[Point] | None = None
) -> dict[str, np.ndarray]:
    return {"at": np.array([at.x + by, at.y])}
