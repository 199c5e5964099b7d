"""Names of the benchmark's methods as tables carry them, and what they mean."""

POSED = "_posed"
ABLATION = "ablation/"
"""Prefix of the methods that are ablation runs: scored in wild as in the paper's Table 3, and kept in a table apart."""
MEANING = {
    "mean_head": "the mean head, posed by the detected landmarks: no network",
    "mfnet_1": "single-view MFNet of the same budget, on the item's own image",
    "mfnet_1_averaged": "its shape and expression averaged over the three views that mfnet_3 sees",
    "mfnet_3": "MFNet on three views",
    "mfnet_3_same_image": "MFNet with one image in all three slots, the paper's way of testing on single views",
    "mfnet_1_posed": "mfnet_1's heads posed by the item's landmarks, as the mean head is: its shapes alone",
    "mfnet_1_averaged_posed": "mfnet_1_averaged's heads posed by the item's landmarks",
    "mfnet_3_posed": "mfnet_3's heads posed by the item's landmarks",
    "mfnet_3_refined": "mfnet_3's answer fitted further, at test time, to landmarks and flow of its three views",
}
