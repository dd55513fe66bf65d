import base64

import numpy as np
from api_schema import APIRequest, APIResponse
from easymlserve import EasyMLServer, EasyMLService


class ImageService(EasyMLService):
    """Counts the values of each color."""

    def process(self, request: APIRequest) -> APIResponse:
        """Return a histogram of each color of an image."""
        pixels = np.frombuffer(base64.decodebytes(request.image.encode()), request.dtype)
        pixels = pixels.reshape(request.shape)
        response = {"shape": pixels.shape, "unused": "FastAPI drops what the model does not have"}
        for at, color in enumerate("rgb"):
            counts, bins = np.histogram(pixels[:, :, at], bins=request.bins)
            response[color] = {
                "counts": counts.tolist(),
                "rel_counts": (counts / pixels[:, :, at].size).tolist(),
                "bins": bins.tolist(),
            }
        return response


service = ImageService()
server = EasyMLServer(service, uvicorn_args={"host": "0.0.0.0", "port": 8000})
server.deploy()
