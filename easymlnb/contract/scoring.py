"""MLflow's scoring protocol: what the server asks of a worker, and the media types."""

SCORE = "score"
"""The operation that answers a request of the protocol, see ``contract.batch_protocol``."""

CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
JSON = "application/json"

ACCEPTED = (JSON, CSV, PARQUET)

SPLIT, RECORDS, INSTANCES, INPUTS = "dataframe_split", "dataframe_records", "instances", "inputs"
FORMS = (SPLIT, RECORDS, INSTANCES, INPUTS)
"""The forms of the input in JSON, of which a request has exactly one."""

PARAMS = "params"
PREDICTIONS = "predictions"
