"""Great Expectations suites over the tables of the data stages.

A broken expectation fails its stage with one line that names it and the first offending rows; the verdict of a passed
suite is a small JSON beside the table, without time stamps, and another says what was expected and how many rows fell
short of it where not all must meet it: the report's Data Docs.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from string import Template
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mfnet.datasets import multipie
from mfnet.datasets.plan import SLOTS
from mfnet.errors import InputError
from mfnet.io.files import write_json
from mfnet.params import LandmarkParams, TripletParams

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

ACCEPTED = "accepted"
LEAST_FACE = 16
"""Larger side of a face's landmarks, pixels, below which it is no photograph to learn from."""
SHOWN = 3  # offending rows named in a message


def check_manifest(manifest: pd.DataFrame, rejected: pd.DataFrame, max_rejected: float, verdict: str | Path) -> None:
    """The manifest's suite. Stray files that are no images do not count towards `max_rejected`; what is unreadable and
    may be one does."""
    gxe = _expectations()

    cameras = [*multipie.YAW, *multipie.CEILING]
    suite = [
        gxe.ExpectColumnValuesToBeUnique(column="path"),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["subject", "session", "recording", "camera", "illumination"],
        ),
        gxe.ExpectColumnValuesToBeInSet(column="subject", value_set=[f"{each:03d}" for each in multipie.SUBJECTS]),
        gxe.ExpectColumnValuesToBeInSet(column="session", value_set=[session for session, _ in multipie.EXPRESSIONS]),
        gxe.ExpectColumnValuesToBeInSet(column="recording", value_set=[number for _, number in multipie.EXPRESSIONS]),
        gxe.ExpectColumnValuesToBeInSet(column="camera", value_set=cameras),
        gxe.ExpectColumnValuesToBeInSet(column="illumination", value_set=list(multipie.ILLUMINATIONS)),
        gxe.ExpectColumnValuesToBeInSet(column="expression", value_set=sorted(set(multipie.EXPRESSIONS.values()))),
        gxe.ExpectColumnValuesToBeBetween(column="yaw", min_value=-90, max_value=90),
        gxe.ExpectColumnValuesToBeNull(column="ceiling_yaw"),
        gxe.ExpectColumnValuesToMatchRegex(column="checksum", regex=r"^[0-9a-f]{16}$"),
        *_not_null(manifest),
    ]
    above = manifest["camera"].isin(list(multipie.CEILING))
    table = manifest.assign(ceiling_yaw=manifest["yaw"].where(above), yaw=manifest["yaw"].mask(above, 0.0))
    docs = _check("data/multipie/manifest.parquet", table, "path", suite)
    docs += _check_rejected_images(manifest, rejected, max_rejected)
    _write_verdict(verdict, len(manifest), rejected, docs)


def check_calibrated_manifest(
    manifest: pd.DataFrame, rejected: pd.DataFrame, max_rejected: float, verdict: str | Path
) -> None:
    """As `check_manifest`, for a calibrated archive (`mfnet.datasets.calibrated`)."""
    gxe = _expectations()

    table = manifest.drop(columns=["K", "R", "t", "distortion"])
    suite = [
        gxe.ExpectColumnValuesToBeUnique(column="path"),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["subject", "session", "recording", "camera"]),
        gxe.ExpectColumnValuesToMatchRegex(column="subject", regex=r"^[0-9]{1,9}$"),
        gxe.ExpectColumnValuesToBeBetween(column="yaw", min_value=-180, max_value=180),
        gxe.ExpectColumnValuesToBeBetween(column="elevation", min_value=-90, max_value=90),
        gxe.ExpectColumnValuesToMatchRegex(column="checksum", regex=r"^[0-9a-f]{16}$"),
        gxe.ExpectColumnValuesToBeInSet(column="unit", value_set=["m", "arbitrary"]),
        gxe.ExpectColumnValuesToBeBetween(column="width", min_value=LEAST_FACE),
        gxe.ExpectColumnValuesToBeBetween(column="height", min_value=LEAST_FACE),
        *_not_null(table),
    ]
    docs = _check("data/multipie/manifest.parquet", table, "path", suite)
    docs += _check_rejected_images(manifest, rejected, max_rejected)
    _write_verdict(verdict, len(manifest), rejected, docs)


