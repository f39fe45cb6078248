"""The Merkle tree agrees with RFC 6962, however it is grown."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.audit.merkle import MerkleTree, audit_paths, leaf_hash, node_hash, root_from_proof, root_of

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


@given(st.integers(1, 70), st.data())
def test_every_leaf_proves_itself_and_no_other_does(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    proof = audit_paths(leaves, [index])[index]

    assert root_from_proof(leaves[index], index=index, size=size, proof=proof) == root_of(leaves)
    assert root_from_proof(leaf_hash(b"other"), index=index, size=size, proof=proof) != root_of(leaves)


def _inclusion_proof(leaves: list[bytes], index: int) -> list[bytes]:
    """The path of one leaf the long way: level by level, where a node without a sibling moves up as it is."""
    proof, level = [], leaves
    while len(level) > 1:
        if index ^ 1 < len(level):
            proof.append(level[index ^ 1])
        above = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level, index = above + level[len(above) * 2 :], index >> 1
    return proof


@pytest.mark.parametrize("size", range(1, 34))
def test_paths_found_in_one_pass_are_those_of_every_leaf_alone(size: int) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]

    assert audit_paths(iter(leaves), range(size)) == {each: _inclusion_proof(leaves, each) for each in range(size)}


@given(st.integers(1, 300), st.data())
def test_paths_found_in_one_pass_are_those_of_some_leaves_alone(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(number.to_bytes(2, "big")) for number in range(size)]
    wanted = data.draw(st.sets(st.integers(0, size - 1)))

    assert audit_paths(iter(leaves), wanted) == {each: _inclusion_proof(leaves, each) for each in wanted}


@given(st.lists(st.binary(max_size=4), max_size=40), st.integers(0, 40))
def test_a_tree_grown_in_two_steps_has_the_same_root(inputs: list[bytes], cut: int) -> None:
    leaves = [leaf_hash(data) for data in inputs]
    first = MerkleTree()
    first.extend(leaves[:cut])
    second = MerkleTree(first.size, list(first.frontier))
    second.extend(leaves[cut:])

    assert second.root == root_of(leaves)
