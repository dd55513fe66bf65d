"""A page of Gradio: ``gradio_page.py NAME PORT``."""

import sys
import tempfile
from pathlib import Path

import gradio
from page_functions import roll


def rolled() -> gradio.Blocks:
    return gradio.Interface(
        roll,
        [gradio.Slider(2, 100, 6, step=1, label="Sides"), gradio.Number(label="Seed", precision=0)],
        gradio.Number(label="Result"),
        title="Roll",
        description="Roll a die.",
    )


def forecasted() -> gradio.Blocks:
    import forecast
    import pandas as pd

    notebook = forecast.load()
    folder = Path(tempfile.mkdtemp())
    example = folder / "load.csv"
    notebook.recent.to_csv(example)

    def call(path, models):
        load = pd.read_csv(path, index_col=0, parse_dates=True)
        result = notebook.energy_forecast(load, models)
        parts = notebook.energy_view(load, models, result)
        file = folder / "forecast.csv"
        file.write_bytes(parts["File"].values[0])
        errors = {name: number for name, number in parts.items() if name.startswith("Mean")}
        return parts["Forecast"], parts["Errors"], errors, str(file)

    return gradio.Interface(
        call,
        [gradio.File(label="Load"), gradio.CheckboxGroup(notebook.NAMES, value=notebook.NAMES)],
        [gradio.Plot(label="Forecast"), gradio.Plot(label="Errors"), gradio.JSON(), gradio.File()],
        examples=[[str(example), notebook.NAMES]],
        title="Day-ahead electrical load",
        description="Forecast the 24 hours that follow a series of hourly electrical load.",
    )


PAGES = {"roll": rolled, "forecast": forecasted}

if __name__ == "__main__":
    PAGES[sys.argv[1]]().launch(server_port=int(sys.argv[2]), quiet=True, share=False)
