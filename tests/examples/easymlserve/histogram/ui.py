import base64
import json
import os

import matplotlib.pyplot as plt
from api_schema import *
from easymlserve.ui import GradioEasyMLUI, QtEasyMLUI  # noqa: F401
from easymlserve.ui.type import File, ImageFile, Plot, Range


class HistogramUI(GradioEasyMLUI):
    """Draws the histogram of an image."""

    def prepare_request(self, image, bins: int) -> APIRequest:
        return {
            "dtype": str(image.dtype),
            "shape": list(image.shape),
            "image": base64.b64encode(image).decode("utf-8"),
            "bins": bins,
        }

    def process_response(self, request: APIRequest, response: APIResponse) -> Plot:
        figure = plt.figure(figsize=(8, 5))
        for color in "rgb":
            edges = response[color]["bins"]
            plt.plot(edges[:-1], response[color]["rel_counts"], color=color)
        plt.tight_layout()
        os.makedirs("responses", exist_ok=True)
        path = os.path.join("responses", "output.json")
        with open(path, "w") as file:
            json.dump(response, file)
        return figure, path


if __name__ == "__main__":
    app = HistogramUI(
        name="Histogram Example",
        input_schema={
            "image": ImageFile(name="Input Image"),
            "bins": Range(10, 100, name="Number of Bins", dtype=int),
        },
        output_schema=[Plot(name="Image Histogram"), File()],
        gradio_interface_args={"allow_flagging": False},
        gradio_launch_args={"server_name": "0.0.0.0", "server_port": 8080},
        rest_api_port=8000,
    )
    app.run()
