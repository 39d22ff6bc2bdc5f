"""The script that Streamlit runs again for every visitor and every choice."""

from __future__ import annotations

from sluice.dashboard.page import show_page

show_page()
