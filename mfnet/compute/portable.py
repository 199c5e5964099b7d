"""The same bits on every x86-64 machine with AVX2 (Haswell and Zen, and all since): caps on instruction sets.

Each numerical library picks its kernels by what the CPU offers, and wider registers add up in another order. Their
switches are environment variables that count when the library is imported, so `cap` comes before NumPy and torch. It
costs no figure worth naming where pictures are drawn; networks go without it, since AVX-512 speeds them up.

    python -m mfnet.compute.portable COMMAND ...   # runs a command as on a CPU without AVX-512
"""

import os
import sys

CAPS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",  # of MKL's modes the only one that is the same on CPUs of other makers
    "NPY_DISABLE_CPU_FEATURES": "X86_V4,AVX512_ICL,AVX512_SPR",
    "NUMBA_CPU_FEATURES": "+avx2,+fma",
    "NUMBA_CPU_NAME": "haswell",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
}
"""Switch -> value. They override what the environment says: a result must not depend on it."""


def cap() -> None:
    """Set the switches for this process and those that it starts.

    Nothing is set where NumPy is at work already: the switches would hold for the processes started from here alone.
    """
    if "numpy" not in sys.modules:
        os.environ.update(CAPS)


if __name__ == "__main__":
    os.execvpe(sys.argv[1], sys.argv[1:], os.environ | CAPS)
