"""Charts of the report."""

import subprocess
import sys


def test_importing_the_report_leaves_the_callers_backend():
    code = (
        "import matplotlib; matplotlib.use('svg'); import mfnet.report.plots, sys; "
        "print(matplotlib.get_backend(), 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["svg", "False"]
