"""Random people: MakeHuman's targets as symmetric directions, drawn with statistics measured on scanned people.

A person is linear in K directions: ``average + sum_k c_k direction_k``. The first six are the attributes, differences
of the whole body at the average adult; the others are details of the head: half the difference of two opposite
targets (`nose-hump-decr`, `nose-hump-incr`), or a target without an opposite; a target of one side makes an even
direction (both sides) and an odd one (left minus right). `people.npz`, written by `calibrate`, has the mean and a
factor of the covariance of the c_k. Attributes and details are drawn independently, so that a population of other
attributes keeps the variety of its details.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import sparse

from scripts.makehuman.source import Source

ROOMS = ("head", "forehead", "eyebrows", "eyes", "nose", "cheek", "mouth", "chin", "ears", "neck", "asym")
OPPOSITES = (
    ("decr", "incr"),
    ("in", "out"),
    ("down", "up"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
)
ANCESTRIES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
TABLE = Path(__file__).with_name("people.npz")
GRID = 1e-4
"""Step of the table's values: the same on every machine, though the products behind them differ in last bits."""
THIRD = 1 / 3
BOUNDS = {
    "sex": (-0.5, 0.5),  # -0.5 a woman, 0.5 a man
    "age": (0.0, 1.0),  # 0 is 25 years, 1 is 90
    "african": (-THIRD, 2 * THIRD),  # shares of ancestry less the average's third; the rest is caucasian
    "asian": (-THIRD, 2 * THIRD),
    "muscle": (-0.5, 0.5),  # least and most
    "weight": (-0.5, 0.5),
}
"""What MakeHuman's own sliders allow of each attribute."""
ATTRIBUTES = tuple(BOUNDS)
DETAIL_BOUND = 1.5
"""Most of a detail's coefficient: MakeHuman's sliders end at 1, a few scanned faces lie beyond."""


