"""Plots as SVG, the same file each time for the same figures."""
import sys


def pyplot(name):
    """matplotlib.pyplot; None, and a line that says so, where there is none."""
    try:
        import matplotlib
    except ImportError:
        print("left out: the plot: no matplotlib: make bench-peers", file=sys.stderr)
        return None
    matplotlib.use("svg")
    # text as text
    matplotlib.rcParams.update({"svg.hashsalt": name, "svg.fonttype": "none"})
    import matplotlib.pyplot as plt
    return plt


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
