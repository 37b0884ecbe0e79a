"""How numerical functions are compiled; products with symmetric matrices. Imports numba: import it in functions only.

Sums are over loops that store nothing: a loop that does both is compiled twice, in vectors and one by one, and which
of them runs (and so how the sum is rounded) depends on where its arrays lie in memory.

Compiled code is kept beside the source and made anew when the file of the outermost function changes. After an edit of
one that others call, remove ``results/model/__pycache__/*.nb*``.
"""

from __future__ import annotations

import numpy as np
from numba import njit  # type: ignore[import-untyped,unused-ignore]
from numpy.typing import NDArray

from .terms import Floats

__all__ = ["compiled", "symmetric_product"]

compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def symmetric_product(matrix: NDArray[np.float32], vector: Floats) -> Floats:
    """``matrix @ vector``.

    Raises:
        IndexError: For a matrix of another size.
    """
    if matrix.shape[0] != len(vector) or matrix.shape[1] != len(vector):
        raise IndexError("the matrix has another size than the vector")
    product = np.empty(len(vector))
    for i in range(len(vector)):
        value = 0.0
        for j in range(len(vector)):
            value += matrix[i, j] * vector[j]
        product[i] = value
    return product
