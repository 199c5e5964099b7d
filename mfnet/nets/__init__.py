"""Networks: encoder, view fusion, MFNet and its DECA start, optical flow, landmarks, and their weights."""
