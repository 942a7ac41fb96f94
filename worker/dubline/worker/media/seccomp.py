"""The filter of system calls of a process that decodes: it can read, write, use memory and wait, and nothing else.

A call outside the list fails with EPERM, so a decoder that makes one gets an error instead of a kill.
"""

from __future__ import annotations

import ctypes
import errno
import platform
from typing import Final, NamedTuple

#: Number of each allowed call on x86-64 and on 64-bit ARM.
CALLS: Final[dict[str, tuple[int, int]]] = {
    "brk": (12, 214),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "fstat": (5, 80),
    "futex": (202, 98),
    "getpid": (39, 172),
    "getrandom": (318, 278),
    "gettid": (186, 178),
    "lseek": (8, 62),
    "madvise": (28, 233),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    # The C library implements fstat with it. It shows sizes of files by name, but no content.
    "newfstatat": (262, 79),
    "pread64": (17, 67),
    "read": (0, 63),
    "readv": (19, 65),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "sigaltstack": (131, 132),
    "write": (1, 64),
    "writev": (20, 66),
}


class Machine(NamedTuple):
    """What a filter depends on."""

    column: int
    """In `CALLS`."""
    audit_arch: int
    """AUDIT_ARCH_* of the kernel."""
    seccomp: int
    """Number of the call that installs a filter."""


MACHINES: Final = {"x86_64": Machine(0, 0xC000003E, 317), "aarch64": Machine(1, 0xC00000B7, 277)}

_LOAD_WORD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERROR: Final = 0x00050000
#: Offsets in the kernel's `seccomp_data`.
_NUMBER_AT: Final = 0
_ARCH_AT: Final = 4

_SET_MODE_FILTER: Final = 1
#: The filter holds for all threads of the process.
_ALL_THREADS: Final = 1


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def restrict() -> None:
    """Restrict this process to `CALLS` for the rest of its life. It must not be able to gain privileges by `execve`.

    Raises:
        OSError: the kernel refuses the filter, or there is none for this machine.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None or platform.system() != "Linux":
        raise OSError(errno.ENOSYS, "there is no filter for this machine")
    instructions = _instructions(machine)
    array = (_Instruction * len(instructions))(*instructions)
    program = _Program(len(instructions), array)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(machine.seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses the filter")


def _instructions(machine: Machine) -> list[_Instruction]:
    numbers = sorted(call[machine.column] for call in CALLS.values())
    return [
        _Instruction(_LOAD_WORD, 0, 0, _ARCH_AT),
        _Instruction(_JUMP_IF_EQUAL, 1, 0, machine.audit_arch),
        _Instruction(_RETURN, 0, 0, _KILL_PROCESS),
        _Instruction(_LOAD_WORD, 0, 0, _NUMBER_AT),
        # A match jumps over the remaining comparisons and the refusal.
        *(_Instruction(_JUMP_IF_EQUAL, len(numbers) - at, 0, number) for at, number in enumerate(numbers)),
        _Instruction(_RETURN, 0, 0, _ERROR | errno.EPERM),
        _Instruction(_RETURN, 0, 0, _ALLOW),
    ]
