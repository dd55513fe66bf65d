from typing import List  # noqa: UP035

from pydantic import BaseModel


class APIRequest(BaseModel):
    dtype: str
    shape: List[int]  # noqa: UP006
    image: str
    bins: int


class Histogram(BaseModel):
    counts: List[int]  # noqa: UP006
    rel_counts: List[float]  # noqa: UP006
    bins: List[float]  # noqa: UP006


class APIResponse(BaseModel):
    shape: List[int]  # noqa: UP006
    r: Histogram
    g: Histogram
    b: Histogram
