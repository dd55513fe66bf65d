"""The peer: the same function as FastAPI's own tutorial would serve it."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Input(BaseModel):
    x: float


@app.post("/noop")
def noop(body: Input) -> float:
    return body.x
