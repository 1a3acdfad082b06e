"""How much the tests do that draw by chance, and where their chance begins."""

import os

SEED = int(os.environ.get("CAIRN_TEST_SEED", "1"))
SCALE = float(os.environ.get("CAIRN_TEST_SCALE", "1"))


def rounds(usual):
    """That many, times CAIRN_TEST_SCALE."""
    return max(1, round(usual * SCALE))
