import base64
import json
import os

import cv2
import matplotlib.pyplot as plt
from api_schema import *
from easymlserve.ui import GradioEasyMLUI
from easymlserve.ui.type import File, Number, Plot, Webcam


class FacesUI(GradioEasyMLUI):
    """Marks the faces in a photo."""

    def prepare_request(self, image) -> APIRequest:
        self.image = image
        return {
            "dtype": str(image.dtype),
            "shape": list(image.shape),
            "image": base64.b64encode(image).decode("utf-8"),
        }

    def process_response(self, request: APIRequest, response: APIResponse) -> Plot:
        marked = self.image.copy()
        for face in response["faces"]:
            corner = face["x"], face["y"]
            opposite = face["x"] + face["w"], face["y"] + face["h"]
            cv2.rectangle(marked, corner, opposite, (255, 0, 0), 2)
        figure = plt.figure(figsize=(8, 5))
        plt.imshow(marked)
        os.makedirs("responses", exist_ok=True)
        path = os.path.join("responses", "faces.json")
        with open(path, "w") as file:
            json.dump(response, file)
        return figure, len(response["faces"]), path


if __name__ == "__main__":
    app = FacesUI(
        name="Histogram Example",
        input_schema={"image": Webcam(name="Input Image")},
        output_schema=[Plot(name="Detections"), Number(name="Number of Faces"), File()],
        rest_api_port=8000,
    )
    app.run()
