"""The operator's command line: settings to a running process, until SIGTERM or SIGINT.

Ending the process ends nothing else: pod VMs run on, and the next process adopts them.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence

import structlog
from pydantic import ValidationError

from provider import __version__, commands, errors, handlers, logs, metrics
from provider.api import image, vm_class
from provider.campaign import Replica
from provider.catalog import Catalog
from provider.clock import SystemClock
from provider.fence import Fence
from provider.fleet import Fleet
from provider.health import Health
from provider.kube import embedded, service_watch
from provider.kube.client import USER_AGENT, KubeClient
from provider.kube.leases import Leases
from provider.kube.operator_objects import OperatorObjects
from provider.kube.policy_watch import PolicyWatch
from provider.kubelet import certificates
from provider.kubelet.tls import ServingTLS
from provider.lease_controller import LeaseController
from provider.metrics.state import StateCollector
from provider.process import Process
from provider.settings import NodeImpersonation, Settings
from provider.virtual_node import VirtualNode

log = structlog.get_logger("provider")

USAGE = 2
"""Exit code for settings that cannot be used."""

_FIRST_ANSWER_RETRY = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in commands.NAMES:
        return commands.main(given)
    try:
        settings = parse(given)
        _look_at_files(settings)
    except ValidationError as error:
        print(explain(error), file=sys.stderr)  # noqa: T201
        return USAGE
    except errors.CertificateUnusable as error:
        print(error, file=sys.stderr)  # noqa: T201
        return USAGE
    except OSError as error:
        print(f"--kubelet-client-ca: {error}", file=sys.stderr)  # noqa: T201
        return USAGE
    logs.set_up(settings.log_format, settings.log_level)
    return asyncio.run(operate(settings))


def _look_at_files(settings: Settings) -> None:
    """What cannot be used is better told now. Raises CertificateUnusable; OSError for the client CA."""
    tls = ServingTLS(settings.kubelet_client_ca, SystemClock().now)
    if settings.serving_files:
        tls.use(certificates.read(*settings.serving_files))


async def operate(settings: Settings) -> int:
    """Runs until the process is asked to end."""
    stop = asyncio.Event()
    keep_signals = _signals(stop)
    keep_signals()
    log.info("starting", version=__version__, namespace=settings.namespace, replica=settings.identity)
    stop_metrics = _serve_metrics(settings)
    constrained = settings.node_impersonation is NodeImpersonation.CONSTRAINED
    try:
        client = await KubeClient.connect(
            settings.kubeconfig, f"{USER_AGENT}/{settings.identity}", constrained=constrained
        )
    except Exception as error:
        log.error("no usable kubeconfig or service account", error=str(error))
        return USAGE
    health = Health(lambda: OperatorObjects(client, settings.namespace).cluster_uid())
    try:
        await health.serve(settings.health_address)
        ending = asyncio.create_task(stop.wait())
        running = asyncio.create_task(_run(client, settings, keep_signals, health))
        await asyncio.wait({ending, running}, return_when=asyncio.FIRST_COMPLETED)
        for task in (ending, running):
            task.cancel()
        (_, failure) = await asyncio.gather(ending, running, return_exceptions=True)
    finally:
        await health.close()
        await client.close()
        stop_metrics()
    if stop.is_set():
        log.info("ended as asked")
        return 0
    log.error("ended by an error", error=str(failure), exc_info=failure)
    return 1


def _serve_metrics(settings: Settings) -> Callable[[], None]:
    """What ends it. Counted is in any case."""
    metrics.process.built(settings.revision)
    if not settings.metrics_address:
        return lambda: None
    return metrics.process.serve(settings.metrics_address, StateCollector(asyncio.get_running_loop()))


async def _run(client: KubeClient, settings: Settings, keep_signals: Callable[[], None], health: Health) -> None:
    objects, clock = OperatorObjects(client, settings.namespace), SystemClock()
    policies = PolicyWatch(client)
    process = Process(
        client=client,
        objects=objects,
        cluster=await _cluster(objects),
        kubelet_certificate=settings.serving_files,
        kubelet_client_ca=settings.kubelet_client_ca,
        kubelet_port=settings.kubelet_port,
        pod_ip=settings.pod_ip,
        report_timeout=settings.guest_report_timeout,
        clock=clock,
        keep_signals=keep_signals,
        catalog=await _catalog(objects),
        firewalls=policies,
        fence=Fence("no virtual node", settings.terms, clock.monotonic),
    )
    fleet = Fleet(lambda vch, fence: VirtualNode(process.under(fence), vch), settings.vchs)
    kube = Leases(client, settings.namespace)
    leases = LeaseController(Replica(settings.identity, kube, fleet, settings.terms, clock))
    fleet.stand_for(leases)
    health.running()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(leases.run())
            group.create_task(metrics.process.measure_lag())
            group.create_task(service_watch.run(client, process.routes))
            group.create_task(
                embedded.run(
                    handlers.registry_of(fleet, process.catalog),
                    embedded.settings(),
                    client.configuration,
                    keep_signals,
                )
            )
    finally:
        await leases.close()
        await fleet.close()
        await policies.close()


async def _cluster(objects: OperatorObjects) -> str:
    """The cluster's UID, as soon as the API server answers: the operator may be started before it."""
    while True:
        try:
            return await objects.cluster_uid()
        except errors.KubeUnavailable as error:
            log.warning("the API server does not answer", error=str(error))
            await asyncio.sleep(_FIRST_ANSWER_RETRY)


async def _catalog(objects: OperatorObjects) -> Catalog:
    """Whole before any virtual node runs: what is not known yet must not look as if it had been deleted."""
    catalog = Catalog()
    while True:
        try:
            for plural in (vm_class.PLURAL, image.PLURAL):
                for thing in await objects.list_ours(plural):
                    catalog.see(thing)
            return catalog
        except errors.KubeError as error:
            log.warning("classes and images cannot be listed", reason=error.reason, error=str(error))
            await asyncio.sleep(_FIRST_ANSWER_RETRY)


def _signals(stop: asyncio.Event) -> Callable[[], None]:
    """kopf takes the loop's signal handlers when an operator starts; calling the result takes them back."""
    loop = asyncio.get_running_loop()

    def keep() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

    return keep


def parse(arguments: Sequence[str]) -> Settings:
    """Flags over environment variables. Raises ValidationError; exits for `--help` and unknown flags."""
    parser = argparse.ArgumentParser(
        prog="virtual-kubelet-vch",
        description="Operator: ordinary Pods, each in an instant-cloned VM. Every flag is also a variable VCH_…",
    )
    parser.add_argument("--version", action="version", version=__version__)
    for name, field in Settings.model_fields.items():
        default = (
            "" if field.is_required() or field.default_factory or not field.default else f" (default: {field.default})"
        )
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=f"{field.description}{default}")
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    return Settings(**given)


def explain(error: ValidationError) -> str:
    """One line for each setting that is missing or wrong, with what it is for."""
    lines = []
    for each in error.errors():
        name = str(each["loc"][0])
        field = Settings.model_fields.get(name)
        about = f" ({field.description})" if field else ""
        lines.append(f"--{name.replace('_', '-')} or VCH_{name.upper()}: {each['msg']}{about}")
    return "\n".join(lines)
