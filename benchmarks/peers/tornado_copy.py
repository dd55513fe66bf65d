"""The floor of `arrays.py`: a handler of tornado alone that gives a copy back, or doubles."""

import asyncio
import io
import sys

import numpy
from tornado.web import Application, RequestHandler


class Copy(RequestHandler):
    def post(self) -> None:
        self.finish(bytes(bytearray(self.request.body)))


class Double(RequestHandler):
    def post(self) -> None:
        out = io.BytesIO()
        numpy.save(out, numpy.load(io.BytesIO(self.request.body)) * 2)
        self.finish(out.getvalue())


async def main() -> None:
    Application([("/copy", Copy), ("/double", Double)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
