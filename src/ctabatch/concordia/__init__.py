"""Configured air-shower simulations in containers: options to image, image to runs."""
