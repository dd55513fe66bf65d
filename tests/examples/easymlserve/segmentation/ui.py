import base64
import io
import json
import os

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from api_schema import *
from easymlserve.ui import GradioEasyMLUI
from easymlserve.ui.type import File, Number, Plot


class CellSegmentationUI(GradioEasyMLUI):
    """Counts cells."""

    def prepare_request(self, image: bytes) -> ImageSchema:
        pixels = np.array(PIL.Image.open(io.BytesIO(image)))
        return {
            "dtype": str(pixels.dtype),
            "shape": list(pixels.shape),
            "image": base64.b64encode(pixels).decode("utf-8"),
        }

    def process_response(self, request: ImageSchema, response: ImageSchema) -> Plot:
        instances = np.frombuffer(
            base64.decodebytes(response["image"].encode()), response["dtype"]
        ).reshape(response["shape"])
        areas = np.bincount(instances.ravel())[1:]
        figure = plt.figure(figsize=(5, 4))
        plt.imshow(instances)
        response = {"num_instances": len(areas), "area": float(np.mean(areas))}
        os.makedirs("responses", exist_ok=True)
        path = os.path.join("responses", "cells.json")
        with open(path, "w") as file:
            json.dump(response, file)
        return figure, response["num_instances"], response["area"], path


if __name__ == "__main__":
    app = CellSegmentationUI(
        name="Cell Segmentation Example",
        input_schema={"image": File(name="Input Image")},
        output_schema=[
            Plot(name="Cell Segmentation"),
            Number(name="Number of Cells", dtype=int),
            Number(name="Mean Cell Size [px**2]", dtype=float),
            File(name="Response File"),
        ],
        rest_api_port=8100,
    )
    app.run()