def _check_rejected_images(manifest: pd.DataFrame, rejected: pd.DataFrame, max_rejected: float) -> list[dict]:
    is_image = rejected["path"].str.lower().str.endswith(multipie.IMAGES)
    images = rejected.loc[is_image | rejected["reason"].str.startswith("unreadable")]
    file = "data/multipie/rejected.parquet"
    return _check_rejects(file, manifest.loc[:, "path"], images, "path", max_rejected, "ingest")


def check_gates(
    measured: pd.DataFrame, bounds: dict[str, tuple[float | None, float | None]], params: LandmarkParams
) -> list[dict]:
    """The suite over what `mfnet.landmarks.gates.measure` found, before any row is rejected: what is wrong in more than
    ``landmarks.max_rejected`` of the rows is wrong with all, and rejecting some would hide it.

    bounds: column -> least and greatest value of a good row (`mfnet.landmarks.gates.bounds`). Returns what was expected
    and met, for `check_landmarks`.
    """
    gxe = _expectations()

    mostly = 1 - params.max_rejected
    hint = {"hint": "landmarks.gates and landmarks.max_rejected allow more; look at the pictures first"}
    table = measured.drop(columns=["landmarks", "scores", "box", "visible"])
    suite = [
        gxe.ExpectColumnValuesToBeNull(column="same_as", mostly=mostly, meta=hint),
        gxe.ExpectColumnValuesToBeBetween(column="spread", min_value=params.gates.min_spread, meta=hint),
    ]
    for column, (least, greatest) in bounds.items():
        if least is not None or greatest is not None:
            suite.append(
                gxe.ExpectColumnValuesToBeBetween(
                    column=column, min_value=least, max_value=greatest, mostly=mostly, meta=hint
                )
            )
    return _check("data/multipie/landmarks.parquet", table, "path", suite)


def check_landmarks(
    landmarks: pd.DataFrame,
    rejected: pd.DataFrame,
    params: LandmarkParams,
    verdict: str | Path,
    gates: Sequence[dict] = (),
    size: tuple[int, int] = (multipie.WIDTH, multipie.HEIGHT),
) -> None:
    """The suite of the landmark table, on what follows from its points: size, place and uprightness of the face.

    gates: what `check_gates` returned, which is shown with it; size: width and height of the largest photograph, px.
    """
    gxe = _expectations()

    table = _face_measures(landmarks)
    suite = [
        gxe.ExpectColumnValuesToBeUnique(column="path"),
        gxe.ExpectColumnValuesToBeBetween(column="score", min_value=params.min_score, max_value=1),
        gxe.ExpectColumnValuesToBeInSet(column="backend", value_set=[params.backend]),
        gxe.ExpectColumnValuesToBeInSet(column="values", value_set=[136]),
        gxe.ExpectColumnValuesToBeBetween(column="side", min_value=LEAST_FACE),
        gxe.ExpectColumnValuesToBeBetween(column="centre_x", min_value=0, max_value=size[0]),
        gxe.ExpectColumnValuesToBeBetween(column="centre_y", min_value=0, max_value=size[1]),
        gxe.ExpectColumnValuesToBeBetween(column="brows_above_chin", min_value=0, strict_min=True, mostly=0.95),
        *_not_null(table),
    ]
    docs = [*gates, *_check("data/multipie/landmarks.parquet", table, "path", suite)]
    file = "data/multipie/landmarks_rejected.parquet"
    docs += _check_rejects(file, landmarks.loc[:, "path"], rejected, "path", params.max_rejected, "landmarks")
    mean_score = round(float(table.loc[:, "score"].mean()), 4)
    _write_verdict(verdict, len(landmarks), rejected, docs, mean_score=mean_score)


