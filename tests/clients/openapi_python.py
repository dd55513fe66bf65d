"""Calls services with a client that openapi-python-client generated, and prints what it gets.

Arguments: the folder of the generated package, URL, token.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])

from generated import AuthenticatedClient
from generated.api.api_any import call_api_any
from generated.api.api_array import call_api_array
from generated.api.api_count import call_api_count
from generated.api.api_numbers import call_api_numbers
from generated.api.api_picture import call_api_picture
from generated.api.api_points import call_api_points
from generated.api.api_table import call_api_table
from generated.api.services import list_services
from generated.models import (
    ApiAnyInput,
    ApiArrayInput,
    ApiCountInput,
    ApiNumbersInput,
    ApiNumbersInputWay,
    ApiPictureInput,
    ApiPointsInput,
    ApiPointsInputPoint,
    ApiTableInput,
    ApiTableInputTableType0Item,
)

client = AuthenticatedClient(
    base_url=sys.argv[2],
    token=sys.argv[3],
    prefix="token",
    headers={"Accept": "application/json"},  # else a stream is JSON lines
)
rows = [ApiTableInputTableType0Item.from_dict({"a": a, "b": "x"}) for a in (1, 2)]
picture = sys.argv[4]
product = ApiNumbersInput(a=2, b=3.5, way=ApiNumbersInputWay.PRODUCT)
wrong = call_api_numbers.sync_detailed(client=client, body=ApiNumbersInput(a="many"))
points = [ApiPointsInputPoint(x=1.5), ApiPointsInputPoint(x=2.0, y=3.0)]
print(
    json.dumps(
        {
            "numbers": call_api_numbers.sync(client=client, body=product),
            "wrong": [wrong.status_code, wrong.parsed.error.code],
            "point": call_api_points.sync(
                client=client, body=ApiPointsInput(points=points)
            ).to_dict(),
            "array": call_api_array.sync(client=client, body=ApiArrayInput(values=[1.0, 2.0])),
            "any": call_api_any.sync(client=client, body=ApiAnyInput(values=[[1, 2], [3, 4]])),
            "table": call_api_table.sync_detailed(
                client=client, body=ApiTableInput(table=rows)
            ).status_code,
            "picture": call_api_picture.sync_detailed(
                client=client, body=ApiPictureInput(image=picture)
            ).parsed[:22],
            "count": call_api_count.sync_detailed(
                client=client, body=ApiCountInput(to=3)
            ).content.decode(),
            "listed": len(list_services.sync(client=client).services),
        }
    )
)
