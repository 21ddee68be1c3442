"""What a fault is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.scene import Scene


@dataclass(frozen=True)
class Fault:
    """A fault by name, what it does in words, and how it is done.

    `inject` runs while the load does. It returns when the fault is over or, where the system must live with it, when
    its effect was seen. It raises NotLandedError when the fault did not happen, NotRunError when it cannot happen here,
    and AssertionError when the system did not get over it.
    """

    name: str
    what: str
    inject: Callable[[Scene], None]
    failover: str | None = None
    """Which failover table its times belong to."""
    wires: Sequence[str] = ()
    """The wires that it breaks, one in each run, in turn."""

    @property
    def family(self) -> str:
        """F1 to F13."""
        return self.name.partition("-")[0]
