"""Settings of all tests."""

import os
import signal

from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("teichaku", deadline=None)
settings.load_profile("teichaku")

# What the program says is looked up when a module is imported, and tests read it in English.
os.environ["TEICHAKU_LANG"] = "en"

# A shell makes what it starts in the background deaf to interrupts, and so its children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
