"""A page of Streamlit: ``streamlit run streamlit_page.py -- NAME``."""

import sys

import streamlit as st
from page_functions import roll


def rolled() -> None:
    st.title("Roll")
    st.write("Roll a die.")
    sides = st.slider("Sides", 2, 100, 6)
    seed = st.number_input("Seed", value=None, step=1)
    if st.button("Run"):
        st.metric("Result", roll(sides, seed))


@st.cache_resource
def notebook():
    import forecast

    return forecast.load()


def forecasted() -> None:
    import pandas as pd

    names = notebook()
    st.title("Day-ahead electrical load")
    st.write("Forecast the 24 hours that follow a series of hourly electrical load.")
    sent = st.file_uploader("Load")
    example = st.checkbox("Use the example", True)
    models = st.multiselect("Models", names.NAMES, names.NAMES)
    if not st.button("Run"):
        return
    load = names.recent if example else pd.read_csv(sent, index_col=0, parse_dates=True)
    parts = names.energy_view(load, models, names.energy_forecast(load, models))
    st.plotly_chart(parts["Forecast"])
    st.plotly_chart(parts["Errors"])
    for name, number in parts.items():
        if name.startswith("Mean"):
            st.metric(name, number)
    st.download_button("File", parts["File"].values[0], "forecast.csv")


{"roll": rolled, "forecast": forecasted}[sys.argv[1]]()
