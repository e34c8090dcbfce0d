"""This project against its peers, side by side in one run: ratios, not absolute times."""
