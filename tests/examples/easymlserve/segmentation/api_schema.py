from pydantic import BaseModel


class ImageSchema(BaseModel):
    dtype: str
    shape: list[int]
    image: str
