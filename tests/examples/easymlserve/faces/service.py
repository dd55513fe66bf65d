import base64
import os

import cv2
import numpy as np
from api_schema import APIRequest, APIResponse
from easymlserve import EasyMLServer, EasyMLService


class ImageService(EasyMLService):
    """Finds faces. Its class has the same name as that of the histogram."""

    def load_model(self):
        self.model = cv2.CascadeClassifier(os.path.join("model", "model.xml"))

    def process(self, request: APIRequest) -> APIResponse:
        """Return the places of faces in an image."""
        pixels = np.frombuffer(base64.decodebytes(request.image.encode()), request.dtype)
        gray = cv2.cvtColor(pixels.reshape(request.shape), cv2.COLOR_RGB2GRAY)
        found = self.model.detectMultiScale(gray, 1.1, 4)
        return {"faces": [dict(zip("xywh", map(int, one), strict=True)) for one in found]}


service = ImageService()
server = EasyMLServer(service, uvicorn_args={"host": "0.0.0.0", "port": 8000})
server.deploy()
