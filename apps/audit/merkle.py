"""The Merkle tree of RFC 6962 (section 2.1). It grows by appending leaves; only its frontier is kept in memory."""

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
    """An append-only tree: its size, and its frontier, the roots of its perfect subtrees, largest first."""

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
    """Builds one inclusion proof for many leaves in one pass over all leaf hashes. Only the frontier is kept.

    `emit` gets the root of each subtree without a wanted leaf whose sibling has one, when the last leaf of their parent
    has been appended, inner subtrees first. A verifier that has the wanted leaves, their indices and the tree size
    computes the root in the same order (verify_bundle.py). For one leaf this is RFC 6962's audit path (2.1.1).
    """

    def __init__(self, emit: Callable[[bytes], object]) -> None:
        self._emit = emit
        self.size = 0
        # The roots of the perfect subtrees, largest first, and whether they have a wanted leaf.
        self._frontier: list[tuple[bytes, bool]] = []

    def append(self, leaf: bytes, *, is_wanted: bool) -> None:
        """Appends the next leaf hash."""
        node, carry = (leaf, is_wanted), self.size
        while carry & 1:
            node = self._join(self._frontier.pop(), node)
            carry >>= 1
        self._frontier.append(node)
        self.size += 1

    def finish(self) -> bytes:
        """Emits the remaining nodes, and returns the root of the tree."""
        if not self._frontier:
            return EMPTY_ROOT
        node = self._frontier.pop()
        while self._frontier:
            node = self._join(self._frontier.pop(), node)
        return node[0]

    def _join(self, left: tuple[bytes, bool], right: tuple[bytes, bool]) -> tuple[bytes, bool]:
        if left[1] != right[1]:
            self._emit(right[0] if left[1] else left[0])
        return node_hash(left[0], right[0]), left[1] or right[1]
