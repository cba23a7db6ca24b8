"""numpy and pyarrow, which only the paper exchange needs: the extra `ratchet[paper]`.

The one place that imports them, so that a missing one is one clear sentence.
"""

from __future__ import annotations

from agent.console import install_line
from agent.errors import EnvironmentRefused

try:
    import numpy
    import pyarrow
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.parquet
except ImportError as fault:
    raise EnvironmentRefused(
        f"package {fault.name}",
        given="not installed",
        allowed="the paper exchange's extra",
        fix=f"install ratchet[paper] from its checkout: {install_line('paper')}",
    ) from fault

__all__ = ["numpy", "pyarrow"]
