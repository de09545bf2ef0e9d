"""Pictures of a Graph: layered layout, SVG and DOT, the notebook view, plots. The engine imports nothing of it."""
