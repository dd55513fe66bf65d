import base64

import numpy as np
from api_schema import ImageSchema
from easymlserve import EasyMLServer, EasyMLService
from scipy import ndimage


class SegmentationService(EasyMLService):
    """Numbers the bright regions of an image, in the place of a trained network."""

    def __init__(self, device="cpu", **kwargs):
        self.device = device
        super().__init__(**kwargs)

    def load_model(self):
        self.model = lambda pixels: ndimage.label(pixels > 0.5)[0]

    def process(self, request: ImageSchema) -> ImageSchema:
        pixels = np.frombuffer(base64.decodebytes(request.image.encode()), request.dtype)
        pixels = pixels.reshape(request.shape).astype(np.double)
        pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
        instances = self.model(pixels)
        return {
            "dtype": str(instances.dtype),
            "shape": list(instances.shape),
            "image": base64.b64encode(instances).decode("utf-8"),
        }


if __name__ == "__main__":
    service = SegmentationService(device="cuda")
    server = EasyMLServer(service, uvicorn_args={"host": "0.0.0.0", "port": 8100})
    server.deploy()
