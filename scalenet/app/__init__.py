"""The Gradio app behind ``scalenet demo``; :mod:`scalenet.demo` is its door."""
