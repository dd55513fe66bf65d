from pydantic import BaseModel


class APIRequest(BaseModel):
    dtype: str
    shape: list[int]
    image: str


class Face(BaseModel):
    x: int
    y: int
    w: int
    h: int


class APIResponse(BaseModel):
    faces: list[Face]