@dataclass(frozen=True)
class Directions:
    """The average adult and K directions about them, each exactly even (symmetric) or odd."""

    average: np.ndarray  # [V, 3] metres
    names: tuple[str, ...]
    offsets: np.ndarray  # [K, V, 3] metres per unit of MakeHuman's own sliders
    odd: np.ndarray  # [K] bool: a mirrored person has the opposite coefficient

    def vertices(self, coefficients: np.ndarray) -> np.ndarray:
        """People [N, V, 3] of coefficients [N, K]."""
        flat = coefficients @ self.offsets.reshape(len(self.names), -1)
        return self.average + flat.reshape(len(coefficients), *self.average.shape)

    def carried(self, operator: sparse.csr_matrix) -> "Directions":
        """The same of a mesh whose vertices are mixtures [V', V] of these."""
        offsets = np.array([operator @ field for field in self.offsets])
        return replace(self, average=operator @ self.average, offsets=offsets)

    def mirrored(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients [N, K] of the same people seen in a mirror."""
        return coefficients * np.where(self.odd, -1, 1)


@dataclass(frozen=True)
class Statistics:
    """The distribution of the coefficients over scanned people."""

    names: tuple[str, ...]
    mean: np.ndarray  # [K]
    factor: np.ndarray  # [K, K] lower triangular: the covariance is factor @ factor.T

    @property
    def lower(self) -> np.ndarray:
        """[K] least value of each coefficient."""
        return np.array([BOUNDS.get(name, (-DETAIL_BOUND, 0))[0] for name in self.names])

    @property
    def upper(self) -> np.ndarray:
        """[K] largest value of each coefficient."""
        return np.array([BOUNDS.get(name, (0, DETAIL_BOUND))[1] for name in self.names])

    def draw(self, count: int, seed: int) -> np.ndarray:
        """Coefficients [count, K] of random people; the first columns are their attributes. Beyond a bound: at it."""
        scores = np.random.default_rng(seed).standard_normal((count, len(self.names)))
        return np.clip(self.mean + scores @ self.factor.T, self.lower, self.upper)


def sample_people(source: Source, count: int, seed: int) -> np.ndarray:
    """Random people as vertices of the base mesh: [count, V_base, 3] metres, in the base mesh's own frame."""
    return read_directions(source).vertices(read_statistics().draw(count, seed))


def read_statistics(path: Path = TABLE) -> Statistics:
    """The committed table."""
    with np.load(path) as table:
        mean, factor = (table[name].astype(float) * GRID for name in ("mean", "factor"))
        return Statistics(tuple(table["names"].tolist()), mean, factor)


def write_statistics(statistics: Statistics, path: Path = TABLE) -> None:
    """The table in whole steps of `GRID`."""
    mean, factor = (np.rint(values / GRID).astype(np.int16) for values in (statistics.mean, statistics.factor))
    np.savez_compressed(path, names=np.array(statistics.names), mean=mean, factor=factor)


def read_directions(source: Source) -> Directions:
    """All directions of the head in a fixed order: the attributes first, then room by room."""

    def mirrored(field: np.ndarray) -> np.ndarray:
        return field[source.mirror] * (-1.0, 1.0, 1.0)

    found = [*_attributes(source), *_details(source)]
    offsets = np.array([(field + sign * mirrored(field)) / 2 for _, field, sign in found])
    adults = sum(_adult(source, sex, ancestry) for sex in SEXES for ancestry in ANCESTRIES) / 6
    average = source.vertices + adults
    names, odd = tuple(name for name, _, _ in found), np.array([sign < 0 for _, _, sign in found])
    return Directions((average + mirrored(average)) / 2, names, offsets, odd)


def _dense(source: Source, name: str) -> np.ndarray:
    return source.dense(source.target(name))


def _adult(source: Source, sex: str, ancestry: str, age: str = "young") -> np.ndarray:
    """Offsets of an adult of average muscle and weight."""
    return _dense(source, f"macrodetails/{ancestry}-{sex}-{age}") + _universal(source, sex, age)


def _universal(source: Source, sex: str, age: str, muscle: str = "average", weight: str = "average") -> np.ndarray:
    return _dense(source, f"macrodetails/universal-{sex}-{age}-{muscle}muscle-{weight}weight")


def _attributes(source: Source) -> list[tuple[str, np.ndarray, int]]:
    """(name, offsets [V, 3], 1 as they are even) of `ATTRIBUTES`, in their order."""

    def adults(sexes: tuple[str, ...] = SEXES, ancestries: tuple[str, ...] = ANCESTRIES, age: str = "young"):
        return np.mean([_adult(source, sex, ancestry, age) for sex in sexes for ancestry in ancestries], axis=0)

    def bodies(**kind: str) -> np.ndarray:
        return np.mean([_universal(source, sex, "young", **kind) for sex in SEXES], axis=0)

    fields = (
        adults(sexes=("male",)) - adults(sexes=("female",)),
        adults(age="old") - adults(),
        adults(ancestries=("african",)) - adults(ancestries=("caucasian",)),
        adults(ancestries=("asian",)) - adults(ancestries=("caucasian",)),
        bodies(muscle="max") - bodies(muscle="min"),
        bodies(weight="max") - bodies(weight="min"),
    )
    return [(name, field, 1) for name, field in zip(ATTRIBUTES, fields, strict=True)]


def _details(source: Source) -> list[tuple[str, np.ndarray, int]]:
    """(name, offsets [V, 3], 1 for even or -1 for odd) of the targets of the head."""
    signed = _signed([n for n in source.target_names if n.split("/")[0] in ROOMS and "asymm-" not in n])  # the body's
    found = []
    for room in ROOMS:
        for name in sorted(n for n in signed if n.startswith(room + "/")):
            field = _field(source, *signed[name])
            stem = name.split("/")[1]
            if stem.startswith("l-"):
                found += [(name.replace("/l-", "/"), 2 * field, 1), (name.replace("/l-", "/odd-"), 2 * field, -1)]
            elif not stem.startswith("r-"):
                found.append((name, field, -1 if room == "asym" or stem.endswith("trans-in-out") else 1))
    return found


def _signed(names: list[str]) -> dict[str, tuple[str | None, str]]:
    """Direction -> its negative target, if any, and its positive one."""
    signed: dict[str, tuple[str | None, str]] = {}
    single = set(names)
    for name in names:
        for minus, plus in OPPOSITES:
            stem = name.removesuffix(f"-{plus}")
            if stem != name and f"{stem}-{minus}" in single:
                signed[f"{stem}-{minus}-{plus}"] = (f"{stem}-{minus}", name)
                single -= {name, f"{stem}-{minus}"}
    for name in [n for n in single if n.startswith("asym/") and n.endswith("-l")]:
        stem = name.removesuffix("-l")
        signed[stem] = (f"{stem}-r", name)
        single -= {name, f"{stem}-r"}
    return signed | {name: (None, name) for name in single}


def _field(source: Source, minus: str | None, plus: str) -> np.ndarray:
    return _dense(source, plus) if minus is None else (_dense(source, plus) - _dense(source, minus)) / 2
