"""An event loop on a thread of its own, for blocking callers."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")


class LoopThread:
    """A running event loop, see :func:`loop_on_a_thread`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for ``work``; what it gives or raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def call(self, action: Callable[[], None]) -> None:
        """Let the loop call ``action`` soon, without waiting for it."""
        self._loop.call_soon_threadsafe(action)

    def on_defect(self, tell: Callable[[BaseException], None]) -> None:
        """``tell`` of an exception in a callback, which nobody would hear of otherwise."""

        def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception")
            if error is None:
                loop.default_exception_handler(context)
            else:
                tell(error)

        self._loop.set_exception_handler(handle)


@contextmanager
def loop_on_a_thread(name: str) -> Iterator[LoopThread]:
    """A new event loop on a thread called ``name``, both gone at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()
    running = LoopThread(loop)
    try:
        yield running
    finally:
        running.run(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
