"""Ctrl-C that is not lost. Python raises ``KeyboardInterrupt`` wherever the main thread happens to
be; in a destructor or a callback of a weak reference it is printed and forgotten, and a program
that waits for a server goes on waiting.
"""

import signal
import sys
import threading

#: Time for the destructor or callback to end before the signal comes again.
_SECONDS = 0.05


def hear_every_interrupt() -> None:
    """Let an interrupt that Python has swallowed come again, until it is heard; for programs, from
    the main thread. Takes the place of ``sys.unraisablehook`` for ``KeyboardInterrupt`` alone.

    SIGTERM, by which ``kill`` and job schedulers end a program, is an interrupt too: what was
    done so far is written down in the same way.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    others = sys.unraisablehook
    main = threading.main_thread()

    def hook(unraisable: "sys.UnraisableHookArgs", /) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            others(unraisable)
        elif main.ident is not None:
            # A signal, and from another thread: it wakes the main thread where it waits.
            again = threading.Timer(_SECONDS, signal.pthread_kill, (main.ident, signal.SIGINT))
            again.daemon = True
            again.start()

    sys.unraisablehook = hook
