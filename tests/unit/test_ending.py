"""The end of a process whose threads hang."""

import subprocess
import sys

PROGRAM = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from celeriac.execute import ending
pool = ThreadPoolExecutor()
pool.submit(threading.Event().wait)  # an orderly exit would wait for it
sys.stdout.write("the last line")
ending.end()
"""


def test_a_process_ends_although_a_thread_hangs_and_its_last_lines_are_written() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "the last line", "")
