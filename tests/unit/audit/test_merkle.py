"""The Merkle tree agrees with RFC 6962 in every order of appends."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.audit.merkle import MerkleTree, ProofBuilder, leaf_hash, node_hash, root_of
from apps.audit.verify_bundle import BundleDoesNotVerify, PartialTree

# RFC 6962's reference vectors: the first n of these inputs make a tree of n leaves.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_roots_are_those_of_the_reference(size: int, root: str) -> None:
    assert root_of([leaf_hash(data) for data in INPUTS[:size]]).hex() == root


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert MerkleTree().root == hashlib.sha256(b"").digest()


def _inclusion_proof(leaves: list[bytes], index: int) -> list[bytes]:
    """The audit path of one leaf, computed level by level; a node without a sibling moves up unchanged."""
    proof, level = [], leaves
    while len(level) > 1:
        if index ^ 1 < len(level):
            proof.append(level[index ^ 1])
        above = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level, index = above + level[len(above) * 2 :], index >> 1
    return proof


def _proof(leaves: list[bytes], wanted: set[int]) -> list[bytes]:
    nodes: list[bytes] = []
    proof = ProofBuilder(nodes.append)
    for index, leaf in enumerate(leaves):
        proof.append(leaf, is_wanted=index in wanted)
    assert proof.finish() == root_of(leaves)
    return nodes


def _root_of_some(size: int, wanted: dict[int, bytes], nodes: list[bytes]) -> bytes | None:
    """The root as an auditor computes it from the bundle alone."""
    left = iter([node.hex().encode() for node in nodes])
    tree = PartialTree(size, left)
    for index in sorted(wanted):
        tree.append(index, wanted[index])
    root = tree.root()
    assert list(left) == []
    return root


@pytest.mark.parametrize("size", range(1, 34))
def test_the_proof_of_one_leaf_is_its_audit_path(size: int) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]

    for index in range(size):
        assert _proof(leaves, {index}) == _inclusion_proof(leaves, index)


@given(st.integers(1, 300), st.data())
def test_many_leaves_prove_themselves_and_no_others_do(size: int, data: st.DataObject) -> None:
    contents = [number.to_bytes(2) for number in range(size)]
    leaves = [leaf_hash(content) for content in contents]
    wanted = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    nodes, known = _proof(leaves, wanted), {index: contents[index] for index in wanted}
    assert _root_of_some(size, known, nodes) == root_of(leaves)

    one = data.draw(st.sampled_from(sorted(wanted)))
    assert _root_of_some(size, {**known, one: b"other"}, nodes) != root_of(leaves)
    if nodes:
        number = data.draw(st.integers(0, len(nodes) - 1))
        nodes[number] = leaf_hash(b"other")
        assert _root_of_some(size, known, nodes) != root_of(leaves)


def test_a_proof_that_lacks_a_node_proves_nothing() -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(8)]

    with pytest.raises(BundleDoesNotVerify, match="lacks a node"):
        _root_of_some(8, {3: b"\3"}, _proof(leaves, {3})[:-1])


@pytest.mark.parametrize("indexes", [(0, 0), (4, 2), (8,)])
def test_a_leaf_has_one_place_in_the_tree(indexes: tuple[int, ...]) -> None:
    tree = PartialTree(8, iter(()))

    with pytest.raises(BundleDoesNotVerify, match="not in this place"):
        for index in indexes:
            tree.append(index, b"")


@given(st.lists(st.binary(max_size=4), max_size=40), st.integers(0, 40))
def test_a_tree_grown_in_two_steps_has_the_same_root(inputs: list[bytes], cut: int) -> None:
    leaves = [leaf_hash(data) for data in inputs]
    first = MerkleTree()
    first.extend(leaves[:cut])
    second = MerkleTree(first.size, list(first.frontier))
    second.extend(leaves[cut:])

    assert second.root == root_of(leaves)
