"""How well a network separates songs whose stems are known."""
