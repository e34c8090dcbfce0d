"""What a worker of the demo says is read line by line."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

TWO_THREADS = textwrap.dedent(
    """
    import threading
    from volumelease.cli.contender import _say

    def speak(name):
        for number in range(2000):
            _say(name, number=number)

    threads = [threading.Thread(target=speak, args=(name,)) for name in ("asks", "lost")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    """
)


def test_two_threads_never_speak_into_each_others_line() -> None:
    """Broken lines ended the demo's ear for that worker, whose turn then seemed to last."""
    spoken = subprocess.run(
        [sys.executable, "-c", TWO_THREADS], capture_output=True, text=True, check=True
    )
    said = [json.loads(line) for line in spoken.stdout.splitlines()]
    assert [event["what"] for event in said].count("lost") == 2000
    assert len(said) == 4000
