"""The Merkle tree of RFC 6962 (section 2.1), grown one leaf at a time and kept as its right edge alone."""

import hashlib
from collections.abc import Iterable, Sequence
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


def audit_paths(leaves: Iterable[bytes], wanted: Iterable[int]) -> dict[int, list[bytes]]:
    """The audit path (RFC 6962, 2.1.1) of each wanted leaf, from the leaf up, in one pass over all leaf hashes.

    Only the paths and the tree's right edge are kept in memory.
    """
    paths: dict[int, list[bytes]] = {index: [] for index in wanted}
    # The roots of the perfect subtrees, largest first, each with the wanted leaves below it.
    edge: list[tuple[bytes, list[int]]] = []

    def join(left: tuple[bytes, list[int]], right: tuple[bytes, list[int]]) -> tuple[bytes, list[int]]:
        for below, sibling in ((left[1], right[0]), (right[1], left[0])):
            for index in below:
                paths[index].append(sibling)
        return node_hash(left[0], right[0]), left[1] + right[1]

    for index, leaf in enumerate(leaves):
        node, carry = (leaf, [index] if index in paths else []), index
        while carry & 1:
            node = join(edge.pop(), node)
            carry >>= 1
        edge.append(node)
    while len(edge) > 1:
        right = edge.pop()
        edge.append(join(edge.pop(), right))
    return paths


def root_from_proof(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof leads to: equal to the checkpoint's if, and only if, the leaf is in the tree."""
    if size <= 1:
        return leaf
    split = _largest_power_of_two_below(size)
    sibling, rest = proof[-1], proof[:-1]
    if index < split:
        return node_hash(root_from_proof(leaf, index=index, size=split, proof=rest), sibling)
    return node_hash(sibling, root_from_proof(leaf, index=index - split, size=size - split, proof=rest))


def _largest_power_of_two_below(number: int) -> int:
    return 1 << (number - 1).bit_length() - 1
