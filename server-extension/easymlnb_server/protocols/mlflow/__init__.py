"""MLflow's scoring protocol: the routes that clients of ``mlflow models serve`` call."""
