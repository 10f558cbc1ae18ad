"""The example company answers its telephone."""
