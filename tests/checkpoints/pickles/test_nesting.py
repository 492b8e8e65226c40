"""The depth of containers is known while they are made, and none can be in itself."""

import pytest

from vggfcn.checkpoints.pickles.nesting import MAX_DEPTH, Nesting


def tower(depth):
    """Tuples in each other, and the outermost."""
    nesting, inner = Nesting(), (1,)
    nesting.put([1], inner)
    for _ in range(depth - 1):
        inner, last = (inner,), inner
        nesting.put([last], inner)
    return nesting, inner


def test_as_deep_as_allowed_and_no_deeper():
    nesting, whole = tower(MAX_DEPTH)
    assert whole in nesting
    assert [1] not in nesting
    with pytest.raises(ValueError, match="nested over 50 levels deep"):
        nesting.put([whole], [whole])


def test_a_container_may_grow_until_it_is_in_another():
    nesting, inner = tower(MAX_DEPTH - 2)
    growing, outer = [], []
    nesting.put([1], growing)
    nesting.put([inner], growing)
    nesting.put([growing], outer)
    with pytest.raises(ValueError, match="a container changes after it was put into another"):
        nesting.put([1], growing)
    with pytest.raises(ValueError, match="nested over 50 levels deep"):
        nesting.put([outer], [])


def test_no_container_is_in_itself():
    nesting, inner = Nesting(), []
    with pytest.raises(ValueError, match="a container is put into itself"):
        nesting.put([inner, inner], inner) or nesting.put([inner], inner)


def test_many_parts_count_once():
    nesting, inner = tower(3)
    whole = [inner] * 1000
    nesting.put(whole, whole)
    nesting.put([whole], outer := [])
    assert outer in nesting
