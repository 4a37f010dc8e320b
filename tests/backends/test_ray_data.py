"""Tasks on a Ray of two nodes on this machine."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

from row_files import CURATION, all_files, write_boats
from teichaku.backends.ray_data import RayData
from teichaku.core.errors import UserError
from teichaku.core.executor import DefectError, Done, Failed, Serial
from teichaku.recipes.curate import run_curation
from teichaku.recipes.progress import Silent
from workers import Errand, run, times_begun

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without a core, so that all tasks are on nodes that can be lost."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    before = os.environ.get("PYTHONPATH", "")
    # The nodes find the tasks of these tests as they find the package.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), before])
    # A node that was killed is noticed in seconds, not in half a minute.
    settings = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500,
                "health_check_failure_threshold": 3}  # fmt: skip
    made = Cluster(
        initialize_head=True,
        head_node_args={**NODE, "include_dashboard": False, "_system_config": settings},
    )
    made.add_node(**NODE)
    made.wait_for_nodes()
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()
    os.environ["PYTHONPATH"] = before


@pytest.fixture
def executor(cluster: Any) -> RayData:
    return RayData()


def values(found: list[Done[Errand, int] | Failed[Errand]]) -> dict[int, int]:
    return {one.task.number: one.value for one in found if isinstance(one, Done)}


def test_a_cluster_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(UserError, match=r"at 127\.0\.0\.1:1 cannot be reached: Connection refused"):
        RayData(address="127.0.0.1:1")


def test_tasks_are_done_failed_or_end_all_work_as_elsewhere(
    executor: RayData, tmp_path: Path
) -> None:
    acts = ["double", "unreadable", "double", "die once", "die"]
    errands = [Errand(act, number, str(tmp_path)) for number, act in enumerate(acts)]
    found = list(executor.map(run, errands))
    assert values(found) == {0: 0, 2: 4, 3: 6}
    failed = {one.task.number: one.reason for one in found if isinstance(one, Failed)}
    assert failed.keys() == {1, 4}
    assert failed[1] == "shard 1 cannot be read"
    assert "its worker died 3 times" in failed[4]
    assert times_begun(tmp_path, 3) == 2
    assert list(executor.map(run, [])) == []
    with pytest.raises(UserError, match="The disk is full"):
        list(executor.map(run, [Errand("double", 0), Errand("full disk", 1)]))
    with pytest.raises(DefectError, match=r"(?s)workers.py.*ValueError: a defect at 1"):
        list(executor.map(run, [Errand("double", 0), Errand("defect", 1)]))


def test_both_nodes_work(executor: RayData, cluster: Any) -> None:
    import ray

    found = list(executor.map(run, [Errand("threads", number) for number in range(4)]))
    assert set(values(found).values()) == {1}
    assert sum(node["Alive"] for node in ray.nodes()) == 2


def test_two_nodes_give_the_same_bytes_as_one_process(executor: RayData, tmp_path: Path) -> None:
    data = write_boats(tmp_path / "data", files=2, rows=100)
    run_curation([data], CURATION, tmp_path / "serial", Serial(), Silent())
    run_curation([data], CURATION, tmp_path / "ray", executor, Silent())
    assert all_files(tmp_path / "ray") == all_files(tmp_path / "serial")


def test_a_node_that_is_lost_in_the_middle_loses_nothing(
    executor: RayData, cluster: Any, tmp_path: Path
) -> None:
    """Its node is killed while a task is on it, and the other goes on alone."""
    import ray

    data = write_boats(tmp_path / "data", files=2, rows=100)
    run_curation([data], CURATION, tmp_path / "serial", Serial(), Silent())
    lost = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    # A task that is given to this node stays there until the node is gone.
    (tmp_path / "doomed").write_text(lost.node_id)
    slow = [Errand("on a node", number, str(tmp_path)) for number in range(24)]
    given, done = tmp_path / f"at-{lost.node_id}", threading.Event()

    def lose() -> None:
        while not given.exists() and not done.wait(0.02):
            pass
        cluster.remove_node(lost, allow_graceful=False)

    killer = threading.Thread(target=lose, daemon=True)
    killer.start()
    found = list(executor.map(run, slow))
    done.set()
    killer.join()
    assert given.exists(), "no task was given to the node"
    assert values(found) == {number: 2 * number for number in range(24)}
    assert len(found) == 24
    assert any(times_begun(tmp_path, number) > 1 for number in range(24))
    run_curation([data], CURATION, tmp_path / "ray", executor, Silent())
    assert all_files(tmp_path / "ray") == all_files(tmp_path / "serial")
    assert sum(node["Alive"] for node in ray.nodes()) == 2


def test_a_node_that_is_lost_in_a_curation_loses_nothing(
    executor: RayData, cluster: Any, tmp_path: Path
) -> None:
    data = write_boats(tmp_path / "data", files=4, rows=100)
    run_curation([data], CURATION, tmp_path / "serial", Serial(), Silent())
    lost = cluster.add_node(**NODE)
    cluster.wait_for_nodes()

    def lose() -> None:
        while len(list((tmp_path / "ray").rglob("*.done"))) < 12:
            time.sleep(0.005)
        cluster.remove_node(lost, allow_graceful=False)

    killer = threading.Thread(target=lose, daemon=True)
    killer.start()
    curated = run_curation([data], CURATION, tmp_path / "ray", executor, Silent())
    killer.join()
    assert not curated.not_done
    assert all_files(tmp_path / "ray") == all_files(tmp_path / "serial")