def check_triplets(folder: str | Path, rejected: pd.DataFrame, params: TripletParams, verdict: str | Path) -> None:
    """The suite of the triplet shards in `folder`; images are looked at by size only."""
    gxe = _expectations()

    table = _triplet_measures(Path(folder))
    suite = [
        gxe.ExpectColumnValuesToBeUnique(column="triplet"),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=[f"path_{slot}" for slot in SLOTS]),
        gxe.ExpectColumnValuesToBeInSet(column="split", value_set=["train", "val"]),
        gxe.ExpectColumnValuesToBeInSet(column="splits_of_subject", value_set=[1]),
        gxe.ExpectColumnValuesToBeInSet(column="yaw_frontal", value_set=[0]),
        gxe.ExpectColumnValuesToBeBetween(column="yaw_left", min_value=-90, max_value=0, strict_max=True),
        gxe.ExpectColumnValuesToBeBetween(column="yaw_right", min_value=0, max_value=90, strict_min=True),
        *[gxe.ExpectColumnValuesToBeBetween(column=f"bytes_{slot}", min_value=100) for slot in SLOTS],
        *[gxe.ExpectColumnValuesToBeBetween(column=f"reach_{slot}", min_value=0.1, max_value=1.5) for slot in SLOTS],
        *_not_null(table),
    ]
    docs = _check("data/triplets", table, "triplet", suite)
    file = "data/multipie/triplets_rejected.parquet"
    docs += _check_rejects(file, table.loc[:, "triplet"], rejected, "triplet", params.max_rejected, "triplets")
    splits = {str(split): int(count) for split, count in table["split"].value_counts().items()}
    _write_verdict(verdict, len(table), rejected, docs, **splits)


# ------------------------------------------------------------------------------------------------ what is looked at
def _face_measures(landmarks: pd.DataFrame) -> pd.DataFrame:
    """path, score, backend; number of values; side and centre of the box, and how far brows are above the chin, px."""
    table = landmarks.loc[:, ["path", "score", "backend"]].copy()
    table["values"] = landmarks["landmarks"].map(len)
    whole = table.loc[:, "values"] == 136
    points = np.full((len(table), 68, 2), np.nan)
    points[whole] = np.stack(list(landmarks.loc[whole, "landmarks"])).reshape(-1, 68, 2) if whole.any() else np.nan
    low, high = points.min(1), points.max(1)
    table["side"] = (high - low).max(1)
    table["centre_x"], table["centre_y"] = ((low + high) / 2).T
    table["brows_above_chin"] = points[:, 8, 1] - points[:, 17:27, 1].mean(1)
    return table


