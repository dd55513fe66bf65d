"""The OpenAPI document of the routes and services."""
