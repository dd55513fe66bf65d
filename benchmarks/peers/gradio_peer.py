"""Gradio, its calls without the queue, which is the faster of its two ways."""

import sys

import gradio
from models import forest, noop


def call_forest(x: list[float]) -> float:
    return float(forest().predict([x])[0])


forest()
with gradio.Blocks() as demo:
    number, answer = gradio.Number(), gradio.Number()
    gradio.Button().click(noop, number, answer, api_name="noop", queue=False)
    row, found = gradio.JSON(), gradio.Number()
    gradio.Button().click(call_forest, row, found, api_name="forest", queue=False)

if __name__ == "__main__":
    demo.launch(server_port=int(sys.argv[1]), quiet=True)