def _triplet_measures(folder: Path) -> pd.DataFrame:
    """Keys, paths and yaws of all shards; bytes of each image; greatest |ndc| of each view's landmarks."""
    parts = []
    for path in sorted(folder.glob("*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            part = rows.select(
                ["triplet", "subject", *(f"{n}_{s}" for n in ("yaw", "path") for s in SLOTS)]
            ).to_pandas()
            part["split"] = path.name.split("-")[0]
            for slot in SLOTS:
                # pyarrow makes its functions when it is imported
                lengths = pc.binary_length(rows[f"image_{slot}"])  # pyright: ignore[reportAttributeAccessIssue]
                part[f"bytes_{slot}"] = lengths.to_numpy()
                part[f"reach_{slot}"] = np.abs(np.stack(rows[f"landmarks_{slot}"].to_pylist())).max(1)
            parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table["splits_of_subject"] = table.groupby("subject")["split"].transform("nunique")
    return table


# --------------------------------------------------------------------------------------------------- Great Expectations
def _expectations() -> ModuleType:
    """The module of expectations. Great Expectations looks at the variable when it is imported: nothing is sent."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations.expectations

    return great_expectations.expectations


def _not_null(table: pd.DataFrame) -> list:
    gxe = _expectations()

    return [gxe.ExpectColumnValuesToNotBeNull(column=column) for column in table.columns]


def _check_rejects(
    file: str, accepted: pd.Series, rejected: pd.DataFrame, key: str, max_rejected: float, section: str
) -> list[dict]:
    """At most `max_rejected` of all rows may be rejected."""
    gxe = _expectations()

    good = pd.DataFrame({key: accepted, "reason": ACCEPTED})
    table = pd.concat([good, rejected.loc[:, [key, "reason"]]], ignore_index=True)
    hint = f"{section}.max_rejected allows {max_rejected:.2%}"
    rule = gxe.ExpectColumnValuesToBeInSet(
        column="reason", value_set=[ACCEPTED], mostly=1 - max_rejected, meta={"hint": hint}
    )
    return _check(file, table, [key, "reason"], [rule])


def _check(file: str, table: pd.DataFrame, key: str | list[str], suite: Sequence) -> list[dict]:
    """Raise InputError for the first expectation of `suite` that `table` breaks, with the `key` of offending rows.

    Returns an entry of the Data Docs for each that is met.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})
    result = batch.validate(
        gx.ExpectationSuite("suite", expectations=list(suite)), result_format={"result_format": "COMPLETE"}
    )
    for verdict in result.results:
        if not verdict.success:
            raise InputError(_broken(file, table, key, verdict))
    return [_documented(file, verdict) for verdict in result.results]


def _documented(file: str, verdict: "ExpectationValidationResult") -> dict:
    """file, expectation (a sentence, as Great Expectations' own Data Docs have it), rows looked at, exceptions among
    them."""
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    config = verdict.expectation_config
    assert config is not None  # a verdict without one is none of ours
    (content,) = InlineRenderer(render_object=config).get_rendered_content()
    values = {name: value["value"] for name, value in (content.value.params or {}).items()}
    sentence = Template(content.value.template or config.type).safe_substitute(values)
    return {
        "file": file,
        "expectation": _brief(sentence, 200),
        "rows": int(verdict.result.get("element_count", 0)),
        "exceptions": int(verdict.result.get("unexpected_count", 0)),
    }


def _broken(file: str, table: pd.DataFrame, key: str | list[str], verdict: "ExpectationValidationResult") -> str:
    """One line: the file, the expectation with its arguments, how many rows break it, the first of them, a hint."""
    config = verdict.expectation_config
    assert config is not None  # a verdict without one is none of ours
    arguments = ", ".join(
        f"{name}={_brief(value)}" for name, value in sorted(config.kwargs.items()) if name != "batch_id"
    )
    text = f"{file}: {config.type}({arguments}) is broken"
    if verdict.exception_info and verdict.exception_info.get("raised_exception"):
        return f"{text}: {' '.join(str(verdict.exception_info['exception_message']).split())}"
    index = verdict.result.get("unexpected_index_list") or []
    if index:
        rows = table.iloc[index[:SHOWN]][key]
        named = rows.astype(str).agg(": ".join, axis=1) if isinstance(key, list) else rows
        more = ", ..." if len(index) > SHOWN else ""
        text += f" by {len(index)} of {len(table)} rows: {', '.join(map(str, named))}{more}"
    hint = (config.meta or {}).get("hint")
    return f"{text} ({hint})" if hint else text


def _brief(value: Any, length: int = 80) -> str:
    text = str(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _write_verdict(path: str | Path, rows: int, rejected: pd.DataFrame, docs: list[dict], **more: float) -> None:
    """The verdict at `path`, and beside it ``<stage>_suite.json`` with the entries of the Data Docs."""
    reasons = rejected["reason"].str.split(":").str[0].value_counts()
    write_json(
        {
            "rows": rows,
            "rejected": len(rejected),
            "reasons": {reason: int(count) for reason, count in reasons.items()},
            "expectations_met": len(docs),
            **more,
        },
        path,
    )
    write_json(docs, Path(path).with_name(f"{Path(path).stem}_suite.json"))
