import json
import os

import numpy as np
import pandas as pd
from api_schema import *
from easymlserve import EasyMLServer, EasyMLService
from fastapi import HTTPException

HOURS = 24


class TimeSeriesForecastingService(EasyMLService):
    """Forecasts the energy of the next day from the last two."""

    def load_model(self):
        self.models = {}
        for name in ("day", "mean"):
            with open(os.path.join("models", f"{name}.json")) as file:
                self.models[name] = json.load(file)["weights"]

    def process(self, request: APIRequest) -> APIResponse:
        """Return a forecast of each model."""
        energy = np.array(request.energy)
        times = pd.to_datetime(request.time)
        forecasts = []
        for model in request.models:
            if model not in self.models:
                raise HTTPException(404, "Unknown model")
            today, yesterday = self.models[model]
            values = today * energy[HOURS:] + yesterday * energy[:-HOURS]
            later = (times[HOURS:] + pd.Timedelta("1d")).astype(str).to_list()
            forecasts.append({"model": model, "time": later, "energy": values.tolist()})
        return APIResponse(forecasts=forecasts)


if __name__ == "__main__":
    service = TimeSeriesForecastingService()
    server = EasyMLServer(service, uvicorn_args={"host": "0.0.0.0"})
    server.deploy()
