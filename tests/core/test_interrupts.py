import subprocess
import sys

SWALLOWED = """
import queue, signal, weakref
from teichaku.core.interrupts import hear_every_interrupt

class Thing:
    pass

hear_every_interrupt()
thing = Thing()
reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
try:
    del thing
    print("swallowed", flush=True)
    queue.SimpleQueue().get()
except KeyboardInterrupt:
    print("heard")
"""

ENDED = """
import signal, time
from teichaku.core.interrupts import hear_every_interrupt

hear_every_interrupt()
try:
    signal.raise_signal(signal.SIGTERM)
    time.sleep(60)
except KeyboardInterrupt:
    print("heard")
"""

DEFECT = """
from teichaku.core.interrupts import hear_every_interrupt

class Thing:
    def __del__(self):
        raise ValueError("a defect")

hear_every_interrupt()
Thing()
"""


def test_an_interrupt_that_a_callback_has_swallowed_comes_again_and_wakes_who_waits() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SWALLOWED], capture_output=True, text=True, timeout=60
    )
    assert (ended.stdout.splitlines(), ended.stderr) == (["swallowed", "heard"], "")


def test_a_program_that_is_told_to_end_writes_down_what_it_has_done_as_after_ctrl_c() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDED], capture_output=True, text=True, timeout=60
    )
    assert (ended.stdout.splitlines(), ended.stderr) == (["heard"], "")


def test_other_defects_of_destructors_are_told_as_ever() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DEFECT], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0
    assert "ValueError: a defect" in ended.stderr
