"""A picture of the page as a PNG with a palette: a third of the bytes, and no package for it."""

import struct
import zlib
from collections import Counter
from itertools import batched

COLOURS = 256
"""The most that a palette holds. A page has few; what is rarer becomes the nearest of them."""
_CHANNELS = {2: 3, 6: 4}


def smaller(png: bytes) -> bytes:
    """The same picture with a palette. `png`: of eight bits a channel, with or without alpha, not interlaced."""
    width, height, channels, packed = _read(png)
    rows = _unfiltered(zlib.decompress(packed), width * channels, channels)
    pixels = [[bytes(pixel[:3]) for pixel in batched(row, channels)] for row in rows]
    counts = Counter(pixel for row in pixels for pixel in row)
    palette = [colour for colour, _ in counts.most_common(COLOURS)]
    number = {colour: place for place, colour in enumerate(palette)}
    for colour in counts:
        if colour not in number:
            number[colour] = min(range(len(palette)), key=lambda place: _distance(palette[place], colour))
    data = b"".join(b"\0" + bytes(number[pixel] for pixel in row) for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b""))
    return png[:8] + b"".join(_chunk(name, part) for name, part in parts)


def _read(png: bytes) -> tuple[int, int, int, bytes]:
    at, packed, width, height, channels = 8, b"", 0, 0, 0
    while at < len(png):
        (length,), name = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        part = png[at + 8 : at + 8 + length]
        if name == b"IHDR":
            width, height, _, kind = struct.unpack(">IIBB", part[:10])
            channels = _CHANNELS[kind]
        elif name == b"IDAT":
            packed += part
        at += length + 12
    return width, height, channels, packed


def _unfiltered(data: bytes, length: int, channels: int) -> list[bytearray]:
    """The rows. https://www.w3.org/TR/png-3/#9Filter-types"""
    rows: list[bytearray] = []
    above = bytearray(length)
    for start in range(0, len(data), length + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + length])
        for place in range(length if kind else 0):
            left = row[place - channels] if place >= channels else 0
            corner = above[place - channels] if place >= channels else 0
            guess = (0, left, above[place], (left + above[place]) // 2, _paeth(left, above[place], corner))[kind]
            row[place] = (row[place] + guess) & 255
        rows.append(row)
        above = row
    return rows


def _paeth(left: int, above: int, corner: int) -> int:
    whole = left + above - corner
    return min((left, above, corner), key=lambda each: abs(whole - each))


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(name: bytes, part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
