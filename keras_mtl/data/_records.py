"""Where the records of a TFRecord file end, told by their lengths alone."""

import os
import struct
from typing import Any

# A record is its length, 8 bytes, a checksum of that, 4, the content, and a checksum of that, 4.
_HEAD, _TAIL = 12, 4


def record_ends(path: Any) -> list[int]:
    """The place after each record, in bytes.

    Raises:
        ValueError: If a record would end after the file does; names file and record.
    """
    ends: list[int] = []
    with open(path, "rb") as file:
        size, place = os.fstat(file.fileno()).st_size, 0
        while place < size:
            head = file.read(_HEAD)
            length = struct.unpack("<Q", head[:8])[0] if len(head) == _HEAD else size
            place += _HEAD + length + _TAIL
            if place > size:
                raise ValueError(
                    f"{path}: record {len(ends)} cannot be read (it ends after the file does); the file "
                    "is damaged or cut short: write it anew."
                )
            ends.append(place)
            file.seek(place)
    return ends
