"""What a cell drew with matplotlib comes back as PNG events, as in a notebook.

`cell` calls it at the end of every cell.
"""

import base64
import io
import sys
import warnings

from sandbox.api import emit

EVENT = "image/png"  # the payload is base64


def expect_figures():
    """`pyplot.show()` is right here: it does not fail, and the figure goes out at the end of the cell."""
    warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")


def emit_figures():
    """One event per open figure, then all are closed, so that a figure is sent once."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    try:
        for number in pyplot.get_fignums():
            buffer = io.BytesIO()
            pyplot.figure(number).savefig(buffer, format="png")
            emit(EVENT, base64.b64encode(buffer.getvalue()).decode())
    finally:
        pyplot.close("all")
