"""The list of all faults, in the order of the table."""

from tests.faults.injections import apis, clocks, entries, owners, restarts, servers, wires, workers
from tests.faults.injections.fault import Fault

MODULES = (workers, servers, wires, apis, entries, clocks, restarts, owners)


def catalogue() -> list[Fault]:
    """Every fault, F1 first."""
    found = [fault for module in MODULES for fault in module.FAULTS]
    return sorted(found, key=lambda fault: int(fault.family.removeprefix("F")))


def chosen(names: str) -> list[Fault]:
    """The faults that a list like `F1,F6-reset` names: whole families or single ones. Raises ValueError."""
    faults = catalogue()
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if not any(name in (fault.family, fault.name) for fault in faults)]
    if unknown:
        message = (
            f"there is no fault {', '.join(unknown)}; there are {', '.join(fault.name for fault in faults)}"
        )
        raise ValueError(message)
    return [fault for fault in faults if not wanted or fault.family in wanted or fault.name in wanted]
