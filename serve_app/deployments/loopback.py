"""Keeps what Ray Serve opens inside a replica on loopback.

Every replica starts a gRPC server for calls between deployments, which unpickles what it is sent. Ray 2.60 binds it to
all interfaces (`[::]:0`, no setting), even on a node whose own address is 127.0.0.1. On such a node it is bound to
127.0.0.1 here; on a cluster nothing changes. `serve_app.local` checks the socket table after every start, so a Ray
release that does this elsewhere is noticed at once.
"""

from __future__ import annotations

from typing import Any

import ray
from ray._common.tls_utils import add_port_to_grpc_server
from ray.serve._private import replica

LOOPBACK = "127.0.0.1"


def confine_inner_port() -> None:
    """Called in the constructor of every deployment, before Serve opens the port."""
    if not ray.is_initialized() or ray.util.get_node_ip_address() != LOOPBACK:
        return
    vars(replica)["add_port_to_grpc_server"] = _add_port_on_loopback


def _add_port_on_loopback(server: Any, address: str) -> int:
    port: int = add_port_to_grpc_server(server, address.replace("[::]", LOOPBACK))
    return port
