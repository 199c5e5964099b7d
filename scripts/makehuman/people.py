"""Random people as coefficients of MakeHuman's shape targets."""

import numpy as np

from scripts.makehuman.source import Source

ROOMS = ("head", "eyes", "mouth", "nose", "ears", "chin", "cheek", "forehead", "eyebrows", "neck", "asym")
OPPOSITES = (
    ("decr", "incr"),
    ("in", "out"),
    ("down", "up"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
)
FORMS = ("diamond", "invertedtriangular", "oval", "rectangular", "round", "square", "triangular")
SPREAD = 0.3
"""Standard deviation of a detail's coefficient; 1 is the whole target."""


def sample(rng: np.random.Generator, count: int, source: Source) -> np.ndarray:
    """[count, T] weights of `source.target_names` of random people."""
    place = {name: k for k, name in enumerate(source.target_names)}
    pairs = detail_pairs(source)
    rows = np.zeros((count, len(place)))
    for row in rows:
        for name, weight in _macro(rng).items():
            row[place[name]] = weight
        _add_details(row, rng, pairs, place)
    return rows


def detail_pairs(source: Source) -> list[tuple[str, str | None]]:
    """Details of head and neck: a target and its opposite, if it has one."""
    names = [name for name in source.target_names if name.split("/")[0] in ROOMS and "asymm-" not in name]
    pairs, known = [], set(names)
    for name in names:
        if name.split("/")[0] == "asym":
            if name.endswith("-l"):
                pairs.append((name, name[:-2] + "-r"))
            continue
        stem, _, ending = name.rpartition("-")
        opposite = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}.get(ending)
        other = f"{stem}-{opposite}"
        if opposite is None or other not in known:
            pairs.append((name, None))
        elif ending in [second for _, second in OPPOSITES]:
            pairs.append((name, other))
    return pairs


def _add_details(
    row: np.ndarray, rng: np.random.Generator, pairs: list[tuple[str, str | None]], place: dict[str, int]
) -> None:
    form = f"head/head-{FORMS[k]}" if (k := int(rng.integers(0, len(FORMS) + 1))) < len(FORMS) else ""
    common: dict[str, float] = {}
    for name, opposite in pairs:
        spread, (room, stem) = _spread(name), name.split("/")
        if room in ("cheek", "ears", "eyes") and stem[:2] in ("l-", "r-"):
            value = common.setdefault(stem[2:], rng.normal(0, spread)) + rng.normal(0, 0.2 * spread)
        else:
            value = rng.normal(0, spread)
        value = float(np.clip(value, -1, 1))
        if stem.removeprefix("head-") in FORMS:
            value = abs(value) if name == form else 0.0
        if value >= 0:
            row[place[name]] = value
        elif opposite:
            row[place[opposite]] = -value


def _spread(name: str) -> float:
    room, stem = name.split("/")
    if room == "asym":
        return 0.15
    if stem.endswith("-trans-out"):  # sideways: an asymmetry, except of the eyes
        return 0.06 if room != "eyes" else SPREAD
    if stem.startswith("head-trans") or "pointed" in stem:
        return 0.1
    small = ("head-back", "head-angle", "head-age", "head-fat")
    return 0.2 if room in ("neck", "forehead") or stem.startswith(small) else SPREAD


def _macro(rng: np.random.Generator) -> dict[str, float]:
    """Weights of the macro targets of a random age, sex, ancestry and build."""
    age = 0.5 + 0.45 * rng.beta(1.0, 2.0) if rng.random() > 0.07 else rng.uniform(0.38, 0.5)
    ages = _between(age, ("baby", "child", "young", "old"), (0, 0.1875, 0.5, 1))
    male = rng.beta(0.5, 0.5)
    ancestry = dict(zip(("african", "asian", "caucasian"), rng.dirichlet((0.5, 0.5, 0.5)), strict=True))
    muscle = _between(rng.normal(0.5, 0.18), ("minmuscle", "averagemuscle", "maxmuscle"), (0, 0.5, 1))
    weight = _between(rng.normal(0.48, 0.16), ("minweight", "averageweight", "maxweight"), (0, 0.5, 1))
    weights: dict[str, float] = {}
    for sex, of_sex in (("female", 1 - male), ("male", male)):
        for at, of_age in ages.items():
            for people, of_people in ancestry.items():
                weights[f"macrodetails/{people}-{sex}-{at}"] = of_sex * of_age * of_people
            for strong, of_muscle in muscle.items():
                for heavy, of_weight in weight.items():
                    name = f"macrodetails/universal-{sex}-{at}-{strong}-{heavy}"
                    weights[name] = of_sex * of_age * of_muscle * of_weight
    return weights


def _between(value: float, names: tuple[str, ...], knots: tuple[float, ...]) -> dict[str, float]:
    """Linear weights of the two knots around `value`."""
    shares = {name: float(np.interp(value, knots, np.eye(len(knots))[k])) for k, name in enumerate(names)}
    return {name: share for name, share in shares.items() if share > 0}
