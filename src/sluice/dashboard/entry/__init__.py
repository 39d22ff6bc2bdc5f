"""What Streamlit runs; apart, because Streamlit puts the script's folder in front of all modules."""
