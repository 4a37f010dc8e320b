"""An event loop on a thread of its own, for blocking callers."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")


class LoopThread:
    """A running event loop, see :func:`loop_on_a_thread`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for ``work``; what it gives or raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def start(
        self, work: Coroutine[Any, Any, Result], ready: "SimpleQueue[Future[Result]]"
    ) -> None:
        """Begin ``work``; its future comes into ``ready`` when it is done."""
        asyncio.run_coroutine_threadsafe(work, self._loop).add_done_callback(ready.put)

    def cancel_all(self) -> None:
        """Cancel all work that was started, and wait until it has ended."""

        async def cancel() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(cancel())


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
