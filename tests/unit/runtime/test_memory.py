"""The memory that a container allows."""

from pathlib import Path

import pytest

from mien.runtime.memory import usable_memory_bytes

MACHINE = usable_memory_bytes(Path("/nonexistent"))


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        pytest.param("0::/\n", {"memory.max": "268435456\n"}, 2**28, id="version 2, in a container"),
        pytest.param("0::/\n", {"memory.max": "max\n"}, MACHINE, id="version 2, no limit"),
        pytest.param(
            "0::/a/b\n",
            {"a/b/memory.max": "max\n", "a/memory.max": "268435456\n"},
            2**28,
            id="limit of a parent",
        ),
        pytest.param("0::/docker/x\n", {"memory.max": "268435456\n"}, 2**28, id="path of the machine"),
        pytest.param(
            "4:memory:/x\n3:cpu,cpuacct:/x\n",
            {"memory/x/memory.limit_in_bytes": "268435456\n"},
            2**28,
            id="version 1",
        ),
        pytest.param(
            "4:memory:/\n",
            {"memory/memory.limit_in_bytes": "9223372036854771712\n"},
            MACHINE,
            id="version 1, no limit",
        ),
        pytest.param("0::/\n", {}, MACHINE, id="no file"),
    ],
)
def test_the_smallest_limit_counts(
    groups: str, files: dict[str, str], expected: int | None, tmp_path: Path
) -> None:
    """That of any control group, or of the machine."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert usable_memory_bytes(tmp_path) == expected
