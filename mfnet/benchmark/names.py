"""The benchmark's methods as data: what each sees, which network predicts, and what it means in tables.

No torch: the report reads it too.
"""

from dataclasses import dataclass, replace
from typing import Literal

ABLATION = "ablation/"
"""Prefix of the methods that are ablation runs: scored in wild as in the paper's Table 3, and kept in a table apart."""


@dataclass(frozen=True)
class Method:
    """One row of the benchmark's tables."""

    name: str
    meaning: str
    network: Literal["single_view", "multi_view"] | None
    """Which of our networks predicts; None: the mean head."""
    views: Literal[1, 3] = 1
    """Photographs of the subject: the item's own, in every slot of the network; or, in lab, with the two that complete
    its slots. A single-view network sees them one by one, and its persons are averaged."""
    refined: bool = False
    """Whether the prediction is fitted further to landmarks and flow of its photographs (`mfnet.fitting.refine`)."""
    pose: Literal["network", "landmarks"] = "network"
    """What poses the head in the item's view: ``landmarks`` compares shapes without the network's pose and camera."""

    def same_heads(self, other: "Method") -> bool:
        """Whether both predict the same people, however they are posed."""
        return replace(self, name="", meaning="", pose="network") == replace(other, name="", meaning="", pose="network")


METHODS = (
    Method("mean_head", "the mean head, posed by the detected landmarks: no network", None, pose="landmarks"),
    Method("mfnet_1", "single-view MFNet of the same budget, on the item's own image", "single_view"),
    Method(
        "mfnet_1_averaged",
        "its shape and expression averaged over the three views that mfnet_3 sees",
        "single_view",
        views=3,
    ),
    Method("mfnet_3", "MFNet on three views", "multi_view", views=3),
    Method(
        "mfnet_3_same_image",
        "MFNet with one image in all three slots, the paper's way of testing on single views",
        "multi_view",
    ),
    Method(
        "mfnet_1_posed",
        "mfnet_1's heads posed by the item's landmarks, as the mean head is: its shapes alone",
        "single_view",
        pose="landmarks",
    ),
    Method(
        "mfnet_1_averaged_posed",
        "mfnet_1_averaged's heads posed by the item's landmarks",
        "single_view",
        views=3,
        pose="landmarks",
    ),
    Method(
        "mfnet_3_posed",
        "mfnet_3's heads posed by the item's landmarks",
        "multi_view",
        views=3,
        pose="landmarks",
    ),
    Method(
        "mfnet_3_refined",
        "mfnet_3's answer fitted further, at test time, to landmarks and flow of its three views",
        "multi_view",
        views=3,
        refined=True,
    ),
)
"""In the order of the tables."""
BY_NAME = {method.name: method for method in METHODS}


def methods_of(protocol: str) -> tuple[Method, ...]:
    """The methods of ``wild``, which has one image an item, or of ``lab``."""
    return tuple(method for method in METHODS if protocol == "lab" or method.views == 1)


def unposed(name: str) -> str:
    """The method whose heads method `name` poses by the item's landmarks instead; `name` itself if it does not."""
    if (method := BY_NAME.get(name)) is None:
        return name
    return next((other.name for other in METHODS if other.pose == "network" and other.same_heads(method)), name)
