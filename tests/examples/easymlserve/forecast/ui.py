import os
from io import BytesIO

import matplotlib.pyplot as plt
import pandas as pd
from api_schema import *
from easymlserve.ui import GradioEasyMLUI
from easymlserve.ui.type import CSVFile, MultipleChoice, Plot


class ForecastingUI(GradioEasyMLUI):
    """Compares forecasts of a time series."""

    def prepare_request(self, models: list[str], csv: bytes) -> APIRequest:
        table = pd.read_csv(BytesIO(csv))
        table.time = pd.to_datetime(table.time).astype(str)
        request = table[["time", "energy"]].to_dict("list")
        request["models"] = models
        return request

    def process_response(self, request: APIRequest, response: APIResponse) -> tuple[Plot, CSVFile]:
        figure = plt.figure(figsize=(8, 4))
        known = pd.Series(request["energy"], pd.to_datetime(request["time"]), name="energy")
        plt.plot(known.index, known.values, label="known")
        columns = [known]
        for one in response["forecasts"]:
            forecast = pd.Series(one["energy"], pd.to_datetime(one["time"]), name=one["model"])
            plt.plot(forecast.index, forecast.values, label=one["model"])
            columns.append(forecast)
        plt.xticks(rotation=45)
        figure.legend()
        os.makedirs("responses", exist_ok=True)
        path = os.path.join("responses", "output.csv")
        pd.concat(columns, axis=1).to_csv(path)
        return figure, path


if __name__ == "__main__":
    app = ForecastingUI(
        name="Energy Time Series Forecasting",
        input_schema={
            "models": MultipleChoice(["day", "mean"], name="Selected Models"),
            "csv": CSVFile(name="CSV File"),
        },
        output_schema=[Plot(name="Forecasts"), CSVFile()],
        gradio_interface_args={"allow_flagging": False},
        rest_api_port=8000,
    )
    app.run()
