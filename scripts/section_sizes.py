"""How many seats the sections of a term have: many small ones and a few very large, as in real catalogues; pure.

The shape is read off a published summer term (187 sections, 14,093 seats): none below 21 seats, half of them up to 35, a tenth
above 116, the largest with 1,082. A log-normal distribution above a smallest size has that shape; its spread follows from
the seats that there must be in all.
"""

from math import exp, log
from statistics import NormalDist

SMALLEST = 20
MEDIAN = 35
LARGEST = 1_200
SPREAD_MAX = 5.0
# Halvings of the interval in which the spread lies; after these it is known to twelve digits.
HALVINGS = 40


def section_sizes(count: int, seats: int) -> list[int]:
    """The seats of each of `count` sections, smallest first, `seats` in all, the same for the same numbers.

    Raises ValueError when so many sections of such sizes cannot have so many seats.
    """
    smallest, largest = sum(_sizes(count, 0.0)), sum(_sizes(count, SPREAD_MAX))
    if not smallest <= seats <= largest:
        message = f"{count} sections have {smallest} to {largest} seats, not {seats}"
        raise ValueError(message)
    low, high = 0.0, SPREAD_MAX
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(_sizes(count, middle)) <= seats else (low, middle)
    return _filled_up(_sizes(count, low), seats)


def _sizes(count: int, spread: float) -> list[int]:
    """One section for each of as many equally likely parts of the distribution."""
    normal = NormalDist(log(MEDIAN - SMALLEST), spread) if spread else None
    parts = [(number + 0.5) / count for number in range(count)]
    above = [exp(normal.inv_cdf(part)) if normal else MEDIAN - SMALLEST for part in parts]
    return [min(LARGEST, SMALLEST + round(each)) for each in above]


def _filled_up(sizes: list[int], seats: int) -> list[int]:
    """What rounding has left over goes to the largest sections, a seat each in turn."""
    filled = list(sizes)
    for extra in range(seats - sum(sizes)):
        filled[-1 - extra % len(filled)] += 1
    return filled
