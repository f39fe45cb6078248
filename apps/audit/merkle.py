"""The Merkle tree of RFC 6962 (section 2.1), grown one leaf at a time and kept as its right edge alone."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass
class MerkleTree:
    """A tree that can only grow: its size and the roots of its perfect subtrees, largest first."""

    size: int = 0
    frontier: list[bytes] = field(default_factory=list)

    def append(self, leaf: bytes) -> None:
        """Adds a leaf hash."""
        node, carry = leaf, self.size
        while carry & 1:
            node = node_hash(self.frontier.pop(), node)
            carry >>= 1
        self.frontier.append(node)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        for leaf in leaves:
            self.append(leaf)

    @property
    def root(self) -> bytes:
        if not self.frontier:
            return EMPTY_ROOT
        root = self.frontier[-1]
        for node in reversed(self.frontier[:-1]):
            root = node_hash(node, root)
        return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    tree = MerkleTree()
    tree.extend(leaves)
    return tree.root


class ProofBuilder:
    """One proof that many leaves are in a tree, made in one pass over all leaf hashes; only the right edge is kept.

    `emit` gets the roots of the subtrees without a wanted leaf that stand beside one with a wanted leaf, each when its
    parent's last leaf has been taken, inner ones first. Who knows the wanted leaves, their places and the tree's size
    goes the same way and ends with the root (verify_bundle.py): for one leaf that is RFC 6962's audit path (2.1.1).
    """

    def __init__(self, emit: Callable[[bytes], object]) -> None:
        self._emit = emit
        self.size = 0
        # The roots of the perfect subtrees, largest first, and whether a wanted leaf is below.
        self._edge: list[tuple[bytes, bool]] = []

    def append(self, leaf: bytes, *, is_wanted: bool) -> None:
        """Takes the next leaf hash."""
        node, carry = (leaf, is_wanted), self.size
        while carry & 1:
            node = self._join(self._edge.pop(), node)
            carry >>= 1
        self._edge.append(node)
        self.size += 1

    def finish(self) -> bytes:
        """Emits what is left, and returns the root of all."""
        if not self._edge:
            return EMPTY_ROOT
        node = self._edge.pop()
        while self._edge:
            node = self._join(self._edge.pop(), node)
        return node[0]

    def _join(self, left: tuple[bytes, bool], right: tuple[bytes, bool]) -> tuple[bytes, bool]:
        if left[1] != right[1]:
            self._emit(right[0] if left[1] else left[0])
        return node_hash(left[0], right[0]), left[1] or right[1]
