"""What the image of the load generators is built from."""
