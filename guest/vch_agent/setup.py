"""What a parent VM is to have besides the base image (`setup` of `guestinfo.vch.parent`), parsed. Pure.

Every error names the field. `merged` adds a fork's setup to its base's; the stored form is the message's own, so that
`parse(value.stored())` is the value again. What the fields do to the machine is `plan`'s and `preparation`'s business.
"""

import ipaddress
import re
from dataclasses import dataclass, field, fields, replace
from typing import Any

from . import checked, references

_SYSCTL = re.compile(r"[A-Za-z0-9_-]+([./][A-Za-z0-9_:@-]+)+")
_MODULE = re.compile(r"[A-Za-z0-9_-]+")
_PARAMETER = re.compile(r"[A-Za-z0-9_.-]+(=[!-~]*)?")
_REGISTRY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?|\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_MODE = re.compile(r"0?[0-7]{3}")
_NOT_FOR_FILES = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/lib/vch", "/var/lib/kubelet")  # noqa: S108
GUEST, NONE, _ROUTING = "Guest", "None", re.compile("Guest|None")
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Network:
    """An address to pull images with, gone again before the freeze."""

    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None
    nameservers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DNS:
    """The cluster's, for Pods with `dnsPolicy: ClusterFirst`; empty: none."""

    servers: tuple[str, ...] = ()
    domain: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file to write."""

    path: str
    content: str
    mode: int


@dataclass(frozen=True, slots=True)
class Proxy:
    """What containerd and pulls are told of proxies; empty: none."""

    http: str = ""
    https: str = ""
    no: str = ""

    def environment(self) -> dict[str, str]:
        """The variables that programs look at."""
        told = {"HTTP_PROXY": self.http, "HTTPS_PROXY": self.https, "NO_PROXY": self.no}
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True, slots=True)
class Setup:
    """All members are optional."""

    network: Network | None = None
    mirrors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Endpoints of each registry, in the order in which they are asked."""
    insecure: tuple[str, ...] = ()
    ca_bundle: str = ""
    proxy: Proxy = Proxy()
    dns: DNS = DNS()
    sysctls: dict[str, str] = field(default_factory=dict)
    kernel_modules: tuple[str, ...] = ()
    kernel_parameters: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    preload_images: tuple[str, ...] = ()
    service_routing: str = NONE  # GUEST: kube-proxy runs here

    def merged(self, base: "Setup") -> "Setup":
        """This, on top of a base's; network and images to pull are this one's alone: the base's images are there."""
        paths = {file.path for file in self.files}
        return replace(
            self,
            mirrors=base.mirrors | self.mirrors,
            insecure=checked.union(base.insecure, self.insecure),
            ca_bundle=base.ca_bundle if self.ca_bundle in base.ca_bundle else base.ca_bundle + self.ca_bundle,
            proxy=Proxy(*(getattr(self.proxy, name.name) or getattr(base.proxy, name.name) for name in fields(Proxy))),
            dns=base.dns if self.dns == DNS() else self.dns,
            sysctls=base.sysctls | self.sysctls,
            service_routing=base.service_routing if self.service_routing == NONE else self.service_routing,
            kernel_modules=checked.union(base.kernel_modules, self.kernel_modules),
            kernel_parameters=checked.union(base.kernel_parameters, self.kernel_parameters),
            files=(*(file for file in base.files if file.path not in paths), *self.files),
        )

    def stored(self) -> dict[str, Any]:
        """The message's form of what lasts: not the network nor the images."""
        return {
            "registries": {
                "mirrors": [{"registry": name, "endpoints": list(ends)} for name, ends in self.mirrors.items()],
                "insecure": list(self.insecure),
            },
            "caBundle": self.ca_bundle,
            "proxy": {"httpProxy": self.proxy.http, "httpsProxy": self.proxy.https, "noProxy": self.proxy.no},
            "dns": {"servers": list(self.dns.servers), "domain": self.dns.domain},
            "sysctls": self.sysctls,
            "kernelModules": list(self.kernel_modules),
            "kernelParameters": list(self.kernel_parameters),
            "serviceRouting": self.service_routing,
            "files": [{"path": file.path, "content": file.content, "mode": f"{file.mode:04o}"} for file in self.files],
        }


