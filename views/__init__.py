"""Panels as plain data, and what paints them: HTML, SVG, tables for terminal and Markdown, PNG."""
