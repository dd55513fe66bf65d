"""The peer: a model behind FastAPI as its own tutorial would put it there."""

from fastapi import FastAPI
from forest import MODEL
from pydantic import BaseModel

app = FastAPI()


class Input(BaseModel):
    x: list[float]


@app.post("/predict")
def predict(body: Input) -> float:
    return float(MODEL.predict([body.x])[0])
