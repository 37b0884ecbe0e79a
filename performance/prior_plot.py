"""What the model of the grades expects before it has seen any: shares of the grades in data drawn from the prior.

PYTHONPATH=tests/support python performance/prior_plot.py docs/prior_predictive.png
"""

from __future__ import annotations

import argparse

from diffbench.results.model import prior_predictive
from diffbench.results.model.summary import LEVEL
from simulation import Size, simulate

SIZES = {
    "smallest: 2 methods, 2 organisms": Size(2, 1, 2, 1, 1, 1),
    "4 methods, 12 organisms, 2 agents, 2 judges": Size(),
}
"""Only the size of the data matters here, not the grades in it."""


def main(path: str) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(SIZES), figsize=(8, 3), sharey=True, layout="constrained")
    for axis, (name, size) in zip(axes, SIZES.items(), strict=True):
        found = prior_predictive(simulate(size, seed=0)[0], draws=4000)
        for grade, share in enumerate(found, 1):
            print(f"{name}: grade {grade}: {share.mean:.2f} ({share.low:.2f} to {share.high:.2f})")
            axis.vlines(grade, share.low, share.high, color="#4878a8", linewidth=6, alpha=0.5)
            axis.plot(grade, share.mean, "o", color="#204060")
        axis.axhline(0.2, color="0.7", linewidth=0.8, linestyle="--", zorder=0)
        axis.set(title=name, xlabel="grade", xticks=range(1, 6), ylim=(0, 1))
        axis.title.set_fontsize(9)
    axes[0].set_ylabel("share of the grades")
    figure.suptitle(f"Before any grade: mean and {LEVEL:.0%} interval of 4,000 draws from the prior", fontsize=10)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="PNG to write")
    main(parser.parse_args().path)
