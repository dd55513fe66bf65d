"""The functions behind the pages that ``apps.py`` compares."""

import random


def roll(sides: int = 6, seed: int | None = None) -> int:
    """Roll a die."""
    return random.Random(seed).randint(1, sides)
