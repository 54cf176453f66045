"""CAs that the whole system trusts: beside its bundle for programs in Go, within it for those with OpenSSL. Pure.

Go reads every file of /etc/ssl/certs besides the first bundle that it finds. The bundle is changed between two marks,
so that no program has to be run for it and a second time changes nothing.
"""

FILE = "/etc/ssl/certs/vch-ca.pem"
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
"""Debian's, Photon's."""
_BEGIN, _END = "# vch: setup.caBundle\n", "# vch: end\n"


def within(bundle: str, certificates: str) -> str:
    """The bundle with our certificates at its end, in the place of those from a time before."""
    before, _, rest = bundle.partition(_BEGIN)
    after = rest.partition(_END)[2]
    if before and not before.endswith("\n"):
        before += "\n"
    return f"{before}{after}{_BEGIN}{certificates}{_END}"
