"""OVAs from a small web server into the simulator: what is whole becomes a template, what is not leaves nothing."""

import asyncio
import hashlib
import io
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pyVmomi import vim

from provider.errors import NameTaken, OVAInvalid, TemplateNotFound
from provider.parentvm import WantedPlacement
from provider.vsphere.vcenter import VCenter

from .conftest import Simulator, add_cards

DISK = bytes(range(256)) * 4096

OVF = f"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
 <References><File ovf:href="disk.vmdk" ovf:id="file1" ovf:size="{len(DISK)}"/></References>
 <DiskSection><Info>disks</Info>
  <Disk ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="vmdisk1" ovf:fileRef="file1"
   ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
 <VirtualSystem ovf:id="photon"><Info>a VM</Info><Name>photon</Name>
  <VirtualHardwareSection><Info>hardware</Info>
   <System><vssd:ElementName>hardware</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>
    <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType></System>
   <Item><rasd:ElementName>cpu</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID>
    <rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
   <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>memory</rasd:ElementName>
    <rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType>
    <rasd:VirtualQuantity>1024</rasd:VirtualQuantity></Item>
   <Item><rasd:Address>0</rasd:Address><rasd:ElementName>scsi</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID>
    <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
   <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>disk</rasd:ElementName>
    <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID>
    <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
  </VirtualHardwareSection></VirtualSystem>
</Envelope>"""


def make_ova(**files: bytes) -> bytes:
    """A tar file of `name__extension=content`, in that order."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


WHOLE = make_ova(photon__ovf=OVF.encode(), photon__mf=b"", disk__vmdk=DISK)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Web:
    """Serves what it is given; what it is told to cut short ends in the middle."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = web.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if self.path in web.cut else content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def serve(self, content: bytes, *, cut: bool = False) -> str:
        path = f"/{len(self.files)}.ova"
        self.files[path] = content
        if cut:
            self.cut.add(path)
        return f"http://127.0.0.1:{self.server.server_port}{path}"


@pytest.fixture(name="web")
def _web() -> Iterator[Web]:
    web = Web()
    yield web
    web.server.shutdown()
    web.server.server_close()


@pytest.fixture(name="vc")
async def _vc(simulator: Simulator) -> AsyncIterator[VCenter]:
    vc = await simulator.connect()
    await vc.resolve(WantedPlacement("vm", "Resources"))
    yield vc
    await vc.close()


async def test_an_ova_becomes_a_template_that_is_found_again(vc: VCenter, web: Web) -> None:
    made = await vc.import_ova(web.serve(WHOLE), sha256(WHOLE), "vch-image-photon")
    vm = vc._session.object(vim.VirtualMachine, made)
    # The simulator makes no card for a network that is not mapped to one of its own.
    await asyncio.to_thread(add_cards, vm)
    assert await vc.template("vch-image-photon") == made
    config: Any = await vc._session.call("RetrieveProperties", lambda: vm.config)
    assert config.template
    assert (config.hardware.numCPU, config.hardware.memoryMB) == (2, 1024)


async def nothing_is_left(vc: VCenter) -> None:
    """Destroying it may take a moment."""
    for _ in range(100):
        try:
            await vc.template("vch-image-photon")
        except TemplateNotFound:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the VM is still there")


BROKEN = {
    "has another hash": (WHOLE, "0" * 64, "has the SHA-256"),
    "is no tar file": (b"<html>" * 1000, None, "is no OVA|does not begin|is empty"),
    "is empty": (b"", None, "is no OVA|is empty"),
    "has no descriptor": (make_ova(disk__vmdk=DISK), None, "not with its OVF descriptor"),
    "has a descriptor that is not UTF-8": (make_ova(photon__ovf=b"\xff"), None, "not UTF-8"),
    "lacks a disk": (make_ova(photon__ovf=OVF.encode()), None, "lacks the files disk.vmdk"),
}


@pytest.mark.parametrize(("content", "hashed", "message"), BROKEN.values(), ids=BROKEN.keys())
async def test_an_ova_that_leaves_nothing(
    vc: VCenter, web: Web, content: bytes, hashed: str | None, message: str
) -> None:
    with pytest.raises(OVAInvalid, match=message):
        await vc.import_ova(web.serve(content), hashed or sha256(content), "vch-image-photon")
    await nothing_is_left(vc)


async def test_a_download_that_breaks_leaves_nothing(vc: VCenter, web: Web) -> None:
    with pytest.raises(OVAInvalid):
        await vc.import_ova(web.serve(WHOLE, cut=True), sha256(WHOLE), "vch-image-photon")
    await nothing_is_left(vc)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.ova", "file:///etc/passwd", "ftp://x/y", "nonsense", ""])
async def test_a_url_that_cannot_be_fetched(vc: VCenter, url: str) -> None:
    with pytest.raises(OVAInvalid, match=r"cannot be fetched|no http or https URL"):
        await vc.import_ova(url, "0" * 64, "vch-image-photon")


async def test_an_ova_that_does_not_exist(vc: VCenter, web: Web) -> None:
    with pytest.raises(OVAInvalid, match="404"):
        await vc.import_ova(web.serve(b"")[:-5] + "99.ova", "0" * 64, "vch-image-photon")


async def test_a_name_that_is_taken(simulator: Simulator, vc: VCenter, web: Web) -> None:
    simulator.post("/faults", {"method": "ImportVApp", "fault": "DuplicateName", "when": "before", "count": 1})
    with pytest.raises(NameTaken):
        await vc.import_ova(web.serve(WHOLE), sha256(WHOLE), "vch-image-photon")
