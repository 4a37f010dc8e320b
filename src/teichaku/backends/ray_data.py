"""Tasks on Ray Data: on the machines of a cluster, or on this one.

The tasks are a data set of one row each; Ray gives them out, and again where a worker or a whole
node is lost. All machines must see the files that the tasks name, under the same paths, and have
this package installed.
"""

import logging
import os
import pickle
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import pyarrow as pa

from teichaku.core.errors import MissingExtraError, UserError
from teichaku.core.executor import MOST_DEATHS, Done, Failed, Task, Value, attempt, died, settled

#: Results and tasks are small; what is large goes through files.
_STORE_BYTES = 100 << 20
_KNOCK_SECONDS = 10.0


class RayData:
    """An executor (:class:`teichaku.core.executor.Executor`) on Ray.

    ``address`` is that of a cluster (``auto``, ``host:6379``, ``ray://host:10001``); without one
    it is that of RAY_ADDRESS or of the Ray that this process already has, else a Ray of its own
    is started on this machine and ended by :meth:`close`. No more than ``workers`` tasks run at a
    time; 0 stands for as many as there are cores. Raises ``MissingExtraError`` where Ray is not
    installed, ``UserError`` where the cluster cannot be reached.
    """

    def __init__(self, workers: int = 0, address: str = "") -> None:
        self._ray = _import_ray()
        self._workers = workers or None
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            self._connect(address or os.environ.get("RAY_ADDRESS", ""))
        elif address:
            raise UserError("This process already works with a Ray.", "Leave the address out.")

    def map(
        self, function: Callable[[Task], Value], tasks: Iterable[Task]
    ) -> Iterator[Done[Task, Value] | Failed[Task]]:
        """See :class:`Executor`; a task whose worker dies is tried three times in all."""
        given = list(tasks)
        if not given:
            return
        # Packed, so that what cannot be unpacked there is told as the defect that it is.
        packed = [pickle.dumps((function, task)) for task in given]
        rows = [{"number": number, "packed": one} for number, one in enumerate(packed)]
        data = self._ray.data.from_items(rows, override_num_blocks=len(rows))
        with warnings.catch_warnings():
            # The number of retries has no other way in as yet; by default there is no end of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            results = data.map_batches(
                _attempt_all,
                batch_size=None,
                batch_format="pyarrow",
                concurrency=self._workers,
                num_cpus=1,
                max_retries=MOST_DEATHS - 1,
            )
        missing = dict(enumerate(given))
        for row in results.iter_rows():
            task = missing.pop(row["number"])
            result: Done[Any, Value] | Failed[Any] = settled(pickle.loads(row["result"]))
            if isinstance(result, Done):
                yield Done(task, result.value)
            else:
                yield Failed(task, result.reason)
        yield from (
            died(task, "or could not start; the logs of Ray say more") for task in missing.values()
        )

    def close(self) -> None:
        """End a Ray that was started here; leave a cluster."""
        if self._is_ours:
            self._ray.shutdown()

    def _connect(self, address: str) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if not address:
            self._ray.init(
                num_cpus=self._workers,
                object_store_memory=_STORE_BYTES,
                include_dashboard=False,
                **quiet,
            )
            return
        try:
            _knock(address)
            self._ray.init(address=address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            raise UserError(
                f"The Ray cluster at {address} cannot be reached: {why}.",
                "Check the address and that the cluster runs: ray status --address ADDRESS",
            ) from error


def _knock(address: str) -> None:
    """Raise ``OSError`` where nobody listens; Ray itself would wait for minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()


def _import_ray() -> ModuleType:
    """Ray, quiet, and set so that a task that cannot be done leaves the others alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("The engine 'ray'", "ray") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    module: ModuleType = ray
    return module


def _attempt_all(batch: pa.Table) -> pa.Table:
    """Do the tasks of a batch, which mostly has one."""
    results = [pickle.dumps(attempt(_unpacked, packed)) for packed in batch["packed"].to_pylist()]
    return pa.table({"number": batch["number"], "result": pa.array(results, pa.binary())})


def _unpacked(packed: bytes) -> Any:
    function, task = pickle.loads(packed)
    return function(task)
