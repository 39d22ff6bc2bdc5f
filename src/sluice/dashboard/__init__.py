"""The lake on one page for people: `sluice dashboard`. What it reads knows nothing of Streamlit."""
