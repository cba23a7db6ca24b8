"""Is a model text whole: what LightGBM needs to find in it, checked before LightGBM sees it.

The library does not refuse a text whose trees are cut or hold another number of values: it aborts
the process, and a tree that leads back to itself never answers. The SHA-256 (bundle.py) catches
what was damaged on its way; this file catches what was already damaged when its hash was taken, so
that such a version is refused like any other and the old one goes on. Reads no file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

END = b"end of trees"
NUMBER = rb"-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf|nan)"  # a split may gain inf
NUMBERS = re.compile(rb"%b(?: %b)* ?" % (NUMBER, NUMBER))
# Values a tree has one of for each leaf, and for each split; other lines are not looked at.
PER_LEAF = (b"leaf_weight", b"leaf_count")
PER_SPLIT = (
    b"split_gain", b"threshold", b"decision_type",
    b"internal_value", b"internal_weight", b"internal_count",
)  # fmt: skip


class TextDamaged(ValueError):
    """A model text that the library must not see; says what is wrong with it."""


def check_model_text(text: bytes) -> None:
    """Refuse a text whose trees are not whole.

    Raises
    ------
    TextDamaged
        With the tree and the line that is wrong.
    """
    if b"\0" in text:
        raise TextDamaged("it holds a zero byte")
    head, gap, rest = text.partition(b"\n\n")
    try:
        said = _lines(head)
        sizes = [int(size) for size in said[b"tree_sizes"].split()]
        features = int(said[b"max_feature_idx"]) + 1
    except (KeyError, ValueError) as fault:
        raise TextDamaged(f"its head: {fault}") from fault
    if not gap or min(sizes, default=0) <= 0:
        raise TextDamaged(f"its head: tree_sizes {sizes[:3]}")
    at = 0
    for number, size in enumerate(sizes):
        tree = rest[at : at + size]
        at += size
        try:
            _check_tree(tree, number, features)
        except (KeyError, ValueError) as fault:
            raise TextDamaged(f"tree {number}: {fault}") from fault
        time.sleep(0)  # lets the event loop have the interpreter: a text takes some 40 ms a MB
    if not rest[at:].lstrip().startswith(END):
        raise TextDamaged(f"{len(sizes)} trees are not followed by {END.decode()!r}")


def _lines(part: bytes) -> dict[bytes, bytes]:
    pairs = [line.partition(b"=") for line in part.split(b"\n")]
    if any(b"=" in value for _, _, value in pairs):
        raise ValueError("a line with two equals signs")
    return {name: value for name, _, value in pairs}


def _check_tree(tree: bytes, number: int, features: int) -> None:
    if not tree.startswith(b"Tree=%d\n" % number):
        raise ValueError(f"begins with {tree[:20]!r}")
    said = _lines(tree)
    leaves = int(said[b"num_leaves"])
    if leaves < 1:
        raise ValueError(f"num_leaves={leaves}")
    _count(said, b"leaf_value", leaves)
    float(said[b"shrinkage"])
    if leaves == 1:
        return
    for name in PER_LEAF:
        _count(said, name, leaves)
    for name in PER_SPLIT:
        _count(said, name, leaves - 1)
    used = _integers(said, b"split_feature", leaves - 1)
    if not 0 <= min(used) <= max(used) < features:
        raise ValueError("split_feature names a feature that there is not")
    left, right = (_integers(said, name, leaves - 1) for name in (b"left_child", b"right_child"))
    _check_children(left, right, leaves)
    if int(said[b"num_cat"]):
        _check_categories(said, int(said[b"num_cat"]))


def _count(said: Mapping[bytes, bytes], name: bytes, count: int) -> None:
    """Refuse a line of another number of values, or of others than numbers; not parsed: time."""
    value = said[name]
    if value.rstrip(b" ").count(b" ") + 1 != count or NUMBERS.fullmatch(value) is None:
        raise ValueError(f"{name.decode()} does not hold {count} numbers")


def _integers(said: Mapping[bytes, bytes], name: bytes, count: int) -> list[int]:
    _count(said, name, count)
    return [int(value) for value in said[name].split()]


def _check_children(left: Sequence[int], right: Sequence[int], leaves: int) -> None:
    """Refuse a tree that is none: every split but the first has one parent, which stands before."""
    met = set()
    for split, children in enumerate(zip(left, right, strict=True)):
        for child in children:
            # a leaf is written as -1, -2, …
            if not (-leaves <= child < 0 or split < child < leaves - 1) or child in met:
                raise ValueError(f"the children of split {split} are no part of the tree")
            met.add(child)


def _check_categories(said: Mapping[bytes, bytes], count: int) -> None:
    edges = _integers(said, b"cat_boundaries", count + 1)
    if edges[0] != 0 or any(a > b for a, b in pairwise(edges)):
        raise ValueError("cat_boundaries do not rise from 0")
    _count(said, b"cat_threshold", edges[-1])
