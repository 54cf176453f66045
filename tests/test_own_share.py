"""What this process uses is shared by its virtual nodes, and no share ever falls."""

from provider.own_share import OwnShare


def test_cpu_time_is_shared_and_never_falls() -> None:
    nodes, used = [1], [2.0]
    share = OwnShare(lambda: nodes[0], lambda: used[0])
    assert share.cpu_seconds() == 2.0
    nodes[0], used[0] = 4, 6.0
    assert share.cpu_seconds() == 3.0
    nodes[0] = 0  # as it ends
    assert share.cpu_seconds() == 3.0


def test_memory_is_shared() -> None:
    assert 0 < OwnShare(lambda: 2).memory_bytes() < OwnShare(lambda: 1).memory_bytes()
