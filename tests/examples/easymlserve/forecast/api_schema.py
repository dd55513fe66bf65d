from pydantic import BaseModel


class APIRequest(BaseModel):
    models: list[str]
    time: list[str]
    energy: list[float]


class Forecast(BaseModel):
    model: str
    time: list[str]
    energy: list[float]


class APIResponse(BaseModel):
    forecasts: list[Forecast]
