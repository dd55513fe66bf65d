"""How much of the nodes a user uses, and whether more is allowed."""

from typing import Protocol


class Meter(Protocol):
    """Is told of each worker of one user that starts and ends, in any placement."""

    def check(self, gpus: float) -> None:
        """Raise ``Forbidden`` or ``NotReady`` in a sentence if one more may not start."""

    def began(self) -> None:
        """A worker takes its place, and may still wait for a node."""

    def holds(self, gpus: float) -> None:
        """It is on a node, and holds so many GPUs from now on."""

    def ended(self, gpus: float) -> None:
        """It has left its place, and the GPUs that it held."""

    def over(self, gpus: float) -> bool:
        """Say whether workers with so many GPUs have to end now."""


class Unmetered:
    """For nodes of one's own server: the Hub's quota is all there is."""

    def check(self, gpus: float) -> None:
        pass

    def began(self) -> None:
        pass

    def holds(self, gpus: float) -> None:
        pass

    def ended(self, gpus: float) -> None:
        pass

    def over(self, gpus: float) -> bool:
        return False
