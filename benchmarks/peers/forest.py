"""The model of `batching.py`, the same for all: a random forest of 100 trees."""

from sklearn.datasets import make_regression
from sklearn.ensemble import RandomForestRegressor

X, Y = make_regression(1000, 20, random_state=0)
MODEL = RandomForestRegressor(100, random_state=0).fit(X, Y)