def parse(value: Any) -> Setup:
    """From the decoded message; None is an empty setup. Raises ValueError."""
    told = checked.mapping(value, "setup")
    registries = checked.mapping(told.get("registries"), "setup.registries")
    (routing,) = checked.texts([told.get("serviceRouting") or NONE], "setup.serviceRouting", _ROUTING, "Guest or None")
    return Setup(
        network=_network(told.get("network")),
        mirrors=dict(_mirrors(registries.get("mirrors"))),
        insecure=checked.texts(registries.get("insecure"), "setup.registries.insecure", _REGISTRY, "a registry"),
        ca_bundle=_certificates(told.get("caBundle")),
        proxy=_proxy(told.get("proxy")),
        dns=_dns(told.get("dns")),
        sysctls=_sysctls(told.get("sysctls")),
        kernel_modules=checked.texts(told.get("kernelModules"), "setup.kernelModules", _MODULE, "a module's name"),
        kernel_parameters=checked.texts(
            told.get("kernelParameters"), "setup.kernelParameters", _PARAMETER, "a parameter"
        ),
        files=tuple(
            _file(each, f"setup.files[{i}]") for i, each in enumerate(checked.listed(told.get("files"), "setup.files"))
        ),
        preload_images=_images(told.get("preloadImages")),
        service_routing=routing,
    )


def _network(value: Any) -> Network | None:
    told = checked.mapping(value, "setup.network")
    if not told:
        return None
    at = "setup.network"
    gateway = told.get("gateway")
    return Network(
        address=checked.address(told.get("address"), f"{at}.address", ipaddress.ip_interface),
        gateway=checked.address(gateway, f"{at}.gateway", ipaddress.ip_address) if gateway else None,
        nameservers=checked.addresses(told.get("nameservers"), f"{at}.nameservers"),
    )


def _dns(value: Any) -> DNS:
    told = checked.mapping(value, "setup.dns")
    domain = checked.line(told.get("domain") or "", "setup.dns.domain")
    if domain and not _DOMAIN.fullmatch(domain):
        raise ValueError(f"setup.dns.domain: {domain!r} is not a domain")
    return DNS(checked.addresses(told.get("servers"), "setup.dns.servers"), domain)


def _mirrors(value: Any) -> list[tuple[str, tuple[str, ...]]]:
    found = []
    for i, each in enumerate(checked.listed(value, "setup.registries.mirrors")):
        at = f"setup.registries.mirrors[{i}]"
        told = checked.mapping(each, at)
        (registry,) = checked.texts([told.get("registry")], f"{at}.registry", _REGISTRY, "a registry")
        endpoints = checked.listed(told.get("endpoints"), f"{at}.endpoints")
        if not endpoints:
            raise ValueError(f"{at}.endpoints: at least one is required")
        found.append((registry, tuple(checked.url(end, f"{at}.endpoints[{n}]") for n, end in enumerate(endpoints))))
    return found


def _proxy(value: Any) -> Proxy:
    told = checked.mapping(value, "setup.proxy")
    http, https = (
        checked.url(told[name], f"setup.proxy.{name}") if told.get(name) else "" for name in ("httpProxy", "httpsProxy")
    )
    return Proxy(http, https, checked.line(told.get("noProxy") or "", "setup.proxy.noProxy"))


def _sysctls(value: Any) -> dict[str, str]:
    told = checked.mapping(value, "setup.sysctls")
    for name in told:
        if not _SYSCTL.fullmatch(name):
            raise ValueError(f"setup.sysctls: {name!r} is not a sysctl's name")
    return {name: checked.line(each, f"setup.sysctls.{name}") for name, each in told.items()}


def _file(value: Any, at: str) -> File:
    told = checked.mapping(value, at)
    path = checked.line(told.get("path"), f"{at}.path")
    parts = path.split("/")
    if not path.startswith("/") or path.endswith("/") or any(part in ("", ".", "..") for part in parts[1:]):
        raise ValueError(f"{at}.path: {path!r} is not an absolute path")
    if any(path == folder or path.startswith(f"{folder}/") for folder in _NOT_FOR_FILES):
        raise ValueError(f"{at}.path: {path} would not outlive a boot, or is the guest's own")
    content, mode = told.get("content"), told.get("mode") or "0644"
    if not isinstance(content, str):
        raise ValueError(f"{at}.content: a string is required")
    if not isinstance(mode, str) or not _MODE.fullmatch(mode):
        raise ValueError(f"{at}.mode: octal digits in a string are required, as in 0644")
    return File(path, content, int(mode, 8))


def _images(value: Any) -> tuple[str, ...]:
    found = []
    for i, each in enumerate(checked.listed(value, "setup.preloadImages")):
        try:
            found.append(references.normalized(checked.line(each, "reference")))
        except ValueError as error:
            raise ValueError(f"setup.preloadImages[{i}]: {error}") from error
    return checked.union((), tuple(found))


def _certificates(value: Any) -> str:
    if not value:
        return ""
    if not isinstance(value, str) or not 0 < value.count(_BEGIN) == value.count(_END):
        raise ValueError("setup.caBundle: certificates in PEM are required")
    return value.rstrip("\n") + "\n"
