"""The leaderboard as one HTML page: no scripts, nothing from the network, every text escaped."""

from .page import report_html

__all__ = ["report_html"]
