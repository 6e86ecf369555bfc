"""System calls that a sandbox may not make: number and arguments on x86_64."""

from __future__ import annotations

from collections.abc import Mapping

NEW_USER = 0x10000000
GETPID = 39
X32_BIT = 0x40000000
MESSAGE_QUEUE = b"yunhan-escape"
"""The name of the queue that `mq_open` makes where it may."""
_CREATE_AND_WRITE = 0o102

SYSTEM_CALLS: Mapping[str, tuple[int | str, ...]] = {
    "ptrace": (101, 16, "pid"),
    "process_vm_readv": (310, "pid", "pointer", 1, "pointer", 1, 0),
    "keyctl": (250, 0, -4, 1),
    "add_key": (248, "pointer", "pointer", 0, 0, -4),
    "vsock socket": (41, 40, 1, 0),
    "netlink socket": (41, 16, 3, 0),
    "packet socket": (41, 17, 3, 0),
    "raw socket": (41, 2, 3, 1),
    "kernel crypto socket": (41, 38, 5, 0),
    "io_uring": (425, 8, "pointer"),
    "unshare user namespace": (272, NEW_USER),
    "clone into a user namespace": (56, NEW_USER | 17, 0, 0, 0, 0),
    "clone3": (435, "pointer", 64),
    "mount": (165, 0, 0, 0, 0, 0),
    "new mount interface": (430, "pointer", 0),
    "chroot": (161, "pointer"),
    "pivot_root": (155, "pointer", "pointer"),
    "open_by_handle_at": (304, -1, "pointer", 0),
    "mknod": (133, "pointer", 0o020666, 0x101),
    "bpf": (321, 0, "pointer", 48),
    "perf_event_open": (298, "pointer", 0, -1, -1, 0),
    "userfaultfd": (323, 0),
    "memory that belongs to nobody": (319, "pointer", 0),
    "system V shared memory": (29, 0, 4096, 0o1600),
    "message queue": (240, "pointer", _CREATE_AND_WRITE, 0o600, 0),
    "set the clock": (227, 0, 0),
    "kernel log": (103, 10, 0, 0),
}
UNKNOWN_CALLS: Mapping[str, tuple[int, ...]] = {
    "x32 system call": (X32_BIT | GETPID,),
    "a system call of tomorrow": (600,),
}
"""That no kernel here answers either: they hold everywhere."""
