"""A broker that speaks TLS with a certificate of our local authority."""

from __future__ import annotations

from pathlib import Path

from runtime.tls.local_ca import LocalCa


def tls_config(ca: LocalCa, folder: Path, port: int) -> str:
    """The broker's settings; its certificate and key are written into `folder`."""
    pair = ca.server_certificate()
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(pair.chain_pem)
    key.write_bytes(pair.key_pem)
    return (
        f"listeners.ssl.1 = 127.0.0.1:{port}\n"
        f"ssl_options.certfile = {chain}\n"
        f"ssl_options.keyfile = {key}\n"
        f"ssl_options.cacertfile = {ca.ca_path}\n"
        "ssl_options.verify = verify_none\n"
    )
