"""MFNet (Zheng et al. 2023): one FLAME head from three photographs, and the whole path around it."""
