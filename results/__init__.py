"""From evaluation logs to the grades frame, the leaderboard and its tables."""
