"""Certificates for a server on loopback, made by openssl when a test asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .network import BedError, program, run

DAYS: Final = "2"
KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def missing_openssl() -> str | None:
    try:
        program("openssl")
    except BedError:
        return "no openssl: apt-get install --no-install-recommends openssl"
    return None


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files: of a CA, a certificate it signed and that one's key; and of a CA that signed none."""

    ca: Path
    cert: Path
    key: Path
    stranger: Path


def make_certificates(folder: Path, names: str = "IP:127.0.0.1,DNS:localhost") -> Certificates:
    """``names``: whom the certificate speaks for."""
    openssl = program("openssl")
    made = Certificates(
        folder / "ca.crt", folder / "server.crt", folder / "server.key", folder / "stranger.crt"
    )
    for name, certificate in (("ca", made.ca), ("stranger", made.stranger)):
        words = ("-keyout", str(folder / f"{name}.key"), "-out", str(certificate))
        run([openssl, "req", "-x509", *KEY, "-days", DAYS, "-subj", f"/CN=bed {name}", *words])
    request, extensions = folder / "server.csr", folder / "server.ext"
    extensions.write_text(f"subjectAltName={names}\n")
    words = ("-keyout", str(made.key), "-out", str(request))
    run([openssl, "req", *KEY, "-subj", "/CN=bed server", *words])
    signer = ("-CA", str(made.ca), "-CAkey", str(folder / "ca.key"), "-CAcreateserial")
    files = ("-extfile", str(extensions), "-in", str(request), "-out", str(made.cert))
    run([openssl, "x509", "-req", "-days", DAYS, *signer, *files])
    return made
