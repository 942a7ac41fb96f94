"""Generated colour profiles (ICC version 2): three primaries with one gamma, grey, and ink."""

from __future__ import annotations

import struct

import numpy as np

#: Columns of XYZ under D50 of the primaries, and the gamma: Adobe RGB (1998), ProPhoto RGB, Display P3.
ADOBE = (((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)), 2.2)
PROPHOTO = (((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)), 1.8)
P3 = (((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)), 2.2)
SRGB_D50 = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
WHITE = (0.9642, 1.0, 0.8249)


def rgb(primaries: tuple[tuple[float, ...], ...], gamma: float) -> bytes:
    """Return a profile of three primaries."""
    columns = {f"{name}XYZ".encode(): _xyz(column) for name, column in zip("rgb", primaries, strict=True)}
    curves = {f"{name}TRC".encode(): _curve(gamma) for name in "rgb"}
    return _profile(b"mntr", b"RGB ", b"XYZ ", columns | curves)


def grey(gamma: float) -> bytes:
    """Return a profile of a grey picture."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def ink(paper: tuple[float, float, float] = WHITE) -> bytes:
    """Return a profile of a press whose full inks give a lightness of 50 and all of them black."""
    corners = [[255 - 255 * min(2, c + m + y) // 2 - 127 * k, 128, 128] for c, m, y, k in np.ndindex(2, 2, 2, 2)]
    table = bytes(max(0, value) for corner in corners for value in corner)
    ramp = bytes(range(256))
    matrix = b"".join(_fixed(value) for value in np.eye(3).ravel())
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + table + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut, b"wtpt": _xyz(paper)})


def to_srgb(levels: np.ndarray, primaries: tuple[tuple[float, ...], ...], gamma: float) -> np.ndarray:
    """Convert levels (..., 3) to sRGB by the definition, clipped to its gamut."""
    xyz = (levels / 255.0) ** gamma @ np.array(primaries)
    linear = np.clip(xyz @ np.linalg.inv(np.array(SRGB_D50)), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * encoded


def _profile(device: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"wtpt": _xyz(WHITE), b"desc": _description()} | tags
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += padded
    header = bytes(8) + struct.pack(">I", 0x02400000) + device + space + connection
    header = header.ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + b"".join(_fixed(value) for value in WHITE)
    whole = header.ljust(128, b"\0") + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def _description() -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(_fixed(value) for value in values)


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))
