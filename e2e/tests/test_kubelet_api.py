"""kubectl logs, exec, cp, attach, port-forward and top work on a pod VM as on any node."""

import hashlib
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from fcntl import ioctl
from pathlib import Path

import pytest

from e2e.tests.builders import FOREVER, make_container, make_pod
from e2e.tests.kube import Kube, NeverHappened, container_status, running

START = 120

LINES = "i=1; while [ $i -le 20 ]; do echo line $i; i=$((i+1)); done; "


@pytest.fixture(name="talker", scope="module")
def _talker(module_kube: Kube, node: str) -> Kube:
    """A Pod that has said twenty lines, serves HTTP, and whose second container has been restarted once."""
    again = (
        "if [ -f /shared/once ]; then echo second life; "
        + FOREVER
        + "; fi; touch /shared/once; echo first life; exit 1"
    )
    shared = [{"name": "shared", "mountPath": "/shared"}]
    serve = "mkdir /www; echo served > /www/index.html; httpd -p 8080 -h /www; "
    echo = "cat"
    pod = make_pod(
        "talker",
        node,
        make_container("main", serve + LINES + FOREVER),
        make_container("again", again, volumeMounts=shared),
        make_container("stdin", echo, stdin=True),
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    module_kube.apply(pod)
    module_kube.until(
        "pod",
        "talker",
        lambda seen: running(seen) and container_status(seen, "again").get("restartCount") == 1,
        timeout=START,
        what="running, with one restart",
    )
    return module_kube


def logs(kube: Kube, *arguments: str) -> list[str]:
    return kube.text("logs", "talker", *arguments).splitlines()


def test_logs_are_what_the_container_said(talker: Kube) -> None:
    assert logs(talker, "-c", "main") == [f"line {i}" for i in range(1, 21)]


def test_logs_tail(talker: Kube) -> None:
    assert logs(talker, "-c", "main", "--tail=3") == ["line 18", "line 19", "line 20"]
    assert logs(talker, "-c", "main", "--tail=0") == []


def test_logs_limit_bytes(talker: Kube) -> None:
    assert talker.run("logs", "talker", "-c", "main", "--limit-bytes=10").stdout == b"line 1\nlin"


def test_logs_since(talker: Kube) -> None:
    assert logs(talker, "-c", "main", "--since=1h") == [f"line {i}" for i in range(1, 21)]
    assert logs(talker, "-c", "main", "--since-time=2999-01-01T00:00:00Z") == []


def test_logs_with_timestamps(talker: Kube) -> None:
    for line in logs(talker, "-c", "main", "--timestamps"):
        stamp, _, rest = line.partition(" ")
        datetime.fromisoformat(re.sub(r"\.(\d{6})\d*", r".\1", stamp).replace("Z", "+00:00"))
        assert rest.startswith("line ")


def test_logs_of_the_previous_life(talker: Kube) -> None:
    assert logs(talker, "-c", "again", "--previous") == ["first life"]
    assert logs(talker, "-c", "again") == ["second life"]


def test_logs_follow_until_told_to_stop(talker: Kube) -> None:
    following = talker.start("logs", "-f", "talker", "-c", "main", "--tail=1")
    try:
        assert following.stdout is not None
        assert following.stdout.readline() == b"line 20\n"
        talker.run("exec", "talker", "-c", "main", "--", "sh", "-c", "echo more > /proc/1/fd/1")
        assert following.stdout.readline() == b"more\n"
    finally:
        following.kill()
        following.communicate()


@pytest.mark.parametrize("websockets", ["true", "false"], ids=["websocket", "spdy"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["false"], 1),
        (["sh", "-c", "/etc/hostname"], 126),
        (["sh", "-c", "no-such-program"], 127),
        (["sh", "-c", "exit 42"], 42),
    ],
    ids=["0", "1", "126", "127", "42"],
)
def test_exec_returns_the_exit_code(talker: Kube, command: list[str], code: int, websockets: str) -> None:
    done = talker.run(
        "exec",
        "talker",
        "-c",
        "main",
        "--",
        *command,
        check=False,
        env={"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets},
    )
    assert done.returncode == code, done.stderr.decode()


def test_exec_of_what_does_not_exist_says_so(talker: Kube) -> None:
    # As on any node with containerd: an error of the runtime's, not an exit code.
    done = talker.run("exec", "talker", "-c", "main", "--", "no-such-program", check=False)
    assert done.returncode != 0
    assert "executable file not found" in done.stderr.decode()


def test_exec_passes_stdin_and_keeps_the_streams_apart(talker: Kube) -> None:
    done = talker.run("exec", "-i", "talker", "-c", "main", "--", "sh", "-c", "cat; echo bad >&2", stdin="one\ntwo\n")
    assert done.stdout == b"one\ntwo\n"
    assert b"bad" in done.stderr


def test_exec_keeps_arguments_with_spaces(talker: Kube) -> None:
    arguments = ["a b", "", 'c"d', "e&f=g+h", "%41", "ü"]
    script = 'for argument in "$@"; do echo "<$argument>"; done'
    said = talker.text("exec", "talker", "-c", "main", "--", "sh", "-c", script, "sh", *arguments)
    assert said.splitlines() == [f"<{argument}>" for argument in arguments]


def test_exec_with_a_terminal_follows_resizes(talker: Kube) -> None:
    controller, terminal = pty.openpty()
    _set_size(terminal, 24, 80)
    process = subprocess.Popen(
        talker.command("exec", "-it", "talker", "-c", "main", "--", "sh"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    try:
        for rows, columns in ((24, 80), (33, 111), (50, 132)):
            _set_size(controller, rows, columns)
            _type_until(controller, "stty size\n", f"{rows} {columns}")
        os.write(controller, b"exit 7\n")
        assert process.wait(30) == 7
    finally:
        process.kill()
        process.wait()
        os.close(controller)


def test_attach_reaches_the_running_process(talker: Kube) -> None:
    attached = talker.start("attach", "-i", "talker", "-c", "stdin")
    try:
        assert attached.stdin is not None
        assert attached.stdout is not None
        attached.stdin.write(b"are you there\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == b"are you there\n"
    finally:
        attached.kill()
        attached.communicate()


def test_cp_carries_20_mb_both_ways(talker: Kube, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(20 * 1024 * 1024))
    talker.run("cp", str(there), "talker:/tmp/there", "-c", "main", timeout=180)
    (remote, _) = talker.text("exec", "talker", "-c", "main", "--", "sha256sum", "/tmp/there").split()
    assert remote == hashlib.sha256(there.read_bytes()).hexdigest()
    talker.run("cp", "talker:/tmp/there", str(back), "-c", "main", timeout=180)
    assert back.read_bytes() == there.read_bytes()


def test_port_forward_serves_ten_connections_at_once(talker: Kube) -> None:
    forwarding = talker.start("port-forward", "talker", ":8080")
    try:
        assert forwarding.stdout is not None
        said = forwarding.stdout.readline().decode()
        port = int(re.search(r":(\d+) ->", said)[1])  # type: ignore[index]
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda _: _http_get(port), range(10)))
        assert all(answer.endswith(b"served\n") for answer in answers), answers
    finally:
        forwarding.kill()
        forwarding.communicate()


def test_metrics_name_the_pod_and_its_containers(talker: Kube, node: str) -> None:
    def scrape() -> str:
        return talker.text("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics/resource")

    wanted = [
        rf'container_memory_working_set_bytes{{container="main",namespace="{talker.namespace}",pod="talker"}} [1-9]',
        rf'container_cpu_usage_seconds_total{{container="main",namespace="{talker.namespace}",pod="talker"}} [0-9]',
        r"node_cpu_usage_seconds_total [0-9]",
        r"node_memory_working_set_bytes [1-9]",
    ]
    deadline = time.monotonic() + 90
    while not all(re.search(pattern, metrics := scrape()) for pattern in wanted):
        if time.monotonic() > deadline:
            raise NeverHappened(f"these metrics are not complete:\n{metrics}")
        time.sleep(1)  # the kubelet's statistics are housekept every 10 s; nothing tells when


def test_the_node_is_a_machine_to_prometheus(talker: Kube, node: str) -> None:
    base = f"/api/v1/nodes/{node}/proxy/metrics"
    of_pod = rf'namespace="{talker.namespace}",pod="talker"'
    wanted = {
        "": [
            rf'kubelet_node_name{{node="{node}"}} 1',
            r"kubelet_started_pods_total [1-9]",
            r"process_cpu_seconds_total ",
        ],
        "/cadvisor": [
            r"machine_cpu_cores [1-9]",
            rf'container_network_receive_bytes_total{{[^}}]*image="[^"]+",interface="eth0"[^}}]*{of_pod}}} [0-9]',
            rf'container_memory_working_set_bytes{{container="main",[^}}]*image="[^"]+"[^}}]*{of_pod}}} [1-9]',
        ],
    }
    for path, patterns in wanted.items():
        deadline = time.monotonic() + 90
        while missing := [each for each in patterns if not re.search(each, talker.text("get", "--raw", base + path))]:
            if time.monotonic() > deadline:
                raise NeverHappened(f"{base}{path} has nothing like {missing}")
            time.sleep(1)  # as above
    assert 'id="/"' not in talker.text("get", "--raw", f"{base}/cadvisor")
    assert "kubernetes_build_info" not in talker.text("get", "--raw", base)


def test_the_summary_and_the_pods_list_the_pod(talker: Kube, node: str) -> None:
    base = f"/api/v1/nodes/{node}/proxy"
    pods = json.loads(talker.text("get", "--raw", f"{base}/pods"))["items"]
    assert ("talker", talker.namespace) in {(p["metadata"]["name"], p["metadata"]["namespace"]) for p in pods}
    summary = json.loads(talker.text("get", "--raw", f"{base}/stats/summary"))
    assert summary["node"]["nodeName"] == node
    assert "talker" in {pod["podRef"]["name"] for pod in summary["pods"]}
    assert talker.text("get", "--raw", f"{base}/healthz") == "ok"


def _set_size(terminal: int, rows: int, columns: int) -> None:
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _type_until(terminal: int, line: str, expected: str, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    said = ""
    os.write(terminal, line.encode())
    while expected not in said:
        readable, _, _ = select.select([terminal], [], [], 0.5)
        if readable:
            said += os.read(terminal, 4096).decode(errors="replace")
        else:
            os.write(terminal, line.encode())  # the resize is not ordered with what is typed
        assert time.monotonic() < deadline, f"{expected!r} was never printed: {said!r}"


def _http_get(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\nHost: pod\r\n\r\n")
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        return answer
