"""The inclusion proof of a bundle: leaf indices of its events, and the Merkle tree nodes that lead to the root.

Memory does not grow with the number of events or leaves.
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import BinaryIO

from django.db.backends.utils import CursorWrapper

from apps.audit.event_row import unescape_bytea
from apps.audit.merkle import ProofBuilder, leaf_hash

_BYTES_AT_ONCE = 2**16


class LeafLines:
    """Maps leaf indices to line numbers in the bundle: a sparse file with eight bytes for each leaf.

    Zero, or a hole in the file, stands for a leaf whose event is not in the bundle.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file.fileno()
        self.count = 0

    def add(self, leaf_index: int, line_number: int) -> None:
        os.pwrite(self._file, line_number.to_bytes(8), leaf_index * 8)
        self.count += 1

    def line_numbers(self) -> Iterator[int]:
        """The line numbers of leaf 0, 1, 2 and so on, followed by zeros without end."""
        for position in count(step=_BYTES_AT_ONCE):
            numbers = os.pread(self._file, _BYTES_AT_ONCE, position).ljust(_BYTES_AT_ONCE, b"\0")
            for (number,) in struct.iter_unpack(">Q", numbers):
                yield number


def write_proof(
    cursor: CursorWrapper,
    leaf_lines: LeafLines,
    *,
    tree_size: int,
    write_leaf: Callable[[bytes], object],
    write_node: Callable[[bytes], object],
) -> bytes:
    """Writes the index and line number of each leaf in the bundle, and the proof's nodes. Returns the tree's root.

    The tree consists of the first `tree_size` leaves of the database.
    """
    proof = ProofBuilder(lambda node: write_node(node.hex().encode() + b"\n"))
    leaves = _LeafReader(leaf_lines.line_numbers(), proof, write_leaf)
    query = cursor.cursor.mogrify(
        "COPY (SELECT event_hash FROM audit.audit_leaf WHERE seal_no < %s ORDER BY seal_no) TO STDOUT", [tree_size]
    )
    cursor.cursor.copy_expert(query.decode(), leaves)
    return proof.finish()


@dataclass
class _LeafReader:
    """File object for `cursor.copy_expert`, which calls `write` once a row."""

    line_numbers: Iterator[int]
    proof: ProofBuilder
    write_leaf: Callable[[bytes], object]

    def write(self, row: bytes) -> int:
        number = next(self.line_numbers)
        if number:
            self.write_leaf(b"%d\t%d\n" % (self.proof.size, number))
        self.proof.append(leaf_hash(unescape_bytea(row[:-1])), is_wanted=number > 0)
        return len(row)
