"""FastAPI under uvicorn, as its own tutorial would put it there: plain functions in its threads."""

import sys

import uvicorn
from fastapi import FastAPI
from models import forest, noop
from pydantic import BaseModel

app = FastAPI()


class Number(BaseModel):
    x: float


class Row(BaseModel):
    x: list[float]


@app.post("/noop")
def call_noop(body: Number) -> float:
    return noop(body.x)


@app.post("/forest")
def call_forest(body: Row) -> float:
    return float(forest().predict([body.x])[0])


if __name__ == "__main__":
    forest()
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False)
