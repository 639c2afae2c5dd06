"""How long the tests wait for what must come, in one place. What must be fast is for the benchmarks to
measure, against something else.
"""

import time

HANG_S = 300.0
"""So long that only a hang reaches it, on the busiest machine too; a whole test may take twice as long
(`timeout` in pyproject.toml).
"""


def wait_until(is_done):
    """Waits until it is done, and fails the test when it hangs."""
    deadline = time.monotonic() + HANG_S
    while not is_done():
        assert time.monotonic() < deadline, "hangs"
        time.sleep(0.01)
